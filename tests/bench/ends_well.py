"""Runs on a loaded machine: each must end with exit code 0 and the same bytes.

    python tests/bench/ends_well.py [--times 100] [--images 1] [--model ID]
        [--precision fp32] [--engine openvino] [--loops 2]

Two busy loops take the cores meanwhile, so that threads end in unusual orders: a native
library that is torn down while they run aborts the process after its work is done.
Prints one line of JSON; everything but exit code 0 and one set of outputs is a fault.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from break_and_resume import hashes
from enhance_vs_loop import make_folder

LOOP = [sys.executable, "-c", "while True: pass"]


def runs(place: Path, asked: argparse.Namespace) -> tuple[Counter, Counter, set]:
    """Return the exit codes, the last words of failures, and the sets of outputs."""
    source = place / "in"
    source.mkdir()
    make_folder(source, asked.images, asked.size)
    command = [sys.executable, "-m", "medenh", "enhance", "-q", "-m", asked.model]
    command += ["--engine", asked.engine, "--precision", asked.precision]
    codes, words, outputs = Counter(), Counter(), set()
    for index in range(asked.times):
        target = place / f"out{index}"
        one = [source] if asked.images > 1 else sorted(source.iterdir())
        output = target if asked.images > 1 else target / "one.png"
        target.mkdir()
        done = subprocess.run(
            [*command, *map(str, one), "-o", str(output)],
            check=False,
            capture_output=True,
            text=True,
        )
        codes[done.returncode] += 1
        words[done.stderr.strip()[-200:]] += bool(done.stderr.strip())
        outputs.add(json.dumps(hashes(target), sort_keys=True))
    return codes, words, outputs


def main() -> None:
    """Print one line of JSON; exit 1 where a run did not end well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--model", default="fast-general")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="fp32")
    asked = parser.parse_args()
    loops = [subprocess.Popen(LOOP) for _ in range(asked.loops)]
    try:
        with tempfile.TemporaryDirectory() as name:
            codes, words, outputs = runs(Path(name), asked)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    figures = {"exit codes": codes, "words": +words, "sets of outputs": len(outputs)}
    print(json.dumps(vars(asked) | figures))  # noqa: T201
    sys.exit(codes != {0: asked.times} or len(outputs) != 1)


if __name__ == "__main__":
    main()
