import pytest
import torch

from medenh import models


def _count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameters_of_resnet_18():
    assert _count(models.create("resnet", classes=1000)) == 11_689_512


def test_resnet_50_is_the_published_one():
    network = models.create("resnet", "resnet-50", classes=1000).eval()
    assert _count(network) == 25_557_032
    with torch.no_grad():
        features = network.encoder(torch.rand(1, 3, 64, 96))
    assert [f.shape[1:] for f in features] == [
        (256, 16, 24),
        (512, 8, 12),
        (1024, 4, 6),
        (2048, 2, 3),
    ]


def test_the_small_preset_fits_a_cpu():
    assert 0.65e6 < _count(models.create("resnet", "small")) < 0.75e6


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 100)])
def test_logits_at_any_size(size):
    network = models.create("resnet", "small", classes=5).eval()
    with torch.no_grad():
        answer = network(torch.rand(2, 3, *size))
    assert answer.shape == (2, 5)
    assert torch.isfinite(answer).all()


def test_stages_halve_the_picture():
    network = models.create("resnet", "small").eval()
    with torch.no_grad():
        features = network.encoder(torch.rand(1, 3, 64, 96))
    assert [f.shape[1:] for f in features] == [
        (16, 16, 24),
        (32, 8, 12),
        (64, 4, 6),
        (128, 2, 3),
    ]


def test_it_learns_what_is_easy():
    """A few steps tell red pictures from blue ones."""
    torch.manual_seed(0)
    network = models.create("resnet", "tiny")
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    labels = torch.arange(16) % 2
    image = 0.3 * torch.rand(16, 3, 32, 32)
    image[labels == 0, 0] += 0.5
    image[labels == 1, 2] += 0.5
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(network(image), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    assert (network.eval()(image).argmax(1) == labels).all()
