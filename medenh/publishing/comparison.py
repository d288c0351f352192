"""Figures of a card beside figures measured again: what differs, and what fell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from medenh.metrics.registry import METRICS
from medenh.zoo.card import Estimate, Recognition, ResultTable

__all__ = ["Comparison", "Verdict", "allowed_fall", "compare", "gain", "judge"]

Verdict = Literal["kept", "better", "fell", "changed", "not comparable"]

# how far a figure may fall before it counts; others are shares: AUC, IoU, Dice...
_BARS = {
    "psnr": 0.1,
    "ssim": 0.002,
    "ms-ssim": 0.002,
    "de2000": 0.1,
    "mae": 0.002,
    "recovered": 0.02,  # a quotient of two differences
}
_SHARE = 0.005
# rows that no model made: they tell whether pictures and degradation are the same
_FIXED = ("identity", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of a card, and what was measured now.

    Attributes
    ----------
    model, table, row, metric : str
        "fast-fundus", "cofe-111, fundus, test", "identity", "psnr".
    card : Estimate
    new : Estimate or None
    verdict : str
        "fell" and "changed" (of a row that no model made) are beyond the bar.
    reason : str
        Why it is not comparable.
    """

    model: str
    table: str
    row: str
    metric: str
    card: Estimate
    new: Estimate | None
    verdict: Verdict
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """New minus card."""
        return None if self.new is None else self.new.mean - self.card.mean

    @property
    def is_good(self) -> bool:
        """True where the card's figure holds."""
        return self.verdict in ("kept", "better")


def allowed_fall(metric: str) -> float:
    """Return by how much a figure may become worse.

    Examples
    --------
    >>> allowed_fall("psnr"), allowed_fall("vessels-fundus.iou")
    (0.1, 0.005)
    """
    return _BARS.get(_kind(metric), _SHARE)


def gain(metric: str, before: float, after: float) -> float:
    """Return by how much a figure became better, below 0 where it became worse.

    Examples
    --------
    >>> gain("psnr", 20.0, 21.0), gain("de2000", 4.0, 5.0)
    (1.0, -1.0)
    """
    known = METRICS.get(_kind(metric))
    sign = -1 if known is not None and known.better == "lower" else 1
    return sign * (after - before)


def judge(metric: str, before: float, after: float, *, row: str = "") -> Verdict:
    """Return the verdict on a figure of a row."""
    bar, gained = allowed_fall(metric), gain(metric, before, after)
    if abs(gained) <= bar:
        return "kept"
    if row in _FIXED:
        return "changed"
    return "better" if gained > 0 else "fell"


def compare(
    model: str, card: ResultTable | Recognition, new: ResultTable | Recognition | None
) -> list[Comparison]:
    """Compare all figures of a table of a card with a table measured again.

    Parameters
    ----------
    model : str
        Id.
    card : ResultTable or Recognition
        Of an enhancer, or of a recogniser: all its tables.
    new : the same, or None
        None where nothing could be measured.
    """
    known = {} if new is None else {one.key: one for one in _tables(model, new)}
    found: list[Comparison] = []
    for one in _tables(model, card):
        found += _figures(model, one, known.get(one.key))
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    """Any table of a card: what it is of, the pictures, and its figures by row."""

    key: str
    pictures: str
    n: int
    rows: Mapping[str, Mapping[str, Estimate]]


def _tables(model: str, card: ResultTable | Recognition) -> Iterator[_Table]:
    if isinstance(card, ResultTable):
        key = f"{card.protocol}, {card.modality}"
        yield _Table(key, card.split, card.n, card.rows)
        return
    for table in card.tables:
        key = ", ".join(word for word in (table.data, table.target) if word)
        yield _Table(key, table.region, table.n, {model: table.scores})


def _figures(model: str, card: _Table, new: _Table | None) -> Iterator[Comparison]:
    reason = "not measured" if new is None else ""
    if new is not None and new.pictures != card.pictures:
        reason = f"{card.pictures} on the card, {new.pictures} now"
    elif new is not None and new.n != card.n:
        reason = f"{card.n} pictures on the card, {new.n} now"
    for row, scores in card.rows.items():
        for metric, before in scores.items():
            after = new.rows.get(row, {}).get(metric) if new else None
            why = reason or ("" if after else "not measured")
            verdict: Verdict = "not comparable"
            if not why and after is not None:
                verdict = judge(metric, before.mean, after.mean, row=row)
            yield Comparison(
                model=model,
                table=f"{card.key}, {card.pictures}",
                row=row,
                metric=metric,
                card=before,
                new=after,
                verdict=verdict,
                reason=why,
            )


def _kind(metric: str) -> str:
    """Return "iou" of "vessels-fundus.iou", "auc" of "auc pooled"."""
    return metric.removesuffix(" pooled").rpartition(".")[2]
