"""What an enhancer is measured under, and on which pictures."""

from __future__ import annotations

from pathlib import Path

from medenh.errors import UsageError
from medenh.evaluation.packs import find_pack, is_pack
from medenh.evaluation.protocols import PROTOCOLS, Protocol, find_protocol
from medenh.publishing.options import PublishOptions
from medenh.training.config import TrainConfig
from medenh.training.data import MODALITY_OF_PACK

__all__ = ["plan_protocols"]


def plan_protocols(
    config: TrainConfig, options: PublishOptions
) -> list[tuple[Protocol, Path]]:
    """Return what is measured: a protocol on a set of pictures, each.

    Raises
    ------
    UsageError
        An unknown protocol, none that fits the run, no pictures, or the pictures that
        the run learnt from.
    """
    data = config.data
    recipes = {*data.recipes, *data.real_recipes}
    names = options.protocols or tuple(
        name for name, known in PROTOCOLS.items() if known.recipe in recipes
    )
    if not names:
        hint = f"--protocol, one of {', '.join(PROTOCOLS)}"
        if config.data.own_recipes():
            hint += "; a card's figures are of frozen ones, not of recipes of your own"
        raise UsageError(
            "no protocol is known for what the run learnt to undo", hint=hint
        )
    protocols = [find_protocol(name) for name in dict.fromkeys(names)]
    return [(one, place) for one in protocols for place in _sets(one, config, options)]


def _sets(
    protocol: Protocol, config: TrainConfig, options: PublishOptions
) -> list[Path]:
    root, data = options.data, config.data
    if root is not None and (is_pack(root) or not _packs_in(root)):
        _refuse_learnt(root, config)
        return [root]
    home = root or (Path(data.root) if data.packs else None)
    if home is not None:
        places = [home / name for name in data.packs or _packs_in(home)]
        fitting = [place for place in places if _fits(place, protocol)]
        if fitting:
            return fitting
    return [find_pack(protocol.modalities, protocol.name)]


def _packs_in(root: Path) -> list[str]:
    if not root.is_dir():
        raise UsageError("no such folder", path=root)
    return sorted(one.name for one in root.iterdir() if is_pack(one))


def _fits(place: Path, protocol: Protocol) -> bool:
    shows = MODALITY_OF_PACK.get(place.name, "unknown")
    return is_pack(place) and (not protocol.modalities or shows in protocol.modalities)


def _refuse_learnt(root: Path, config: TrainConfig) -> None:
    """Refuse a folder of pictures that are also those learnt from."""
    asked = root.resolve()
    for name in (config.data.high, config.data.low, config.data.real):
        if not name or is_pack(root):
            continue
        learnt = Path(name).resolve()
        if asked.is_relative_to(learnt) or learnt.is_relative_to(asked):
            raise UsageError(
                "the run learnt from these pictures",
                path=root,
                hint="give --data a folder that it never saw",
            )
