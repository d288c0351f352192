"""What is on the cards of the bundled models, measured again on the same pictures.

A part is one table of an enhancer, or all tables of a recogniser. What was measured
lies in a folder, so that a run which was stopped goes on where it was: a part is
measured anew when the model, the code, the protocol or the pictures are others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

import medenh
from medenh import tasks
from medenh.errors import MedenhError, UsageError
from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol
from medenh.evaluation.entrants import usual_rows
from medenh.evaluation.packs import is_pack
from medenh.evaluation.protocols import find_protocol
from medenh.evaluation.result import Evaluation
from medenh.formats.files import atomic_output
from medenh.hashing import sha256_file
from medenh.publishing.enhancer import result_table
from medenh.publishing.recogniser import load_images, score_tables
from medenh.publishing.run_folder import stored_config
from medenh.reports.evaluation import write_evaluation_report
from medenh.reports.html import Case
from medenh.reports.pictures import fit
from medenh.reports.ranking import rank
from medenh.tasks import TASKS
from medenh.training.data import MODALITY_OF_PACK
from medenh.types import FloatArray
from medenh.zoo.card import ModelCard, Recognition, ResultTable
from medenh.zoo.manifest import load_manifest, manifest_path

__all__ = ["Measured", "Part", "parts_of", "remeasure"]

_THUMBNAIL = 256  # pixels of the worst pictures
_NO_MODEL = ("identity", "oracle-affine", "reference")
_VIEWS = ("before", "after", "reference")


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured at once.

    Attributes
    ----------
    card : ModelCard
    table : ResultTable or Recognition
        As on the card.
    """

    card: ModelCard
    table: ResultTable | Recognition

    @property
    def name(self) -> str:
        """The model, and what it is measured on: also the name of its files."""
        words = [self.card.id]
        if isinstance(self.table, ResultTable):
            words += [self.table.protocol, self.table.modality]
        return "_".join(words)


@dataclass(frozen=True, slots=True)
class Measured:
    """A part, measured again.

    Attributes
    ----------
    part : Part
    table : ResultTable, Recognition or None
        None where it could not be measured.
    error : str
        Why not.
    worst : Case or None
        The picture that gained least, of an enhancer.
    """

    part: Part
    table: ResultTable | Recognition | None
    error: str = ""
    worst: Case | None = None


def parts_of(cards: Sequence[ModelCard]) -> list[Part]:
    """Return what the cards of bundled models hold figures of."""
    return [part for card in cards for part in _parts(card)]


def _parts(card: ModelCard) -> Iterator[Part]:
    if card.weights is None or not card.weights.bundled:
        return
    for table in card.results:
        yield Part(card, table)
    if card.recognition is not None:
        yield Part(card, card.recognition)


def remeasure(
    part: Part, data: Path, folder: Path, *, on_step: Callable[[str], None]
) -> Measured:
    """Measure a part, unless its figures lie in the folder already.

    Parameters
    ----------
    part : Part
    data : path
        Folder of the data packs.
    folder : path
        Where figures, pages and worst pictures are kept.
    on_step : callable
        Told what is measured.

    Returns
    -------
    Measured
        Without a table, and with the reason, where it could not be measured.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    place = folder / f"{part.name}.json"
    try:
        pack = _pack(part, data)
        state = _state(part, pack)
        kept = _kept(part, place, state)
        if kept is not None:
            on_step(f"{part.name}: measured before")
            return kept
        on_step(f"{part.name}: measuring")
        table = _measure(part, data, pack, folder)
    except (UsageError, MedenhError) as error:
        return Measured(part, None, str(error))
    document = {"state": state, "table": table.model_dump(mode="json")}
    with atomic_output(place) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return Measured(part, table, worst=_worst_case(part, folder))


def _pack(part: Part, data: Path) -> Path:
    if isinstance(part.table, ResultTable):
        modality = part.table.modality
    else:
        modality = part.card.modalities[0]
    (name,) = [pack for pack, word in MODALITY_OF_PACK.items() if word == modality]
    if not is_pack(data / name):
        raise UsageError(f"no data pack of {modality} pictures", path=data / name)
    return data / name


def _state(part: Part, pack: Path) -> dict[str, Any]:
    """Return what the figures depend on."""
    weights = part.card.weights
    state = {
        "model": part.card.full_id,
        "weights": weights.sha256 if weights else "",
        "code": _code_hash(),
        "pictures": sha256_file(pack / "manifest.csv"),
    }
    if isinstance(part.table, ResultTable):
        protocol = find_protocol(part.table.protocol).to_json()
        state |= {"protocol": json.dumps(protocol), "n": str(part.table.n)}
    return state


@cache
def _code_hash() -> str:
    """Return one hash over the package's source."""
    digest = sha256()
    root = Path(medenh.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _kept(part: Part, place: Path, state: dict[str, Any]) -> Measured | None:
    """Return what was measured before, if nothing that matters has changed since."""
    if not place.is_file():
        return None
    try:
        document = json.loads(place.read_text("utf-8"))
        if document["state"] != state:
            return None
        text = json.dumps(document["table"])
        table = type(part.table).model_validate_json(text)
    except (ValueError, KeyError, TypeError):
        return None
    return Measured(part, table, worst=_worst_case(part, place.parent))


def _measure(
    part: Part, data: Path, pack: Path, folder: Path
) -> ResultTable | Recognition:
    if isinstance(part.table, Recognition):
        return _recognition(part.card, part.table, data)
    found = run_protocol(
        part.table.protocol,
        BenchmarkOptions(
            data=pack,
            models=_entrants(part),
            limit=part.table.n,
            pictures=True,
            subject=part.card.id,
        ),
    )
    table = result_table(found, pack, {}) | {"literature": part.table.literature}
    write_evaluation_report(found, folder / f"{part.name}.html")
    _keep_worst(found, folder / f"{part.name}.npz")
    return ResultTable.model_validate_json(json.dumps(table))


def _entrants(part: Part) -> tuple[str, ...]:
    """Return the model, and whatever the card compares it with."""
    known = {card.id for card in load_manifest().cards}
    rows = part.table.rows if isinstance(part.table, ResultTable) else {}
    others = [row for row in rows if row in known and row not in _NO_MODEL]
    return (part.card.id, *usual_rows(part.card), *others)


def _recognition(card: ModelCard, told: Recognition, data: Path) -> Recognition:
    """Score a recogniser as when it was published, with the thresholds it has."""
    (name,) = [task.name for task in TASKS.values() if task.model == card.id]
    if card.training is None:
        raise UsageError(f"the card of {card.id} tells nothing of its training")
    config = stored_config(card.training.config, data, manifest_path())
    tables = score_tables(tasks.load(name), config, load_images(config))
    words = {table.target: table.literature for table in told.tables}
    for table in tables:
        table["literature"] = words.get(table["target"], "")
    document = {**told.model_dump(mode="json"), "tables": tables}
    return Recognition.model_validate_json(json.dumps(document))


def _keep_worst(found: Evaluation, place: Path) -> None:
    """Keep the picture that gained least, small."""
    ranked, pictures = rank(found), found.pictures
    if not ranked or pictures is None:
        return
    file, column = ranked[0], found.columns[0]
    views = {
        view: pictures.get(file, row)
        for view, row in zip(
            _VIEWS, ("degraded", found.subject, "reference"), strict=True
        )
    }
    scores = [found.row(row).scores[column.name][file] for row in _ends(found)]
    shown = {view: _levels(one) for view, one in views.items() if one is not None}
    if len(shown) < len(_VIEWS):
        return
    text = " → ".join("-" if s is None else f"{s:.{column.digits}f}" for s in scores)
    with atomic_output(place) as partial, partial.open("wb") as handle:
        words = np.array([file, column.title, f"{text} {column.unit}".strip()])
        np.savez_compressed(handle, words=words, **shown)


def _ends(found: Evaluation) -> tuple[str, str]:
    return found.rows[0].name, found.subject


def _levels(pixels: FloatArray) -> Any:
    small = np.clip(fit(pixels, _THUMBNAIL), 0, 1)
    return np.rint(small * 255).astype(np.uint8)


def _worst_case(part: Part, folder: Path) -> Case | None:
    place = folder / f"{part.name}.npz"
    if not place.is_file():
        return None
    with np.load(place, allow_pickle=False) as kept:
        file, title, figures = (str(word) for word in kept["words"])
        before, after, reference = (kept[v].astype(np.float32) / 255 for v in _VIEWS)
    return Case(
        name=f"{part.name.replace('_', ', ')}: {file}",
        before=before,
        after=after,
        reference=reference,
        figures={f"{title}, smallest gain": figures},
    )
