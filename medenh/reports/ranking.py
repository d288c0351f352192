"""Which files of an evaluation are worth looking at: best, middling, worst."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medenh.evaluation.result import Column, Evaluation, Row

__all__ = ["GROUPS", "Place", "baseline", "change", "choose", "rank", "score"]

GROUPS = ("Smallest gains or losses", "In the middle", "Largest gains", "Files")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file stands among all.

    Attributes
    ----------
    file : str
    group : str
        One of `GROUPS`; the last where gains are unknown.
    position, total : int
        1 is the smallest gain of ``total`` files; 0 where gains are unknown.
    """

    file: str
    group: str
    position: int = 0
    total: int = 0


def score(row: Row, column: str, file: str) -> float | None:
    """Return a figure; None where there is none."""
    value = row.scores.get(column, {}).get(file)
    return None if value is None or math.isnan(value) else float(value)


def baseline(evaluation: Evaluation) -> Row | None:
    """Return the row that the subject's change is measured from.

    The do-nothing row where there is one (rows stand in the order to show, and it is
    first), else the first row that is not the subject, nor the clean pictures.
    """
    others = [
        row
        for row in evaluation.rows
        if row.name != evaluation.subject and not row.note.startswith("the clean")
    ]
    named = [row for row in others if row.name == "identity"]
    return next(iter([*named, *others]), None)


def change(evaluation: Evaluation, column: Column, file: str) -> float | None:
    """Return the subject's figure minus the baseline's; None where undefined."""
    base = baseline(evaluation)
    subject = next((r for r in evaluation.rows if r.name == evaluation.subject), None)
    if base is None or subject is None:
        return None
    after, before = score(subject, column.name, file), score(base, column.name, file)
    if after is None or before is None:
        return None
    difference = after - before
    return None if math.isnan(difference) else difference  # infinity - infinity


def rank(evaluation: Evaluation) -> list[str]:
    """Return the files by their gain in the first column, smallest gain first.

    Without a baseline, the figure itself takes the place of the gain. Files without
    either are left out.
    """
    if not evaluation.columns:
        return []
    column = evaluation.columns[0]
    sign = -1.0 if column.better == "lower" else 1.0
    subject = next((r for r in evaluation.rows if r.name == evaluation.subject), None)
    gains: dict[str, float] = {}
    for file in evaluation.files:
        gain = change(evaluation, column, file)
        if gain is None and baseline(evaluation) is None and subject is not None:
            gain = score(subject, column.name, file)
        if gain is not None:
            gains[file] = sign * gain
    return sorted(gains, key=gains.__getitem__)


def choose(evaluation: Evaluation, most: int) -> list[Place]:
    """Return at most ``most`` files: a third worst, a third middling, a third best.

    They come in the order of interest: the worst, the best, the middle one, the second
    worst... so that a page that must stay small can leave out the last.
    """
    ranked = rank(evaluation)
    if not ranked:
        return [Place(file, GROUPS[3]) for file in evaluation.files[:most]]
    total = len(ranked)
    if total <= most:
        cuts = (-(-total // 3), total - total // 3)
        groups = [list(range(cuts[0])), list(range(*cuts)), list(range(cuts[1], total))]
    else:
        ends, middle = -(-most // 3), most - 2 * -(-most // 3)
        start = (total - middle) // 2
        groups = [
            list(range(ends)),
            list(range(start, start + middle)),
            list(range(total - ends, total)),
        ]
    worst, middling, best = groups
    named = [
        [Place(ranked[i], GROUPS[0], i + 1, total) for i in worst],
        [Place(ranked[i], GROUPS[2], i + 1, total) for i in reversed(best)],
        [Place(ranked[i], GROUPS[1], i + 1, total) for i in middling],
    ]
    longest = max(map(len, named))
    order = [g[i] for i in range(longest) for g in named if i < len(g)]
    return order[: max(0, most)]
