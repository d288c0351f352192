"""Networks as they are published, where ours take a cheaper way to the same numbers."""

import pytest
import torch.nn.functional as F

from medenh.models.layers import UpsampleConv


def enlarge_and_convolve(conv, x):
    """Do what `UpsampleConv` stands for, the plain way."""
    enlarged = F.interpolate(x, scale_factor=2.0, mode="nearest")
    mode = "reflect" if conv._edge == "replicate" else "constant"
    return F.conv2d(F.pad(enlarged, (1, 1, 1, 1), mode=mode), conv.weight, conv.bias)


@pytest.fixture
def enlarged(monkeypatch):
    """Every `UpsampleConv` makes the enlarged map."""
    monkeypatch.setattr(UpsampleConv, "forward", enlarge_and_convolve)


@pytest.fixture
def enlarged_by_hand():
    """Return the plain way itself."""
    return enlarge_and_convolve
