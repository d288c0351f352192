import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from medenh.models.discriminators import (
    DPEDiscriminator,
    MultiScaleDiscriminator,
    PatchDiscriminator,
)


def _count(network):
    return sum(p.numel() for p in network.parameters())


def _cost(network, side):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


def test_patchgan_is_stillgans():
    with torch.device("meta"):
        network = PatchDiscriminator()
    assert _count(network) == 2_764_737
    assert _cost(network, 512) == pytest.approx(25.7e9, rel=1e-3)


def test_patchgan_answers_for_70_pixels():
    network = PatchDiscriminator(norm="none", width=4).double()
    image = torch.rand(1, 3, 160, 160, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    middle = logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2]
    (slope,) = torch.autograd.grad(middle, image)
    seen = torch.nonzero(slope.abs().sum((0, 1)))
    sides = seen.max(0).values - seen.min(0).values + 1
    assert sides.tolist() == [70, 70]


def test_multi_scale_looks_at_halved_copies_and_bounds_its_slopes():
    torch.manual_seed(0)
    network = MultiScaleDiscriminator(width=4).train()
    assert _count(MultiScaleDiscriminator()) == 2 * 2_764_737
    image = torch.rand(2, 3, 64, 48)
    for _ in range(30):  # power iterations converge
        logits = network(image)
    assert [x.shape[0:2] for x in logits] == [(2, 1), (2, 1)]
    alone = network.eval().scales[1](F.avg_pool2d(image, 2))
    torch.testing.assert_close(network(image)[1], alone)
    for scale in network.scales:
        for conv in scale.convs:
            norm = torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item()
            assert norm == pytest.approx(1.0, abs=0.05)


def test_features_end_in_the_logits():
    network, image = MultiScaleDiscriminator(width=4).eval(), torch.rand(1, 3, 64, 64)
    maps = network.features(image)
    assert [len(m) for m in maps] == [5, 5]
    for found, logits in zip(maps, network(image), strict=True):
        torch.testing.assert_close(found[-1], logits)


def test_dpe_discriminator_has_the_published_size_and_cost():
    with torch.device("meta"):
        network = DPEDiscriminator()
        compat = DPEDiscriminator(compat=True)
    assert _count(network) == _count(compat) == 4_689_601
    assert sum(b.numel() for b in network.buffers()) == 3_719
    assert _cost(network, 256) == pytest.approx(12.31e9, rel=1e-3)


def test_compat_dilutes_the_logit_by_its_ring_of_bias():
    torch.manual_seed(0)
    network, compat = DPEDiscriminator().eval(), DPEDiscriminator(compat=True).eval()
    compat.load_state_dict(network.state_dict())
    image = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        plain, diluted = network(image), compat(image)
    assert plain.shape == (2, 1)
    bias = network.last.bias.item()
    torch.testing.assert_close(diluted - bias, 0.64 * (plain - bias))
