"""Networks that compare what pictures show, for feature losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from medenh import models
from medenh.errors import UsageError
from medenh.losses.features import AnalyticFeatures
from medenh.losses.imagenet import VGG19Features
from medenh.zoo.load import load_network, read_weights
from medenh.zoo.manifest import load_manifest

__all__ = ["ContentEncoder", "load_content"]


_VGG = {"features.0.weight", "features.34.weight"}  # of VGG-19, torchvision's names


class ContentEncoder(nn.Module):
    """A frozen network's `features`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) in [0, 1] to maps, the finest first."""
        maps: list[Tensor] = cast(Any, self.network).features(image)
        return maps


def load_content(name: str, *, vgg: bool = False) -> nn.Module:
    """Return what a configuration names as its feature network, frozen.

    Parameters
    ----------
    name : str
        "analytic" for fixed filters; a safetensors file of an "autoencoder" (preset
        default) or of VGG-19 in torchvision's names; or the id of a model of the zoo
        that has `features`.
    vgg : bool
        Whether VGG-19 will do, whose features are a single map.

    Raises
    ------
    UsageError
        The model has no features, or does not fit.
    WeightsError
        Its weights cannot be had.
    """
    if name == "analytic":
        return AnalyticFeatures().eval()
    if not name.endswith(".safetensors"):
        network = load_network(load_manifest().get(name))
    else:
        state = read_weights(Path(name))
        if vgg and state.keys() >= _VGG:
            return _filled_vgg(state, name)
        network = models.create("autoencoder")
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            known = "an autoencoder of preset default" + (" or VGG-19" if vgg else "")
            raise UsageError(f"is not {known}", path=name) from error
    if not hasattr(network, "features"):
        raise UsageError(f"{name} has no features to compare", hint="use analytic")
    return ContentEncoder(network)


def _filled_vgg(state: dict[str, Tensor], name: str) -> VGG19Features:
    """Return VGG-19 with a file's tensors; its classifier's are left out."""
    network = VGG19Features()
    used = {key: value for key, value in state.items() if key.startswith("features.")}
    try:
        network.load_state_dict(used)
    except RuntimeError as error:
        raise UsageError("is not VGG-19 in torchvision's names", path=name) from error
    return network
