"""Coverage-guided fuzzing of the readers, by Atheris.

    pip install --target .fuzz atheris
    PYTHONPATH=.fuzz python tests/bench/fuzz_readers.py FORMAT [--seconds 3600]

Seeds are the files of `mutated_folder.py` in the format; whatever the bytes become, the
header and the pixels are read or refused by an `InputError`, and what was read is
written, in its format and as NIfTI, or refused by an error of medenh. Anything else is
kept in ``fuzz-FORMAT/`` as a file and ends the run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

# nothing of medenh is imported before Atheris is there to watch it
FORMATS = ("png", "jpeg", "bmp", "tiff", "nifti", "npy", "dicom")


def corpus(folder: Path, kind: str) -> list[Path]:
    """Write the good files, keep those of one format, and return them."""
    from mutated_folder import seeds

    from medenh import formats

    folder.mkdir(parents=True, exist_ok=True)
    files = seeds(folder, None)
    for path in files:
        if formats.sniff(path) != kind:
            path.unlink()
    return [path for path in files if path.exists()]


def reads_or_refuses(path: Path) -> bool:
    """Return whether a file is read; one that is refused raises InputError inside.

    What was read is written beside it, or that is refused.
    """
    from medenh import formats
    from medenh.errors import InputError, MedenhError
    from medenh.formats import dicom

    limits = formats.Limits(max_voxels=1 << 20, max_bytes=1 << 26)
    try:
        if formats.sniff(path) == "dicom":
            dicom.read_header(path, limits=limits)
        image = formats.read(path, limits=limits)
    except InputError:
        return False
    assert image.pixels.ndim == 4
    assert image.unit_range.low < image.unit_range.high
    image.to_unit()
    for name in {f"back.{image.format}", "back.nii"}:
        with suppress(MedenhError), warnings.catch_warnings(action="ignore"):
            formats.write(image, path.with_name(name))
    return True


def main() -> None:
    """Fuzz one format until the time is over, or something is found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--seconds", type=int, default=3600)
    asked = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["medenh.formats"]):
        from medenh.formats import array, dicom, nifti, raster, tiff  # noqa: F401
        from medenh.formats.dicom import reader  # noqa: F401
    found = Path(f"fuzz-{asked.format}")
    corpus(found / "corpus", asked.format)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "input"

        def one(data: bytes) -> None:
            path.write_bytes(data)
            reads_or_refuses(path)

        options = [f"-max_total_time={asked.seconds}", "-timeout=30", "-max_len=65536"]
        options += ["-rss_limit_mb=2048", f"-artifact_prefix={found}/"]
        atheris.Setup([sys.argv[0], *options, str(found / "corpus")], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
