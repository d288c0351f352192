"""From figures of single images to statements about a set of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medenh.errors import UsageError

__all__ = [
    "Interval",
    "PairedTests",
    "Summary",
    "bootstrap_ci",
    "paired_tests",
    "summarise",
]

_CHUNK = 2_000_000  # indices drawn at once
_SAME = 1e-12  # spread of differences, of the figures, that rounding makes


class Interval(NamedTuple):
    """Ends of a confidence interval."""

    low: float
    high: float


class PairedTests(NamedTuple):
    """Whether two sets of figures of the same images differ.

    Attributes
    ----------
    pairs : int
        Number of pairs tested.
    difference : float
        Mean of first minus second; NaN without pairs.
    wilcoxon_p, t_p : float
        Two-sided p of the signed-rank test and of the t test; 1 where all pairs are
        equal, NaN where there are too few pairs for a test.
    left_out : int
        Pairs not tested, for one of their figures is infinite or not a number.
    """

    pairs: int
    difference: float
    wilcoxon_p: float
    t_p: float
    left_out: int = 0


class Summary(NamedTuple):
    """What a table says of a set of figures.

    Attributes
    ----------
    mean, std : float
        Of the finite figures; std with n - 1 below, 0 for a single one.
    median : float
        Of all that are numbers, infinite ones too.
    ci95 : Interval
        95 % bootstrap interval of the mean.
    n : int
        Figures given.
    n_infinite, n_undefined : int
        Infinite ones (PSNR of equal images), and those that are not numbers (no value
        is defined for the image). Neither has a part in mean, std and interval.
    """

    mean: float
    std: float
    median: float
    ci95: Interval
    n: int
    n_infinite: int = 0
    n_undefined: int = 0


def bootstrap_ci(
    values: Sequence[float] | NDArray[np.floating],
    *,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the percentile bootstrap interval of the mean.

    Parameters
    ----------
    values : sequence of float
        One figure an image; infinite ones (PSNR of equal images) are allowed.
    n : int
        Resamples.
    seed : int
        Of the resampling.
    level : float
        Share of the resampled means inside, in (0, 1).

    Raises
    ------
    UsageError
        No values, NaN among them, or a parameter outside its range.

    Examples
    --------
    >>> bootstrap_ci([3.0, 3.0, 3.0])
    Interval(low=3.0, high=3.0)
    """
    sample = _sample(values)
    if not 0.0 < level < 1.0 or n < 1:
        raise UsageError(f"level={level} must be between 0 and 1, and n={n} at least 1")
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // sample.size)
    means = np.concatenate(
        [
            sample[generator.integers(sample.size, size=(count, sample.size))].mean(1)
            for count in (min(rows, n - at) for at in range(0, n, rows))
        ]
    )
    # a quantile that is one of the means: interpolation between infinities is NaN
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(float(ends[0]), float(ends[1]))


def summarise(values: Sequence[float] | NDArray[np.floating]) -> Summary:
    """Return mean, standard deviation, median and interval of a set of figures.

    Parameters
    ----------
    values : sequence of float
        One figure an image; infinite ones and NaN are counted apart.

    Returns
    -------
    Summary
        Where all numbers are infinite the mean is infinite too; without any number
        all is NaN.

    Raises
    ------
    UsageError
        ``values`` is not one list.

    Examples
    --------
    >>> result = summarise([30.0, 32.0, float("inf")])
    >>> result.mean, result.median, result.n, result.n_infinite
    (31.0, 32.0, 3, 1)
    """
    sample = _figures(values)
    numbers = sample[~np.isnan(sample)]
    finite = numbers[np.isfinite(numbers)]
    # where all is perfect, perfect is the mean
    counted = finite if finite.size else numbers
    counts = (sample.size, numbers.size - finite.size, sample.size - numbers.size)
    if counted.size == 0:
        nan = float("nan")
        return Summary(nan, nan, nan, Interval(nan, nan), *counts)
    several = finite.size > 1
    return Summary(
        float(counted.mean()),
        float(finite.std(ddof=1)) if several else 0.0,
        float(np.median(numbers)),
        bootstrap_ci(counted),
        *counts,
    )


def paired_tests(
    first: Sequence[float] | NDArray[np.floating],
    second: Sequence[float] | NDArray[np.floating],
) -> PairedTests:
    """Test whether two sets of figures of the same images differ.

    Parameters
    ----------
    first, second : sequence of float
        Figures of the same images in the same order.

    Returns
    -------
    PairedTests

    Raises
    ------
    UsageError
        Different lengths, or not one list each.
    """
    from scipy import stats

    one, other = _figures(first), _figures(second)
    if one.size != other.size:
        raise UsageError(
            f"{one.size} and {other.size} figures are no pairs",
            hint="both must be of the same images",
        )
    usable = np.isfinite(one) & np.isfinite(other)
    left_out = int(one.size - np.count_nonzero(usable))
    one, other = one[usable], other[usable]
    if one.size == 0:
        return PairedTests(0, float("nan"), float("nan"), float("nan"), left_out)
    difference = one - other
    mean = float(difference.mean())
    if one.size < 2:
        return PairedTests(one.size, mean, float("nan"), float("nan"), left_out)
    if not difference.any():
        return PairedTests(one.size, mean, 1.0, 1.0, left_out)
    with np.errstate(all="ignore"):  # of ties, for this thread alone
        signed_rank = float(stats.wilcoxon(difference).pvalue)
    spread = float(difference.std(ddof=1))
    size = max(float(np.abs(one).max()), float(np.abs(other).max()))
    t = float("nan")  # where it would be a ratio to nothing but rounding
    if spread > _SAME * size:  # of less SciPy's own t test warns
        ratio = mean / (spread / math.sqrt(one.size))
        t = float(2.0 * stats.t.sf(abs(ratio), one.size - 1))
    return PairedTests(one.size, mean, signed_rank, t, left_out)


def _figures(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    try:
        figures = np.asarray(values, np.float64)
    except (TypeError, ValueError):  # a generator, words, lists of unequal length
        figures = np.empty(())
    if figures.ndim != 1:
        raise UsageError(
            "statistics need one list of figures", hint="a generator is none: list(...)"
        )
    return figures


def _sample(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    sample = _figures(values)
    if sample.size == 0:
        raise UsageError("statistics need a list of at least one figure")
    if np.isnan(sample).any():
        raise UsageError("a figure is not a number", hint="leave that image out")
    return sample
