"""What a card says of the training: the images, the command, the configuration."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from medenh.errors import UsageError
from medenh.publishing.run_folder import Run
from medenh.training.config import TrainConfig
from medenh.training.config_file import load_config, named_configs
from medenh.training.data import read_rows

__all__ = ["OWN", "data_sources", "training_record"]

_UNSTATED = "not stated"
OWN = "own images"  # the set of images that name none
# settings that name files or folders: of a machine, and of no use on another
_PATHS = (
    ("data", "root"),
    ("data", "high"),
    ("data", "low"),
    ("data", "real"),
    ("data", "masks"),
    ("data", "labels"),
    ("network", "start_from"),
    ("guided", "content"),
    ("adversarial", "features"),
)


class _Learnt(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def dataset(self) -> str: ...


def data_sources(
    config: TrainConfig, learnt: Iterable[_Learnt]
) -> list[dict[str, Any]]:
    """Return the sets that a run learnt from, with their terms and images."""
    terms = {
        f"{pack}/{row['file']}": row.get("licence") or row.get("terms") or _UNSTATED
        for pack in config.data.packs
        for row in read_rows(Path(config.data.root) / pack)
    }
    counts: Counter[tuple[str, str]] = Counter()
    for image in learnt:
        if image.name in terms:
            name = image.dataset or image.name.partition("/")[0]
            counts[name, terms[image.name]] += 1
        else:
            counts[image.dataset or OWN, _UNSTATED] += 1
    return [
        {"name": name, "terms": stated, "images": count}
        for (name, stated), count in sorted(counts.items())
    ]


def training_record(run: Run, images: int) -> dict[str, Any]:
    """Return seed, command, hours, images, configuration and recipes of one's own.

    No path of a machine is among them.
    """
    ready = _ready(run.config.name)
    stored = _portable(run.config, ready)
    return {
        "seed": run.config.seed,
        "command": _command(run.config.name, stored, ready),
        "hours": run.hours,
        "images": images,
        "config": stored,
        "recipes": {
            recipe.name: recipe.text
            for recipe in run.config.data.own_recipes().values()
        },
    }


def _ready(name: str) -> dict[str, Any] | None:
    """Return the configuration of that name that comes with the package."""
    if name not in named_configs():
        return None
    try:
        return load_config(name).model_dump(mode="json")
    except UsageError:
        return None


def _portable(config: TrainConfig, ready: dict[str, Any] | None) -> dict[str, Any]:
    """Return a configuration with paths as the ready one has them, or as bare names."""
    stored = config.model_dump(mode="json")
    for section, key in _PATHS:
        value = stored[section][key]
        usual = ready[section][key] if ready else ""
        if section == "data":
            stored[section][key] = (usual or Path(value).name) if value else ""
        elif value.endswith(".safetensors"):
            stored[section][key] = Path(value).name
    own = config.data.own_recipes()
    for key in ("recipes", "real_recipes"):
        stored["data"][key] = {
            own[name].name if name in own else name: share
            for name, share in stored["data"][key].items()
        }
    return stored


def _command(name: str, stored: dict[str, Any], ready: dict[str, Any] | None) -> str:
    """Return what to type to train it again.

    Without a ready configuration of that name, the one of the record is the file.
    """
    if ready is None:
        return f"medenh train {shlex.quote(name + '.toml')}"
    words = ["medenh", "train", name]
    for key, value in _changes(stored, ready):
        words += ["--set", f"{key}={_toml(value)}"]
    return shlex.join(words)


def _changes(
    stored: dict[str, Any], ready: dict[str, Any], place: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the settings, "section.key", that differ from the ready ones."""
    for key, value in stored.items():
        before = ready.get(key)
        if value == before or value is None:  # None cannot be set, only left out
            continue
        if isinstance(value, dict) and isinstance(before, dict) and not place:
            yield from _changes(value, before, f"{key}.")
        else:
            yield f"{place}{key}", value


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
