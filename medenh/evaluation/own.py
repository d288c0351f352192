"""A function or network of the user's own, which takes part in a protocol."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medenh.arrays import unmasked
from medenh.errors import MedenhError, NonFiniteError, UsageError
from medenh.formats.array import to_array
from medenh.paths import kind_of, portable_name
from medenh.types import FloatArray, Image

if TYPE_CHECKING:
    import torch

__all__ = ["OwnFunction", "OwnModel", "own_models"]

OwnFunction: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""An array in, one of the same shape and type out; or a torch network."""

_log = logging.getLogger(__name__)
_MOST_LETTERS = 300  # of what a function said when it failed


@dataclass(frozen=True, slots=True, eq=False)
class OwnModel:
    """A method that is not in the zoo.

    It runs in this process, so it need not be picklable.

    Attributes
    ----------
    function : callable or torch.nn.Module
        A function takes one picture as it is stored, uint8, uint16 or what else it has:
        shape (H, W) or (H, W, 3), of volumes (frames, H, W) or (frames, H, W, 3); and
        returns an array of the same shape and type. A network takes a frame, float32
        NCHW in [0, 1] with N = 1 and C = 1 or 3, and returns the same.
    """

    function: OwnFunction | torch.nn.Module

    @property
    def kind(self) -> Literal["function", "network"]:
        """What it is."""
        torch = sys.modules.get("torch")  # without it there is no network
        is_network = torch is not None and isinstance(self.function, torch.nn.Module)
        return "network" if is_network else "function"

    def described(self) -> dict[str, str]:
        """Return what it is and is called, for the record."""
        named = getattr(self.function, "__qualname__", "")
        module = getattr(self.function, "__module__", "")
        called = f"{module}.{named}" if named else kind_of(self.function)
        return {"own": self.kind, "name": called}

    def enhance(self, image: Image) -> Image:
        """Return an image with what the function makes of its pixels.

        Raises
        ------
        MedenhError
            It raised an error.
        UsageError
            It returned another shape or type.
        NonFiniteError
            It returned NaN or infinity.
        """
        run = _by_network if self.kind == "network" else _by_function
        try:
            return run(self.function, image)
        except MedenhError:
            raise
        except Exception as error:
            _log.debug("a function of the user's failed", exc_info=error)
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            what = f"your {self.kind} raised {said[:_MOST_LETTERS]}"
            raise MedenhError(what) from error


def own_models(
    given: Iterable[tuple[str, Any]], *, taken: Iterable[str]
) -> dict[str, OwnModel]:
    """Return functions and networks by the names of their rows, checked.

    Parameters
    ----------
    given : iterable of (str, callable)
    taken : iterable of str
        Names that have a meaning already, in capital letters, too.

    Raises
    ------
    UsageError
        A name is empty, taken, given twice, or cannot be a folder's; or what it names
        cannot be called.
    """
    found: dict[str, OwnModel] = {}
    known = {word.casefold() for word in taken}  # to some systems folders are so
    for name, function in given:
        if not _can_be_a_folder(name):
            raise UsageError(
                f"{name!r} cannot be the name of a model of your own",
                hint="a word: its pictures may go to a folder of that name",
            )
        folder = portable_name(name).casefold()
        if folder in known:
            raise UsageError(
                f"the name {name!r} is taken", hint="give your own model another name"
            )
        if isinstance(function, type) or not callable(function):
            raise UsageError(
                f"{name}: {kind_of(function)} is no function of a picture",
                hint="give a function, or an instance of a torch.nn.Module",
            )
        known.add(folder)
        found[name] = OwnModel(function)
    return found


def _can_be_a_folder(name: object) -> bool:
    if not isinstance(name, str):
        return False
    plain = name == name.strip() and name.isprintable() and "\\" not in name
    return plain and not name.startswith(".") and PurePath(name).parts == (name,)


def _by_function(function: Any, image: Image) -> Image:
    # a copy: functions may work in place
    given = to_array(replace(image, header=None, alpha=None)).copy()
    wanted = f"{given.dtype} array of shape {given.shape}"
    answer = function(given)
    if not isinstance(answer, np.ndarray) or _words(answer) != wanted:
        raise UsageError(f"your function returned {_words(answer)}, not a {wanted}")
    # another copy: functions may give one array again and again
    pixels = np.array(unmasked(answer)).reshape(image.pixels.shape)
    if pixels.dtype.kind == "f":
        _refuse_non_finite(pixels[np.isfinite(image.pixels)], "function")
    return replace(image, pixels=pixels)


def _words(answer: Any) -> str:
    if not isinstance(answer, np.ndarray):
        return kind_of(answer)
    return f"{answer.dtype} array of shape {answer.shape}"


def _by_network(network: Any, image: Image) -> Image:
    import torch

    where = next((p.device for p in network.parameters()), torch.device("cpu"))
    modes = {part: part.training for part in network.modules()}
    network.eval()
    try:
        with torch.inference_mode():
            answers = [
                _answer(network, torch.from_numpy(frame[None]).to(where))
                for frame in image.to_unit()
            ]
    finally:  # a network may be evaluated amid its training
        for part, mode in modes.items():
            part.training = mode
    return image.from_unit(np.clip(np.concatenate(answers), 0.0, 1.0))


def _answer(network: Any, batch: torch.Tensor) -> FloatArray:
    answer = network(batch)
    shape = tuple(getattr(answer, "shape", ()))
    if shape != tuple(batch.shape):
        told = f"shape {shape}" if shape else kind_of(answer)
        raise UsageError(
            f"your network returned {told}, not shape {tuple(batch.shape)}",
            hint="it is given any size: let it pad and crop by itself",
        )
    numbers: FloatArray = answer.float().numpy(force=True)
    _refuse_non_finite(numbers, "network")
    return numbers


def _refuse_non_finite(numbers: NDArray[Any], kind: str) -> None:
    if not np.isfinite(numbers).all():
        raise NonFiniteError(f"your {kind} returned NaN or infinity")
