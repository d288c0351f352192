"""What was measured of a model, as rows of text: for the terminal and for docs/zoo.md.

The do-nothing row comes first, the model itself next; a protocol's own metrics before
those of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medenh.zoo.card import Estimate, ModelCard, RecognitionTable, ResultTable

__all__ = [
    "FigureTable",
    "best_classical",
    "estimate_text",
    "figure_tables",
    "leading_metric",
]

_FIRST = ("psnr", "ssim", "ms-ssim", "de2000", "mae")
_NO_METHOD = ("identity", "oracle-affine", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureTable:
    """A table of a card, ready to be written.

    Attributes
    ----------
    title : str
        What was measured on what, and n.
    headers : tuple of str
    rows : tuple of tuple of str
    published : str
        What others report, under another protocol.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    published: str = ""


def figure_tables(card: ModelCard) -> list[FigureTable]:
    """Return all tables of a card."""
    tables = [_of_results(card.id, result) for result in card.results]
    if card.recognition is not None:
        tables += [_of_recognition(table) for table in card.recognition.tables]
    return tables


def _of_results(name: str, result: ResultTable) -> FigureTable:
    first = ("identity", name)
    others = [row for row in result.rows if row not in first]
    rows = {row: result.rows[row] for row in (*first, *others) if row in result.rows}
    metrics = _metrics(result)
    return FigureTable(
        title=f"{result.protocol}, {result.modality}, {result.split}, n = {result.n}",
        headers=("model", *metrics),
        rows=tuple(
            (row, *(estimate_text(scores.get(m), of=result.n) for m in metrics))
            for row, scores in rows.items()
        ),
        published=result.literature,
    )


def _of_recognition(table: RecognitionTable) -> FigureTable:
    words = (table.data, table.target, table.region, f"n = {table.n}")
    return FigureTable(
        title=", ".join(word for word in words if word),
        headers=("metric", "mean and 95 % interval"),
        rows=tuple((name, estimate_text(e)) for name, e in table.scores.items()),
        published=table.literature,
    )


def _metrics(result: ResultTable) -> list[str]:
    found = dict.fromkeys(metric for row in result.rows.values() for metric in row)
    first = [metric for metric in _FIRST if metric in found]
    return first + [metric for metric in found if metric not in first]


def leading_metric(result: ResultTable) -> str:
    """Return the metric that ranks the rows of a table; "" without rows."""
    return next(iter(_metrics(result)), "")


def best_classical(
    result: ResultTable, metric: str, classical: Sequence[str]
) -> str | None:
    """Return the weight-free method with the highest mean of a metric.

    Parameters
    ----------
    result : ResultTable
    metric : str
        One of which higher is better.
    classical : sequence of str
        Ids of weight-free methods.
    """
    known = {
        name: scores[metric].mean
        for name, scores in result.rows.items()
        if name in classical and name not in _NO_METHOD and metric in scores
    }
    return max(known, key=known.__getitem__) if known else None


def estimate_text(found: Estimate | None, *, of: int | None = None) -> str:
    """Return a mean with its interval, to four digits; a dash where there is none.

    Parameters
    ----------
    found : Estimate or None
    of : int, optional
        Pictures of the table: another n is told.

    Examples
    --------
    >>> estimate_text(Estimate(mean=24.04, ci95=(22.8, 25.312), n=9), of=10)
    '24.04 [22.8, 25.31] n=9'
    """
    if found is None:
        return "-"
    text = f"{found.mean:.4g}"
    if found.ci95 is not None:
        text += " [{:.4g}, {:.4g}]".format(*found.ci95)
    return text if of in (None, found.n) else f"{text} n={found.n}"
