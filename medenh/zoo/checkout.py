"""A model taken into the project's own source tree: bundled weights and manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from medenh.errors import OutputError, UsageError
from medenh.zoo.cache import publishing
from medenh.zoo.card import ModelCard
from medenh.zoo.manifest import SCHEMA, Manifest, read_card

__all__ = ["add_to_checkout", "cards_of_checkout", "check_checkout"]

_MANIFEST = "weights_manifest.json"


def check_checkout(root: Path) -> None:
    """Raise UsageError where a folder is no source tree of the project."""
    if not (root / _MANIFEST).is_file() or not _bundled(root).is_dir():
        raise UsageError(
            f"no checkout of the project: {_MANIFEST} or medenh/zoo/bundled is missing",
            path=root,
        )


def cards_of_checkout(root: Path) -> dict[str, ModelCard]:
    """Return the cards of a source tree by id, as its manifest has them now.

    Raises
    ------
    UsageError
        No checkout, or its manifest is not valid.
    """
    check_checkout(root)
    path = root / _MANIFEST
    try:
        entries = json.loads(path.read_text("utf-8"))["models"]
        cards = [read_card(json.dumps(entry)) for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot be read: {error}", path=path) from error
    return {card.id: card for card in Manifest(tuple(cards)).current()}


def add_to_checkout(card: ModelCard, weights: Path, root: Path) -> None:
    """Copy weights into a source tree and write the card into its manifest.

    An entry of the same id is replaced, and its weights removed where no other entry
    names them.

    Raises
    ------
    UsageError
        No checkout, or the manifest would contradict itself.
    OutputError
        Something cannot be written.
    """
    check_checkout(root)
    if card.weights is None:
        raise UsageError(f"{card.id} has no weights to bundle")
    path = root / _MANIFEST
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        entries: list[dict[str, Any]] = document["models"]
        new = _replaced(entries, card)
        Manifest(tuple(read_card(json.dumps(one)) for one in new)).check()
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot take the model in: {error}", path=path) from error
    text = json.dumps({**document, "models": new}, indent=2, ensure_ascii=False) + "\n"
    try:
        with publishing(_bundled(root) / card.weights.file) as part:
            shutil.copyfile(weights, part)
        with publishing(path) as part:
            part.write_text(text, "utf-8")
        for name in _files(entries) - _files(new):
            (_bundled(root) / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}", path=root
        ) from error


def _bundled(root: Path) -> Path:
    return root / "medenh" / "zoo" / "bundled"


def _replaced(entries: list[dict[str, Any]], card: ModelCard) -> list[dict[str, Any]]:
    """Return the entries with the card in the place of its id, or at the end."""
    entry = card.model_dump(mode="json", exclude_defaults=True)
    places = [i for i, one in enumerate(entries) if one["id"] == card.id]
    kept = [one for one in entries if one["id"] != card.id]
    kept.insert(places[0] if places else len(kept), entry)
    return kept


def _files(entries: list[dict[str, Any]]) -> set[str]:
    bundled = (one["weights"] for one in entries if one.get("weights"))
    return {str(one["file"]) for one in bundled if one.get("bundled")}
