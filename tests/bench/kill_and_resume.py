"""Kill -9 at random moments of a run, run the same command again, compare bytes.

    python tests/bench/kill_and_resume.py [--kills 20] [--images 60] [--model ID]

For each kill: a fresh output folder, the run is killed after a random part of an
undisturbed run's time, no half-written file may stand under a final name, and after the
same command again every output is byte-identical to the undisturbed run's.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from enhance_vs_loop import make_folder


def hashes(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the visible files."""
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.iterdir()
        if not p.name.startswith(".")
    }


def main() -> None:
    """Print one line a kill and the count of good ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--model", default="dpe-general")
    arguments = parser.parse_args()
    rng = random.Random(0)
    good = 0
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "in", Path(name) / "out"
        source.mkdir()
        make_folder(source, arguments.images, arguments.size)
        command = [sys.executable, "-m", "medenh", "enhance", str(source)]
        command += ["-o", str(target), "-m", arguments.model, "-q"]
        subprocess.run(command, check=True)  # builds caches
        shutil.rmtree(target)
        start = time.perf_counter()
        subprocess.run(command, check=True)
        whole = time.perf_counter() - start
        expected = hashes(target)
        for number in range(arguments.kills):
            shutil.rmtree(target)
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.05, 1.0) * whole)
            process.kill()
            process.wait()
            partial = hashes(target) if target.exists() else {}
            whole_files = all(expected.get(k) == v for k, v in partial.items())
            code = subprocess.run(command, check=False).returncode
            after = hashes(target)
            parts = [p.name for p in target.iterdir() if p.name.endswith("-part")]
            wrong = {
                "half-written file": not whole_files,
                "exit code": code != 0,
                "other bytes": after != expected,
                "stray part": bool(parts),
            }
            problems = [name for name, found in wrong.items() if found]
            good += not problems
            print(  # noqa: T201
                f"kill {number}: {len(partial)} outputs at the kill, exit {code} "
                f"after the rerun, {', '.join(problems) or 'identical'}"
            )
    print(f"{good} of {arguments.kills} byte-identical")  # noqa: T201
    sys.exit(good != arguments.kills)


if __name__ == "__main__":
    main()
