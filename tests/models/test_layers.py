import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medenh.models.layers import ShuffledConv, UpsampleConv


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


@pytest.mark.parametrize("side", [5, 9, 13])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 2)])
def test_a_shuffled_convolution_is_that_of_the_shuffled_map(side, size):
    torch.manual_seed(0)
    conv = ShuffledConv(3, 2, side).double()
    x = torch.randn(2, 12, *size, dtype=torch.float64, requires_grad=True)
    large = torch.nn.functional.pixel_shuffle(x, 2)
    plain = torch.nn.functional.conv2d(large, conv.weight, conv.bias, padding=side // 2)
    torch.testing.assert_close(conv(x), plain)
    wanted = (x, conv.weight, conv.bias)
    upstream = torch.randn_like(plain)
    found = torch.autograd.grad(conv(x), wanted, upstream)
    expected = torch.autograd.grad(plain, wanted, upstream)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
