"""The zoo's list: read the manifest, merge what the user added, resolve names.

Entries come from ``weights_manifest.json`` (top of the source tree, copied into the
wheel), from the file that ``MEDENH_MANIFEST`` names, and from imported models in the
cache folder.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from medenh.errors import (
    MedenhError,
    UsageError,
    WeightsError,
    check_word,
    first_problem,
    spelled,
)
from medenh.zoo.cache import cache_folders
from medenh.zoo.card import MODALITIES, ModelCard

__all__ = [
    "SCHEMA",
    "Manifest",
    "ModelCard",
    "Resolution",
    "load_manifest",
    "manifest_path",
    "read_card",
    "resolve",
]

SCHEMA = "medenh.manifest/1"
_FILE = "weights_manifest.json"
_MOST_NAMES = 3  # that are suggested for an unknown one
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A model, and in one sentence why it.

    Attributes
    ----------
    card : ModelCard
        The model.
    reason : str
        For the user to read.
    """

    card: ModelCard
    reason: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All models this machine knows of, in the order of the list.

    Attributes
    ----------
    cards : tuple of ModelCard
        Consistent: see `Manifest.check`.
    imported : set of str
        ``id@version`` of those that the user took in. Each answers to its id, and none
        changes what an alias or "auto" means.
    """

    cards: tuple[ModelCard, ...]
    imported: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise ValueError at the first rule that the entries break together."""
        full_ids = [card.full_id for card in self.cards]
        _no_repeats("model", full_ids)
        ids = {card.id for card in self.cards}
        names = [alias for card in self.cards for alias in card.aliases]
        for name in (*names, *ids):
            if name == "auto" or (name in names and name in ids):
                raise ValueError(f"name {name!r} is taken")
        listed = self.listed().current()
        for alias in sorted(set(names)):
            claims = [
                word
                for card in listed
                if alias in card.aliases
                for word in card.modalities or ("any modality",)
            ]
            _no_repeats(f"alias {alias!r} for", claims)
        _no_repeats("default for", [w for c in listed for w in c.default_for])
        hashes: dict[str, str] = {}
        for card in self.cards:
            if card.weights is not None:
                known = hashes.setdefault(card.weights.file, card.weights.sha256)
                if known != card.weights.sha256:
                    raise ValueError(f"two contents for {card.weights.file}")

    def current(self) -> tuple[ModelCard, ...]:
        """Return the newest version of each model, in the order of the list."""
        newest: dict[str, ModelCard] = {}
        for card in self.cards:
            known = newest.get(card.id)
            if known is None or _version(card) > _version(known):
                newest[card.id] = card
        return tuple(newest.values())

    def listed(self) -> Manifest:
        """Return the manifest without what was imported."""
        own = (card for card in self.cards if card.full_id not in self.imported)
        return Manifest(tuple(own))

    def select(
        self,
        *,
        modality: str | None = None,
        task: str | None = None,
        licence: str | None = None,
    ) -> tuple[ModelCard, ...]:
        """Return the newest versions that fit all the words given.

        Raises
        ------
        UsageError
            The modality is not one of the known words, or no model has the task.
        """
        if modality is not None:
            check_word("modality", modality, MODALITIES)
        tasks = sorted({card.task for card in self.current()})
        if task is not None:
            check_word("task", task, tasks)
        return tuple(
            card
            for card in self.current()
            if (modality is None or card.suits(modality))
            and (task is None or card.task == task)
            and (licence is None or licence.lower() in card.licence.lower())
        )

    def get(self, name: str) -> ModelCard:
        """Return the model of an id or ``id@version``.

        Raises
        ------
        UsageError
            There is no such model, or the name is an alias.
        """
        for card in (*self.current(), *self.cards):
            if name in (card.id, card.full_id):
                return card
        bearers = self._bearers(name)
        if bearers or name == "auto":
            hint = f"it stands for {', '.join(card.id for card in bearers)}"
            raise UsageError(
                f"{name!r} names no model by itself: give its id",
                hint=hint if bearers else "`medenh models list` shows all",
            )
        raise self._unknown(name)

    def by_modality(self, name: str) -> bool:
        """Tell whether a name means several models, one for each kind of picture."""
        return name == "auto" or len(self._bearers(name)) > 1

    def resolve(
        self,
        name: str,
        modality: str | None = None,
        *,
        volume: bool = False,
        grey: bool = False,
    ) -> Resolution:
        """Return the model that a name means for an image.

        Parameters
        ----------
        name : str
            Id, ``id@version``, alias, or "auto".
        modality : str, optional
            Kind of picture, a value of `medenh.types.Modality`.
        volume : bool
            Its values may be measurements: where its kind is unknown, "auto" picks
            what keeps them comparable.
        grey : bool
            It shows no colour: "auto" passes over what was made for colours alone.

        Raises
        ------
        UsageError
            The name is unknown; close ones are given. Or the kind of picture is.
        """
        word = None if modality in (None, "", "unknown") else str(modality)
        if word is not None:
            check_word("modality", word, MODALITIES)
        if name == "auto":
            return self._pick(word, volume=volume, grey=grey)
        bearers = self._bearers(name)
        if bearers:
            return _choose(name, bearers, word)
        card = self.get(name)
        return Resolution(card, f"{name} was asked for")

    def resolve_enhancer(
        self,
        name: str,
        modality: str | None = None,
        *,
        volume: bool = False,
        grey: bool = False,
    ) -> Resolution:
        """Return the model that a name means, as `resolve`, if it gives pictures back.

        Raises
        ------
        UsageError
            The name is unknown; close ones of enhancers are given. Or it is a
            recogniser's.
        """
        if not self._knows(name):
            enhancers = [card for card in self.cards if card.recognition is None]
            raise Manifest(tuple(enhancers))._unknown(name)
        found = self.resolve(name, modality, volume=volume, grey=grey)
        if found.card.recognition is not None:
            classes = ", ".join(found.card.recognition.classes)
            raise UsageError(
                f"{found.card.id} recognises ({classes}) and enhances nothing",
                hint="it is for `medenh evaluate` and medenh.tasks.load",
            )
        return found

    def _pick(self, modality: str | None, *, volume: bool, grey: bool) -> Resolution:
        listed = self.listed().current()
        why = f"no model is the default for {modality}"
        for card in listed:
            if modality is not None and modality in card.default_for:
                if not (grey and card.wants_colour):
                    return Resolution(card, f"{card.id} is the default for {modality}")
                why = f"it is grey, and {card.id} is for colours"
        if modality is None and volume:
            for card in listed:
                if "volume" in card.default_for:
                    why = "the kind of image is unknown, its values may be measurements"
                    return Resolution(card, f"{why}: {card.id} keeps its values near")
        for card in listed:
            if "unknown" in card.default_for:
                if modality is None:
                    why = "the kind of image is unknown"
                return Resolution(card, f"{why}, so the general {card.id} is used")
        raise UsageError("no model to choose from", hint=f"give {spelled(model='ID')}")

    def _bearers(self, alias: str) -> list[ModelCard]:
        """Return the newest versions, of those listed, that have an alias."""
        return [card for card in self.listed().current() if alias in card.aliases]

    def _knows(self, name: str) -> bool:
        names = ((card.id, card.full_id, *card.aliases) for card in self.cards)
        return name == "auto" or any(name in one for one in names)

    def _unknown(self, name: str) -> UsageError:
        known = {"auto"}
        for card in self.cards:
            known.update((card.id, *card.aliases))
            if "@" in name:
                known.add(card.full_id)
        word = name.lower()
        nearest = difflib.get_close_matches(word, sorted(known), len(known), cutoff=0.0)
        near = [one for one in nearest if word in one.split("-")]  # "mri", "ct"
        near += difflib.get_close_matches(word, sorted(known), n=_MOST_NAMES)
        if name.lower().endswith(".zip") and Path(name).is_file():
            hint = f"`medenh models import {name}` takes it in; then give its id"
        elif near:
            hint = f"did you mean {', '.join(list(dict.fromkeys(near))[:_MOST_NAMES])}?"
        elif name.endswith(".safetensors") or (Path(name) / "config.json").is_file():
            hint = "a run's weights become a model by `medenh models publish RUN`"
        else:
            hint = "`medenh models list` shows all, medenh.list_models() in Python"
        return UsageError(f"unknown model {name!r}", hint=hint)


def _choose(name: str, bearers: Sequence[ModelCard], word: str | None) -> Resolution:
    """Pick among the models that share an alias."""
    general = [card for card in bearers if not card.modalities]
    made = [card for card in bearers if word is not None and word in card.modalities]
    if made:
        return Resolution(made[0], f"{name} for {word} is {made[0].id}")
    if general:
        return Resolution(general[0], f"{name} is {general[0].id}, for any image")
    card = bearers[0]
    for_what = "/".join(card.modalities)
    if word is None:
        reason = f"the kind of image is unknown; {name} is {card.id}, for {for_what}"
    else:
        reason = f"no {name} was made for {word}; {card.id} is for {for_what}"
    return Resolution(card, reason)


def _version(card: ModelCard) -> tuple[int, ...]:
    parts = [int(part) for part in card.version.split(".")]
    return tuple(parts + [0] * (3 - len(parts)))


def _no_repeats(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name} is there twice")
        seen.add(name)


def manifest_path() -> Path:
    """Return the manifest's place: in the installed package, or the source tree."""
    package = Path(__file__).resolve().parents[1]
    # an editable install has it beside the package, a wheel carries a copy inside
    places = [package / _FILE]
    if (package.parent / "pyproject.toml").is_file():
        places.insert(0, package.parent / _FILE)
    for place in places:
        if place.is_file():
            return place
    raise WeightsError(
        f"{_FILE} is missing from the installation", hint="install medenh again"
    )


def _parse(
    data: str | bytes, path: Path, kind: type[MedenhError]
) -> tuple[ModelCard, ...]:
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        entries = document.get("models")
        if not isinstance(entries, list) or set(document) - {"schema", "models"}:
            raise ValueError("it must hold schema and models, and nothing else")
        return tuple(_card_of(entry) for entry in entries)
    except (ValueError, RecursionError) as error:
        raise kind(f"not a valid manifest: {error}", path=path) from error


def _card_of(entry: Any) -> ModelCard:
    """Return an entry as a card; ValueError says whose field is wrong, and how."""
    try:
        # strict JSON mode takes lists for tuples, and nothing else loosely
        return ModelCard.model_validate_json(json.dumps(entry))
    except ValidationError as error:
        name = entry.get("id", "?") if isinstance(entry, dict) else "?"
        raise ValueError(f"{name}: {first_problem(error)}") from error


def _read(path: Path, kind: type[MedenhError]) -> tuple[ModelCard, ...]:
    try:
        cards = _parse(path.read_bytes(), path, kind)
        Manifest(cards).check()
    except OSError as error:
        raise kind(f"cannot be read: {error.strerror}", path=path) from error
    except ValueError as error:
        raise kind(f"not a valid manifest: {error}", path=path) from error
    return cards


def read_card(data: str | bytes, path: Path | None = None) -> ModelCard:
    """Read one card from JSON text; ``path`` is where it stands, for errors.

    Raises
    ------
    WeightsError
        It is no valid card.
    """
    try:
        return _card_of(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"not a valid model card: {error}", path=path) from error


def load_manifest() -> Manifest:
    """Return all models: the manifest, the user's extra file, imported models.

    Raises
    ------
    UsageError
        ``MEDENH_MANIFEST`` names a file that is missing, not valid, or in conflict.
    WeightsError
        The installation's own manifest is missing or not valid.
    """
    cards = _read(manifest_path(), WeightsError)
    extra = os.environ.get("MEDENH_MANIFEST")
    if extra:
        path = Path(extra).expanduser()
        cards += _read(path, UsageError)
        try:
            Manifest(cards).check()
        except ValueError as error:
            raise UsageError(f"conflicts with the manifest: {error}", path=path) from (
                error
            )
    imported = _imported(cards)
    return Manifest(cards + imported, frozenset(card.full_id for card in imported))


def _imported(known: Sequence[ModelCard]) -> tuple[ModelCard, ...]:
    """Return the cards of imported models; a damaged one is left out, and said."""
    taken = {card.full_id for card in known}
    cards: list[ModelCard] = []
    for folder in cache_folders():
        for path in sorted((folder / "models").glob("*.json")):
            try:
                card = read_card(path.read_bytes())
                if card.full_id in taken:
                    continue
                new = frozenset(one.full_id for one in (*cards, card))
                Manifest((*known, *cards, card), new).check()
            except (MedenhError, OSError, ValueError) as error:
                _log.warning("imported model %s is left out: %s", path, error)
                continue
            taken.add(card.full_id)
            cards.append(card)
    return tuple(cards)


def resolve(name: str, modality: str | None = None) -> Resolution:
    """Return the model that a name means for an image: `Manifest.resolve`.

    Raises
    ------
    UsageError
        As `Manifest.resolve` raises it.
    """
    return load_manifest().resolve(name, modality)
