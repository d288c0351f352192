"""The journal: which outputs are done, from what, and how; a rerun trusts only this.

One JSON line before a file gets its final name, and one after. A torn last line, as a
killed run leaves it, is ignored; a record counts only while input, settings, model and
output are still what it says. An output that was begun and never recorded is this
tool's own, and may be made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from medenh.errors import InputError
from medenh.formats.content import find_partner
from medenh.formats.files import (
    open_log,
    output_error,
    read_head,
    sha256_file,
    sync_folder,
)
from medenh.formats.outputs import JOURNAL_STEM

__all__ = [
    "Fingerprint",
    "Journal",
    "OutputRecord",
    "Record",
    "journal_name",
    "prints_of",
    "with_partners",
]

_HEAD_BYTES = 1 << 20
_SYNC_EVERY = 64


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells an input from another: total size, times, hash of the heads."""

    size: int
    mtime_ns: int
    head_sha256: str

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Fingerprint:
        """Take the fingerprint of the files that make one image.

        Raises
        ------
        UnreadableError
            One cannot be read.
        """
        return cls.joined([cls._of_one(path) for path in paths])

    @classmethod
    def _of_one(cls, source: Path) -> Fingerprint:
        digest = hashlib.sha256()
        size, mtime_ns = 0, 0
        for path in with_partners([source]):
            digest.update(read_head(path, _HEAD_BYTES))
            found = path.stat()
            size += found.st_size
            mtime_ns = max(mtime_ns, found.st_mtime_ns)
        return cls(size, mtime_ns, digest.hexdigest())

    def same_content(self, other: Fingerprint) -> bool:
        """Tell whether only the time differs, if anything: copies get a new one."""
        return replace(other, mtime_ns=self.mtime_ns) == self

    @classmethod
    def joined(cls, parts: Sequence[Fingerprint]) -> Fingerprint:
        """Return the fingerprint of an image from those of its files, in order."""
        if len(parts) == 1:
            return parts[0]
        heads = " ".join(part.head_sha256 for part in parts)
        return cls(
            sum(part.size for part in parts),
            max((part.mtime_ns for part in parts), default=0),
            hashlib.sha256(heads.encode()).hexdigest(),
        )


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One file written: its place below the root, size and hash."""

    path: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path, root: Path) -> OutputRecord:
        """Describe a file that has just been written."""
        relative = path.relative_to(root).as_posix()
        return cls(relative, path.stat().st_size, sha256_file(path))

    def is_intact(self, root: Path) -> bool:
        """Tell whether the file is there and as it was written."""
        path = root / self.path
        try:
            return path.stat().st_size == self.size and (
                sha256_file(path) == self.sha256
            )
        except OSError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One finished image.

    Attributes
    ----------
    source : Fingerprint
        Of the input.
    request : str
        Hash of everything that was asked and changes the output.
    model, version, weights_sha256 : str
        What made it.
    modality : str
        Of the input: the model was picked by it.
    outputs : tuple of OutputRecord
        What was written.
    computation : str
        Engine, precision and kind of device.
    sources, left_out : tuple of str
        Names of the files that went along, and of those of a series that did not.
    damaged : dict of str to Fingerprint
        Of what was left out, what could not be read, by name.
    """

    source: Fingerprint
    request: str
    model: str
    version: str
    weights_sha256: str
    modality: str
    outputs: tuple[OutputRecord, ...]
    computation: str = ""
    sources: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    damaged: dict[str, Fingerprint] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """Return the record of a line's content; ValueError if it is none."""
        data = dict(data)
        try:
            source = Fingerprint(**data.pop("source"))
            outputs = tuple(OutputRecord(**one) for one in data.pop("outputs"))
            sources, left_out = (
                tuple(map(str, data.pop(key, ()))) for key in ("sources", "left_out")
            )
            damaged = {
                str(name): Fingerprint(**one)
                for name, one in data.pop("damaged", {}).items()
            }
            if not outputs:
                raise ValueError("a record without outputs")
            return cls(
                source=source,
                outputs=outputs,
                sources=sources,
                left_out=left_out,
                damaged=damaged,
                **data,
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a journal record: {error}") from error


def prints_of(paths: Sequence[Path]) -> dict[Path, Fingerprint]:
    """Return the fingerprints of files, each alone, but of those that are not there."""
    found = {}
    for path in paths:
        with contextlib.suppress(InputError, OSError):
            found[path] = Fingerprint.of([path])
    return found


def with_partners(paths: Sequence[Path]) -> list[Path]:
    """Return paths, each NIfTI header followed by the image file that goes with it."""
    everything = []
    for path in paths:
        everything.append(path)
        if path.name.lower().endswith((".hdr", ".hdr.gz")):
            partner = find_partner(path)
            everything += [] if partner is None else [partner]
    return everything


def journal_name(shard: tuple[int, int] | None = None) -> str:
    """Return the file name of a run's journal; each shard writes its own."""
    if shard is None:
        return f"{JOURNAL_STEM}.jsonl"
    return f"{JOURNAL_STEM}.{shard[0]}-of-{shard[1]}.jsonl"


class Journal:
    """The journals below one output root: read at once, appended to.

    Parameters
    ----------
    root : path
        The output folder; may not exist yet.
    shard : (int, int), optional
        Which part of a split run this is.
    """

    def __init__(self, root: Path, shard: tuple[int, int] | None = None) -> None:
        self._root = root
        self._path = root / journal_name(shard)
        self._lock = threading.Lock()
        self._handle = -1
        self._torn = False
        self._unsynced: set[Path] = set()
        self._count = 0
        self._records: dict[str, list[Record]] = {}
        self._begun: dict[str, str] = {}
        for path in sorted(root.glob(f"{JOURNAL_STEM}*.jsonl")):
            if path.is_file():
                self._load(path)

    def _load(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, RecursionError):
                continue

    def _take(self, data: Any) -> None:
        if not isinstance(data, dict):
            raise ValueError("not a journal line")
        if "begun" in data:
            self._begun[str(data["begun"])] = str(data.get("by"))
            return
        self._finish(Record.from_dict(data))

    def _finish(self, record: Record) -> None:
        """Remember a record; its outputs are whoever's changes them from now on."""
        for output in record.outputs:
            self._records.setdefault(output.path, []).append(record)
            self._begun.pop(output.path, None)

    def find(self, target: Path) -> Record | None:
        """Return the last record with ``target`` among its outputs."""
        records = self.records_of([target])
        return records[0] if records else None

    def records_of(self, targets: Sequence[Path]) -> list[Record]:
        """Return all records with one of some outputs, the last of each first.

        Whichever journal of the folder they stand in: a run may be split otherwise
        than the one before.
        """
        found: dict[int, Record] = {}
        for target in targets:
            for record in reversed(self._records.get(self._key(target), [])):
                found[id(record)] = record
        return list(found.values())

    def makers_of(self, target: Path, requests: Collection[str]) -> list[Record]:
        """Return the records of some requests that tell of ``target`` as it is now."""
        key = self._key(target)
        return [
            record
            for record in self.records_of([target])
            if record.request in requests
            and any(
                output.path == key and output.is_intact(self._root)
                for output in record.outputs
            )
        ]

    def covers(self, record: Record, target: Path) -> bool:
        """Tell whether ``target`` is one of a record's outputs."""
        key = self._key(target)
        return any(output.path == key for output in record.outputs)

    def was_begun(self, output: Path, source: Fingerprint, request: str) -> bool:
        """Tell whether an output was begun for this input and request."""
        return self._begun.get(self._key(output)) == _begun_by(source, request)

    def begin(self, outputs: Sequence[tuple[Path, Fingerprint]], request: str) -> None:
        """Note that outputs are about to get their final names.

        Parameters
        ----------
        outputs : sequence of (path, Fingerprint)
            Each with what it is made of.
        request : str

        Raises
        ------
        OutputError
            The journal cannot be written.
        """
        lines = [
            {"begun": self._key(path), "by": _begun_by(source, request)}
            for path, source in outputs
        ]
        with self._lock:
            self._append("".join(json.dumps(line) + "\n" for line in lines))

    def _key(self, target: Path) -> str:
        try:
            return target.relative_to(self._root).as_posix()
        except ValueError:
            return ""

    def is_intact(self, record: Record) -> bool:
        """Tell whether all outputs of a record are as they were written."""
        return all(output.is_intact(self._root) for output in record.outputs)

    def add(self, record: Record) -> None:
        """Append a record: its outputs must have their final names by now.

        Raises
        ------
        OutputError
            The journal cannot be written.
        """
        with self._lock:
            self._append(record.to_json() + "\n")
            self._finish(record)
            self._unsynced.update(
                (self._root / output.path).parent for output in record.outputs
            )
            self._count += 1
            if self._count % _SYNC_EVERY == 0:
                self._sync()

    def _append(self, text: str) -> None:
        try:
            if self._handle < 0:
                self._open()
            # whatever the last attempt left of a line, this one does not grow onto it
            data = text.encode() if not self._torn else b"\n" + text.encode()
            self._torn = True
            while data:
                data = data[os.write(self._handle, data) :]
            self._torn = False
        except OSError as error:
            raise output_error(error, self._path) from error

    def _open(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        self._handle = open_log(self._path)
        # a killed run left half a line; the next must not grow onto it
        self._torn = self._path.read_bytes()[-1:] not in (b"", b"\n")

    def _sync(self) -> None:
        for folder in self._unsynced:
            sync_folder(folder)
        self._unsynced.clear()
        os.fsync(self._handle)

    def close(self) -> None:
        """Write everything through to the disk."""
        with self._lock:
            if self._handle >= 0:
                self._sync()
                os.close(self._handle)
                self._handle = -1


def _begun_by(source: Fingerprint, request: str) -> str:
    """Return what ties a begun output to its input and request."""
    parts = f"{source.head_sha256} {source.size} {source.mtime_ns} {request}"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
