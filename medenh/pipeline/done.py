"""What of an item is done already, or in the way, by the journal and --on-exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medenh.errors import InputError, OutputError, UnreadableError, UsageError, spelled
from medenh.pipeline.journal import Fingerprint, Journal, Record
from medenh.pipeline.naming import numbered
from medenh.pipeline.results import Failure, Skip
from medenh.pipeline.work import WorkItem
from medenh.types import Modality

if TYPE_CHECKING:
    from medenh.pipeline.loading import ModelSource

__all__ = ["Judge", "Verdict"]

_MOST_RENAMES = 10_000

Verdict = WorkItem | Skip | Failure


class Judge:
    """Says for each item what is left to do.

    Parameters
    ----------
    policy : str
        What to do where an output is there: error, skip, overwrite or rename.
    journal : Journal or None
    request : str
        Hash of what is asked; a record of another request does not count.
    models : ModelSource, optional
        A record counts only while the same model would be run in the same way.
    """

    def __init__(
        self,
        policy: str,
        journal: Journal | None,
        request: str,
        models: ModelSource | None = None,
    ) -> None:
        self._policy = policy
        self._journal = journal
        self._request = request
        self._models = models

    def judge(self, item: WorkItem) -> list[Verdict]:
        """Return what becomes of an item: work, files that are done, failures."""
        if not any(path.exists() for path in item.outputs):
            return [item]
        verdicts, rest = self._without_done(item)
        if rest is None:
            return verdicts
        there = [path for path in rest.outputs if path.exists()]
        if not there or self._was_cut_off(rest) or self._policy == "overwrite":
            return [*verdicts, replace(rest, replaces=bool(there))]
        if self._policy == "rename":
            return [*verdicts, *self._renumbered(rest)]
        if self._policy == "skip":
            skips = [
                Skip(path, rest.target_of(index), "exists")
                for index, path in enumerate(rest.sources)
            ]
            return [*verdicts, *skips]
        error = OutputError(
            "is already there",
            path=there[0],
            hint=spelled(on_exists="overwrite") + "; or skip, or rename",
        )
        return [*verdicts, *(Failure(path, error) for path in rest.sources)]

    def _renumbered(self, item: WorkItem) -> list[Verdict]:
        """Give an item names with a number, unless an earlier run gave it some."""
        for number in range(1, _MOST_RENAMES):
            names = tuple(numbered(target, number) for target in item.targets)
            verdicts, rest = self._without_done(replace(item, targets=names))
            if rest is None:
                return verdicts
            if not any(path.exists() for path in rest.outputs):
                return [*verdicts, rest]
        error = OutputError("no free name", path=item.targets[0])
        return [Failure(path, error) for path in item.sources]

    def _without_done(self, item: WorkItem) -> tuple[list[Verdict], WorkItem | None]:
        """Return the files of an item that are done, and the item without them."""
        done = self._done(item)
        verdicts: list[Verdict] = [
            Skip(item.sources[i], item.target_of(i), "done") for i in sorted(done)
        ]
        rest = [i for i in range(len(item.sources)) if i not in done]
        if not done or not rest:
            return verdicts, item if rest else None
        if item.is_parallel:
            return verdicts, item.part(rest)
        # one output for all: it is there, and must not be replaced by the rest
        error = UnreadableError(
            f"was damaged when {item.targets[0]} was made, and was left out",
            hint="delete that output to try again",
        )
        return [*verdicts, *(Failure(item.sources[i], error) for i in rest)], None

    def _done(self, item: WorkItem) -> set[int]:
        """Return which sources of an item have outputs that are as they should be."""
        done: set[int] = set()
        if self._journal is None:
            return done
        for record in self._journal.records_of(item.targets):
            indices = self._covered(item, record)
            if not done.issuperset(indices) and self._counts(item, indices, record):
                done.update(indices)
        return done

    def _covered(self, item: WorkItem, record: Record) -> list[int]:
        """Return which sources of an item a record may be about."""
        everything = list(range(len(item.sources)))
        if not record.left_out:
            covered = self._journal is not None and all(
                self._journal.covers(record, path) for path in item.outputs
            )
            return everything if covered else []
        if not item.is_parallel:
            names = set(record.left_out)
            return [i for i in everything if item.sources[i].name not in names]
        return [
            i
            for i in everything
            if self._journal is not None
            and self._journal.covers(record, item.targets[i])
        ]

    def _counts(self, item: WorkItem, indices: Sequence[int], record: Record) -> bool:
        if self._journal is None or record.request != self._request:
            return False
        prints = _prints_of(item, indices)
        return (
            prints is not None
            and Fingerprint.joined(prints) == record.source
            and self._same_model(record)
            and self._journal.is_intact(record)
        )

    def _same_model(self, record: Record) -> bool:
        if self._models is None:
            return True
        # whether it held measurements, which decides too, is known once it is read
        return any(self._would_make(record, volume) for volume in (False, True))

    def _would_make(self, record: Record, volume: bool) -> bool:
        assert self._models is not None
        try:
            modality = Modality(record.modality)
            card = self._models.resolve(modality, volume=volume).card
            computation = self._models.computation(card)
        except (ValueError, UsageError):  # a line that somebody else wrote
            return False
        sha256 = card.weights.sha256 if card.weights is not None else ""
        made = (record.model, record.version, record.weights_sha256)
        return made == (card.id, card.version, sha256) and (
            record.computation == computation
        )

    def _was_cut_off(self, item: WorkItem) -> bool:
        """Tell whether what is there is of a run killed before it could say so."""
        prints = _prints_of(item, range(len(item.sources)))
        if self._journal is None or prints is None:
            return False
        return all(
            self._journal.was_begun(path, source, self._request)
            for path, source in item.origins(prints)
            if path.exists()
        )


def _prints_of(item: WorkItem, indices: Sequence[int]) -> list[Fingerprint] | None:
    """Return the fingerprints of some sources; None where one cannot be read."""
    try:
        return [Fingerprint.of([item.sources[index]]) for index in indices]
    except (InputError, OSError):
        return None
