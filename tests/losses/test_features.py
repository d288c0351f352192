import numpy as np
import pytest
import torch
from textures import texture

from medenh.losses.features import (
    AnalyticFeatures,
    content_features,
    feature_distance,
    gradient_difference,
    regularised_features,
)
from medenh.losses.imagenet import VGG19Features


def test_analytic_features_of_flat_and_edged_pictures():
    features = AnalyticFeatures()
    flat = features(torch.full((1, 1, 32, 32), 0.4))
    assert len(flat) == 4
    for maps in flat:
        assert maps.shape == (1, 6, 32, 32)
        torch.testing.assert_close(maps[:, 4], torch.full((1, 32, 32), 0.4))
        assert maps[:, [0, 1, 2, 3, 5]].abs().max() < 1e-3
    edge = torch.zeros(1, 1, 32, 32)
    edge[..., 16:] = 1.0  # a vertical edge: down the columns nothing changes
    horizontal, vertical, diagonal, magnitude, _, _ = features(edge)[0][0]
    assert vertical.abs().max() == 0.5  # half the step
    assert horizontal.abs().max() == diagonal.abs().max() == 0
    assert magnitude.argmax().item() % 32 in (15, 16)


def test_analytic_features_reach_further_level_by_level():
    point = torch.zeros(1, 1, 65, 65)
    point[..., 32, 32] = 1.0
    reach = []
    for maps in AnalyticFeatures()(point):
        rows = torch.nonzero(maps[0, 0].abs() > 1e-6)[:, 0]
        reach.append((rows.max() - rows.min()).item())
    assert reach == sorted(set(reach))


def test_analytic_features_learn_nothing_and_pass_gradients():
    features = AnalyticFeatures()
    assert list(features.parameters()) == []
    assert list(features.state_dict()) == []
    x = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    sum(m.sum() for m in features(x)).backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


def test_content_features_are_blind_to_tone_and_see_structure():
    maps = [texture(0, side=24), texture(1, side=12)]
    louder = [2.5 * m + 0.3 for m in maps]
    other = [texture(5, side=24), texture(6, side=12)]
    assert content_features(maps, maps).item() == pytest.approx(0, abs=1e-5)
    assert content_features(louder, maps).item() == pytest.approx(0, abs=5e-3)
    assert content_features(other, maps).item() > 0.8
    flat = [torch.zeros(1, 4, 8, 8, requires_grad=True)]
    loss = content_features(flat, [torch.ones(1, 4, 8, 8)])
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(flat[0].grad).all()


def test_gradient_difference_counts_as_the_published_sum():
    x, y = texture(0, side=12).numpy(), texture(1, side=12).numpy()
    d = 2 * (x.astype(float) - y)
    expected = np.abs(np.diff(d, axis=2)).sum() + np.abs(np.diff(d, axis=3)).sum()
    found = gradient_difference(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert found == pytest.approx(expected / d.size, rel=1e-5)


def test_regularised_features_are_a_product_or_a_sum():
    extractor = AnalyticFeatures()
    x, y = texture(0, side=24), texture(1, side=24)
    distance = feature_distance(extractor(x), extractor(y)).item()
    slope = gradient_difference(x, y).item()
    product = regularised_features(x, y, extractor, feature_weight=3.0).item()
    assert product == pytest.approx(3 * distance * slope, rel=1e-5)
    total = regularised_features(
        x, y, extractor, rf_mode="sum", feature_weight=3.0
    ).item()
    assert total == pytest.approx(3 * distance + slope, rel=1e-5)
    # the product fades where gradients agree, whatever the features say
    assert regularised_features(y + 0.1, y, extractor).item() < 1e-4


def test_feature_distance_is_blind_to_the_scale_of_features():
    x, y = [texture(0, side=8)], [texture(1, side=8)]
    scaled = [100 * x[0]], [0.01 * y[0]]
    assert feature_distance(*scaled).item() == pytest.approx(
        feature_distance(x, y).item(), rel=1e-4
    )


def test_features_are_compared_as_they_are_where_that_is_asked_for():
    x, y = texture(0, side=8), texture(1, side=8)
    found = feature_distance([100 * x], [y], unit=False).item()
    assert found == pytest.approx((100 * x - y).abs().mean().item(), rel=1e-5)

    def see(image):
        return [3 * image[:, :1]]

    raw = regularised_features(x, y, see, unit=False).item()
    distance = 3 * (x - y)[:, :1].abs().mean().item()
    assert raw == pytest.approx(distance * gradient_difference(x, y).item(), rel=1e-5)


def test_vgg_is_the_published_one_up_to_its_last_convolution():
    """Convolutions of torchvision's names, max pooling between blocks, [-1, 1] in."""
    torch.manual_seed(0)
    network = VGG19Features()
    state = network.state_dict()
    assert sum(t.numel() for t in state.values()) == 20_024_384
    at = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    assert list(state) == [
        f"features.{i}.{kind}" for i in at for kind in ("weight", "bias")
    ]
    assert not any(p.requires_grad for p in network.parameters())
    picture = texture(0, side=32)
    x = 2 * picture - 1
    for before, i in zip((None, *at), at, strict=False):
        if before is not None:
            x = torch.relu(x)
            x = torch.nn.functional.max_pool2d(x, 2) if i - before == 3 else x
        weight, bias = state[f"features.{i}.weight"], state[f"features.{i}.bias"]
        x = torch.nn.functional.conv2d(x, weight, bias, padding=1)
    (found,) = network(picture)
    torch.testing.assert_close(found, x)
    assert found.shape == (len(picture), 512, 2, 2)
    assert (found < 0).any()  # before its ReLU
