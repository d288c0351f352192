"""Networks only: one paper a file, NCHW float32 in [0, 1] in, any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from medenh.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHITECTURES", "create", "find_architecture", "find_preset"]


def _dpe(**options: Any) -> nn.Module:
    from medenh.models.dpe import DPENet

    return DPENet(**options)


def _dpe_plus(**options: Any) -> nn.Module:
    from medenh.models.dpe_plus import DPEPlusNet

    return DPEPlusNet(**options)


def _unet(**options: Any) -> nn.Module:
    from medenh.models.unet import UNet

    return UNet(**options)


def _classifier(**options: Any) -> nn.Module:
    from medenh.models.unet import Classifier

    return Classifier(**options)


def _srresnet(**options: Any) -> nn.Module:
    from medenh.models.srresnet import SRResNet

    return SRResNet(**options)


def _resnet(**options: Any) -> nn.Module:
    from medenh.models.resnet import ResNet

    return ResNet(**options)


def _agnet(**options: Any) -> nn.Module:
    from medenh.models.agnet import AGNet

    return AGNet(**options)


def _mage(**options: Any) -> nn.Module:
    from medenh.models.mage import MAGENet

    return MAGENet(**options)


def _nafnet(**options: Any) -> nn.Module:
    from medenh.models.nafnet import NAFNet

    return NAFNet(**options)


_ESTR = {"norm": "bn", "head": "tanh"}  # GradProm's network as ESTR's code has it


def _hqg(**options: Any) -> nn.Module:
    from medenh.models.hqg import HQGNet

    return HQGNet(**options)


def _hqg_legacy(**options: Any) -> nn.Module:
    from medenh.models.hqg_legacy import HQGLegacyNet

    return HQGLegacyNet(**options)


def _stillgan(**options: Any) -> nn.Module:
    from medenh.models.stillgan import StillGANGenerator

    return StillGANGenerator(**options)


def _fieldnet(**options: Any) -> nn.Module:
    from medenh.models.fieldnet import FieldNet

    return FieldNet(**options)


def _autoencoder(**options: Any) -> nn.Module:
    from medenh.models.autoencoder import AutoEncoder

    return AutoEncoder(**options)


# architecture -> (builder, presets: name -> options)
ARCHITECTURES: dict[str, tuple[Callable[..., nn.Module], dict[str, dict[str, Any]]]] = {
    "dpe": (_dpe, {"default": {}, "compat": {"unused_blocks": True}}),
    "dpe-plus": (
        _dpe_plus,
        {
            "default": {},
            "tiny": {"widths": (8, 8, 12, 16), "estimator_width": 4},
        },
    ),
    "unet": (
        _unet,
        {
            "default": {},
            "vessels": {"widths": (16, 32, 48, 64)},
            "deep": {"widths": (8, 16, 32, 64, 96, 128)},
            "tiny": {"widths": (4, 8)},
        },
    ),
    "classifier": (_classifier, {"default": {}, "tiny": {"widths": (4, 8)}}),
    "autoencoder": (_autoencoder, {"default": {}, "tiny": {"widths": (4, 8, 8)}}),
    "fieldnet": (
        _fieldnet,
        {
            "default": {},
            "tiny": {
                "light_widths": (4, 8, 8, 8),
                "detail_widths": (8, 8),
                "blocks": 1,
                "side": 32,
            },
        },
    ),
    "hqg": (
        _hqg,
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
        _hqg_legacy,
        {"default": {}, "256": {"side": 256}, "code-only": {"style": False}},
    ),
    "stillgan": (
        _stillgan,
        {
            "default": {},
            "full": {"width": 64, "levels": 8},
            "tiny": {"width": 8, "levels": 3},
        },
    ),
    "srresnet": (
        _srresnet,
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
        _resnet,
        {
            "default": {},
            "small": {"widths": (16, 32, 64, 128)},
            "tiny": {"widths": (4, 8), "blocks": (1, 1)},
        },
    ),
    "agnet": (
        _agnet,
        {"default": {}, "small": {"width": 16}, "tiny": {"width": 4}},
    ),
    "mage": (
        _mage,
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
        _nafnet,
        {
            "default": {},
            "width32": {},
            "width16": {
                "width": 16,
                "encoder": (1, 1, 2, 4),
                "middle": 6,
                "decoder": (1, 1, 1, 1),
            },
            "tiny": {"width": 4, "encoder": (1, 1), "middle": 1, "decoder": (1, 1)},
        },
    ),
}


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


def _meant(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(name.lower(), names, 1)
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
        Takes float32 (B, 3, H, W) in [0, 1] and gives the same, or, from the networks
        of the downstream tasks, logits: (B, K, H, W) of a "unet" or an "agnet",
        (B, K) of a "classifier" or a "resnet".

    Raises
    ------
    UsageError
        Unknown architecture, preset or option.
    """
    sized = find_preset(architecture, preset)
    builder, _ = ARCHITECTURES[architecture]
    try:
        return builder(**{**sized, **options})
    except TypeError as error:
        raise UsageError(f"{architecture} takes no such option: {error}") from error
