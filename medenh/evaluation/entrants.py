"""Who takes part in a protocol: names of models to loaded models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medenh.classical import METHODS
from medenh.evaluation.degrading import IDENTITY
from medenh.types import Modality

if TYPE_CHECKING:
    from medenh.pipeline.enhance import Model
    from medenh.zoo.manifest import ModelCard

__all__ = ["Entrants", "enter"]

CLASSICAL = "classical"


@dataclass(frozen=True, slots=True)
class Entrants:
    """The models of a run beside identity.

    Attributes
    ----------
    cards : tuple of ModelCard
        In the order asked for.
    methods : tuple of str
        Ids of those without weights, which run in the workers.
    networks : dict
        Id -> Model, loaded.
    """

    cards: tuple[ModelCard, ...]
    methods: tuple[str, ...]
    networks: dict[str, Model]

    @property
    def names(self) -> tuple[str, ...]:
        """Ids of all, in order."""
        return tuple(card.id for card in self.cards)

    def described(self) -> dict[str, dict[str, str]]:
        """Return version and hash of every model."""
        return {
            card.id: {
                "version": card.version,
                "sha256": card.weights.sha256 if card.weights else "",
                "precision": "fp32",
            }
            for card in self.cards
        }


def enter(names: Sequence[str], modality: Modality, *, device: str) -> Entrants:
    """Resolve and load models, each once.

    Parameters
    ----------
    names : sequence of str
        Ids, aliases, "auto", or "classical".
    modality : Modality
        Kind of picture: decides aliases, and which classical methods take part.
    device : str
        Where networks run.

    Raises
    ------
    UsageError
        A name is unknown.
    WeightsError
        Weights cannot be had.
    """
    from medenh.pipeline.enhance import load_model
    from medenh.zoo.manifest import load_manifest

    manifest = load_manifest()
    wanted = [one for name in names for one in _expanded(name, modality)]
    kind = modality.value if modality is not Modality.UNKNOWN else None
    cards = [manifest.resolve_enhancer(name, kind).card for name in wanted]
    unique = {card.id: card for card in cards if card.id != IDENTITY}
    networks = {
        card.id: load_model(card.full_id, device, "fp32")
        for card in unique.values()
        if card.method is None
    }
    methods = tuple(card.id for card in unique.values() if card.method is not None)
    return Entrants(tuple(unique.values()), methods, networks)


def _expanded(name: str, modality: Modality) -> list[str]:
    if name != CLASSICAL:
        return [name]
    return [
        method.name
        for method in METHODS.values()
        if method.info.natural
        and (modality is Modality.UNKNOWN or modality in method.info.modalities)
    ]
