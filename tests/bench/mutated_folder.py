"""A folder of good files with hundreds of mutated ones: nothing good may be lost.

    python tests/bench/mutated_folder.py [--mutants 300] [--data ../shared/data/formats]

Seeds are files this script makes (PNG, TIFF, JPEG, BMP, NIfTI, npy) and pydicom's own
test files; with --data also the real files of a folder. Mutations: truncation, bit
flips, runs of zeros, zero bytes, wrong extension, 1x1, no frames, NaN.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

KINDS = ("truncate", "flip", "zeros", "empty", "rename", "garbage")


def seeds(folder: Path, data: Path | None) -> list[Path]:
    """Write the good files and return them."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (64, 80, 3), np.uint8)
    for extension in ("png", "jpg", "bmp"):
        Image.fromarray(rgb).save(folder / f"colour.{extension}")
    Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    tifffile.imwrite(folder / "deep.tif", rng.integers(0, 65535, (40, 50), np.uint16))
    tifffile.imwrite(folder / "pages.tif", rng.integers(0, 255, (5, 40, 50), np.uint8))
    np.save(folder / "array.npy", rng.random((40, 50), np.float32))
    volume = nibabel.Nifti1Image(rng.integers(0, 900, (20, 24, 6), np.int16), np.eye(4))
    nibabel.save(volume, folder / "volume.nii.gz")
    nibabel.save(volume, folder / "volume.nii")
    for name in ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm"):
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


def main() -> None:
    """Run the good folder, then the poisoned one, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="dpe-general")
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        good, poisoned = Path(name) / "good", Path(name) / "poisoned"
        good.mkdir(), poisoned.mkdir()
        files = seeds(good, arguments.data)
        for path in files:
            (poisoned / path.name).write_bytes(path.read_bytes())
        for index in range(arguments.mutants):
            source, kind = rng.choice(files), KINDS[index % len(KINDS)]
            suffix = "".join(source.suffixes[-2:])
            if kind == "rename":
                suffix = rng.choice([".png", ".dcm", ".nii.gz", ".tif", ".jpg", ".npy"])
            content = mutate(source.read_bytes(), kind, rng)
            (poisoned / f"bad{index:04d}-{kind}{suffix}").write_bytes(content)
        for odd, content in special().items():
            (poisoned / f"odd-{odd}").write_bytes(content)
        clean, _ = enhance(good, Path(name) / "a", arguments.model)
        summary, log = enhance(poisoned, Path(name) / "b", arguments.model)
        lost = [
            p.relative_to(Path(name) / "a")
            for p in sorted((Path(name) / "a").rglob("*"))
            if p.is_file()
            and not p.name.startswith(".medenh")
            and (Path(name) / "b" / p.relative_to(Path(name) / "a")).read_bytes()
            != p.read_bytes()
        ]
    named = [entry["path"] for entry in summary["failed"]]
    codes = sorted({entry["code"] for entry in summary["failed"]})
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    report = {
        "good": len(files),
        "good_failed": len(clean["failed"]),
        "mutants": arguments.mutants,
        "written": len(summary["files"]),
        "failed": len(named),
        "codes": codes,
        "good_lost_or_changed": len(lost),
        "tracebacks": log.count("Traceback"),
        "exit": summary["exit"],
        "peak_gib": round(peak, 2),
    }
    print(json.dumps(report, indent=1))  # noqa: T201
    sys.exit(bool(lost or log.count("Traceback") or summary["exit"] != 1))


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
