import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from medenh import models
from medenh.models.adalin import AdaLIN, NormBlock, channel_statistics

# preset -> parameters, of which guidance (millions); GFLOPs of enhancer, of guidance
TABLE = {
    "tiny": (1.54, 0.31, 8.2, 2.1),
    "small": (6.07, 1.24, 32.6, 8.2),
    "base": (20.4, 1.24, 130, 8.2),
}

KINDS = [{}, {"unshuffle": True}, {"unshuffle": True, "residual": True}]


def _count(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def _meta(preset, **options):
    with torch.device("meta"):
        return models.create("hqg", preset, **options).eval()


def _seeded(**options):
    torch.manual_seed(0)
    small = {"widths": (8, 8, 12, 16), "guidance_widths": (8, 8, 12, 16)}
    network = models.create("hqg", **{**small, **options}).eval()
    for p in network.parameters():  # zero-initialised layers would hide errors
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.15)
    return network


def _flops(function, *inputs):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*inputs)
    return counter.get_total_flops() / 1e9


@pytest.mark.parametrize("preset", TABLE)
def test_sizes_and_costs_are_those_of_the_specification(preset, enlarged):
    network = _meta(preset, variational=False)
    total, guidance, cost, guidance_cost = TABLE[preset]
    assert _count(network) / 1e6 == pytest.approx(total, rel=3e-3)
    parts = _count(network.guidance, network.code_mean)
    assert parts / 1e6 == pytest.approx(guidance, abs=0.005)
    image = torch.rand(1, 3, 256, 256, device="meta")
    # short cuts that convolve before they enlarge save the rest
    assert 0.97 * cost < _flops(network, image) < cost
    assert _flops(network.encode, image) == pytest.approx(guidance_cost, rel=2e-2)


def test_variational_head_and_unshuffling_cost_what_they_should(enlarged):
    plain, sampled = _meta("small", variational=False), _meta("small")
    assert _count(sampled) - _count(plain) == 64 * (256 + 1)
    image = torch.rand(1, 3, 256, 256, device="meta")
    quarter = _flops(_meta("small", unshuffle=True), image)
    assert quarter == pytest.approx(_flops(plain, image) / 4, rel=0.02)


def _naive_adalin(x, rho, scale, shift):
    """The formula, a picture at a time, by torch's own normalisations."""
    instance = F.instance_norm(x)
    layer = F.layer_norm(x, x.shape[1:])
    mixed = rho[:, None, None] * instance + (1 - rho[:, None, None]) * layer
    return (1 + scale[..., None, None]) * mixed + shift[..., None, None]


def test_norm_block_at_first_is_the_plain_mixture():
    torch.manual_seed(0)
    block = NormBlock(6, 80)
    x = torch.randn(2, 6, 9, 7) + 3 * torch.arange(6.0).view(1, 6, 1, 1)
    code = torch.randn(2, 80)
    zeros = torch.zeros(2, 6)
    mixed = _naive_adalin(x, torch.full((6,), 0.9), zeros, zeros)
    expected = x + block.conv(F.leaky_relu(mixed, 0.2))
    found = block(x, code, channel_statistics(x))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_adalin_scales_and_shifts_by_the_code():
    torch.manual_seed(1)
    norm = AdaLIN(5, 80)
    torch.nn.init.normal_(norm.affine.weight, std=0.2)
    torch.nn.init.normal_(norm.affine.bias)
    torch.nn.init.uniform_(norm.rho)
    x, code = torch.randn(3, 5, 8, 8) * 4 - 2, torch.randn(3, 80)
    scale, shift = (code @ norm.affine.weight.T + norm.affine.bias).chunk(2, 1)
    expected = _naive_adalin(x, norm.rho, scale, shift)
    found = norm(x, code, channel_statistics(x))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_layer_branch_keeps_what_the_instance_branch_erases():
    x = torch.randn(1, 4, 8, 8) + torch.tensor([0.0, 5.0, -5.0, 2.0]).view(1, 4, 1, 1)
    norm, code = AdaLIN(4, 80), torch.zeros(1, 80)
    means = {}
    for name, rho in (("instance", 1.0), ("layer", 0.0)):
        torch.nn.init.constant_(norm.rho, rho)
        means[name] = norm(x, code, channel_statistics(x)).mean((2, 3))
    assert means["instance"].abs().max() < 1e-5
    assert means["layer"].abs().max() > 1


def test_rho_stays_a_share_after_a_step():
    network = _seeded().train()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e4)
    network(torch.rand(1, 3, 16, 16)).square().mean().backward()
    optimiser.step()
    rhos = [n.norm.rho for n in network.norms]
    assert any(r.min() < 0 or r.max() > 1 for r in rhos)
    network.clamp_rho()
    assert all(r.min() >= 0 and r.max() <= 1 for r in rhos)


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 100), (101, 47)])
def test_any_size_keeps_shape_and_range(options, size):
    network = _seeded(**options)
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("unshuffle", [False, True])
def test_a_new_residual_network_changes_no_level_of_8_bits(unshuffle):
    network = models.create("hqg", "tiny", unshuffle=unshuffle, residual=True).eval()
    levels = torch.arange(256).reshape(1, 1, 16, 16).expand(1, 3, -1, -1)
    with torch.no_grad():
        out = network(levels / 255)
        assert torch.equal((out * 255).round().long(), levels)
        gain, offset = network.head.bias.chunk(2)
        gain.fill_(1.0)
        offset.fill_(-0.25)
        answer = (2 * levels / 255 - 0.25).clamp(0, 1)
        torch.testing.assert_close(network(levels / 255), answer)
        assert network.train()(levels / 255).min() == -0.25  # a clamp stops gradients


@pytest.mark.parametrize("variational", [True, False])
def test_default_code_and_reference_code_both_run_and_are_repeatable(variational):
    network = _seeded(variational=variational)
    image, reference = torch.rand(2, 3, 32, 48), torch.rand(1, 3, 50, 37)
    with torch.no_grad():
        code = network.code(reference)
        guided = network(image, code)
        assert code.shape == (1, 64)
        assert torch.equal(guided, network(image, network.code(reference)))
        assert torch.equal(guided, network(image, code.expand(2, -1)))
        plain = network(image)
        assert (plain - guided).abs().max() > 1e-3
        network.default_code.copy_(code)
        assert torch.equal(network(image), guided)


def test_reference_is_seen_at_384_pixels_whatever_its_size():
    network = _seeded()
    small = torch.rand(1, 3, 24, 48)
    large = F.interpolate(small, (192, 384), mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(
            network.code(small), network.encode(large)[0], atol=1e-3, rtol=1e-3
        )


def test_codes_are_drawn_from_their_distribution():
    network = _seeded()
    mean, log_variance = torch.full((4000, 64), 2.0), torch.full((4000, 64), -2.0)
    generator = torch.Generator().manual_seed(0)
    drawn = network.sample_code(mean, log_variance, generator=generator)
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.01)
    assert drawn.std().item() == pytest.approx(math.exp(-1), rel=0.01)
    assert torch.equal(network.sample_code(mean, None), mean)
    assert _seeded(variational=False).encode(torch.rand(1, 3, 16, 16))[1] is None


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("size", [(64, 48), (40, 90), (33, 20)])
def test_whole_is_local_under_its_condition(options, size):
    """Below and above the size from which statistics come from a copy."""
    network = _seeded(**options, statistics_side=64)
    image, code = torch.rand(2, 3, *size), torch.rand(1, 64)
    with torch.no_grad():
        whole = network(image, code)
        parts = network.local(image, network.condition(image, code))
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)


@pytest.mark.parametrize("unshuffle", [False, True])
def test_tiles_under_a_condition_know_nothing_beyond_the_receptive_field(unshuffle):
    network = _seeded(unshuffle=unshuffle)
    halo = network.receptive_field
    image = torch.rand(1, 3, 64, 32 + halo + 32)
    changed = image.clone()
    changed[..., :32] = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        condition = network.condition(image)
        before, after = (
            network.local(image, condition),
            network.local(changed, condition),
        )
    assert not torch.equal(before[..., :32], after[..., :32])
    beyond = slice(32 + halo, None)
    torch.testing.assert_close(before[..., beyond], after[..., beyond], atol=0, rtol=0)


def test_statistics_of_a_large_picture_come_from_its_shrunken_copy():
    """A picture and its enlargement are normalised alike."""
    network = _seeded(statistics_side=64)
    small = torch.rand(1, 3, 48, 64)
    large = F.interpolate(small, scale_factor=3, mode="nearest")
    with torch.no_grad():
        torch.testing.assert_close(
            network.condition(large), network.condition(small), atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize("variational", [True, False])
def test_every_parameter_learns(variational):
    network = _seeded(variational=variational).train()
    mean, log_variance = network.encode(torch.rand(2, 3, 32, 32))
    code = network.sample_code(mean, log_variance)
    network.enhance(torch.rand(2, 3, 32, 32), code).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if not p.grad.abs().sum()]
    assert idle == []


def test_features_are_the_encoders_maps():
    maps = _seeded().features(torch.rand(1, 3, 64, 48))
    assert [m.shape[1:] for m in maps] == [
        (8, 64, 48),
        (8, 32, 24),
        (12, 16, 12),
        (16, 8, 6),
    ]


@pytest.mark.filterwarnings("ignore")
def test_condition_is_traced_for_any_size():
    """A branch on the size would stay as it was in the tracing; OpenVINO traces."""
    openvino = pytest.importorskip("openvino")
    network = _seeded(statistics_side=64).requires_grad_(False)

    class Condition(torch.nn.Module):
        def forward(self, image):
            return network.condition(image)

    example = torch.rand(1, 3, 96, 128)
    converted = openvino.convert_model(Condition(), example_input=example)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    run = openvino.Core().compile_model(converted, "CPU", hint)
    for size in ((48, 64), (150, 60), (33, 47)):
        image = torch.rand(1, 3, *size)
        expected = network.condition(image)
        found = torch.from_numpy(run([image.numpy()])[0])
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
