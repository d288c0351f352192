import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from skimage.metrics import contingency_table

from medenh.errors import NonFiniteError, UsageError
from medenh.tasks import (
    recovered_share,
    score_classification,
    score_segmentation,
)


@pytest.fixture
def case():
    """A blob, a guess that knows it dimly, and a region."""
    rng = np.random.default_rng(4)
    mask = np.zeros((40, 52), bool)
    mask[8:25, 10:30] = True
    probability = np.clip(0.35 * mask + 0.3 + 0.25 * rng.normal(size=mask.shape), 0, 1)
    region = np.zeros(mask.shape, bool)
    region[4:36, 5:45] = True
    return np.round(probability, 2), mask, region  # rounded: ties


def test_auc_is_mann_whitneys(case):
    probability, mask, region = case
    inside, truth = probability[region], mask[region]
    u = mannwhitneyu(inside[truth], inside[~truth]).statistic
    expected = u / (truth.sum() * (~truth).sum())
    found = score_segmentation(probability, mask, region=region)["auc"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_overlap_figures_follow_from_the_contingency_table(case):
    probability, mask, region = case
    found = score_segmentation(probability, mask, region=region, threshold=0.4)
    answer = probability[region] >= 0.4
    table = contingency_table(mask[region].astype(int), answer.astype(int)).toarray()
    (right, wrong), (missed, hit) = table
    assert table.sum() == pytest.approx(region.sum())
    total = table.sum()
    assert found["iou"] == pytest.approx(hit / (hit + wrong + missed))
    assert found["dice"] == pytest.approx(2 * found["iou"] / (1 + found["iou"]))
    assert found["accuracy"] == pytest.approx((hit + right) / total)
    assert found["sensitivity"] == pytest.approx(hit / (hit + missed))
    assert found["specificity"] == pytest.approx(right / (right + wrong))
    chance = (table.sum(0) * table.sum(1)).sum() / total**2
    agreement = (hit + right) / total
    assert found["kappa"] == pytest.approx((agreement - chance) / (1 - chance))


def test_what_lies_outside_the_region_does_not_count(case):
    probability, mask, region = case
    other = np.where(region, probability, 1 - probability)
    assert score_segmentation(other, mask, region=region) == score_segmentation(
        probability, mask, region=region
    )


def test_a_perfect_answer_scores_one(case):
    _, mask, _ = case
    assert set(score_segmentation(mask.astype(float), mask).values()) == {1.0}


@pytest.mark.parametrize("size", [(6, 5), (1, 1), (0, 3)])
def test_undefined_figures_are_nan(size):
    nothing = score_segmentation(np.zeros(size), np.zeros(size))
    for name in ("auc", "iou", "dice", "sensitivity", "kappa"):
        assert math.isnan(nothing[name]), name
    if np.prod(size):
        assert nothing["accuracy"] == nothing["specificity"] == 1.0


def test_shapes_that_differ_and_nan_are_refused():
    with pytest.raises(UsageError, match="one shape"):
        score_segmentation(np.zeros((3, 4)), np.zeros((4, 3)))
    with pytest.raises(NonFiniteError):
        score_segmentation(np.full((3, 4), np.nan), np.zeros((3, 4)))


def test_classification_figures():
    probabilities = np.array(
        [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]]
    )
    labels = [0, 0, 1, 2]
    found = score_classification(probabilities, labels)
    curves = []
    for k in range(3):
        own = np.array(labels) == k
        u = mannwhitneyu(probabilities[own, k], probabilities[~own, k]).statistic
        curves.append(u / (own.sum() * (~own).sum()))
    assert found["auc"] == pytest.approx(np.mean(curves))
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == pytest.approx((0.5 + 1 + 1) / 3)
    chance = (2 * 1 + 1 * 2 + 1 * 1) / 16
    assert found["kappa"] == pytest.approx((0.75 - chance) / (1 - chance))


def test_classification_without_both_sides_is_nan_not_a_crash():
    one = score_classification([[0.6, 0.4], [0.3, 0.7]], [0, 0])
    assert math.isnan(one["auc"])
    assert one["accuracy"] == 0.5
    empty = score_classification(np.zeros((0, 2)), [])
    assert all(math.isnan(value) for value in empty.values())


def test_classification_refuses_what_does_not_fit():
    with pytest.raises(UsageError, match="do not fit"):
        score_classification(np.zeros((3, 2)), [0, 1])
    with pytest.raises(UsageError, match="class numbers from 0 to 1"):
        score_classification(np.zeros((2, 2)), [0, 2])
    with pytest.raises(NonFiniteError):
        score_classification([[np.inf, 0.0]], [0])


def test_recovered_share():
    assert recovered_share(0.8, 0.4, 0.6) == pytest.approx(0.5)
    assert recovered_share(0.8, 0.4, 0.3) == pytest.approx(-0.25)
    assert recovered_share(0.8, 0.798, 0.79) is None
    assert recovered_share(0.7, 0.8, 0.9) is None
    assert recovered_share(math.nan, 0.4, 0.6) is None


def test_fractions_are_no_labels():
    guesses = np.full((4, 2), 0.5)
    with pytest.raises(UsageError, match="class numbers"):
        score_classification(guesses, [0.5, 1.0, 0.9, 0])
    assert score_classification(guesses, [0.0, 1.0, 1.0, 0.0])["auc"] == 0.5
