from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from medenh.training.muon import Muon, orthogonal


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 24, 3),
        nn.Conv2d(24, 24, 3, groups=24),
        nn.Conv2d(24, 32, 1),
        nn.Conv2d(32, 3, 3),
    )


def _gradients(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (32, 32)])
def test_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 7
    turned = orthogonal(matrix)
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.3
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest = left @ right
    cosine = (turned * nearest).sum() / turned.norm() / nearest.norm()
    assert cosine > 0.97


def test_a_matrix_of_zeros_stays():
    assert torch.equal(orthogonal(torch.zeros(20, 30)), torch.zeros(20, 30))


def test_matrices_move_as_in_torch():
    ours = nn.Linear(40, 30, bias=False)
    theirs = deepcopy(ours)
    options = {"lr": 1e-2, "weight_decay": 0.1, "momentum": 0.95}
    one = Muon(ours.parameters(), **options)
    other = torch.optim.Muon(
        theirs.parameters(), **options, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    before = ours.weight.detach().clone()
    for step in range(5):
        for network, optimiser in ((ours, one), (theirs, other)):
            _gradients(network, step)
            optimiser.step()
    moved = ours.weight - before
    # theirs rounds to bfloat16 within
    assert (moved - (theirs.weight - before)).norm() < 0.02 * moved.norm()


def test_what_is_no_matrix_moves_as_with_adamw():
    ours = _network()
    theirs = deepcopy(ours)
    options = {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.8, 0.9)}
    one = Muon(ours.parameters(), **options)
    other = torch.optim.AdamW(theirs.parameters(), **options)
    for step in range(4):
        for network, optimiser in ((ours, one), (theirs, other)):
            _gradients(network, step)
            optimiser.step()
    same = {
        name
        for (name, a), b in zip(
            ours.named_parameters(), theirs.parameters(), strict=True
        )
        if torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    }
    matrices = {"0.weight", "2.weight"}  # the others are biases, depthwise, or thin
    assert same == {name for name, _ in ours.named_parameters()} - matrices


def test_a_state_goes_on_where_it_was(tmp_path):
    ours = _network().to(memory_format=torch.channels_last)
    one = Muon(ours.parameters(), lr=1e-2)
    for step in range(3):
        _gradients(ours, step)
        one.step()
    torch.save({"n": ours.state_dict(), "o": one.state_dict()}, tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    again = _network().to(memory_format=torch.channels_last)
    again.load_state_dict(state["n"])
    two = Muon(again.parameters(), lr=1e-2)
    two.load_state_dict(state["o"])
    for step in range(3, 6):
        for network, optimiser in ((ours, one), (again, two)):
            _gradients(network, step)
            optimiser.step()
    for a, b in zip(ours.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
