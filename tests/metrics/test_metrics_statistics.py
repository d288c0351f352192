"""Intervals that cover what they promise, and SciPy's tests."""

import warnings

import numpy as np
import pytest
from scipy import stats

from medenh.errors import UsageError
from medenh.metrics import bootstrap_ci, paired_tests, summarise

pytestmark = pytest.mark.filterwarnings("error")


def test_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).normal(30, 2, 80)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5000, rng=1
    ).confidence_interval
    ours = bootstrap_ci(values, n=5000)
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = sum(
        low <= 5.0 <= high
        for low, high in (
            bootstrap_ci(rng.normal(5, 1, 50), n=300, level=0.8) for _ in range(300)
        )
    )
    assert 0.72 < hits / 300 < 0.86


def test_interval_is_reproducible_and_narrows_with_level():
    values = np.random.default_rng(2).random(30)
    assert bootstrap_ci(values) == bootstrap_ci(list(values))
    assert bootstrap_ci(values, seed=1) != bootstrap_ci(values)
    wide, narrow = bootstrap_ci(values), bootstrap_ci(values, level=0.5)
    assert wide.low < narrow.low < values.mean() < narrow.high < wide.high


def test_chunks_do_not_change_the_interval(monkeypatch):
    from medenh.metrics import statistics

    values = np.random.default_rng(2).random(30)
    whole = bootstrap_ci(values)
    monkeypatch.setattr(statistics, "_CHUNK", 100)
    assert bootstrap_ci(values) == whole


def test_perfect_files_have_an_interval():
    assert bootstrap_ci([np.inf, np.inf]) == (np.inf, np.inf)
    low, high = bootstrap_ci([30.0, 31.0, np.inf])
    assert 30 <= low <= 31
    assert high == np.inf
    assert bootstrap_ci([0.7]) == (0.7, 0.7)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_no_figures_no_interval(values):
    with pytest.raises(UsageError):
        bootstrap_ci(values)


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 1.0}, {"n": 0}])
def test_senseless_parameters_are_refused(options):
    with pytest.raises(UsageError):
        bootstrap_ci([1.0, 2.0], **options)


def test_paired_tests_are_scipys():
    rng = np.random.default_rng(3)
    one = rng.normal(30, 3, 40)
    other = one - rng.normal(1, 1, 40)

    result = paired_tests(one, other)

    assert result.pairs == 40
    assert result.difference == pytest.approx((one - other).mean())
    assert result.wilcoxon_p == pytest.approx(stats.wilcoxon(one, other).pvalue)
    assert result.t_p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert result.t_p < 0.05


def test_degenerate_pairs_are_answered_without_warning():
    assert paired_tests([1.0, 2.0], [1.0, 2.0]) == (2, 0.0, 1.0, 1.0, 0)
    for only in (1.0, 2.0):  # equal or not
        single = paired_tests([2.0], [only])
        assert single[:2] == (1, 2.0 - only)
        assert np.isnan(single[2:4]).all()
    assert np.isnan(paired_tests([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).t_p)
    assert paired_tests([2.0, 3.0, 4.0], [2.0, 2.0, 3.0]).wilcoxon_p > 0.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [2, 3, 8, 14, 60])
def test_ties_and_equal_differences_are_no_reason_to_warn(count):
    rng = np.random.default_rng(count)
    one = rng.integers(0, 3, count).astype(float)
    other = rng.integers(0, 3, count).astype(float)
    one[0], other[0] = 2.0, 1.0
    result = paired_tests(one, other)
    if (one - other).std() > 0:
        assert result.t_p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert np.isnan(paired_tests(one + 1, one).t_p)
    nearly = one + 1e-15 * rng.normal(size=count)
    assert np.isnan(paired_tests(nearly + 1, one).t_p)


def test_what_others_warn_of_meanwhile_is_heard(monkeypatch):
    def wilcoxon(difference, known=stats.wilcoxon):
        warnings.warn("of another thread", UserWarning, stacklevel=1)
        return known(difference)

    monkeypatch.setattr(stats, "wilcoxon", wilcoxon)
    with pytest.warns(UserWarning, match="of another thread"):
        paired_tests([1.0, 2.0, 4.0], [2.0, 4.0, 3.0])


def test_pairs_without_a_finite_figure_are_left_out_and_counted():
    one = [30.0, np.inf, 31.0, np.nan, 33.0, 35.0]
    other = [29.0, 30.0, 29.5, 30.0, np.inf, 31.0]
    result = paired_tests(one, other)
    assert result == (*paired_tests([30.0, 31.0, 35.0], [29.0, 29.5, 31.0])[:4], 3)
    for empty in ([], [np.inf, np.nan]):
        nothing = paired_tests(empty, empty)
        assert nothing.pairs == 0
        assert nothing.left_out == len(empty)
        assert np.isnan(nothing[1:4]).all()


def test_what_is_no_pairs_is_refused():
    with pytest.raises(UsageError, match="no pairs"):
        paired_tests([1.0], [1.0, 2.0])
    with pytest.raises(UsageError, match="one list"):
        paired_tests([[1.0, 2.0]], [[1.0, 2.0]])


def test_summary_is_numpys():
    values = np.random.default_rng(4).normal(30, 2, 25)
    result = summarise(values)
    assert result.mean == pytest.approx(np.mean(values))
    assert result.std == pytest.approx(np.std(values, ddof=1))
    assert result.median == np.median(values)
    assert result.ci95 == bootstrap_ci(values)
    assert result[4:] == (25, 0, 0)


def test_summary_counts_perfect_and_undefined_figures_apart():
    result = summarise([30.0, np.nan, np.inf, 32.0, np.inf])
    assert (result.mean, result.median) == (31.0, np.inf)
    assert result.std == pytest.approx(np.sqrt(2))
    assert result.ci95 == bootstrap_ci([30.0, 32.0])
    assert result[4:] == (5, 2, 1)


def test_summary_of_next_to_nothing_is_defined():
    assert summarise([0.5]) == (0.5, 0.0, 0.5, (0.5, 0.5), 1, 0, 0)
    assert summarise([np.inf] * 2) == (np.inf, 0.0, np.inf, (np.inf, np.inf), 2, 2, 0)
    for nothing in ([], [np.nan]):
        result = summarise(nothing)
        assert np.isnan([*result[:3], *result.ci95]).all()
        assert result[4:] == (len(nothing), 0, len(nothing))
    with pytest.raises(UsageError):
        summarise([[1.0, 2.0]])


def test_equal_differences_have_no_t_test():
    found = paired_tests([0.3, 0.4, 0.5, 0.6, 0.7], [0.2, 0.3, 0.4, 0.5, 0.6])
    assert np.isnan(found.t_p)
    assert found.wilcoxon_p == pytest.approx(0.0625)
