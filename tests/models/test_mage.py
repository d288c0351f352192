import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from medenh import models
from medenh.errors import UsageError
from medenh.models.mage_stages import ChannelAttentionBlock

# rows of the paper's table 6, and ours
VARIANTS = {
    "S1": {"stage2": False, "rsp": False},
    "S1+S2": {"rsp": False},
    "S1+S2+RSP": {},
    "no attention": {"channel_attention": False},
    "all feeds": {"rsp_feed": "all"},
    "one patch": {"patches": 1},
    "half size": {"scale": 2},
    "shrunk": {"shrink": 4},
    "gain": {"gain": True},
    "gain at half size": {"gain": True, "scale": 2},
    "gain and shrunk": {"gain": True, "shrink": 2},
    "bias": {"bias": True},
    "thumbnail": {"thumbnail": 24},
    "thumbnail, shrunk": {"thumbnail": 64, "shrink": 4},
}
LOCAL = {"rsp": False, "patches": 1, "channel_attention": False}


def _seeded(preset="tiny", **options):
    torch.manual_seed(0)
    return models.create("mage", preset, **options).eval()


def _count(network):
    return sum(p.numel() for p in network.parameters())


def test_a_channel_attention_block_has_the_parameters_of_the_specification():
    assert _count(ChannelAttentionBlock(40)) == 28_800 + 800 + 1


def test_a_channel_attention_block_weighs_whole_channels():
    torch.manual_seed(0)
    block = ChannelAttentionBlock(8).double()
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    ratio = (block(x) - x) / block.body(x)
    assert ((ratio > 0) & (ratio < 1)).all()
    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert ratio[0, :, 0, 0].std() > 0


@pytest.mark.parametrize(
    ("preset", "millions", "gmac"),
    [("paper", 12.24, 155), ("default", 11.54, 111), ("half", 3.9, 30.5)],
)
def test_size_and_cost_are_the_specifications(preset, millions, gmac):
    network = _seeded(preset)
    assert _count(network) / 1e6 == pytest.approx(millions, rel=0.01)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 32, 32))
    assert counter.get_total_flops() / 2e9 * 64 == pytest.approx(gmac, rel=0.02)


def test_parts_of_the_ablation_cost_what_they_should():
    whole = _count(_seeded("default"))
    more = _count(_seeded("default", rsp_feed="all")) - whole
    assert more / 1e6 == pytest.approx(0.14, rel=0.01)
    without = _count(_seeded("default", rsp=False))
    assert 9.335e6 < whole - without < 9.5e6  # AG-Net and its projections
    bare = _count(_seeded("default", channel_attention=False))
    blocks = [(40, 7), (60, 5), (80, 4), (56, 3 * 5)]
    assert whole - bare == sum(n * 2 * c * (c // 4) for c, n in blocks)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 70)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_any_size_keeps_shape_and_range(variant, size):
    network = _seeded(**VARIANTS[variant])
    with torch.no_grad():
        out = network(torch.rand(1, 3, *size))
        images, sides = network.outputs(torch.rand(1, 3, *size))
    assert out.shape == (1, 3, *size)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1
    assert len(images) == (1 if variant == "S1" else 2)
    assert len(sides) == (4 if network.rsp is not None else 0)
    assert all(image.shape == (1, 3, *size) for image in images)
    assert all(side.shape == (1, 2, *size) for side in sides)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_gain_multiplies_the_picture(scale):
    network, image = _seeded(gain=True, scale=scale), torch.rand(1, 3, 33, 50)
    # gains of .1, .2, .3 for the three colours, offsets of 0
    tail = network.stage2.tail
    weight = torch.zeros_like(tail.weight)
    tail.weight = torch.nn.Parameter(weight)
    colours = torch.arange(tail.out_channels) // scale**2
    values = torch.tensor([0, 0, 0, 0.1, 0.2, 0.3])[colours]
    tail.bias = torch.nn.Parameter(values)
    with torch.no_grad():
        out = network.outputs(image).images[-1]
    gains = torch.tensor([1.1, 1.2, 1.3])[:, None, None]
    torch.testing.assert_close(out, image * gains)


def test_biases_start_at_nothing_and_are_in_both_stages():
    plain, biased = _seeded(), _seeded(bias=True)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(plain(image), biased(image))
    added = dict(biased.named_parameters()).keys() - dict(plain.named_parameters())
    assert added
    for name in added:
        assert name.endswith("bias")
        assert name.startswith(("stage1.", "sam.", "stage2."))
    convolutions = [
        name
        for name, module in biased.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.bias is None
    ]
    assert all(name.startswith("rsp.") for name in convolutions)


def test_a_thumbnail_is_judged_at_one_size():
    network, plain = _seeded(thumbnail=64), _seeded()
    small = torch.rand(1, 3, 64, 64)
    large = small.repeat_interleave(3, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        torch.testing.assert_close(network(small), plain(small))
        own = plain.stage1(small)
        for seen, levels in zip(network._context(large), own, strict=True):
            for got, level in zip(seen, levels, strict=True):
                wide = F.interpolate(level, scale_factor=(3, 2), mode="bilinear")
                torch.testing.assert_close(got, wide)
        assert not torch.equal(network(large), plain(large))


def test_structures_set_the_classes():
    network = _seeded(structures=("vessel", "disc", "cup"))
    sides = network.outputs(torch.rand(1, 3, 16, 16)).sides
    assert all(side.shape[1] == 4 for side in sides)


@pytest.mark.parametrize("preset", ["default", "half", "tiny"])
def test_it_starts_near_the_input(preset):
    network, image = _seeded(preset), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        images = network.outputs(image).images
    for enhanced in images:
        assert 0 < (enhanced - image).abs().mean() < 0.05


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns(variant):
    network = _seeded(**VARIANTS[variant]).train()
    side = 32 * network.shrink  # smaller, the segmenter's deepest maps are one pixel
    images, sides = network.outputs(torch.rand(2, 3, side, side))
    loss = sum(image.square().mean() for image in images)
    target = torch.randint(0, 2, (2, side, side))
    loss = loss + sum(F.cross_entropy(side, target) for side in sides)
    loss.backward()
    idle = [n for n, p in network.named_parameters() if not p.grad.abs().sum()]
    # of the two hidden units of a tiny block's attention both may be dark
    assert all("attention" in name for name in idle), idle


def test_attention_learns():
    torch.manual_seed(0)
    block = ChannelAttentionBlock(40)
    block(torch.randn(2, 40, 8, 8)).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in block.parameters())


def test_only_evaluation_clamps():
    network, bright = _seeded(), torch.full((1, 3, 16, 16), 1.5)
    with torch.no_grad():
        clamped, free = network(bright), network.outputs(bright).images[-1]
        trained = network.train()(bright)
    assert clamped.max() == 1
    assert free.max() > 1
    torch.testing.assert_close(trained, free)


def test_halves_are_encoded_apart_and_joined_by_the_decoder():
    image = torch.rand(1, 3, 32, 16)
    changed = image.clone()
    changed[:, :, 16:] = torch.rand(1, 3, 16, 16)
    for patches in (1, 2):
        stage = _seeded(patches=patches).stage1
        with torch.no_grad():
            encoded, decoded = stage(image)
            encoded_too, decoded_too = stage(changed)
        for level, (before, after) in enumerate(zip(encoded, encoded_too, strict=True)):
            top = 16 >> level
            same = torch.equal(before[:, :, :top], after[:, :, :top])
            assert same == (patches == 2)
        assert not torch.equal(decoded[0][:, :, :16], decoded_too[0][:, :, :16])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"blocks": 3},
        {"scale": 2},
        {"stage2": False},
        {"shrink": 2},
        {"shrink": 4, "stage2": False},
    ],
)
def test_the_receptive_field_is_the_reach_of_the_gradient(options):
    network = _seeded(**LOCAL, **options).double().train()
    for p in network.parameters():
        torch.nn.init.uniform_(p, 0.01, 0.1)  # nothing cancels
    assert not network.global_ops
    halo = network.receptive_field
    centre = (halo // 16 + 1) * 16
    reach = 0
    for offset in range(0, network.multiple_of, 3):
        image = torch.rand(1, 3, 16, 2 * centre + 32, dtype=torch.float64)
        image.requires_grad_(True)
        place = centre + offset
        network(image)[..., place].sum().backward()
        seen = image.grad.abs().sum((0, 1, 2)).nonzero()
        reach = max(reach, place - int(seen.min()), int(seen.max()) - place)
    assert halo - 16 < reach <= halo


@pytest.mark.parametrize("variant", VARIANTS)
def test_global_operations_are_declared(variant):
    network = _seeded(**VARIANTS[variant])
    assert network.global_ops
    assert network.receptive_field is None
    image = torch.rand(1, 3, 320, 16)
    changed = image.clone()
    changed[:, :, :16] = 0
    with torch.no_grad():
        far = (network(image) - network(changed))[:, :, -16:]
    assert far.abs().max() > 0


def test_checkpointing_changes_no_gradient():
    image, gradients = torch.rand(1, 3, 32, 32), []
    for checkpointing in (False, True):
        network = _seeded(checkpointing=checkpointing).train()
        network(image).square().mean().backward()
        gradients.append([p.grad for p in network.parameters() if p.grad is not None])
    for plain, anew in zip(*gradients, strict=True):
        torch.testing.assert_close(anew, plain)


def test_bf16_is_near():
    network, image = _seeded(), torch.rand(1, 3, 48, 48)
    with torch.no_grad():
        plain = network.outputs(image)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network.outputs(image)
    for ours, theirs in zip(rough.images, plain.images, strict=True):
        assert ours.dtype == torch.float32
        assert 0 < (ours - theirs).abs().max() < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"patches": 3},
        {"scale": 4},
        {"shrink": 3},
        {"thumbnail": -8},
        {"thumbnail": 36},
        {"rsp_feed": "none"},
        {"stage2": False},
    ],
)
def test_options_that_cannot_be_are_usage_errors(options):
    with pytest.raises(UsageError, match="MAGE-Net"):
        models.create("mage", "tiny", **options)


@pytest.mark.parametrize("thumbnail", [0, 32])
def test_openvino_gives_the_same(thumbnail):
    pytest.importorskip("openvino")
    from medenh.pipeline.openvino_cache import load_parts

    network = _seeded(rsp=False, thumbnail=thumbnail)  # the segmenter has a test
    parts = load_parts(None, "mage", lambda: network, multiple_of=16)
    assert set(parts) == {"whole"}  # an answer unlike torch's would have been refused
