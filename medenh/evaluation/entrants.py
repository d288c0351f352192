"""Who takes part in a protocol: names of models to loaded models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from medenh.classical import METHODS
from medenh.evaluation.degrading import IDENTITY, ORACLE
from medenh.evaluation.figures import DEGRADED, REGION
from medenh.evaluation.own import OwnModel, own_models
from medenh.evaluation.regained import CLEAN
from medenh.types import Modality

if TYPE_CHECKING:
    from medenh.pipeline.model import Model
    from medenh.zoo.manifest import ModelCard

__all__ = ["Entrants", "enter", "usual_rows"]

CLASSICAL = "classical"
# words for models, rows, and folders and pictures beside those of rows
_RESERVED = (IDENTITY, ORACLE, CLEAN, DEGRADED, REGION, CLASSICAL, "auto", "mask")


@dataclass(frozen=True, slots=True)
class Entrants:
    """The models of a run beside identity.

    Attributes
    ----------
    cards : dict
        Row -> ModelCard, in the order asked for. A row's name is the model's id,
        ``id@version`` where several versions of it take part.
    methods : tuple of str
        Rows of those without weights, which run in the workers.
    networks : dict
        Row -> Model, loaded.
    own : dict
        Row -> function or network of the user's own; after the others.
    """

    cards: dict[str, ModelCard]
    methods: tuple[str, ...]
    networks: dict[str, Model]
    own: dict[str, OwnModel]

    @property
    def names(self) -> tuple[str, ...]:
        """Rows of all, in order."""
        return (*self.cards, *self.own)

    def described(self) -> dict[str, dict[str, str]]:
        """Return version and hash of every model; of the user's own what it is."""
        zoo = {
            row: {
                "version": card.version,
                "sha256": card.weights.sha256 if card.weights else "",
                "precision": "fp32",
            }
            for row, card in self.cards.items()
        }
        return zoo | {row: model.described() for row, model in self.own.items()}


def enter(
    names: Sequence[str],
    modality: Modality,
    *,
    device: str,
    own: Sequence[tuple[str, Any]] = (),
) -> Entrants:
    """Resolve and load models, each once.

    Parameters
    ----------
    names : sequence of str
        Ids, ``id@version``, aliases, "auto", or "classical".
    modality : Modality
        Kind of picture: decides aliases, and which classical methods take part.
    device : str
        Where networks run.
    own : sequence of (str, function or network)
        The user's own, with the names of their rows; see `OwnModel`.

    Raises
    ------
    UsageError
        A name is unknown; one of the user's own is taken, or names no function.
    WeightsError
        Weights cannot be had.
    """
    from medenh.pipeline.model import load_model
    from medenh.zoo.manifest import load_manifest

    manifest = load_manifest()
    zoo = [(card.id, card.full_id, *card.aliases) for card in manifest.cards]
    mine = own_models(own, taken={*_RESERVED, *chain.from_iterable(zoo)})
    usual = [card.id for card in _usual_methods(manifest.current(), modality)]
    expanded = (usual if name == CLASSICAL else [name] for name in names)
    wanted = list(chain.from_iterable(expanded))
    kind = modality.value if modality is not Modality.UNKNOWN else None
    cards = [manifest.resolve_enhancer(name, kind).card for name in wanted]
    rows = _by_row([card for card in cards if card.id != IDENTITY])
    networks = {
        row: load_model(card.full_id, device, "fp32")
        for row, card in rows.items()
        if card.method is None
    }
    methods = tuple(row for row, card in rows.items() if card.method is not None)
    return Entrants(rows, methods, networks, mine)


def usual_rows(card: ModelCard) -> tuple[str, ...]:
    """Return what a card's tables have beside it: of slow methods those of its task."""
    from medenh.zoo.manifest import resolve

    slow = [name for name, method in METHODS.items() if method.info.slow]
    return (CLASSICAL, *(n for n in slow if resolve(n).card.task == card.task))


def _by_row(cards: Sequence[ModelCard]) -> dict[str, ModelCard]:
    """Return each model once, by id; by ``id@version`` where an id has several."""
    unique = {card.full_id: card for card in cards}
    counts = Counter(card.id for card in unique.values())
    return {
        full_id if counts[card.id] > 1 else card.id: card
        for full_id, card in unique.items()
    }


def _usual_methods(cards: Iterable[ModelCard], modality: Modality) -> list[ModelCard]:
    """Return the weight-free methods that a table of such pictures has by itself."""
    usual = [n for n, one in METHODS.items() if one.info.natural and not one.info.slow]
    known = modality is not Modality.UNKNOWN
    return [
        card
        for card in cards
        if card.method in usual and (not known or card.suits(modality))
    ]
