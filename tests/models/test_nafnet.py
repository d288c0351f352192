import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.utils.flop_counter import FlopCounterMode

from medenh import models
from medenh.models.inference import for_inference
from medenh.models.nafnet import NAFBlock, _local_mean


def _seeded(preset="tiny"):
    torch.manual_seed(0)
    network = models.create("nafnet", preset).eval()
    for name, p in network.named_parameters():  # zero scales would hide errors
        if name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(p, std=0.5)
    return network


def _count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("preset", "width", "blocks", "millions", "gmac"),
    [
        ("width16", 16, (1, 1, 2, 4, 6, 1, 1, 1, 1), 3.9, 2.2),
        ("width32", 32, (2, 2, 4, 8, 12, 2, 2, 2, 2), 29.2, 16.0),
    ],
)
def test_size_and_cost_are_the_papers(preset, width, blocks, millions, gmac):
    network = models.create("nafnet", preset).eval()
    channels = [width << level for level in (0, 1, 2, 3, 4, 3, 2, 1, 0)]
    inside = sum(
        n * (7 * c * c + 33 * c) for n, c in zip(blocks, channels, strict=True)
    )
    steps = sum(8 * c * c + 2 * c + 8 * c * c for c in channels[:4])
    ends = 2 * 27 * width + width + 3
    assert _count(network) == inside + steps + ends
    assert round(_count(network) / 1e6, 1) == millions
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    assert counter.get_total_flops() / 2e9 * 16 == pytest.approx(gmac, rel=0.02)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 50)])
def test_any_size_keeps_shape_and_range(size):
    network = _seeded()
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert out.min() >= 0
    assert out.max() <= 1


def test_a_block_starts_as_the_identity_and_norms_every_pixel():
    torch.manual_seed(0)
    block, x = NAFBlock(8), torch.randn(2, 8, 5, 6)
    assert torch.equal(block(x), x)
    pixel = x[0, :, 2, 3]
    expected = (pixel - pixel.mean()) / (pixel.var(correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(block.norm1(x)[0, :, 2, 3], expected)


def test_every_parameter_learns():
    network = _seeded().train()
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert [n for n, p in network.named_parameters() if not p.grad.abs().sum()] == []


def test_training_is_not_clamped():
    network = _seeded().train()
    assert network(10 * torch.ones(1, 3, 8, 8)).max() > 1


def test_bf16_is_near():
    network, image = _seeded(), torch.rand(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = network(image)
    with torch.no_grad():
        plain = network(image)
    assert rough.dtype == torch.float32
    assert 0 < (rough - plain).abs().max() < 0.05


def test_the_whole_picture_enters():
    network, image = _seeded(), torch.rand(1, 3, 16, 320)
    changed = image.clone()
    changed[..., :16] = 0
    with torch.no_grad():
        far = (network(image) - network(changed))[..., -16:]
    assert network.global_ops
    assert far.abs().max() > 0


def test_openvino_gives_the_same():
    pytest.importorskip("openvino")
    from medenh.pipeline.openvino_cache import load_parts

    network = _seeded()
    parts = load_parts(None, "naf", lambda: network, multiple_of=network.multiple_of)
    assert set(parts) == {"whole"}  # an answer unlike torch's would have been refused


@pytest.mark.parametrize("size", [(1, 1), (17, 40), (64, 48)])
def test_the_form_for_inference_is_equal_and_leaves_the_network_as_it_was(size):
    network = _seeded().double()
    for p in network.parameters():  # norms of 1 and 0 would hide errors
        torch.nn.init.normal_(p, std=0.3)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    fast = for_inference(network)
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(fast(image), network(image), rtol=0, atol=1e-12)
    assert not any(isinstance(m, NAFBlock) for m in fast.modules())
    assert not any(p.requires_grad for p in fast.parameters())
    after = network.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.requires_grad for p in network.parameters())


def test_the_form_for_inference_has_no_form_of_its_own():
    fast = for_inference(_seeded())
    assert for_inference(fast) is fast


def test_the_form_for_inference_is_about_as_near_in_bf16():
    network, image = _seeded(), torch.rand(1, 3, 64, 64)
    error = {}
    for name, form in (("plain", network), ("fast", for_inference(network))):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            rough = form(image)
        with torch.no_grad():
            error[name] = (rough - network(image)).square().mean().item()
    assert error["fast"] < 2 * error["plain"]  # 3 dB


def test_small_changes_of_the_mean_are_left_out_and_large_ones_reduced():
    plain, steady = _seeded(), _seeded()
    steady.mean_tolerance = 0.005
    image = 0.3 + 0.4 * torch.rand(1, 3, 48, 61)
    for bias, expected in ((0.004, 0.0), (-0.004, 0.0), (0.1, 0.095), (-0.1, -0.095)):
        for network in (plain, steady):  # a bias, and nothing else
            network.head.weight.data.zero_()
            network.head.bias.data.fill_(bias)
        with torch.no_grad():
            moved, kept = plain(image) - image, steady(image) - image
        assert moved.mean() == pytest.approx(bias, abs=1e-5)
        assert kept.mean() == pytest.approx(expected, abs=1e-5)


def test_local_means_are_scipys():
    x = torch.rand(2, 3, 20, 33)
    expected = gaussian_filter(x.numpy(), (0, 0, 4, 4), mode="nearest", truncate=3.0)
    torch.testing.assert_close(_local_mean(x), torch.from_numpy(expected))
