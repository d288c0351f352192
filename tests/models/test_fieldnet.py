import numpy as np
import pytest
import torch

from medenh import models
from medenh.models.layers import pad_to_multiple


@pytest.mark.parametrize("size", [(40, 56), (33, 47), (8, 130)])
def test_starts_as_the_identity_at_any_size(size):
    network = models.create("fieldnet", "tiny").eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(network(image), image, atol=1e-6, rtol=0)


def test_parameters():
    network = models.create("fieldnet")
    assert sum(p.numel() for p in network.parameters()) == 2_254_424


def test_every_parameter_learns():
    torch.manual_seed(0)
    network = models.create("fieldnet", "tiny").train()
    for p in network.parameters():  # heads are zero at first, and stop what is behind
        torch.nn.init.normal_(p, 0, 0.2)
    network(torch.rand(1, 3, 32, 32)).square().mean().backward()
    dead = [n for n, p in network.named_parameters() if p.grad is None]
    assert not dead


def test_fields_do_not_depend_on_the_size():
    """A constant change of colour is the same field at 64 and at 128 pixels."""
    torch.manual_seed(0)
    network = models.create("fieldnet", "tiny").eval()
    torch.nn.init.normal_(network.light.head.weight, 0, 0.1)
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((1, 3, 16, 16), np.float32))
    pictures = [
        torch.nn.functional.interpolate(small, (n, n), mode="bilinear")
        for n in (64, 128)
    ]
    with torch.no_grad():
        one, two = (network.condition(picture) for picture in pictures)
    assert (one - two).abs().mean() < 0.05 * one.abs().mean()


def test_overfits_uneven_light():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = models.create("fieldnet", "tiny").train()
    high = torch.rand(2, 3, 8, 8)
    high = torch.nn.functional.interpolate(high, (48, 48), mode="bicubic").clamp(0, 1)
    ramp = torch.linspace(0.3, 1.1, 48).view(1, 1, 1, -1)
    low = (high * ramp).clamp(0, 1)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        (network(low) - high).abs().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    with torch.no_grad():
        after = (network.eval()(low) - high).square().mean()
    assert after < 0.15 * (low - high).square().mean()


def test_padding_outside_gives_the_same():
    """What an engine pads before the network is what the network pads itself."""
    torch.manual_seed(0)
    network = models.create("fieldnet", "tiny").eval()
    for head in (network.light.head, network.detail.head):
        torch.nn.init.normal_(head.weight, 0, 0.1)
    image = torch.rand(1, 3, 45, 61)
    padded = pad_to_multiple(image, network.multiple_of)
    with torch.no_grad():
        torch.testing.assert_close(network(padded)[..., :45, :61], network(image))


def test_black_surround_stays_black():
    torch.manual_seed(0)
    network = models.create("fieldnet", "tiny").eval()
    for p in network.light.parameters():
        torch.nn.init.normal_(p, 0, 0.1)
    torch.nn.init.normal_(network.overall.guess[-1].bias, 0, 1.0)
    image = torch.rand(1, 3, 64, 64) * 0.5 + 0.2
    image[..., :16] = 0
    with torch.no_grad():
        change = (network(image) - image).abs()
    assert change[..., :16].max() == 0
    assert change[..., 16:].mean() > 0.01


@pytest.mark.parametrize("size", [64, 96])
def test_best_condition_undoes_uneven_light_and_colour(size):
    """A 3x3 map of colour and a smooth ramp are undone to a level or so."""
    torch.manual_seed(0)
    network = models.create("fieldnet").eval()
    high = torch.rand(2, 3, size, size) * 0.5 + 0.3
    mix = torch.eye(3) * 0.8 + 0.05
    low = torch.einsum("oc,bchw->bohw", mix, high)
    low = low + torch.linspace(-0.1, 0.1, size).view(1, 1, 1, -1)
    with torch.no_grad():
        fields = network.best_condition(low, high)
        undone = network.corrected(low, fields)
        assert fields.shape == network.condition(low).shape
    assert (undone - high).square().mean() < 0.01 * (low - high).square().mean()
