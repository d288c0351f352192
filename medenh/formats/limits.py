"""Budget for one input: what its header may promise, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medenh.errors import OverBudgetError

__all__ = [
    "DEFAULT",
    "TOO_SLOW",
    "Limits",
    "raise_limit",
    "read_seconds",
    "size_text",
]

TOO_SLOW = (
    "the file is probably damaged; or its disk or this machine is very slow: "
    "run it again"
)

_BASE_S = 30.0
_BYTES_PER_S = 2e6  # of compressed ones; JPEG 2000 is the slowest


def read_seconds(size: int) -> float:
    """Return the computing that some bytes may cost: 30 s, and 1 s for each 2 MB."""
    return _BASE_S + size / _BYTES_PER_S


@dataclass(frozen=True, slots=True)
class Limits:
    """What one input may cost.

    Attributes
    ----------
    max_voxels : int
        Pixels times frames.
    max_bytes : int
        Decoded size, and size on disk.
    max_ratio : float
        Decoded bytes for each byte on disk; small pictures are exempt.
    ratio_floor_bytes : int
        Decoded size below which the ratio is not looked at.
    max_dataset_bytes : int
        Inflated size of a DICOM data set in the Deflated transfer syntax.
    """

    max_voxels: int = 256 * 2**20
    max_bytes: int = 4 * 2**30
    max_ratio: float = 1000.0
    ratio_floor_bytes: int = 64 * 2**20
    max_dataset_bytes: int = 512 * 2**20

    def check(
        self, path: Path, voxels: int, bytes_decoded: int, bytes_on_disk: int
    ) -> None:
        """Pass in silence if a header's promises are within the budget.

        Parameters
        ----------
        path : path
            The file, for the message.
        voxels, bytes_decoded, bytes_on_disk : int
            What the header promises, and the size of the file.

        Raises
        ------
        OverBudgetError
            Too many voxels, too many bytes, or an expansion no honest file has.
        """
        if voxels > self.max_voxels:
            raise OverBudgetError(
                f"{voxels:,} voxels, more than the limit of {self.max_voxels:,}",
                path=path,
                hint=raise_limit("max_voxels"),
            )
        if max(bytes_decoded, bytes_on_disk) > self.max_bytes:
            size = max(bytes_decoded, bytes_on_disk)
            raise OverBudgetError(
                f"{size_text(size)} of pixels, more than the limit of "
                f"{size_text(self.max_bytes)}",
                path=path,
                hint=raise_limit("max_bytes"),
            )
        if bytes_decoded <= self.ratio_floor_bytes:
            return
        if bytes_decoded > self.max_ratio * max(bytes_on_disk, 1):
            raise OverBudgetError(
                f"expands {bytes_decoded / max(bytes_on_disk, 1):.0f} times, "
                f"more than the limit of {self.max_ratio:.0f}",
                path=path,
                hint=raise_limit("max_ratio"),
            )


def size_text(size: int) -> str:
    """Return a number of bytes as the limits are counted, in powers of 1024.

    Examples
    --------
    >>> size_text(1000), size_text(1536), size_text(4 * 2**30)
    ('1,000 B', '1.5 KiB', '4 GiB')
    """
    amount, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        del units[0]
    return f"{amount:,.1f} {units[0]}".replace(".0 ", " ")


def raise_limit(name: str) -> str:
    """Return the hint that tells how a limit is raised, in a shell and in Python."""
    option = "--" + name.replace("_", "-")
    return (
        f"raise {option} if the file is what you expect; in Python "
        f"limits=Limits({name}=...) of medenh.formats"
    )


DEFAULT = Limits()
