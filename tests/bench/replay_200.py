"""Replay at least 200 records over all recipes and formats; compare every byte.

    python tests/bench/replay_200.py [--data DIR] [--records 200] [--side 160]

Inputs are DICOM and NIfTI files and pictures below DIR, also inside its tar shards,
and the pictures again as 16-bit PNG, TIFF, BMP, JPEG, NPY and NIfTI; without DIR the
photographs inside scikit-image's wheel. Each recipe degrades some of them, in turn;
then all records are replayed by one process, by two, and by two with records and inputs
shuffled. Prints how many records came back with all files byte-identical.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import cv2
import nibabel
import numpy as np
import tifffile
from skimage import data as samples

from medenh.degradations import RECIPES, Record
from medenh.formats.discover import discover
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.degrade_records import files_of, read_records

MOST_BYTES = 600_000
RASTERS = ("png", "tiff", "bmp", "jpeg", "npy")


def pictures_of(root: Path | None, side: int) -> list[np.ndarray]:
    """Return some 8-bit pictures, two of each tar shard, of the given long side."""
    found = [samples.retina()[..., ::-1], samples.camera(), samples.astronaut()]
    for shard in sorted(root.rglob("*.tar")) if root else []:
        with tarfile.open(shard) as archive:
            names = [m for m in archive if m.name.startswith("images/")]
            for member in names[:2]:
                raw = np.frombuffer(archive.extractfile(member).read(), np.uint8)
                found.append(cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)[..., :3])
    scales = [side / max(one.shape[:2]) for one in found]
    how = cv2.INTER_AREA
    return [
        cv2.resize(one, None, fx=f, fy=f, interpolation=how)
        for one, f in zip(found, scales, strict=True)
    ]


def write_inputs(root: Path | None, folder: Path, side: int) -> None:
    """Write pictures in every format, and copy what DIR has of volumes."""
    pictures = pictures_of(root, side)
    kinds = cycle(("png", "png16", "tif", "jpg", "bmp", "npy", "nii"))
    for number, (picture, kind) in enumerate(
        zip(pictures * 2, islice(kinds, len(pictures) * 2), strict=True)
    ):
        name = folder / f"{number:02}-{kind}"
        if kind == "png16":
            cv2.imwrite(f"{name}.png", picture.astype(np.uint16) * 257)
        elif kind == "tif":
            tifffile.imwrite(f"{name}.tif", picture[..., ::-1].astype(np.uint16) * 16)
        elif kind == "npy":
            np.save(f"{name}.npy", picture.astype(np.float32) / 255)
        elif kind == "nii":
            grey = picture.reshape(*picture.shape[:2], -1)[..., 0].astype(np.int16)
            volume = np.stack([grey, grey // 2 + 20, grey.max() - grey], axis=-1)
            affine = np.diag([0.9, 0.9, 4.0, 1.0])
            nibabel.save(nibabel.Nifti1Image(volume, affine), f"{name}.nii.gz")
        else:
            cv2.imwrite(f"{name}.{kind}", picture)
    volumes = discover([root]).items if root else []
    for item in volumes:
        small = sum(path.stat().st_size for path in item.paths) < MOST_BYTES
        if item.format in ("dicom", "nifti") and small:
            for path in item.paths:
                halves = [path, *path.parent.glob(path.stem + ".img")]
                for half in halves:
                    (folder / half.name).write_bytes(half.read_bytes())


def make_records(folder: Path, out: Path, count: int) -> list[Record]:
    """Degrade some inputs by every recipe; return all records, named below ``out``."""
    items = discover([folder]).items
    each = -(-count // len(RECIPES))
    turn = cycle(items)
    records: list[Record] = []
    for number, name in enumerate(sorted(RECIPES)):
        chosen = list(islice(turn, each))
        raster = all(item.format in RASTERS for item in chosen)
        exact = "mode" in RECIPES[name].options and number % 2
        options = DegradeOptions(
            recipes=(name,),
            severity=(None, 1.0, 3.0, 5.0)[number % 4],
            seed=number,
            copies=1 + number % 2,
            pairs=number % 3 == 0,
            size=96 if raster and number % 2 else None,
            recipe_options={"mode": "exact"} if exact else {},
            workers=1,
        )
        paths = [path for item in chosen for path in item.paths]
        summary = degrade_files(paths, out / name, options)
        for failure in summary.failed:
            print(f"{name}: {failure.path.name}: {failure.reason}")  # noqa: T201
        if (out / name / "records.jsonl").exists():
            found = read_records(out / name / "records.jsonl")
            records += [placed_below(record, name) for record in found]
    return records


def placed_below(record: Record, folder: str) -> Record:
    """Return a record with its outputs in a folder."""

    def moved(entries):
        return tuple(
            one.model_copy(update={"name": f"{folder}/{one.name}"}) for one in entries
        )

    return record.model_copy(
        update={
            "output": f"{folder}/{record.output}",
            "more_outputs": moved(record.more_outputs),
            "references": moved(record.references),
        }
    )


def replay(inputs: list[Path], records: Path, out: Path, workers: int) -> float:
    """Replay from the shell; return seconds."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "medenh", "degrade", *map(str, inputs)]
    command += ["-o", str(out), "--replay", str(records), "-q"]
    subprocess.run([*command, "--workers", str(workers)], check=False)
    return time.perf_counter() - begun


def identical(records: list[Record], made: Path, again: Path) -> int:
    """Count the records whose files are all equal."""

    def same(name: str) -> bool:
        other = again / name
        return other.is_file() and other.read_bytes() == (made / name).read_bytes()

    return sum(all(same(name) for name, _ in files_of(one)) for one in records)


def main() -> None:
    """Print one line a way of replaying."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--side", type=int, default=160)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        inputs, made = root / "in", root / "made"
        inputs.mkdir()
        write_inputs(arguments.data, inputs, arguments.side)
        records = make_records(inputs, made, arguments.records)
        kinds = sorted({Path(one.source).suffix for one in records})
        recipes = {one.preset for one in records}
        print(  # noqa: T201
            f"{len(records)} records, {len(recipes)} of {len(RECIPES)} recipes, "
            f"sources {' '.join(kinds)}, sizes and pairs mixed"
        )
        lines = [one.to_json() + "\n" for one in records]
        (root / "in-order.jsonl").write_text("".join(lines))
        random.Random(0).shuffle(lines)
        (root / "shuffled.jsonl").write_text("".join(lines))
        files = sorted(inputs.iterdir())
        random.Random(1).shuffle(files)
        ways = (
            ("1 process", [inputs], "in-order", 1),
            ("2 processes", [inputs], "in-order", 2),
            ("2 processes, shuffled", files, "shuffled", 2),
        )
        for number, (label, paths, order, workers) in enumerate(ways):
            out = root / f"again{number}"
            seconds = replay(paths, root / f"{order}.jsonl", out, workers)
            good = identical(records, made, out)
            print(  # noqa: T201
                f"{label}: {good} of {len(records)} byte-identical, {seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
