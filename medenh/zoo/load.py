"""From a card to a network that is ready to run; safetensors only, never a pickle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh.device import one_torch_thread_in_forks
from medenh.errors import UsageError, WeightsError
from medenh.paths import check_present_folder
from medenh.zoo.card import ModelCard
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import load_manifest

if TYPE_CHECKING:
    import torch

    from medenh.types import FloatArray

__all__ = [
    "HEADER_LIMIT",
    "check_header",
    "follow_reference",
    "load_network",
    "load_recogniser",
    "read_weights",
    "recogniser_card",
]

HEADER_LIMIT = 1 << 20
_DAMAGED = "fetch or import the weights again"


def load_network(card: ModelCard, *, offline: bool | None = None) -> torch.nn.Module:
    """Return a model's network with its weights, float32, on the CPU.

    Parameters
    ----------
    card : ModelCard
        The model; it must be one that has weights.
    offline : bool, optional
        True opens no socket; taken from ``MEDENH_OFFLINE`` if not given.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients.

    Raises
    ------
    WeightsError
        The weights cannot be had, are damaged, or do not fit the network.
    UsageError
        The model has no weights; or the present folder was removed.
    """
    if "torch" not in sys.modules:
        check_present_folder()  # its libraries cannot be loaded without it
    path = weights_path(card, offline=offline)
    state = read_weights(path)
    import torch

    from medenh import models
    from medenh.models.inference import undisturbed

    try:
        # the random start is thrown away, and random numbers are the caller's; weights
        # that are made in a caller's inference mode could never learn
        with (
            undisturbed(),
            torch.inference_mode(False),
            torch.random.fork_rng(devices=[]),
        ):
            network = models.create(card.architecture, card.preset, **card.options)
        network.float().load_state_dict(state, strict=True)
    except (UsageError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"{card.full_id} does not fit this version of medenh: {reason}", path=path
        ) from error
    return network.eval().requires_grad_(False)


def follow_reference(network: torch.nn.Module, reference: FloatArray) -> None:
    """Let a network that is guided by a picture follow this one (HQG-Net).

    Parameters
    ----------
    network : torch.nn.Module
        Its ``default_code`` becomes the code of the picture.
    reference : float32 array, shape (1, 3, H, W), in [0, 1]

    Raises
    ------
    UsageError
        It follows none.
    """
    import torch

    guided: Any = network.eval()
    if not (hasattr(guided, "default_code") and hasattr(guided, "code")):
        raise UsageError(
            "this model does not use a reference image",
            hint="ref-color and models of HQG-Net do",
        )
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            guided.default_code = guided.code(torch.from_numpy(reference))
    except ValueError as error:
        raise UsageError(
            f"this model does not use a reference image: {error}"
        ) from error


def recogniser_card(name: str) -> ModelCard:
    """Return the card behind an id or ``id@version``, the package's own by an id.

    An import of the same id does not change what a task's figures were measured with;
    its version must be asked for.

    Raises
    ------
    UsageError
        There is no such model.
    """
    manifest = load_manifest()
    for card in manifest.cards:  # the package's come first
        if card.id == name:
            return card
    return manifest.get(name)


def load_recogniser(
    name: str, classes: tuple[str, ...]
) -> tuple[torch.nn.Module, tuple[float, ...]]:
    """Return a recogniser's network and the threshold of each class.

    Parameters
    ----------
    name : str
        As `recogniser_card` takes it.
    classes : tuple of str
        What it has to recognise, in this order.

    Raises
    ------
    WeightsError
        The zoo has no such recogniser, or its weights cannot be used.
    """
    try:
        card = recogniser_card(name)
    except UsageError as error:
        raise WeightsError(
            f"the zoo has no recogniser {name!r}",
            hint=f"train it: medenh train {name}",
        ) from error
    if card.recognition is None or card.recognition.classes != classes:
        raise WeightsError(
            f"{card.full_id} recognises something else than {', '.join(classes)}"
        )
    return load_network(card), card.recognition.thresholds


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file; floating-point tensors come as float32.

    Raises
    ------
    WeightsError
        It is no safetensors file, is damaged, or holds NaN or infinity.
    """
    check_header(path)
    import safetensors
    import safetensors.torch
    import torch

    one_torch_thread_in_forks()  # from the first sum over weights on it has threads
    try:
        stored = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"not readable as safetensors: {error}", path=path, hint=_DAMAGED
        ) from error
    state = {
        name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor.clone()
        for name, tensor in stored.items()
    }
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{name} holds NaN or infinity", path=path)
    return state


def check_header(path: Path) -> None:
    """Check that a file can be a safetensors file, before anything parses it whole.

    Layout: eight bytes with the header's length, little-endian; the header, JSON; the
    tensors, without gaps, to the end of the file.

    Raises
    ------
    WeightsError
        It is something else (a pickle, HTML...), its header is beyond 1 MB, or it is
        cut.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if length > HEADER_LIMIT or length + 8 > size:
                raise _no_safetensors(path, "its header's length makes no sense")
            entries = json.loads(file.read(length))
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise _no_safetensors(path, "its header is no JSON") from error
    try:
        ends = [_tensor_end(e) for k, e in entries.items() if k != "__metadata__"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _no_safetensors(path, "its header describes no tensors") from error
    if not ends or max(ends) + 8 + length != size:
        raise _no_safetensors(path, "its tensors do not fill the file")


def _tensor_end(entry: Any) -> int:
    begin, end = entry["data_offsets"]
    if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin <= end):
        raise ValueError("offsets")
    return end


def _no_safetensors(path: Path, why: str) -> WeightsError:
    return WeightsError(
        f"not a safetensors file: {why}",
        path=path,
        hint="checkpoints of other kinds (.pt, .pth, pickles) are not opened",
    )
