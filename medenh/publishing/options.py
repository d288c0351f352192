"""What is asked of a publication."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PublishOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """What is asked of a publication.

    Attributes
    ----------
    target : path or None
        Zip file to write, for `medenh.zoo.transfer.import_model`.
    checkout : path or None
        Source tree of the project that takes the model in, in place of ``target``.
    protocols : tuple of str
        What an enhancer is measured under; empty is every protocol whose recipe the
        run learnt to undo.
    data : path or None
        Folder of data packs, in place of the run's own; for the protocols of an
        enhancer also one pack, or a folder of clean pictures.
    limit : int or None
        At most so many pictures of each set.
    card : path or None
        JSON file with the words of the card.
    words : dict
        Words that go before those of the file: id, version, title...
    draft : bool
        Publish what does not beat doing nothing; its card says so.
    """

    target: Path | None = None
    checkout: Path | None = None
    protocols: tuple[str, ...] = ()
    data: Path | None = None
    limit: int | None = None
    card: Path | None = None
    words: dict[str, str] = field(default_factory=dict)
    draft: bool = False
