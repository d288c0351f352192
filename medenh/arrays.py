"""What callers give as arrays."""

from __future__ import annotations

import sys
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medenh.errors import UsageError
from medenh.paths import IN_MEMORY, kind_of

__all__ = ["PillowPicture", "is_pillow", "not_taken", "unmasked", "without_pillow"]

# Modes of Pillow whose array is the picture, and what others are converted to.
_PILLOW_MODES = ("L", "I;16", "I;16L", "I;16B", "I", "RGB", "RGBA", "F")
_PILLOW_CONVERSIONS = {"1": "L", "LA": "RGBA", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}


class PillowPicture(Protocol):
    """What type hints see of a picture of Pillow, which is not loaded for them."""

    @property
    def mode(self) -> str:
        """What its numbers are."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """Its numbers, for NumPy."""


def unmasked(values: ArrayLike) -> NDArray[Any]:
    """Return values as a plain array, without a copy where there is one.

    Raises
    ------
    UsageError
        Some are masked (`numpy.ma`): whether they are to be filled, and with what, is
        the caller's to say. Or it is a tensor that NumPy does not take: with a
        gradient, on a GPU, or of bfloat16.
    """
    if np.ma.is_masked(values):
        raise UsageError(
            "a masked array is not taken: its masked values would count",
            hint="fill it: array.filled(value); NaN in arrays of floats keeps its "
            "place, and metrics and methods take mask=~array.mask",
        )
    try:
        return np.asarray(values)
    except (TypeError, RuntimeError) as error:
        if not hasattr(values, "detach"):
            raise
        raise UsageError(
            f"{kind_of(values)} does not become an array by itself",
            hint="give tensor.detach().cpu().float().numpy()",
        ) from error


def is_pillow(source: object) -> bool:
    """Tell whether something is a picture of Pillow, without loading Pillow."""
    pillow = sys.modules.get("PIL.Image")  # whoever has a picture has loaded it
    return pillow is not None and isinstance(source, pillow.Image)


def without_pillow(source: Any) -> Any:
    """Return a picture of Pillow as an array, and anything else as it is.

    Raises
    ------
    UsageError
        Its mode is one whose numbers are no grey levels or colours.
    """
    if not is_pillow(source):
        return source
    if source.mode not in _PILLOW_MODES:
        clear = source.mode == "P" and source.has_transparency_data
        mode = _PILLOW_CONVERSIONS.get(source.mode, "RGBA" if clear else "RGB")
        raise UsageError(
            f"a PIL image of mode {source.mode} is not taken",
            hint=f'give image.convert("{mode}")',
        )
    return np.asarray(source)


def not_taken(source: object, verb: str, *, hint: str) -> UsageError:
    """Return the error for what is no picture.

    Parameters
    ----------
    source : object
        What was given.
    verb : str
        What cannot be done with it: "enhanced".
    hint : str
        What to give instead; of tensors how to turn them is said.
    """
    if hasattr(source, "permute"):
        hint = (
            "give tensor.permute(1, 2, 0).detach().cpu().numpy() of a tensor (C, H, "
            "W), the same without permute of (H, W), of a batch picture by picture"
        )
    # an open file, or what libraries of DICOM and NIfTI make of one
    elif isinstance(source, IN_MEMORY) or any(
        hasattr(source, name) for name in ("save_as", "to_filename")
    ):
        hint = f"write it to a file, which may go once it is read; {hint}"
    return UsageError(f"{kind_of(source)} cannot be {verb}", hint=hint)
