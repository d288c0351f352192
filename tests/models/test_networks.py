import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from medenh import models
from medenh.errors import UsageError

PRESETS = {"dpe": "default", "hqg-legacy": "code-only"}  # the others have a "tiny"
ENHANCERS = sorted(  # hqg-legacy is too large
    {*models.ARCHITECTURES} - models.NO_ENHANCERS - {"hqg-legacy"}
)


def _parameters(network):
    return sum(p.numel() for p in network.parameters())


def _seeded(architecture, preset="default", **options):
    torch.manual_seed(0)
    network = models.create(architecture, preset, **options).eval()
    for p in network.parameters():  # zero-initialised heads would hide errors
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.05)
    return network


def test_dpe_has_the_parameters_of_the_published_network():
    assert _parameters(models.create("dpe")) == 4_486_987
    assert _parameters(models.create("dpe", "compat")) == 5_298_637


def test_dpe_costs_what_the_published_network_costs():
    network = models.create("dpe").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 256, 256))
    assert counter.get_total_flops() == pytest.approx(50.98e9, rel=1e-3)


@pytest.mark.parametrize(
    ("architecture", "preset"),
    [
        *((name, PRESETS.get(name, "tiny")) for name in ENHANCERS),
        ("dpe-plus", "default"),
        ("dpe-plus", "light"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 100), (64, 48)])
def test_any_size_keeps_shape_and_range(architecture, preset, size):
    network = _seeded(architecture, preset)
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert torch.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 100)])
@pytest.mark.parametrize(
    ("kind", "architecture"),
    [(kind, name) for kind, names in models.RECOGNISERS.items() for name in names],
)
def test_recognisers_answer_with_logits_at_any_size(kind, architecture, size):
    network = _seeded(architecture, "tiny", classes=4)
    with torch.no_grad():
        out = network(torch.rand(2, 3, *size))
    assert out.shape == ((2, 4, *size) if kind == "segmentation" else (2, 4))
    assert torch.isfinite(out).all()


def test_filters_are_added_by_their_shares_in_the_place_of_their_values():
    network = models.create("dpe-plus", "light", filters=2).eval()
    plain = models.create("dpe-plus", "light", filters=0).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    image = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        assert torch.equal(network(image), plain(image))  # shares begin at none
        # both filters give the picture back, of which .75 - .25 is taken away
        network.mixed.filters.bias.zero_()
        network.mixed.filters.weight.zero_()
        for k in range(96):
            network.mixed.filters.weight[k, k % 48, 1, 1] = 1.0
        network.mixed.shares.bias[:48] = -0.75
        network.mixed.shares.bias[48:] = 0.25
        halved = network(image)
        expected = 0.5 * network.corrected(image, network.condition(image))
    torch.testing.assert_close(halved, expected.clamp(0, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "preset", "options"),
    [
        *((name, PRESETS.get(name, "tiny"), {}) for name in ENHANCERS),
        ("dpe-plus", "default", {}),
        ("dpe-plus", "default", {"widths": (16, 24, 32), "unshuffle": 4}),
        ("dpe-plus", "light", {}),
    ],
)
def test_output_depends_on_nothing_beyond_the_receptive_field(
    architecture, preset, options
):
    network = _seeded(architecture, preset, **options)
    halo = network.receptive_field
    if halo is None:
        assert network.global_ops  # else its tiles would be as good as the whole
        return
    image = torch.rand(1, 3, 96, 2 * halo + 64)
    changed = image.clone()
    changed[..., :32] = torch.rand(1, 3, 96, 32)
    local = network.local if network.global_ops else None
    with torch.no_grad():
        if local is None:
            before, after = network(image), network(changed)
        else:
            condition = network.condition(image)
            before, after = local(image, condition), local(changed, condition)
    beyond = slice(32 + halo, None)
    assert not torch.equal(before[..., :32], after[..., :32])
    assert torch.equal(before[..., beyond], after[..., beyond]), (
        f"{architecture} sees farther than its receptive_field, {halo} pixels"
    )


def test_dpe_plus_is_local_under_its_condition():
    network = _seeded("dpe-plus", "tiny")
    image = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        whole = network(image)
        parts = network.local(image, network.condition(image))
    torch.testing.assert_close(whole, parts, atol=0, rtol=0)


def test_dpe_plus_condition_undoes_any_exposure_alike():
    """The target does not move with brightness and contrast, below it."""
    network = models.create("dpe-plus").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        bright = network(0.4 * image + 0.1)
        dark = network(0.2 * image + 0.05)
    torch.testing.assert_close(bright, dark, atol=2e-3, rtol=0)


def test_dpe_plus_condition_is_the_same_at_every_size():
    # fine grain has other extremes at another size, and must not pass for contrast
    network = _seeded("dpe-plus", "tiny")
    grain = 0.3 + 0.1 * torch.rand(1, 3, 512, 512)
    reduced = F.avg_pool2d(grain, 4)
    with torch.no_grad():
        here, there = network.condition(grain), network.condition(reduced)
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)


def test_dpe_plus_constant_image_stays_finite():
    network = _seeded("dpe-plus", "tiny")
    with torch.no_grad():
        out = network(torch.full((1, 3, 32, 32), 0.4))
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("wild", [1e4, -1e4])
def test_dpe_plus_wild_guesses_give_finite_conditions_and_gradients(wild):
    network = models.create("dpe-plus", "tiny").train()
    torch.nn.init.constant_(network.estimator.guess[-1].bias, wild)
    condition = network.condition(torch.rand(2, 3, 40, 40))
    condition.square().sum().backward()
    assert torch.isfinite(condition).all()
    assert all(
        torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None
    )


def test_unknown_names_are_usage_errors():
    with pytest.raises(UsageError, match="unknown architecture"):
        models.create("alexnet")
    with pytest.raises(UsageError, match="no preset"):
        models.create("dpe", "huge")
    with pytest.raises(UsageError, match=r"no option 'depth' \(one of unused_blocks"):
        models.create("dpe", depth=3)
    with pytest.raises(UsageError, match="no such options"):
        models.create("resnet", widths=3)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_dpe_plus_leaves_the_exposure_of_a_blank_picture_alone(value):
    network = _seeded("dpe-plus", "tiny")
    with torch.no_grad():
        condition = network.condition(torch.full((1, 3, 40, 40), value))
    expected = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(condition, expected, atol=1e-6, rtol=0)


def test_dpe_plus_lowers_neither_contrast_nor_mean():
    """A picture better than the guess keeps its exposure."""
    network = models.create("dpe-plus", "tiny").eval()  # guesses a mean near 0.4
    torch.manual_seed(0)
    good = (torch.rand(1, 3, 64, 64) > 0.3).float()  # mean 0.7, the widest contrast
    with torch.no_grad():
        condition = network.condition(good)
    assert condition[:, :3].min() > 0.9999
    after = condition[:, :3] * 0.7 + condition[:, 3:]
    assert after.min() > 0.69


@pytest.mark.parametrize("architecture", sorted(models.ARCHITECTURES))
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_type_work_or_are_told_the_remedy(architecture, kind):
    """Some met torch's "Input type (float) and bias type (c10::Half)" within."""
    network = models.create(architecture, PRESETS.get(architecture, "tiny")).eval()
    image = torch.rand(1, 3, 48, 48)
    with torch.no_grad():
        expected = network(image)
        try:
            found = network.to(kind)(image.to(kind))
        except UsageError:
            with torch.autocast("cpu", torch.bfloat16):
                found = network.float()(image)
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def as_replica(module):
    """Return a copy as `torch.nn.DataParallel` makes them: nothing is a parameter."""
    replica = module._replicate_for_data_parallel()
    replica._modules = {key: as_replica(one) for key, one in module._modules.items()}
    for key, parameter in module._parameters.items():
        setattr(replica, key, None if parameter is None else parameter.detach())
    return replica


@pytest.mark.parametrize("architecture", ["dpe-plus", "fieldnet", "hqg", "agnet"])
def test_copies_on_several_devices_answer_as_the_network(architecture):
    network = models.create(architecture, "tiny").eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(as_replica(network)(image), network(image))


@pytest.mark.parametrize("architecture", ["dpe-plus", "fieldnet", "hqg"])
def test_a_condition_is_not_made_with_halved_weights(architecture):
    network = models.create(architecture, "tiny").half()
    with pytest.raises(UsageError, match=r"are float16, .* torch\.autocast"):
        network.condition(torch.rand(1, 3, 48, 48))
