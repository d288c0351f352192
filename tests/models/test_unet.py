import pytest
import torch

from medenh import models


def _seeded(architecture, preset="tiny", **options):
    torch.manual_seed(0)
    return models.create(architecture, preset, **options).eval()


def _count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "preset", "parameters"),
    [
        ("unet", "default", 402_097),
        ("unet", "vessels", 186_401),
        ("unet", "deep", 757_049),
        ("classifier", "default", 471_546),
    ],
)
def test_recognisers_stay_small(architecture, preset, parameters):
    network = models.create(architecture, preset)
    assert _count(network) == parameters
    assert 2 * sum(t.numel() for t in network.state_dict().values()) < 3e6


def test_every_parameter_learns():
    for architecture in ("unet", "classifier"):
        network = _seeded(architecture).train()
        network(torch.rand(2, 3, 16, 16)).square().mean().backward()
        idle = [n for n, p in network.named_parameters() if not p.grad.abs().sum()]
        # what a batch normalisation takes away again has no gradient to speak of
        assert all("norm" in name for name in idle), idle


def test_the_classifier_takes_a_segmenters_encoder():
    deep, default = _seeded("unet", "deep"), _seeded("classifier", "default")
    donor = {k: v.shape for k, v in deep.state_dict().items() if k.startswith("enc")}
    taker = {k: v.shape for k, v in default.state_dict().items() if k[:3] == "enc"}
    assert donor == taker
