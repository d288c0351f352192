"""Scores of probabilities against the truth, and the share of a lost score.

What a picture cannot tell (an AUC with one class only, a Dice of nothing against
nothing) is NaN, never a made-up number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medenh.arrays import unmasked
from medenh.errors import NonFiniteError, UsageError

__all__ = [
    "area_under_curve",
    "recovered_share",
    "score_classification",
    "score_segmentation",
]

_SMALLEST_LOSS = 0.005


def score_segmentation(
    probability: ArrayLike,
    mask: ArrayLike,
    *,
    region: ArrayLike | None = None,
    threshold: float = 0.5,
) -> dict[str, float]:
    """Score one class of a segmentation.

    Parameters
    ----------
    probability : float array, shape (H, W)
        In [0, 1].
    mask : array, shape (H, W)
        The truth; anything but 0 is positive.
    region : array, shape (H, W), optional
        Pixels that count (field of view); all if not given.
    threshold : float
        A probability of at least this is a positive answer.

    Returns
    -------
    dict
        auc, iou, dice, accuracy, kappa, sensitivity, specificity. NaN where the pixels
        leave a figure undefined.

    Raises
    ------
    UsageError
        Shapes differ.
    NonFiniteError
        A probability is NaN or infinite.
    """
    guess = np.asarray(unmasked(probability), np.float64)
    truth = unmasked(mask) != 0
    chosen = np.ones(guess.shape, bool) if region is None else np.asarray(region) != 0
    if not guess.shape == truth.shape == chosen.shape:
        raise UsageError(
            f"probability {guess.shape}, mask {truth.shape} and region {chosen.shape} "
            "must have one shape"
        )
    guess, truth = _finite(guess[chosen]), truth[chosen]
    answer = guess >= threshold
    hit = int(np.sum(answer & truth))
    wrong = int(np.sum(answer & ~truth))
    missed = int(np.sum(~answer & truth))
    right = guess.size - hit - wrong - missed
    return {
        "auc": area_under_curve(guess, truth),
        "iou": _ratio(hit, hit + wrong + missed),
        "dice": _ratio(2 * hit, 2 * hit + wrong + missed),
        "accuracy": _ratio(hit + right, guess.size),
        "kappa": _kappa(np.array([[right, wrong], [missed, hit]], float)),
        "sensitivity": _ratio(hit, hit + missed),
        "specificity": _ratio(right, right + wrong),
    }


def score_classification(
    probabilities: ArrayLike, labels: ArrayLike
) -> dict[str, float]:
    """Score the answers for a set of pictures.

    Parameters
    ----------
    probabilities : float array, shape (N, K)
    labels : int array, shape (N,)
        Class numbers 0...K-1.

    Returns
    -------
    dict
        auc (one against the rest, mean over classes that have both sides), accuracy,
        balanced_accuracy (mean sensitivity of the classes that are there), kappa
        (Cohen's, unweighted). NaN where undefined.

    Raises
    ------
    UsageError
        Shapes do not fit, or a label is no class number.
    NonFiniteError
        A probability is NaN or infinite.
    """
    guesses, truth = np.asarray(probabilities, np.float64), np.asarray(labels)
    if guesses.ndim != 2 or truth.shape != guesses.shape[:1]:
        raise UsageError(
            f"probabilities {guesses.shape} and labels {truth.shape} do not fit",
            hint="(N, K) and (N,)",
        )
    count = guesses.shape[1]
    whole = np.equal(truth, np.floor(truth)) if truth.dtype.kind == "f" else True
    if truth.size and not np.all((truth >= 0) & (truth < count) & whole):
        raise UsageError(f"labels must be class numbers from 0 to {count - 1}")
    _finite(guesses)
    answers = guesses.argmax(1) if len(guesses) else np.zeros(0, int)
    table = np.zeros((count, count))
    np.add.at(table, (truth.astype(int), answers), 1)
    curves = [area_under_curve(guesses[:, k], truth == k) for k in range(count)]
    each = [_ratio(table[k, k], table[k].sum()) for k in range(count)]
    return {
        "auc": _mean(curves),
        "accuracy": _ratio(table.trace(), table.sum()),
        "balanced_accuracy": _mean(each),
        "kappa": _kappa(table),
    }


def area_under_curve(scores: ArrayLike, positive: ArrayLike) -> float:
    """Return the area under the receiver operating curve; ties count a half.

    Parameters
    ----------
    scores : float array, shape (N,)
    positive : bool array, shape (N,)

    Returns
    -------
    float
        In [0, 1]; NaN unless both sides are there.

    Notes
    -----
    Mann-Whitney: the share of (positive, negative) pairs in the right order.

    Examples
    --------
    >>> area_under_curve([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    0.75
    """
    from scipy.stats import rankdata  # a second to import

    values, truth = np.asarray(scores), np.asarray(positive, bool)
    above = int(truth.sum())
    below = truth.size - above
    if not above or not below:
        return math.nan
    ranks = float(rankdata(values)[truth].sum())
    return (ranks - above * (above + 1) / 2) / (above * below)


def recovered_share(clean: float, degraded: float, enhanced: float) -> float | None:
    """Return the share of a lost score that enhancement brings back.

    Parameters
    ----------
    clean, degraded, enhanced : float
        The score on the clean, the degraded and the enhanced picture (or their means).

    Returns
    -------
    float or None
        (enhanced - degraded) / (clean - degraded): 1 is all of it, below 0 is harm.
        None where less than 0.005 was lost, or a score is undefined: a share of
        nothing means nothing.

    Examples
    --------
    >>> round(recovered_share(0.8, 0.5, 0.74), 3)
    0.8
    """
    scores = (clean, degraded, enhanced)
    if not all(math.isfinite(s) for s in scores) or clean - degraded < _SMALLEST_LOSS:
        return None
    return (enhanced - degraded) / (clean - degraded)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not np.isfinite(values).all():
        raise NonFiniteError("a probability is NaN or infinite")
    return values


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan


def _mean(values: list[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _kappa(table: NDArray[np.float64]) -> float:
    """Return Cohen's kappa of a confusion table (truth by answer)."""
    total = table.sum()
    if not total:
        return math.nan
    expected = float(table.sum(0) @ table.sum(1)) / total**2
    return _ratio(float(table.trace()) / total - expected, 1 - expected)
