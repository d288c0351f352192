"""Where the tensors of checkpoints belong in our networks.

A layout names every key that a checkpoint must have, with its shape and our name for
it; None for what our network leaves out. Those of other people's are written from the
released code's state dicts; that of a network of ours is its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medenh.errors import UsageError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["Layout", "dpe_layout", "hqg_legacy_layout", "own_layout", "remap"]

_Entry = tuple[str, tuple[int, ...], str | None]
_NORM = ("weight", "bias", "running_mean", "running_var")
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
_LEVELS = ((64, 64), (256, 64), (512, 128), (1024, 256), (2048, 512))


@dataclass(frozen=True, slots=True)
class Layout:
    """What a checkpoint holds, and the network that takes it.

    Attributes
    ----------
    architecture, options
        For `medenh.models.create`.
    entries : dict
        Their key -> (shape, our key or None).
    may_lack : frozenset of str
        Keys that need not be there; all of them are left out anyway.
    preset : str
        For `medenh.models.create`, too.
    """

    architecture: str
    options: Mapping[str, Any]
    entries: Mapping[str, tuple[tuple[int, ...], str | None]]
    may_lack: frozenset[str] = frozenset()
    preset: str = "default"


def remap(
    state: Mapping[str, torch.Tensor], layout: Layout
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Rename a checkpoint's tensors; strict.

    Returns
    -------
    kept : dict
        Our key -> tensor.
    ignored : list of str
        Their keys that our network has no use for.

    Raises
    ------
    WeightsError
        A key is missing, has another shape, or is not in the layout; the message names
        the first one.
    """
    kept, ignored = {}, []
    for key, (shape, ours) in layout.entries.items():
        if key not in state:
            if key in layout.may_lack:
                continue
            raise WeightsError(f"not a checkpoint of {layout.architecture}: no {key}")
        found = tuple(state[key].shape)
        if found != shape:
            raise WeightsError(
                f"not a checkpoint of {layout.architecture}: {key} has shape "
                f"{found}, not {shape}"
            )
        if ours is None:
            ignored.append(key)
        else:
            kept[ours] = state[key]
    strange = next((key for key in state if key not in layout.entries), None)
    if strange is not None:
        raise WeightsError(
            f"not a checkpoint of {layout.architecture}: unknown key {strange}"
        )
    return kept, ignored


def own_layout(architecture: str, preset: str, options: Mapping[str, Any]) -> Layout:
    """Return the layout of a state dict of one of our networks.

    Raises
    ------
    UsageError
        There is no such architecture, preset or option, or no such value of one.
    """
    import torch

    from medenh import models

    try:
        with torch.device("meta"):  # shapes only
            network = models.create(architecture, preset, **options)
    except UsageError:
        raise
    except Exception as error:  # a network does not check what it is made with
        raise UsageError(
            f"{architecture} cannot be made so: {error}", hint="look at the options"
        ) from error
    entries = {
        key: (tuple(tensor.shape), key) for key, tensor in network.state_dict().items()
    }
    return Layout(architecture, options, entries, preset=preset)


def hqg_legacy_layout(side: int = 384) -> Layout:
    """Return the layout of a training checkpoint of HQG-Net's released code.

    484 entries for pictures of 384x384: generator 379, style network 69, discriminator
    33, losses 3.

    Parameters
    ----------
    side : int
        Height and width of the training pictures; the last kernels follow from it.
    """
    blocks = int(math.log2(side)) - 2
    kernel = side // 2**blocks
    entries = [
        *_generator_encoder(),
        *_generator_decoder(),
        *_style(blocks, kernel),
        *_discriminator(blocks, kernel),
        ("gan_loss.real_label", (), None),
        ("gan_loss.fake_label", (), None),
        ("criterionStructure.window", (3, 1, 11, 11), None),
    ]
    return Layout("hqg-legacy", {"side": side}, _table(entries))


def _table(entries: list[_Entry]) -> dict[str, tuple[tuple[int, ...], str | None]]:
    return {key: (shape, ours) for key, shape, ours in entries}


def _conv(
    theirs: str, ours: str | None, shape: tuple[int, ...], outputs: int | None = None
) -> Iterator[_Entry]:
    """Yield weight and bias; a transposed convolution tells its ``outputs``."""
    yield f"{theirs}.weight", shape, ours and f"{ours}.weight"
    yield f"{theirs}.bias", (outputs or shape[0],), ours and f"{ours}.bias"


def _norm(theirs: str, ours: str | None, channels: int) -> Iterator[_Entry]:
    for name in _NORM:
        yield f"{theirs}.{name}", (channels,), ours and f"{ours}.{name}"
    name = "num_batches_tracked"
    yield f"{theirs}.{name}", (), ours and f"{ours}.{name}"


def _generator_encoder() -> Iterator[_Entry]:
    head = "GNet.G_en.blocks"
    yield f"{head}.0.0.weight", (64, 3, 7, 7), "encoder.stem.0.weight"
    yield from _norm(f"{head}.0.1", "encoder.stem.1", 64)
    inputs = 64
    for stage, (c, count) in enumerate(_STAGES):
        for block in range(count):
            theirs, ours = (
                f"{head}.{stage + 1}.{block}",
                f"encoder.stages.{stage}.{block}",
            )
            shapes = ((c, inputs, 1, 1), (c, c, 3, 3), (4 * c, c, 1, 1))
            for index, shape in enumerate(shapes, start=1):
                name = f"conv{index}.weight"
                yield f"{theirs}.{name}", shape, f"{ours}.{name}"
                yield from _norm(f"{theirs}.bn{index}", f"{ours}.bn{index}", shape[0])
            if block == 0:
                name = "downsample.0.weight"
                yield f"{theirs}.{name}", (4 * c, inputs, 1, 1), f"{ours}.{name}"
                name = "downsample.1"
                yield from _norm(f"{theirs}.{name}", f"{ours}.{name}", 4 * c)
            inputs = 4 * c


def _generator_decoder() -> Iterator[_Entry]:
    head = "GNet.G_de"
    widths = [width for _, width in _LEVELS]
    for level, (skip, o) in enumerate(_LEVELS):
        deepest = level == len(_LEVELS) - 1
        below = o if deepest else widths[level + 1]
        i = o if deepest else 2 * o
        ours = f"decoder.{level}"
        yield f"{head}.reduce{level}.weight", (o, skip, 1, 1), f"{ours}.reduce.weight"
        yield from _conv(f"{head}.conv{level}.conv", f"{ours}.conv", (o, below, 3, 3))
        block = f"{head}.adaRes{level}"
        yield from _conv(f"{block}.conv1", f"{ours}.block.conv1", (o, i, 3, 3))
        yield from _conv(f"{block}.conv2", f"{ours}.block.conv2", (o, o, 3, 3))
        yield from _conv(f"{block}.norm1.fc", f"{ours}.block.norm1.fc", (2 * i, 64))
        yield from _conv(f"{block}.norm2.fc", f"{ours}.block.norm2.fc", (2 * o, 64))
        if not deepest:  # built by a flag that also switches it off
            yield f"{block}.conv1x1.weight", (o, i, 1, 1), None
    yield from _conv(f"{head}.disp_conv0", "head", (3, 64, 3, 3))


def _stack_widths(blocks: int) -> list[int]:
    return [min(64 * 2**index, 512) for index in range(blocks + 1)]


def _stack(theirs: str, ours: str | None, blocks: int) -> Iterator[_Entry]:
    """Yield the stem and residual blocks of style network and discriminator."""
    yield from _conv(f"{theirs}.0", ours and f"{ours}.stem", (64, 3, 3, 3))
    widths = _stack_widths(blocks)
    for index in range(blocks):
        i, o = widths[index : index + 2]
        block, place = f"{theirs}.{index + 1}", ours and f"{ours}.blocks.{index}"
        yield from _conv(f"{block}.conv1", place and f"{place}.conv1", (i, i, 3, 3))
        yield from _conv(f"{block}.conv2", place and f"{place}.conv2", (o, i, 3, 3))
        if i != o:
            name = "conv1x1.weight"
            yield f"{block}.{name}", (o, i, 1, 1), place and f"{place}.{name}"


def _style(blocks: int, kernel: int) -> Iterator[_Entry]:
    head = "styleNet.style_en_part1"
    yield from _stack(f"{head}.encoder", "style.stack", blocks)
    last = (512, 512, kernel, kernel)
    yield from _conv(f"{head}.encoder.{blocks + 1}.1", "style.stack.last", last)
    # the auto-encoder's decoder, of use only before the training proper
    yield from _conv(f"{head}.decoder.0.1", None, last)
    widths = _stack_widths(blocks)[::-1]
    for index in range(1, blocks + 1):
        i, o = widths[index - 1 : index + 1]
        block = f"{head}.decoder.{index}"
        yield f"{block}.reduce.weight", (i // 2, i, 1, 1), None
        yield from _conv(f"{block}.conv.conv", None, (i // 2, i, 3, 3))
        yield from _conv(f"{block}.upconv.conv.conv", None, (o, i, 3, 3))
    yield from _conv(f"{head}.decoder.{blocks + 1}", None, (3, 64, 3, 3))
    for domain in range(2):
        theirs = f"styleNet.style_en_part2.{domain}"
        yield from _conv(theirs, f"style.heads.{domain}", (64, 512))


def _discriminator(blocks: int, kernel: int) -> Iterator[_Entry]:
    yield from _stack("DNet.main", None, blocks)
    last = (512, 512, kernel, kernel)
    yield from _conv(f"DNet.main.{blocks + 2}", None, last)
    yield from _conv(f"DNet.main.{blocks + 4}", None, (2, 512, 1, 1))


_DPE_WIDTHS = (64, 96, 128, 160, 192)


def dpe_layout() -> Layout:
    """Return the layout of a generator of DPE's released code: 90 tensors.

    FM0, FM9 and gate5 are built there and never called; they may be there or not.
    """
    w = _DPE_WIDTHS
    entries = [*_conv("inConv", "stem", (64, 3, 3, 3))]
    for level in range(4):
        number, c = level + 1, w[level]
        entries += _residual(f"FM{number}", f"encoder.{level}", c)
        entries += _gate(f"gate{number}", f"gates.{level}", c)
        entries += _conv(f"down{number}", f"down.{level}", (w[number], c, 3, 3))
        i, o = w[4 - level], w[3 - level]
        entries += _conv(f"up{number}", f"up.{level}", (i, o, 2, 2), outputs=o)
    entries += _residual("FM5", "middle", w[4])
    for index, c in enumerate(w[3:0:-1]):
        entries += _residual(f"FM{6 + index}", f"decoder.{index}", c)
    entries += _conv("outc", "head", (3, 64, 1, 1))
    unused = [
        *_residual("FM0", None, 64),
        *_residual("FM9", None, 64),
        *_gate("gate5", None, 192),
    ]
    lacking = frozenset(key for key, _, _ in unused)
    return Layout("dpe", {}, _table(entries + unused), may_lack=lacking)


def _residual(theirs: str, ours: str | None, c: int) -> Iterator[_Entry]:
    block, shape = f"{theirs}.conv_block", (c, c, 3, 3)
    yield from _conv(f"{block}.0", ours and f"{ours}.first", shape)
    yield f"{block}.1.weight", (1,), ours and f"{ours}.activation.weight"
    yield from _conv(f"{block}.2", ours and f"{ours}.second", shape)


def _gate(theirs: str, ours: str | None, c: int) -> Iterator[_Entry]:
    yield from _conv(f"{theirs}.conv2d", ours and f"{ours}.feature", (c, c, 3, 3))
    yield from _conv(f"{theirs}.mask_conv2d", ours and f"{ours}.mask", (c, c, 3, 3))
