"""Write into the cards how much memory a pixel takes: `bytes_per_pixel`.

python scripts/measure_memory.py [ID]...      # all models that see frames whole
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from medenh.publishing.memory import measure_memory

MANIFEST = Path(__file__).resolve().parents[1] / "weights_manifest.json"


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
        sys.stdout.write(f"{entry['id']}: ")
        sys.stdout.flush()
        found = measure_memory(entry["id"], engines, _complain)
        sys.stdout.write(f"{found}\n")
        if found:
            entry["bytes_per_pixel"] = found
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    MANIFEST.write_text(text, "utf-8")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _is_whole(entry: dict[str, object]) -> bool:
    seen = entry.get("input") or {}
    assert isinstance(seen, dict)
    return "recognition" not in entry and not seen.get("largest_side")


if __name__ == "__main__":
    main()
