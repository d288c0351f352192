"""A user's checkpoint, of somebody else's code or of a loop of their own, as a model.

A checkpoint is a pickle, and a pickle may be a program. It is opened in a process of
its own, by torch's loader that builds tensors and nothing else; what comes back is a
safetensors file, and its tensors are renamed one by one.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from medenh.errors import OutputError, UsageError, WeightsError, check_word
from medenh.hashing import sha256_file
from medenh.models import NO_ENHANCERS
from medenh.scratch import scratch_folder
from medenh.zoo.cache import publishing
from medenh.zoo.card import (
    MODALITIES,
    DataSource,
    Identifier,
    InputContract,
    ModelCard,
    Weights,
)
from medenh.zoo.layouts import Layout, dpe_layout, hqg_legacy_layout, own_layout, remap
from medenh.zoo.load import follow_reference, read_weights
from medenh.zoo.transfer import pack

if TYPE_CHECKING:
    import torch

    from medenh.types import FloatArray

__all__ = ["FOREIGN", "Converted", "Foreign", "convert"]

_TIMEOUT_S = 600.0
_ROOM = ".convert-"  # folders beside the target

State: TypeAlias = "Mapping[str, torch.Tensor]"


@dataclass(frozen=True, slots=True)
class Foreign:
    """How checkpoints of one foreign code are read.

    Attributes
    ----------
    places : tuple of str
        Keys of the checkpoint under which its state dict may lie.
    layout : callable
        State dict -> `Layout`.
    identifier, licence : str
        Name of the terms for a card, and what a user must know.
    title, origin : str
        What the card says after the network's name, and before the file's.
    hint : str
        What to do where the tensors do not fit.
    """

    places: tuple[str, ...]
    layout: Callable[[State], Layout]
    identifier: str
    licence: str
    title: str = "converted"
    origin: str = "Converted from the authors' checkpoint"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion did.

    Attributes
    ----------
    architecture, preset, options : str, str, dict
        For `medenh.models.create`.
    tensors : int
        How many were kept.
    ignored : tuple of str
        Keys of tensors that the network has no use for.
    licence : str
        What the user must know.
    """

    architecture: str
    preset: str
    options: Mapping[str, object]
    tensors: int
    ignored: tuple[str, ...]
    licence: str


def _hqg_layout(state: State) -> Layout:
    """Tell the size of the training pictures by the last kernel of the style network.

    384 and 256 have six residual blocks before it, 512 has seven.
    """
    for side in (384, 256, 512):
        blocks = int(math.log2(side)) - 2
        found = state.get(f"styleNet.style_en_part1.encoder.{blocks + 1}.1.weight")
        if found is not None and found.shape[-1] == side // 2**blocks:
            return hqg_legacy_layout(side)
    return hqg_legacy_layout()


FOREIGN: dict[str, Foreign] = {
    "dpe": Foreign(
        ("stateDictEG",),
        lambda state: dpe_layout(),
        "LicenseRef-DPE-none",
        "DPE's repository carries no licence: what you convert is not yours to share.",
    ),
    "hqg-legacy": Foreign(
        ("state_dict",),
        _hqg_layout,
        "LicenseRef-HQG-Net",
        "HQG-Net's authors allow personal, non-commercial use for research, education "
        "and art; no redistribution, no modification for third parties, no reverse "
        "engineering. Two of their three repositories carry no licence at all. What "
        "you convert stays under these terms: keep it to yourself.",
    ),
}


# where loops keep the network beside the optimiser
_OWN_PLACES = ("state_dict", "model_state_dict", "model", "network")


def _own(architecture: str, preset: str, options: Mapping[str, Any]) -> Foreign:
    """Return how weights of a network of ours are read, of whoever's training."""
    if architecture in NO_ENHANCERS:
        raise UsageError(
            f"no checkpoints of {architecture!r} are converted: it enhances nothing",
            hint="recognisers come into the zoo by `medenh train` and `models publish`",
        )
    layout = own_layout(architecture, preset, options)
    return Foreign(
        _OWN_PLACES,
        lambda state: layout,
        "LicenseRef-unstated",
        "The terms are those of the weights' owner and of the images they learnt from; "
        "nothing was measured here, and no limits of fidelity are known.",
        "by its owner, not measured",
        "Weights by their owner, not measured, from",
        "preset and options must be those that the network was made with",
    )


def convert(
    source: str | Path,
    target: str | Path,
    architecture: str,
    *,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    modality: str | None = None,
    task: str = "enhance",
    reference: FloatArray | None = None,
) -> Converted:
    """Write a checkpoint as safetensors, float32, or as a model to import.

    Parameters
    ----------
    source : path
        A checkpoint that the user has: of somebody else's code (``.ckpt``, ``.pth``),
        or the state dict of a network of ours (that, or ``.safetensors``).
    target : path
        File to write; it must not exist. A name that ends in ``.zip`` becomes a model
        of that name for `import_model`, another one a safetensors file.
    architecture : str
        A key of `FOREIGN`, or of `medenh.models.ARCHITECTURES`. What is in both is read
        as of somebody else's code, unless ``preset`` or ``options`` are given or it is
        a safetensors file.
    preset, options : str, dict, optional
        As the network was made by `medenh.models.create`.
    modality, task : str
        For the card: what pictures show, and "enhance", "denoise"...
    reference : float32 array, shape (1, 3, H, W), in [0, 1], optional
        High-quality picture to follow, for a network that has a ``default_code``; it
        stays zero if none is given.

    Returns
    -------
    Converted

    Raises
    ------
    UsageError
        Unknown architecture, preset, option, modality or task, a network that enhances
        nothing, a name that no model can have, a target that is there already, or a
        reference for a network that follows none.
    WeightsError
        It is no such checkpoint (the first tensor that is missing, strange or of
        another shape is named), is damaged, or would run code.
    OutputError
        The target cannot be written.
    """
    origin, place = Path(source), Path(target)
    plain = origin.suffix.lower() == ".safetensors"
    own = plain or preset is not None or options or architecture not in FOREIGN
    foreign = (
        _own(architecture, preset or "default", dict(options or {}))
        if own
        else FOREIGN[architecture]
    )
    words = _card_words(modality, task)
    if place.exists() or place.is_symlink():
        raise UsageError("exists already", path=place, hint="choose another name")
    is_model = place.suffix.lower() == ".zip"
    if is_model:
        _check_id(place.stem)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        state = (
            read_weights(origin)
            if plain
            else _load(origin, foreign.places, place.parent)
        )
        layout, kept, ignored = _rename(state, foreign, origin)
        network = _fill(kept, layout, reference)
        if is_model:
            _save_model(network, place, layout, foreign, origin, words)
        else:
            _save(network, place, layout, foreign, origin)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}", path=place
        ) from error
    return Converted(
        layout.architecture,
        layout.preset,
        layout.options,
        len(kept),
        tuple(ignored),
        foreign.licence,
    )


def _card_words(modality: str | None, task: str) -> dict[str, Any]:
    """Return the fields of a card that the user tells."""
    if modality is not None:
        check_word("modality", modality, MODALITIES)
    try:
        TypeAdapter(Identifier).validate_python(task)
    except ValidationError as error:
        raise UsageError(
            f"{task!r} cannot be a task", hint="a word such as enhance or denoise"
        ) from error
    return {"task": task, "modalities": () if modality is None else (modality,)}


def _check_id(name: str) -> None:
    """Refuse a name that no card can have, or no `import_model` takes."""
    try:
        TypeAdapter(Identifier).validate_python(name)
    except ValidationError as error:
        raise UsageError(
            f"{name!r} cannot be the id of a model",
            hint="lower-case words and digits joined by hyphens, 2 to 64 characters, "
            "such as hqg-mine.zip",
        ) from error
    if name == "auto":
        raise UsageError(
            "'auto' cannot be the id of a model",
            hint="it stands for the model that suits a picture; choose another name",
        )


def _load(source: Path, places: tuple[str, ...], folder: Path) -> State:
    """Return a checkpoint's tensors, by way of another process."""
    if not source.is_file():
        raise WeightsError("no such file", path=source)
    script = Path(__file__).with_name("unpickle.py")
    with scratch_folder(folder, _ROOM) as room:
        plain = room / "plain.safetensors"
        # -P: nothing beside the script, and nothing in the current folder, is imported
        command = [sys.executable, "-P", str(script), str(source), str(plain), *places]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise WeightsError("takes too long to open", path=source) from error
        if done.returncode != 0:
            said = " ".join(done.stdout.decode("utf-8", "replace").split())[:300]
            reason = said or f"its reader ended with code {done.returncode}"
            raise WeightsError(reason, path=source)
        try:
            return read_weights(plain)
        except WeightsError as error:
            raise WeightsError(error.what, path=source) from error


def _rename(
    state: State, foreign: Foreign, source: Path
) -> tuple[Layout, dict[str, torch.Tensor], list[str]]:
    # several GPUs leave a prefix, and so does torch.compile
    state = {
        key.removeprefix("module.").removeprefix("_orig_mod."): tensor
        for key, tensor in state.items()
    }
    layout = foreign.layout(state)
    try:
        kept, ignored = remap(state, layout)
    except WeightsError as error:
        raise WeightsError(error.what, path=source, hint=foreign.hint) from error
    return layout, kept, ignored


def _fill(kept: State, layout: Layout, reference: FloatArray | None) -> torch.nn.Module:
    """Return the network with the tensors and the code that no checkpoint brings."""
    import torch

    from medenh import models

    with torch.device("meta"):
        network = models.create(layout.architecture, layout.preset, **layout.options)
    has_code = "default_code" in network.state_dict()
    code = {"default_code": torch.zeros(1, 64)} if has_code else {}
    network.load_state_dict({**code, **kept}, strict=True, assign=True)
    if reference is not None:
        follow_reference(network, reference)
    return network


def _save(
    network: torch.nn.Module,
    target: Path,
    layout: Layout,
    foreign: Foreign,
    source: Path,
) -> None:
    """Write the tensors, float32: running variances of these nets exceed fp16."""
    import safetensors.torch

    about = {
        "architecture": layout.architecture,
        "preset": layout.preset,
        "options": json.dumps(dict(layout.options)),
        "converted_from_sha256": sha256_file(source),
        "licence": foreign.licence,
    }
    with publishing(target) as part:
        # safetensors' own file would be for its owner alone, whatever the umask
        part.write_bytes(safetensors.torch.save(network.state_dict(), metadata=about))


def _save_model(
    network: torch.nn.Module,
    target: Path,
    layout: Layout,
    foreign: Foreign,
    source: Path,
    words: dict[str, Any],
) -> None:
    """Write a card and the tensors, to be imported.

    Raises
    ------
    UsageError
        The network changes the size of pictures.
    """
    known: Any = network
    if getattr(known, "enlarges", False):
        raise UsageError(
            "it gives larger pictures, and a file keeps its size",
            path=source,
            hint="train it on pictures that were enlarged before (from_enlarged)",
        )
    with scratch_folder(target.parent, _ROOM) as room:
        plain = room / f"{target.stem}-1.safetensors"
        _save(network, plain, layout, foreign, source)
        weights = Weights(
            file=plain.name,
            size_bytes=plain.stat().st_size,
            sha256=sha256_file(plain),
        )
        card = ModelCard(
            id=target.stem,
            version="1",
            title=f"{layout.architecture}, {foreign.title}",
            description=f"{foreign.origin} {source.name}.",
            architecture=layout.architecture,
            preset=layout.preset,
            options=dict(layout.options),
            licence=foreign.identifier,
            data=(DataSource(name="not known here", terms="not known", images=0),),
            input=InputContract(
                channels=3,
                multiple_of=known.multiple_of,
                min_size=2 * known.multiple_of,
                enlarged=known.scale if getattr(known, "reduces", False) else 1,
            ),
            receptive_field=known.receptive_field,
            global_ops=known.global_ops,
            weights=weights,
            notes=foreign.licence,
            **words,
        )
        pack(card, weights, plain, target)
