"""A folder of good files with hundreds of mutated ones: nothing good may be lost.

    python tests/bench/mutated_folder.py [--mutants 300] [--data ../shared/data/formats]

Seeds are files this script makes (PNG, TIFF, JPEG, BMP, NIfTI, npy), those of
`rich_seeds` and pydicom's own test files; with --data also the real files of a folder.
Mutations: truncation, bit flips, runs of zeros, zero bytes, wrong extension, what files
say of themselves (`edits`), one slice of a series, 1x1, no frames, NaN.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import rich_seeds
import tifffile
from edits import edit
from PIL import Image
from pydicom.data import get_testdata_file

DICOM = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_jp2klossless.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "image_dfl.dcm",
)
KINDS = ("truncate", "flip", "zeros", "empty", "rename", "garbage", "edit", "series")


def seeds(folder: Path, data: Path | None) -> list[Path]:
    """Write the good files and return them."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (64, 80, 3), np.uint8)
    for extension in ("png", "jpg", "bmp"):
        Image.fromarray(rgb).save(folder / f"colour.{extension}")
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    tifffile.imwrite(folder / "deep.tif", rng.integers(0, 65535, (40, 50), np.uint16))
    for name in ("deflate", "lzw"):
        tifffile.imwrite(folder / f"{name}.tif", rgb, compression=name)
    tifffile.imwrite(folder / "pages.tif", rng.integers(0, 255, (5, 40, 50), np.uint8))
    np.save(folder / "array.npy", rng.random((40, 50), np.float32))
    volume = nibabel.Nifti1Image(rng.integers(0, 900, (20, 24, 6), np.int16), np.eye(4))
    nibabel.save(volume, folder / "volume.nii.gz")
    nibabel.save(volume, folder / "volume.nii")
    rich_seeds.write_all(folder)
    for name in DICOM:
        source = get_testdata_file(name, download=False)
        if source is not None:
            (folder / name).write_bytes(Path(str(source)).read_bytes())
    if data is not None:
        for path in sorted(data.glob("*.dcm"))[:12] + sorted(data.glob("*.nii.gz"))[:6]:
            (folder / f"real-{path.name}").write_bytes(path.read_bytes())
    return sorted(folder.iterdir())


def mutate(content: bytes, kind: str, rng: random.Random) -> bytes:
    """Damage a file's bytes."""
    if kind == "truncate":
        return content[: int(len(content) * rng.uniform(0.01, 0.99))]
    if kind == "flip":
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 30)):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        return bytes(damaged)
    if kind == "zeros":
        start = rng.randrange(len(content))
        length = rng.randint(1, 2000)
        return content[:start] + bytes(length) + content[start + length :]
    if kind == "empty":
        return b""
    if kind == "garbage":
        return rng.randbytes(rng.randint(1, 5000))
    if kind in ("edit", "series"):
        return edit(content, rng)
    return content


def special() -> dict[str, bytes]:
    """Return odd but well-formed files: 1x1, no frames, NaN."""
    files = {}
    for name, array in {
        "nan.npy": np.full((20, 20), np.nan, np.float32),
        "noframes.npy": np.zeros((0, 20, 20, 1), np.uint8),
        "objects.npy": np.zeros((1, 1), np.uint8),
    }.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        files[name] = buffer.getvalue()
    buffer = io.BytesIO()
    Image.new("L", (1, 1), 99).save(buffer, "png")
    files["one.png"] = buffer.getvalue()
    return files


def fill(good: Path, poisoned: Path, mutants: int, seed: int, data: Path | None) -> int:
    """Make a folder of good files, and one with mutants among them; count the good."""
    rng = random.Random(seed)
    good.mkdir()
    files = seeds(good, data)
    series = good / "series"
    series.mkdir()
    rich_seeds.pet_series(series)
    shutil.copytree(good, poisoned)
    for index in range(mutants):
        kind = KINDS[index % len(KINDS)]
        name = f"bad{index:04d}-{kind}"
        if kind == "series":
            shutil.copytree(series, poisoned / name)
            path = rng.choice(sorted((poisoned / name).iterdir()))
            path.write_bytes(mutate(path.read_bytes(), kind, rng))
            continue
        source = rng.choice(files)
        suffix = "".join(source.suffixes[-2:])
        if kind == "rename":
            suffix = rng.choice([".png", ".dcm", ".nii.gz", ".tif", ".jpg", ".npy"])
        # alone: DICOM whose place is another would make a volume of the good ones
        folder = poisoned / name if kind == "edit" else poisoned
        folder.mkdir(exist_ok=True)
        content = mutate(source.read_bytes(), kind, rng)
        (folder / f"{name}{suffix}").write_bytes(content)
    for odd, content in special().items():
        (poisoned / f"odd-{odd}").write_bytes(content)
    return len(files) + 1


def measure(
    place: Path, mutants: int, *, seed: int, model: str, data: Path | None = None
) -> dict[str, Any]:
    """Run the good folder, then the poisoned one, and say how they differ."""
    good, poisoned = place / "good", place / "poisoned"
    count = fill(good, poisoned, mutants, seed, data)
    clean, _ = enhance(good, place / "a", model)
    summary, log = enhance(poisoned, place / "b", model)
    outputs = [
        path.relative_to(place / "a")
        for path in sorted((place / "a").rglob("*"))
        if path.is_file() and not path.name.startswith(".medenh")
    ]
    lost = [
        str(name)
        for name in outputs
        if not (place / "b" / name).is_file()
        or (place / "b" / name).read_bytes() != (place / "a" / name).read_bytes()
    ]
    return {
        "good": count,
        "good_failed": len(clean["failed"]),
        "mutants": mutants,
        "written": len(summary["files"]),
        "failed": len(summary["failed"]),
        "codes": sorted({entry["code"] for entry in summary["failed"]}),
        "good_lost_or_changed": lost,
        "tracebacks": log.count("Traceback"),
        "exit": summary["exit"],
    }


def main() -> None:
    """Print what came of it; exit 1 where something good was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="dpe-general")
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        report = measure(
            Path(name),
            asked.mutants,
            seed=asked.seed,
            model=asked.model,
            data=asked.data,
        )
    report["peak_gib"] = round(
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2
    )
    print(json.dumps(report, indent=1))  # noqa: T201
    bad = report["good_lost_or_changed"] or report["tracebacks"]
    sys.exit(bool(bad or report["exit"] != 1))


def enhance(source: Path, target: Path, model: str) -> tuple[dict, str]:
    """Run the command line; return its JSON with the exit code, and its stderr."""
    command = [sys.executable, "-m", "medenh", "enhance", str(source), "-o"]
    command += [str(target), "-m", model, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    return json.loads(done.stdout) | {"exit": done.returncode}, done.stderr


if __name__ == "__main__":
    main()
