"""The released code's network, against values recorded from the released code."""

import pytest
import torch
import torch.nn.functional as F
from hqg_legacy_fill import filled_state, pictures
from torch.utils.flop_counter import FlopCounterMode

from medenh import models
from medenh.losses.adversarial import r1_penalty
from medenh.losses.lighting import illumination
from medenh.models.hqg_legacy import StyleNet, StyleStack
from medenh.zoo.layouts import hqg_legacy_layout, remap

X, R = pictures()


def _near(*values):
    return pytest.approx(values, rel=1e-3)


@pytest.fixture(scope="module")
def state():
    return filled_state()


@pytest.fixture(scope="module")
def network(state):
    kept, _ = remap(state, hqg_legacy_layout())
    with torch.device("meta"):
        network = models.create("hqg-legacy")
    kept["default_code"] = torch.zeros(1, 64)
    network.load_state_dict(kept, strict=True, assign=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codes(network):
    """The reference's codes, of low and of high quality."""
    trunk = network.style.stack(R)
    return [head(trunk) for head in network.style.heads]


@pytest.fixture(scope="module")
def judge(state):
    """The released discriminator: the style network's stack with a logit a domain."""
    with torch.device("meta"):
        trunk = StyleStack()
    theirs = "styleNet.style_en_part1.encoder."
    entries = hqg_legacy_layout().entries
    for key, (_, ours) in entries.items():
        if key.startswith(theirs) and ours:
            # the last convolution stands in a Sequential there and alone here
            name = key.removeprefix(theirs).replace("7.1.", "8.")
            tensor = state[f"DNet.main.{name}"].requires_grad_(False)
            module, leaf = ours.removeprefix("style.stack.").rsplit(".", 1)
            setattr(trunk.get_submodule(module), leaf, torch.nn.Parameter(tensor))
    trunk.requires_grad_(False)
    weight, bias = state["DNet.main.10.weight"], state["DNet.main.10.bias"]

    def score(image):
        return F.linear(trunk(image), weight.flatten(1), bias)

    return score


def test_codes(codes):
    low, high = codes
    assert high[0, :4].tolist() == _near(-3.46395, 0.81441, -1.71876, 0.61316)
    assert high.mean().item() == pytest.approx(-0.069697, rel=1e-3)
    assert high.std().item() == pytest.approx(1.514283, rel=1e-3)
    assert low[0, :3].tolist() == _near(0.56286, -0.95995, 1.15662)


def test_features_of_the_encoder(network):
    maps = network.encoder(X)
    means = (0.88408, 3.8371, 17.11617, 153.22165, 401.49527)
    deviations = (1.31019, 4.76872, 20.63198, 174.56903, 492.64212)
    assert [m.mean().item() for m in maps] == _near(*means)
    assert [m.std().item() for m in maps] == _near(*deviations)


def test_output(network, codes):
    out = network(X.flip(1), code=codes[1]).flip(1)
    assert out.mean().item() == pytest.approx(0.272820, rel=1e-3)
    assert out.std().item() == pytest.approx(0.347818, rel=1e-3)
    assert out[0, :, 100, 200].tolist() == _near(0.982067, 0.006997, 0.007216)
    assert out[0, :, 0, 0].tolist() == _near(0.957347, 0.151856, 0.071251)


def test_discriminator_and_its_penalty(judge):
    image = X.clone().requires_grad_(True)
    scores = judge(image)
    assert scores[0].tolist() == _near(-1.109678, 2.058975)
    penalty = r1_penalty(scores[:, 1:], image).item()
    assert penalty == pytest.approx(9.41195e-4, rel=1e-3)


def _conv(state, key, x):
    """A reflected 3x3 convolution of the released auto-encoder."""
    x = F.pad(x, (1, 1, 1, 1), mode="reflect")
    return F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"])


def test_auto_encoder(state, network):
    stack, head = network.style.stack, "styleNet.style_en_part1.decoder"
    maps = stack.maps(X)
    code = F.leaky_relu(stack.last(F.leaky_relu(maps[-1], 0.2)), 0.2)
    x = F.leaky_relu(code, 0.2)
    weight, bias = state[f"{head}.0.1.weight"], state[f"{head}.0.1.bias"]
    x = F.conv_transpose2d(x, weight, bias)
    x = F.leaky_relu(x, 0.2)
    for index, skip in enumerate(reversed(maps[1:]), start=1):
        key = f"{head}.{index}"
        reduced = F.conv2d(skip, state[f"{key}.reduce.weight"])
        x = torch.cat([_conv(state, f"{key}.conv.conv", x), reduced], 1)
        x = F.interpolate(F.leaky_relu(x, 0.01), scale_factor=2, mode="nearest")
        x = F.leaky_relu(_conv(state, f"{key}.upconv.conv.conv", x), 0.01)
    last = state[f"{head}.7.weight"], state[f"{head}.7.bias"]
    out = F.conv2d(x, *last, padding=1)
    assert out.mean().item() == pytest.approx(-0.077485, rel=1e-3)
    assert out.std().item() == pytest.approx(1.145765, rel=1e-3)
    assert out[0, :, 100, 200].tolist() == _near(-0.168938, -1.307387, 1.381318)


def test_illumination_loss_but_for_the_mapping():
    halved = (X + 1) / 2
    assert illumination(halved, [8]).item() == pytest.approx(0.0929186, rel=1e-3)
    assert illumination(halved, [4]).item() == pytest.approx(0.0231733, rel=1e-3)


def test_auto_encoders_structural_term():
    """SSIM over 3x3 averages, as its training has it."""

    def mean(x):
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)

    mx, mr = mean(X), mean(R)
    vx, vr = mean(X * X) - mx**2, mean(R * R) - mr**2
    cov = mean(X * R) - mx * mr
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mx * mr + c1) * (2 * cov + c2)
    ssim = top / ((mx**2 + mr**2 + c1) * (vx + vr + c2))
    term = ((1 - ssim) / 2).clamp(0, 1).mean().item()
    assert term == pytest.approx(0.314725, rel=1e-3)


def test_counts_and_cost(enlarged):
    with torch.device("meta"):
        network = models.create("hqg-legacy").eval()
        small = models.create("hqg-legacy", "256")
        bare = models.create("hqg-legacy", "code-only")

    def count(module):
        return sum(p.numel() for p in module.parameters())

    assert count(network.encoder) == 23_508_032
    assert count(bare) == 36_338_435
    assert count(network.style.stack) == 26_094_144
    assert count(small.style.stack) == 20_851_264
    assert count(network.style.heads) == 65_664
    costs = {384: 96.26, 256: 42.78}
    for side, cost in costs.items():
        image = torch.rand(1, 3, side, side, device="meta")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(image, code=torch.zeros(1, 64, device="meta"))
        assert counter.get_total_flops() == pytest.approx(cost * 1e9, rel=1e-3)


def test_any_size_under_the_code_of_a_reference(network, codes, monkeypatch):
    image = torch.rand(1, 3, 33, 20)
    guided = network(image, code=codes[1])
    assert guided.shape == image.shape
    assert network(torch.rand(1, 3, 1, 1), code=codes[1]).shape == (1, 3, 1, 1)
    assert (network(image) - guided).abs().max() > 1e-3
    seen = []
    monkeypatch.setattr(network, "code", lambda r: seen.append(r) or codes[1])
    reference = torch.rand(1, 3, 8, 8)
    assert torch.equal(network(image, reference), guided)
    assert seen[0] is reference


def test_reference_is_resized_and_read_blue_first():
    torch.manual_seed(0)
    with torch.device("meta"):
        network = models.create("hqg-legacy", side=64).eval()
    network.style = style = StyleNet(64).eval().requires_grad_(False)
    reference = torch.rand(1, 3, 64, 64)
    high = style.heads[1](style.stack(reference.flip(1)))
    torch.testing.assert_close(network.code(reference), high)
    large = F.interpolate(reference, scale_factor=2, mode="nearest")
    torch.testing.assert_close(network.code(large), high, atol=0.05, rtol=0.05)


def test_without_a_style_network_a_code_is_needed():
    with torch.device("meta"):
        network = models.create("hqg-legacy", "code-only")
    with pytest.raises(ValueError, match="give a code"):
        network.code(torch.rand(1, 3, 8, 8))
