"""`records.jsonl`: one line for each degraded picture, complete whatever happens.

While a run goes on, lines are appended to a journal, each before its files get their
final names; at the end, or at the start of the next run, they become `records.jsonl`,
in the order of the inputs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from medenh.degradations import Record
from medenh.errors import UsageError
from medenh.formats.files import (
    atomic_output,
    open_alone,
    output_error,
    sha256_file,
)
from medenh.formats.outputs import DEGRADE_JOURNAL, RECORDS
from medenh.pipeline.journal import with_partners

__all__ = [
    "RecordStore",
    "content_sha256",
    "files_of",
    "read_records",
]

_SYNC_EVERY = 64


def content_sha256(path: Path) -> str:
    """Return the hash of a file; of a NIfTI pair that of both files' hashes."""
    parts = with_partners([path])
    if len(parts) == 1:
        return sha256_file(path)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(bytes.fromhex(sha256_file(part)))
    return digest.hexdigest()


def files_of(record: Record) -> list[tuple[str, str]]:
    """Return name and hash of each file that was written for a record."""
    first = (record.output, record.output_sha256)
    more = [*record.more_outputs, *record.references, *record.label_masks]
    return [first, *((one.name, one.sha256) for one in more)]


def read_records(path: Path) -> list[Record]:
    """Return the records of a file.

    Raises
    ------
    UsageError
        It cannot be read, is empty, or a line of it is no record.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot be read: {reason}", path=path) from error
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(Record.from_json(line))
        except UsageError as error:
            raise UsageError(
                f"line {number}: {error.what}", path=path, hint=error.hint
            ) from error
    if not records:
        raise UsageError("holds no record", path=path)
    return records


class RecordStore:
    """The records of one output folder.

    Parameters
    ----------
    root : path
        The output folder; may not exist yet.

    Raises
    ------
    UsageError
        It holds a `records.jsonl` that is something else.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._journal = root / DEGRADE_JOURNAL
        self._handle = -1
        self._count = 0
        self._records: dict[str, Record] = {}
        self._owners: dict[str, str] = {}  # file to the first output of its record
        self._load()

    def _load(self) -> None:
        """Read what is recorded now."""
        self._records.clear()
        self._owners.clear()
        if (self._root / RECORDS).exists():
            for record in read_records(self._root / RECORDS):
                self._put(record)
        self._load_journal()

    def _load_journal(self) -> None:
        if not self._journal.is_file():
            return
        try:
            lines = self._journal.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                record = Record.from_json(line)
            except UsageError:  # torn by a kill
                continue
            self._put(record)

    def _put(self, record: Record) -> None:
        """Remember a record in place of all that tell of one of its files."""
        names = [name for name, _ in files_of(record)]
        for name in names:
            before = self._owners.get(name)
            if before is not None and before != record.output:
                self._records.pop(before, None)
            self._owners[name] = record.output
        self._records[record.output] = record

    def find(self, output: str) -> Record | None:
        """Return the record of an output."""
        return self._records.get(output)

    def owners(self, names: Iterable[str]) -> list[Record]:
        """Return the records that tell of some files, each once."""
        owners = dict.fromkeys(
            self._owners[one] for one in names if one in self._owners
        )
        return [self._records[owner] for owner in owners if owner in self._records]

    def is_intact(self, record: Record) -> bool:
        """Tell whether all files of a record are there as they were written."""
        try:
            return all(
                content_sha256(self._root / name) == digest
                for name, digest in files_of(record)
            )
        except OSError:
            return False

    def is_begun(self, record: Record) -> bool:
        """Tell whether the files of a record that are there are as they were written.

        A killed run may have moved some of them to their places, and not others.
        """
        try:
            return all(
                content_sha256(self._root / name) == digest
                for name, digest in files_of(record)
                if (self._root / name).exists()
            )
        except OSError:
            return False

    def claim(self) -> None:
        """Make the folder this run's own: `records.jsonl` has one writer at a time.

        Raises
        ------
        OutputError
            Nothing can be written there, or another run writes there.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._handle = open_alone(self._journal)
        except OSError as error:
            raise output_error(error, self._root) from error
        self._load()  # that run may have recorded more since we looked

    def add(self, record: Record) -> None:
        """Append a record to the journal, before its files get their names.

        The folder must be claimed.

        Raises
        ------
        OutputError
            The journal cannot be written.
        """
        try:
            # a line before, that a kill or a full disk cut off, ends here
            data = b"\n" + record.to_json().encode() + b"\n"
            while data:
                data = data[os.write(self._handle, data) :]
            self._count += 1
            if self._count % _SYNC_EVERY == 0:
                os.fsync(self._handle)
        except OSError as error:
            raise output_error(error, self._journal) from error
        self._put(record)

    def finish(self, order: Sequence[str]) -> None:
        """Write `records.jsonl`: outputs in the order given, then those of other runs.

        Records whose first file is gone are dropped.

        Raises
        ------
        OutputError
            It cannot be written; the journal stays.
        """
        names = dict.fromkeys(order)
        names.update(dict.fromkeys(self._records))
        kept = [
            self._records[name]
            for name in names
            if name in self._records and (self._root / name).exists()
        ]
        try:
            self._replace(kept)
        finally:
            self._close()

    def _replace(self, kept: Sequence[Record]) -> None:
        if kept:
            with atomic_output(self._root / RECORDS) as part:
                part.write_text(_lines(kept), encoding="utf-8", newline="\n")
        if os.name == "nt":  # what is open cannot be removed there
            self._close()
        self._journal.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _lines(records: Iterable[Record]) -> str:
    return "".join(record.to_json() + "\n" for record in records)
