"""Real images that lie inside packages medenh needs anyway: nothing is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SAMPLES", "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """An image that ships inside an installed package.

    Attributes
    ----------
    title : str
        What it shows, for people.
    package, member : str
        The package, and the file below its folder.
    output : str
        Name of the files made from it; never JPEG, which would add its own loss.
    """

    title: str
    package: str
    member: str
    output: str

    @property
    def path(self) -> Path:
        """Where the installed package keeps the file."""
        from importlib.resources import files

        return Path(str(files(self.package) / self.member))

    @property
    def key(self) -> str:
        """Short name, for columns."""
        return Path(self.output).stem


SAMPLES = (
    Sample("Fundus photograph", "skimage", "data/retina.jpg", "retina.png"),
    Sample("Stained tissue, microscopy", "skimage", "data/ihc.png", "ihc.png"),
    Sample("CT slice", "pydicom", "data/test_files/CT_small.dcm", "ct.dcm"),
    Sample("MR slice", "pydicom", "data/test_files/MR_small.dcm", "mr.dcm"),
)
