import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medenh import models


def _count(network):
    return sum(p.numel() for p in network.parameters())


def test_full_preset_has_the_size_and_cost_of_the_published_generator():
    with torch.device("meta"):
        network = models.create("stillgan", "full").eval()
        grey = models.create("stillgan", "full", channels=1)
    assert _count(network) == 78_643_971
    assert _count(grey) == 78_642_561
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 256, 256, device="meta"))
    assert counter.get_total_flops() == pytest.approx(133.9e9, rel=1e-3)


@pytest.mark.parametrize("levels", [3, 6])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (33, 100)])
def test_any_size_keeps_shape_and_range(levels, size):
    torch.manual_seed(0)
    network = models.create("stillgan", "tiny", levels=levels).eval()
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_gain_and_offset_are_normalised_away():
    torch.manual_seed(0)
    network = models.create("stillgan", "tiny").eval()
    for p in network.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.3)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        difference = network(image) - network(0.5 * image + 0.2)
    # zero padding tells the offset at the borders, and through their statistics
    assert difference.abs().mean() < 0.1 * network(image).std()


def test_every_weight_learns():
    network = models.create("stillgan", "tiny").train()
    for p in network.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.3)
    network(torch.rand(1, 3, 32, 32)).square().mean().backward()
    weights = [(n, p) for n, p in network.named_parameters() if p.ndim > 1]
    assert [n for n, p in weights if not p.grad.abs().sum()] == []
