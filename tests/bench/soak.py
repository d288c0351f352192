"""Memory and open files of one run over thousands of small pictures.

    python tests/bench/soak.py [--images 2000] [--size 48] [--model clahe]

Watches the process from outside (Linux) and prints one line of JSON: resident MiB and
open files when 20 % and when all of the outputs are there, and the growth between.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from enhance_vs_loop import make_folder

PAUSE_S = 0.25


def look(process: int) -> tuple[float, int] | None:
    """Return resident MiB and open files of a process; None once it has ended."""
    place = Path(f"/proc/{process}")
    try:
        resident = re.search(r"VmRSS:\s+(\d+)", (place / "status").read_text())
        files = len(list((place / "fd").iterdir()))
    except OSError:
        return None
    return (int(resident[1]) / 1024, files) if resident else None


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--model", default="clahe")
    arguments = parser.parse_args()
    samples: list[tuple[int, float, int]] = []
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        make_folder(source, arguments.images, arguments.size)
        command = [sys.executable, "-m", "medenh", "enhance", str(source)]
        command += ["-o", str(target), "-m", arguments.model, "-q"]
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while run.poll() is None:
            there = len(list(target.glob("*.png")))
            if (seen := look(run.pid)) is not None:
                samples.append((there, *seen))
            time.sleep(PAUSE_S)
        there = len(list(target.glob("*.png")))
    at_fifth = next(s for s in samples if s[0] >= arguments.images / 5)
    last = samples[-1]
    figures = {
        "exit code": run.returncode,
        "written": there,
        "MiB at 20 %": round(at_fifth[1], 1),
        "MiB at the end": round(last[1], 1),
        "growth": round(last[1] / at_fifth[1] - 1, 4),
        "open files at 20 %": at_fifth[2],
        "open files at the end": last[2],
    }
    print(json.dumps(vars(arguments) | figures))  # noqa: T201
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
