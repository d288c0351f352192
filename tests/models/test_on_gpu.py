"""Networks and losses on a GPU give the CPU's answers and gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.backends import cudnn

from medenh import models
from medenh.losses.bands import wavelet
from medenh.losses.correlation import structure

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="this machine has no CUDA device"
)

NETWORKS = [
    ("dpe", "default"),
    ("dpe-plus", "tiny"),
    ("fieldnet", "tiny"),
    ("hqg", "small"),
    ("hqg", "tiny"),
    ("mage", "tiny"),
    ("nafnet", "tiny"),
    ("srresnet", "x1"),
    ("stillgan", "default"),
]


def _answer_and_gradients(network: nn.Module, image: torch.Tensor):
    answer = network(image)
    # weights that differ from pixel to pixel: a shifted gradient is seen too
    ramp = torch.linspace(0.5, 1.5, answer.numel(), device=answer.device)
    (answer * ramp.view_as(answer)).mean().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return [answer.detach().cpu()], [g.cpu() for g in gradients]


def _distance(one, other):
    """Return the largest relative distance of any two tensors of the lists.

    One that is next to nothing (a bias before a normalisation) counts against all.
    """
    least = 1e-3 * torch.stack([b.norm() for b in other]).norm()
    return max(
        float((a - b).norm() / b.norm().clamp(min=least))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(("architecture", "preset"), NETWORKS)
def test_answers_and_gradients_are_the_cpus(architecture, preset):
    torch.manual_seed(0)
    network = models.create(architecture, preset).train()
    image = torch.rand(2, 3, 64, 96)
    on_gpu = copy.deepcopy(network).cuda().to(memory_format=torch.channels_last)
    here = _answer_and_gradients(network, image)
    with cudnn.flags(enabled=True, allow_tf32=False):
        there = _answer_and_gradients(
            on_gpu, image.cuda().to(memory_format=torch.channels_last)
        )
    assert _distance(there[0], here[0]) < 1e-4
    assert _distance(there[1], here[1]) < 5e-2


@pytest.mark.parametrize("loss", [structure, wavelet])
def test_losses_of_channels_last_pictures_have_the_cpus_gradients(loss):
    """PyTorch before mid-2026 moved those of padded pools (its issue 188344)."""
    torch.manual_seed(0)
    one, other = torch.rand(2, 2, 3, 64, 96)
    gradients = []
    for device in ("cpu", "cuda"):
        x = one.to(device, memory_format=torch.channels_last).requires_grad_()
        y = other.to(device, memory_format=torch.channels_last)
        with cudnn.flags(enabled=True, allow_tf32=False):
            loss(x, y).backward()
        gradients.append(x.grad.cpu())
    assert _distance(gradients[1:], gradients[:1]) < 1e-3
