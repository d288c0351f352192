"""State of a run on disk: everything needed to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from medenh.errors import OutputError, UsageError
from medenh.formats.files import atomic_output
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import load_manifest

__all__ = [
    "BEST",
    "OF_RECIPE",
    "OTHER_IMAGES",
    "check_images",
    "load_state",
    "save_state",
    "save_weights",
    "start_from",
    "weights_file",
    "writing",
]

BEST = "best.safetensors"
OF_RECIPE = " (recipe)"  # after the name of a recipe's file among the images' names
OTHER_IMAGES = "bring them back, or begin another run with network.start_from"
_SEGMENTER = "rsp"  # MAGE-Net's AG-Net
_PARTS = {"update", "strategy", "step", "best", "config"}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence what cannot be written: a full disk, a folder without leave.

    Raises
    ------
    OutputError
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}", path=path
        ) from error


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, replacing the last one only when the new one is whole."""
    with atomic_output(path) as part, part.open("wb") as handle:
        try:
            torch.save(state, handle)
        except RuntimeError as error:  # torch's own, where a disk fills up on the way
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint that `save_state` wrote (tensors and plain values only)."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UsageError("there is nothing to resume from", path=path) from error
    except Exception as error:  # torch raises a dozen kinds for damaged files
        reason = str(error).partition("\n")[0][:200]  # torch's own may fill a page
        raise UsageError(
            f"not a usable checkpoint, perhaps damaged: {reason}",
            path=path,
            hint="begin another run; network.start_from can take the weights in "
            f"{BEST}, if they are there",
        ) from error
    if not isinstance(state, dict) or not state.keys() >= _PARTS:
        raise UsageError("not a checkpoint of a training run", path=path)
    return state


def check_images(before: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Refuse images and recipes other than those that a run began with.

    Parameters
    ----------
    before : mapping
        Its checkpoint.
    digests : mapping of str to str
        Name of an image or recipe -> hash of what is read of it now.

    Raises
    ------
    UsageError
        Names some that changed, came or went.
    """
    known = before.get("digests", digests)
    changed = [
        name for name in {**known, **digests} if known.get(name) != digests.get(name)
    ]
    if changed:
        kind = "images"
        if all(name.endswith(OF_RECIPE) for name in changed):
            kind = "recipes"
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UsageError(
            f"the {kind} are not those that the run began with: "
            f"{', '.join(changed[:3])}{more}",
            hint=OTHER_IMAGES,
        )


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's weights as fp16 safetensors, for publishing."""
    tensors = {
        name: _half(tensor.detach().to("cpu")).contiguous()
        for name, tensor in network.state_dict().items()
    }
    with atomic_output(path) as part:
        # safetensors' own file would be for its owner alone, whatever the umask
        part.write_bytes(save(tensors))


def _half(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float16) if tensor.is_floating_point() else tensor


def weights_file(name: str) -> Path:
    """Return a safetensors file by its path or by the id of a model of the zoo."""
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise UsageError("cannot start from it: there is no such file", path=name)
        return Path(name)
    if (Path(name) / BEST).is_file():
        raise UsageError(
            "is a folder, not weights to start from",
            path=name,
            hint=f"those of its run: {Path(name) / BEST}",
        )
    return weights_path(load_manifest().get(name))


def start_from(path: Path, network: nn.Module) -> int:
    """Take over the tensors of a file that fit a network by name and shape.

    Those of an AG-Net fit the one inside a MAGE-Net: its paper trains that one first.

    Returns
    -------
    int
        How many tensors were taken.

    Raises
    ------
    UsageError
        The file cannot be read, or nothing in it fits.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"cannot start from it: {error}", path=path) from error
    own = network.state_dict()
    fitting = {
        place: tensor
        for name, tensor in tensors.items()
        for place in (name, f"{_SEGMENTER}.{name}")
        if place in own and own[place].shape == tensor.shape
    }
    if not fitting:
        raise UsageError("no tensor in it fits the network", path=path)
    network.load_state_dict(fitting, strict=False)
    return len(fitting)
