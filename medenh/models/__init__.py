"""Networks only: one paper a file, NCHW float32 in [0, 1] in, any size."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from itertools import chain
from typing import TYPE_CHECKING, Any

from medenh.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ARCHITECTURES",
    "NO_ENHANCERS",
    "RECOGNISERS",
    "check_options",
    "create",
    "find_architecture",
    "find_preset",
]


_ESTR = {"norm": "bn", "head": "tanh"}  # GradProm's network as ESTR's code has it

# architecture -> (module and class, presets: name -> options)
ARCHITECTURES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "dpe": ("dpe.DPENet", {"default": {}, "compat": {"unused_blocks": True}}),
    "dpe-plus": (
        "dpe_plus.DPEPlusNet",
        {
            "default": {},
            "light": {
                "widths": (32, 48),
                "unshuffle": 4,
                "pair": False,
                "filters": 1,
                "lean": True,
            },
            "tiny": {"widths": (8, 12), "estimator_width": 4},
        },
    ),
    "unet": (
        "unet.UNet",
        {
            "default": {},
            "vessels": {"widths": (16, 32, 48, 64)},
            "deep": {"widths": (8, 16, 32, 64, 96, 128)},
            "tiny": {"widths": (4, 8)},
        },
    ),
    "classifier": ("unet.Classifier", {"default": {}, "tiny": {"widths": (4, 8)}}),
    "autoencoder": (
        "autoencoder.AutoEncoder",
        {"default": {}, "tiny": {"widths": (4, 8, 8)}},
    ),
    "fieldnet": (
        "fieldnet.FieldNet",
        {
            "default": {},
            "small": {
                "light_widths": (16, 32, 64, 96),
                "overall_widths": (256, 128),
            },
            "tiny": {
                "light_widths": (4, 8, 8, 8),
                "detail_widths": (8, 8),
                "blocks": 1,
                "side": 32,
            },
        },
    ),
    "hqg": (
        "hqg.HQGNet",
        {
            "default": {},
            "small": {},
            "base": {"widths": (64, 128, 256, 512)},
            "tiny": {
                "widths": (16, 32, 64, 128),
                "guidance_widths": (16, 32, 64, 128),
            },
        },
    ),
    "hqg-legacy": (
        "hqg_legacy.HQGLegacyNet",
        {"default": {}, "256": {"side": 256}, "code-only": {"style": False}},
    ),
    "stillgan": (
        "stillgan.StillGANGenerator",
        {
            "default": {},
            "full": {"width": 64, "levels": 8},
            "tiny": {"width": 8, "levels": 3},
        },
    ),
    "srresnet": (
        "srresnet.SRResNet",
        {
            "default": {},
            "x1": {},
            "x2": {"scale": 2},
            "x4": {"scale": 4},
            "faithful-x1": _ESTR,
            "faithful-x2": {**_ESTR, "scale": 2},
            "faithful-x4": {**_ESTR, "scale": 4},
            "ledig": {**_ESTR, "scale": 4, "blocks": 16, "trunk": "bn"},
            "tiny": {"blocks": 2, "width": 8},
        },
    ),
    "resnet": (
        "resnet.ResNet",
        {
            "default": {},
            "resnet-50": {"blocks": (3, 4, 6, 3), "bottleneck": True},
            "small": {"widths": (16, 32, 64, 128)},
            "tiny": {"widths": (4, 8), "blocks": (1, 1)},
        },
    ),
    "agnet": (
        "agnet.AGNet",
        {"default": {}, "small": {"width": 16}, "tiny": {"width": 4}},
    ),
    "mage": (
        "mage.MAGENet",
        {
            "default": {},
            "paper": {"blocks": 8},
            "half": {"width": 32, "step": 16, "rsp_width": 16, "scale": 2},
            "small": {
                "width": 32,
                "step": 16,
                "blocks": 2,
                "rsp_width": 8,
                "shrink": 4,
            },
            "tiny": {"width": 8, "step": 4, "extra": 4, "blocks": 1, "rsp_width": 4},
        },
    ),
    "nafnet": (
        "nafnet.NAFNet",
        {
            "default": {},
            "width32": {},
            "width16": {
                "width": 16,
                "encoder": (1, 1, 2, 4),
                "middle": 6,
                "decoder": (1, 1, 1, 1),
            },
            "light": {
                "width": 16,
                "encoder": (1, 1, 2, 4),
                "middle": 0,
                "decoder": (1, 1, 1, 1),
            },
            "tiny": {"width": 4, "encoder": (1, 1), "middle": 1, "decoder": (1, 1)},
        },
    ),
}

# What answers with logits, by the kind of its task
RECOGNISERS = {
    "segmentation": ("unet", "agnet"),
    "classification": ("classifier", "resnet"),
}
# The feature network gives pictures back, but only to be trained by them
NO_ENHANCERS = frozenset(chain(("autoencoder",), *RECOGNISERS.values()))


def find_architecture(name: str) -> dict[str, dict[str, Any]]:
    """Return the presets of an architecture: name to options.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(
            f"unknown architecture {name!r}", hint=_meant(name, ARCHITECTURES)
        )
    return ARCHITECTURES[name][1]


def find_preset(architecture: str, preset: str) -> dict[str, Any]:
    """Return the options of a preset.

    Raises
    ------
    UsageError
        There is no such architecture, or it has no such preset.
    """
    presets = find_architecture(architecture)
    if preset not in presets:
        raise UsageError(
            f"{architecture} has no preset {preset!r}", hint=_meant(preset, presets)
        )
    return presets[preset]


def check_options(architecture: str, options: Iterable[str]) -> None:
    """Pass in silence if an architecture has options of these names.

    Raises
    ------
    UsageError
        There is no such architecture, or it has no such option.
    """
    known = signature(_network(architecture)).parameters
    for name in options:
        if name not in known:
            raise UsageError(
                f"{architecture} takes no option {name!r}", hint=_meant(name, known)
            )


def _network(architecture: str) -> type[nn.Module]:
    find_architecture(architecture)
    module, name = ARCHITECTURES[architecture][0].split(".")
    found: type[nn.Module] = getattr(import_module(f"medenh.models.{module}"), name)
    return found


def _meant(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(str(name).lower(), names, 1)
    asked = f"did you mean {near[0]}? " if near else ""
    return f"{asked}one of {', '.join(names)}"


def create(architecture: str, preset: str = "default", **options: Any) -> nn.Module:
    """Build an untrained network.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    preset : str
        A named size of it.
    **options
        Passed to the network, over the preset's.

    Returns
    -------
    torch.nn.Module
        Takes float32 (B, 3, H, W) in [0, 1] and gives the same, or, if it is one of
        `RECOGNISERS`, logits: (B, K, H, W) for segmentation, (B, K) for
        classification.

    Raises
    ------
    UsageError
        Unknown architecture, preset or option, or an option of a wrong type.
    """
    sized = find_preset(architecture, preset)
    check_options(architecture, options)
    try:
        return _network(architecture)(**{**sized, **options})
    except TypeError as error:
        raise UsageError(f"{architecture} takes no such options: {error}") from error
