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
    recipe, fault : str
        What it is degraded by, as pictures of its kind are, and that in words.
    model : str
        The trained model that was made for this.
    """

    title: str
    package: str
    member: str
    output: str
    recipe: str
    fault: str
    model: str

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
    Sample(
        title="Fundus photograph",
        package="skimage",
        member="data/retina.jpg",
        output="retina.png",
        recipe="cofe-111",
        fault="uneven light, spots and blur",
        model="fast-fundus",
    ),
    Sample(
        title="Stained tissue, microscopy",
        package="skimage",
        member="data/ihc.png",
        output="ihc.png",
        recipe="dpe",
        fault="lost brightness and contrast, faint noise",
        model="fast-general",
    ),
    Sample(
        title="CT slice",
        package="pydicom",
        member="data/test_files/CT_small.dcm",
        output="ct.dcm",
        recipe="ct-low-dose",
        fault="noise of a low dose",
        model="denoise-ct",
    ),
    Sample(
        title="MR slice",
        package="pydicom",
        member="data/test_files/MR_small.dcm",
        output="mr.dcm",
        recipe="mri-rician",
        fault="Rician noise",
        model="denoise-mri",
    ),
)
