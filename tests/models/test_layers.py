import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medenh.models.layers import UpsampleConv


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 3), (8, 8)])
def test_enlarging_and_convolving_at_once_is_the_same(reflect, size, enlarged_by_hand):
    torch.manual_seed(0)
    conv = UpsampleConv(3, 5, reflect=reflect).double()
    x = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    ours, plain = conv(x), enlarged_by_hand(conv, x)
    assert torch.allclose(ours, plain, atol=1e-12)
    weights = torch.randn_like(plain)
    gradients = [
        torch.autograd.grad((out * weights).sum(), [x, *conv.parameters()])
        for out in (ours, plain)
    ]
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-11)


def test_it_costs_four_ninths():
    conv, x = UpsampleConv(4, 8, bias=False), torch.randn(1, 4, 255, 255)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        conv(x)
    plain = 2 * 4 * 8 * 9 * 510**2
    assert counter.get_total_flops() / plain == pytest.approx(4 / 9, rel=0.01)
