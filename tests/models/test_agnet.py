import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from medenh import models
from medenh.models.agnet import AttentionGuidedFilter


def _seeded(preset="tiny", **options):
    torch.manual_seed(0)
    return models.create("agnet", preset, **options).eval()


def _count(network):
    return sum(p.numel() for p in network.parameters())


def _gmac(network):
    """GMAC at 256x256; a sixteenth is computed."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    return counter.get_total_flops() / 2e9 * 16


@pytest.mark.parametrize(
    ("preset", "millions", "gmac"), [("default", 9.335, 16.4), ("small", 2.34, 4.1)]
)
def test_size_and_cost_are_the_specifications(preset, millions, gmac):
    network = _seeded(preset)
    assert _count(network) / 1e6 == pytest.approx(millions, rel=1e-3)
    assert _gmac(network) == pytest.approx(gmac, rel=0.01)


def _inputs(height=6, width=9, seed=0):
    torch.manual_seed(seed)
    guide, x = torch.randn(2, 2, 3, height, width, dtype=torch.float64)
    full = torch.randn(2, 3, 2 * height, 2 * width, dtype=torch.float64)
    weight = torch.rand(2, 1, height, width, dtype=torch.float64) ** 4
    return guide, x, full, weight


def _windows(height, width):
    for i in range(height):
        for j in range(width):
            rows = slice(max(i - 2, 0), i + 3)
            yield (i, j), (rows, slice(max(j - 2, 0), j + 3))


def _least_squares(guide, x, weight, epsilon):
    covariance = np.cov(guide.ravel(), x.ravel(), ddof=0, aweights=weight.ravel())
    slope = covariance[0, 1] / (covariance[0, 0] + epsilon)
    means = (np.average(v.ravel(), weights=weight.ravel()) for v in (guide, x))
    guide_mean, x_mean = means
    return slope, x_mean - slope * guide_mean


def _as_published(guide, x, weight, share, epsilon):
    mean, count = np.mean, weight.size
    shared = count * mean(share * weight * guide)
    product = mean(weight**2 * guide * x) - shared * mean(weight * x)
    variance = mean(weight**2 * guide**2) - shared * mean(weight * guide)
    slope = product / (abs(variance) + epsilon)
    return slope, (mean(weight * x) - slope * mean(weight * guide)) / mean(weight)


def _plain_loop(guide, x, full, weight, *, exact):
    g, o, a = guide.numpy(), x.numpy(), weight.numpy()
    a = a + 1e-12
    share = a / a.sum()
    fit = np.zeros((2, *g.shape))
    averaged = np.zeros_like(fit)
    for n, c in np.ndindex(g.shape[:2]):
        for (i, j), window in _windows(*g.shape[2:]):
            parts = g[n, c][window], o[n, c][window], a[n, 0][window]
            if exact:
                fit[:, n, c, i, j] = _as_published(*parts, share[n, 0][window], 1e-2)
            else:
                fit[:, n, c, i, j] = _least_squares(*parts, 1e-2)
        for (i, j), window in _windows(*g.shape[2:]):
            averaged[:, n, c, i, j] = fit[:, n, c][(slice(None), *window)].mean((1, 2))
    slope, offset = (
        F.interpolate(torch.from_numpy(m), full.shape[-2:], mode="bilinear")
        for m in averaged
    )
    return slope * full + offset


@pytest.mark.parametrize("exact", [False, True])
def test_the_filter_is_the_plain_loop(exact):
    inputs = _inputs()
    given = AttentionGuidedFilter(exact=exact)(*inputs)
    expected = _plain_loop(*inputs, exact=exact)
    torch.testing.assert_close(given.double(), expected, atol=2e-5, rtol=1e-5)


def test_a_map_that_follows_its_guide_is_carried_over_whole():
    guide, _, full, weight = _inputs()
    given = AttentionGuidedFilter(epsilon=1e-9)(guide, 2 * guide - 1, full, weight)
    torch.testing.assert_close(given.double(), 2 * full - 1, atol=1e-3, rtol=1e-3)


def test_the_filter_keeps_images_apart_and_stands_zero_weights():
    guide, x, full, weight = _inputs()
    weight[1] = 0
    both = AttentionGuidedFilter()(guide, x, full, weight)
    assert torch.isfinite(both).all()
    alone = AttentionGuidedFilter()(*(v[:1] for v in (guide, x, full, weight)))
    torch.testing.assert_close(both[:1], alone, atol=0, rtol=0)
    uniform = AttentionGuidedFilter()(guide, x, full, torch.ones_like(weight))
    torch.testing.assert_close(both[1], uniform[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 16), (33, 100)])
@pytest.mark.parametrize("exact", [False, True])
def test_logits_at_any_size(size, exact):
    network = _seeded(classes=3, exact=exact)
    with torch.no_grad():
        logits = network(torch.rand(2, 3, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_outputs_are_the_four_sides_and_features():
    network, image = _seeded(), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        sides, features = network.outputs(image)
        mean = torch.stack(sides).mean(0)
        torch.testing.assert_close(network(image), mean)
    widths, sizes = (32, 16, 8, 4), ((4, 6), (8, 12), (16, 24), (32, 48))
    for side, feature, width, size in zip(sides, features, widths, sizes, strict=True):
        assert side.shape == (1, 2, 32, 48)
        assert feature.shape == (1, width, *size)
    assert network.feature_widths == widths


def test_every_parameter_learns():
    network = _seeded().train()
    target = torch.randint(0, 2, (2, 32, 32))
    F.cross_entropy(network(torch.rand(2, 3, 32, 32)), target).backward()
    assert [n for n, p in network.named_parameters() if not p.grad.abs().sum()] == []


def test_it_learns_what_is_bright():
    network = _seeded().train()
    image = torch.rand(2, 3, 32, 32)
    target = (F.avg_pool2d(image.mean(1), 5, 1, 2) > 0.5).long()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(network(image), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_bf16_leaves_the_filter_in_float32():
    network, image = _seeded(), torch.rand(1, 3, 48, 48)
    seen = []
    network.filter.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        plain = network(image)
        exact = list(seen)
        seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(image)
    assert all(out.dtype == torch.float32 for out in seen)
    assert len(seen) == len(exact) == 4
    assert rough.dtype == torch.float32
    assert (rough - plain).abs().max() < 0.1 * plain.std() + 0.02


def test_the_whole_picture_enters():
    network, image = _seeded(), torch.rand(1, 3, 32, 320)
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
    parts = load_parts(None, "agnet", lambda: network, multiple_of=16)
    assert set(parts) == {"whole"}  # an answer unlike torch's would have been refused
