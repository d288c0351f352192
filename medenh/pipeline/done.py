"""What of an item is done already, or in the way, by the journal and --on-exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medenh.errors import InputError, OutputError, UnreadableError, UsageError, spelled
from medenh.pipeline.journal import Fingerprint, Journal, Record, prints_of
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
    requests : sequence of str
        Hashes of what is asked, and of what would write the same; a record of another
        request does not count.
    models : ModelSource, optional
        A record counts only while the same model would be run in the same way.
    """

    def __init__(
        self,
        policy: str,
        journal: Journal | None,
        requests: Sequence[str],
        models: ModelSource | None = None,
    ) -> None:
        self._policy = policy
        self._journal = journal
        self._requests = tuple(requests)
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
        return [*verdicts, *self._kept(rest)]

    def _kept(self, item: WorkItem) -> list[Verdict]:
        """Return what becomes of an item some of whose outputs are there, and stay.

        A series is one image. Where it has grown since all that is there was made, or
        lost some of it, "skip" makes it again as a whole: the slices that are new have
        nothing, and all others would be different with them.
        """
        made_of = self._made_of(item)
        change = _change(item, len(made_of)) if made_of else ""
        if change and self._policy == "skip":
            remark = f"{change}: made again as a whole"
            return [replace(item, replaces=True, remarks=(*item.remarks, remark))]
        return [self._left(item, index, change) for index in range(len(item.sources))]

    def _left(self, item: WorkItem, index: int, change: str) -> Verdict:
        """Return what becomes of one source where its item's outputs stay."""
        source, target = item.sources[index], item.target_of(index)
        there = self._has_output(item, index)
        if there and self._policy == "skip":
            return Skip(source, target, "exists")
        hint = spelled(on_exists="overwrite") + "; or skip, or rename"
        what = "is already there"
        if change:
            what += f", and {change}"
            hint = spelled(on_exists="skip") + "; or overwrite: the whole is made again"
        elif self._journal is not None:
            what += f", {self._origin(self._journal, target)}"
        if not there:
            hint = spelled(on_exists="overwrite") + ": the whole is made again"
            what = "is not made: outputs of other files of its series are there"
        return Failure(source, OutputError(what, path=target, hint=hint))

    def _origin(self, journal: Journal, target: Path) -> str:
        """Return where an output comes from that is in the way."""
        record = journal.find(target)
        if record is None:
            return "and no run into this folder made it"
        made_by = f"by {record.model} {record.version}".strip()
        if not journal.is_intact(record):
            return f"made {made_by} and changed since"
        if record.request not in self._requests:
            return f"made {made_by} with other options, or by another version of medenh"
        if not self._same_model(record):
            return f"made {made_by}, which would not be run so now"
        return f"made {made_by} of another input, or of more or fewer files"

    def _has_output(self, item: WorkItem, index: int) -> bool:
        """Tell whether what a source becomes is there, alone or in a volume."""
        target = item.target_of(index)
        record = None if self._journal is None else self._journal.find(target)
        without = (
            not item.is_parallel
            and record is not None
            and record.sources
            and item.sources[index].name not in record.sources
        )
        return target.exists() and not without

    def _made_of(self, item: WorkItem) -> set[int]:
        """Return which sources, as they are now, all that is there was made of.

        Empty where any of it is of another request or source, or was changed.
        """
        found: set[int] = set()
        for path in item.outputs:
            if self._journal is None or not path.exists():
                continue
            made = [
                self._sources_in(item, record)
                for record in self._journal.makers_of(path, self._requests)
            ]
            if not any(made):
                return set()
            found.update(*made)
        return found

    def _sources_in(self, item: WorkItem, record: Record) -> set[int]:
        """Return a record's sources among an item's; none if one is not as it was.

        Their dates do not count: a series grows by being copied again.
        """
        places = {path.name: index for index, path in enumerate(item.sources)}
        indices = [places[name] for name in record.sources if name in places]
        prints = _prints_of(item, indices)
        whole = bool(indices) and len(indices) == len(record.sources)
        if not whole or prints is None:
            return set()
        now = replace(Fingerprint.joined(prints), mtime_ns=record.source.mtime_ns)
        if now != record.source:
            return set()
        return set(indices)

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
        if self._was_repaired(item):
            return [], item  # with the slice all others would be different
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

    def _was_repaired(self, item: WorkItem) -> bool:
        """Tell whether what was damaged when outputs were made is another file now."""
        if self._journal is None:
            return False
        places = {path.name: path for path in item.sources}
        for record in map(self._journal.find, item.targets):
            for name, before in record.damaged.items() if record else ():
                path = places.get(name)
                now = None if path is None else prints_of([path]).get(path)
                if now is not None and not now.same_content(before):
                    return True
        return False

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
        if self._journal is None or record.request not in self._requests:
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
            any(
                self._journal.was_begun(path, source, request)
                for request in self._requests
            )
            for path, source in item.origins(prints)
            if path.exists()
        )


def _change(item: WorkItem, before: int) -> str:
    """Return how an item differs from what was made of some of its files, if at all."""
    now = len(item.sources)
    if before < now:
        return f"its series had {before} files when that was made, and has {now} now"
    if all(path.exists() for path in item.outputs):
        return ""
    return "some of its outputs are gone"


def _prints_of(item: WorkItem, indices: Sequence[int]) -> list[Fingerprint] | None:
    """Return the fingerprints of some sources; None where one cannot be read."""
    try:
        return [Fingerprint.of([item.sources[index]]) for index in indices]
    except (InputError, OSError):
        return None
