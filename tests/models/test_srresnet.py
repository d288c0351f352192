import pytest
import torch

from medenh import models
from medenh.degradations.resampling import resize
from medenh.errors import UsageError
from medenh.models.layers import pad_to_multiple
from medenh.models.srresnet import resize_bicubic

_PRESETS = ["x1", "x2", "x4", "faithful-x1", "faithful-x2", "faithful-x4", "tiny"]


def _count(network):
    return sum(p.numel() for p in network.parameters())


def _seeded(preset="tiny", **options):
    torch.manual_seed(0)
    network = models.create("srresnet", preset, **options).eval()
    for p in network.parameters():  # a zero tail would hide errors
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.05)
    return network


@pytest.mark.parametrize(
    ("scale", "estr", "ledig"),
    [
        (1, 438_666, 1_254_036),
        (2, 586_379, 1_401_749),
        (4, 734_092, 1_549_462),
        (8, 881_805, 1_697_175),
    ],
)
def test_parameters_of_the_published_networks(scale, estr, ledig):
    assert _count(models.create("srresnet", "faithful-x1", scale=scale)) == estr
    assert _count(models.create("srresnet", "ledig", scale=scale)) == ledig


@pytest.mark.parametrize("preset", _PRESETS)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 18)])
def test_equal_shape_and_range_at_any_size(preset, size):
    network = _seeded(preset)
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("head", ["residual", "tanh"])
def test_a_small_picture_becomes_as_large_as_the_scale(head):
    network = _seeded(scale=4, head=head, channels=1, from_enlarged=False)
    with torch.no_grad():
        assert network(torch.rand(1, 1, 7, 9)).shape == (1, 1, 28, 36)


def test_the_residual_head_starts_as_doing_nothing():
    image = torch.rand(1, 3, 18, 21)
    for preset in ("x1", "x2", "x4"):
        network = models.create("srresnet", preset, blocks=1, width=8)
        assert torch.equal(network.eval()(image), image), preset
        assert torch.equal(network.train()(image), image), preset
    enlarging = models.create("srresnet", "x2", blocks=1, width=8, from_enlarged=False)
    expected = resize_bicubic(image, 36, 42).clamp(0, 1)
    assert torch.equal(enlarging.eval()(image), expected)


def test_resizing_is_that_of_the_recipes():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 36, 52)
    for height, width in ((9, 13), (144, 208)):
        ours = resize_bicubic(image, height, width)[0].permute(1, 2, 0).numpy()
        theirs = resize(image[0].permute(1, 2, 0).numpy().copy(), (height, width))
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs))


def test_from_enlarged_super_resolves_what_it_reduced():
    """With one set of weights, both ways meet on the small picture."""
    one = _seeded(scale=4, head="tanh")
    two = _seeded(scale=4, head="tanh", from_enlarged=False)
    two.load_state_dict(one.state_dict())
    image = torch.rand(1, 3, 30, 45)
    padded = pad_to_multiple(image, 4)
    with torch.no_grad():
        expected = two(resize_bicubic(padded, 8, 12))[..., :30, :45]
        torch.testing.assert_close(one(image), expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 2},
        {"scale": 8, "blocks": 1},
        {"scale": 4, "from_enlarged": False},
        {"scale": 4, "norm": "bn", "head": "tanh", "trunk": "bn"},
    ],
)
def test_output_depends_on_nothing_beyond_the_receptive_field(options):
    network = _seeded(**options)
    halo, factor = network.receptive_field, network.scale if network.enlarges else 1
    image = torch.rand(1, 3, 16, 2 * halo + 32)
    changed = image.clone()
    changed[..., :13] = torch.rand(1, 3, 16, 13)
    with torch.no_grad():
        before, after = network(image), network(changed)
    beyond = slice((13 + halo) * factor, None)
    assert not torch.equal(before[..., :13], after[..., :13])
    torch.testing.assert_close(before[..., beyond], after[..., beyond], atol=0, rtol=0)


@pytest.mark.parametrize("scale", [1, 4])
def test_a_tile_with_its_halo_is_exact(scale):
    network = _seeded(scale=scale)
    halo = -(-network.receptive_field // scale) * scale
    image = torch.rand(1, 3, 16, 2 * halo + 64)
    start = 24
    with torch.no_grad():
        whole = network(image)[..., start + halo : -16]
        tile = network(image[..., start:])[..., halo:-16]
    torch.testing.assert_close(whole, tile, atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", ["x4", "faithful-x4"])
def test_every_parameter_learns(preset):
    network = _seeded(preset, blocks=2, width=8).train()
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if not p.grad.abs().sum()]
    assert not idle


def test_unknown_options_are_usage_errors():
    with pytest.raises(UsageError, match="no scale 3"):
        models.create("srresnet", scale=3)
    with pytest.raises(UsageError, match="no norm 'layer'"):
        models.create("srresnet", norm="layer")
    with pytest.raises(UsageError, match="no head 'linear'"):
        models.create("srresnet", head="linear")
