"""Networks only: one paper a file, NCHW float32 in [0, 1] in, any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medenh.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHITECTURES", "create"]


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
}


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
        of the downstream tasks, logits: (B, K, H, W) of a "unet", (B, K) of a
        "classifier".

    Raises
    ------
    UsageError
        Unknown architecture, preset or option.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UsageError(
            f"unknown architecture {architecture!r}", hint=f"one of {known}"
        )
    builder, presets = ARCHITECTURES[architecture]
    if preset not in presets:
        known = ", ".join(sorted(presets))
        raise UsageError(
            f"{architecture} has no preset {preset!r}", hint=f"one of {known}"
        )
    try:
        return builder(**{**presets[preset], **options})
    except TypeError as error:
        raise UsageError(f"{architecture} takes no such option: {error}") from error
