"""Write into the cards how much memory a pixel takes: `bytes_per_pixel`.

python scripts/measure_memory.py [ID]...      # all models that see frames whole

The growth of a process's peak from one square to the next, in RGB and float32 on a CPU,
for each engine, rounded up to tens. Squares of 512 and 1024 pixels; weight-free methods
take so little that theirs are 1024 and 2048.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

MANIFEST = Path(__file__).resolve().parents[1] / "weights_manifest.json"
_CHILD = """
import sys
import numpy as np
import medenh
from medenh.formats.array import from_array

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(l for l in lines if l.startswith("VmHWM")).split()[1])

name, engine, *sides = sys.argv[1:]
engine = "auto" if engine == "classical" else engine
model = medenh.load_model(name, engine=engine, tile="off", precision="fp32")
rng = np.random.default_rng(0)
for side in map(int, sides):
    pixels = rng.integers(0, 255, (side, side, 3), np.uint8)
    model.enhance(from_array(pixels))
    print(peak())
"""


def growth(name: str, engine: str) -> int | None:
    """Return the bytes that a further pixel takes; None where the engine cannot."""
    sides = (1024, 2048) if engine == "classical" else (512, 1024)
    words = [sys.executable, "-c", _CHILD, name, engine, *map(str, sides)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.stderr.write(f"{name}, {engine}: {ended.stderr.strip().splitlines()[-1]}\n")
        return None
    small, large = map(int, ended.stdout.split())
    return math.ceil((large - small) / (sides[1] ** 2 - sides[0] ** 2) / 10) * 10


def main() -> None:
    """Measure the models asked for, and write what they take into the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", metavar="ID", nargs="*")
    names = parser.parse_args().names
    document = json.loads(MANIFEST.read_text("utf-8"))
    for entry in document["models"]:
        wanted = entry["id"] in names if names else _is_whole(entry)
        if not wanted:
            continue
        engines = ("classical",) if entry.get("method") else ("openvino", "torch")
        found = {engine: growth(entry["id"], engine) for engine in engines}
        sys.stdout.write(f"{entry['id']}: {found}\n")
        sys.stdout.flush()
        known = {key: value for key, value in found.items() if value is not None}
        if known:
            entry["bytes_per_pixel"] = known
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    MANIFEST.write_text(text, "utf-8")


def _is_whole(entry: dict[str, object]) -> bool:
    seen = entry.get("input") or {}
    assert isinstance(seen, dict)
    return "recognition" not in entry and not seen.get("largest_side")


if __name__ == "__main__":
    main()
