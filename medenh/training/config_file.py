"""Configurations as TOML files: read, changed, and what is wrong in which line."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from medenh.errors import UsageError
from medenh.text_files import read_text
from medenh.training.config import TrainConfig
from medenh.zoo.card import ModelCard
from medenh.zoo.manifest import load_manifest

__all__ = ["load_config", "named_config", "named_configs", "override"]

# tables of numbers whose keys may have dots
_SHARES = (("data", "recipes"), ("data", "real_recipes"), ("data", "datasets"))
_FILES = (".toml", ".json")
_RANK = {"extra_forbidden": 0, "missing": 2}  # a misspelt key is why another is missing


def named_configs() -> list[str]:
    """Return the names of the configurations that come with the package."""
    folder = resources.files("medenh.training") / "configs"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml"))


def named_config(name: str) -> str:
    """Return the text of a configuration that comes with the package."""
    if name not in named_configs():
        near = difflib.get_close_matches(name, named_configs(), 1)
        known = ", ".join(named_configs())
        hint = f"did you mean {near[0]}?" if near else f"one of {known}"
        raise UsageError(f"no configuration named {name!r}", hint=hint)
    place = resources.files("medenh.training") / "configs" / f"{name}.toml"
    return place.read_text("utf-8")


def load_config(
    source: str | Path | None,
    overrides: list[str] | None = None,
    *,
    tuned: str = "",
) -> TrainConfig:
    """Read a configuration.

    Parameters
    ----------
    source : str or path, optional
        A TOML file, a run's config.json, or the name of one that comes with the
        package. May be None with ``tuned``: that model's own, of its last run.
    overrides : list of str
        "section.key=value" with TOML values; bare words count as strings. They come
        last.
    tuned : str
        Id of a model of the zoo: the configuration gets its network, with options,
        and starts from its weights.

    Notes
    -----
    Built-in ones and those of models take their packs from the folder that
    ``MEDENH_DATA`` names, where it is set.

    Raises
    ------
    UsageError
        Missing file, TOML errors, unknown keys, wrong types, impossible values: with
        the line and, for a key, what may have been meant. Or a model without weights,
        or without a configuration where there is no ``source``.
    """
    card = _tunable(tuned) if tuned else None
    path = Path(tuned if source is None else source)
    if source is None and card is not None:
        text, tree = "", _own(card)
    else:
        text = _text(path)
        tree = _parsed(text, path)
    packs = os.environ.get("MEDENH_DATA")
    if packs and path.suffix not in _FILES:
        # neither a built-in one nor a model's can know where they are
        tree.setdefault("data", {})["root"] = packs
    if card is not None:
        _start_from(tree, card)
    for item in overrides or []:
        override(tree, item)
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        raise _explained(error, text, path, overrides or []) from error


def _text(path: Path) -> str:
    if path.suffix in _FILES:
        return read_text(path, "the configuration")
    return named_config(str(path))


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise UsageError(f"not valid {kind}: {error}", path=path) from error
    if not isinstance(tree, dict):
        raise UsageError("holds no settings", path=path)
    return tree


def _tunable(name: str) -> ModelCard:
    """Return the card of a model that has weights to start from."""
    card = load_manifest().get(name)
    if card.weights is None:
        raise UsageError(f"{card.id} has no weights: nothing to tune")
    return card


def _own(card: ModelCard) -> dict[str, Any]:
    """Return the configuration of the run that made a model."""
    found = card.training.config if card.training is not None else None
    if isinstance(found, str):
        return tomllib.loads(named_config(found))
    if not found:
        raise UsageError(
            f"{card.id} does not say how it was trained",
            hint="name a configuration, too",
        )
    own = deepcopy(found)
    if own.get("precision") == "bf16":  # that of the machine which trained it
        own["precision"] = "auto"
    return own


def _start_from(tree: dict[str, Any], card: ModelCard) -> None:
    """Make a model's network and weights those of a configuration."""
    section = tree.setdefault("network", {})
    if not isinstance(section, dict):
        return  # told with the other faults
    section |= {
        "architecture": card.architecture,
        "preset": card.preset,
        "options": dict(card.options),
        "start_from": card.full_id,
    }


def override(tree: dict[str, Any], item: str) -> None:
    """Change one setting of a parsed file, "section.key=value".

    Raises
    ------
    UsageError
        There is no "=", or the key goes through something that is no section.
    """
    key, separator, value = item.partition("=")
    if not separator:
        raise UsageError(f"--set {item!r} is not key=value")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UsageError(f"--set {item!r}: {section} is not a section")
    tree[last] = parsed


def _explained(
    error: ValidationError, text: str, path: Path, overrides: list[str]
) -> UsageError:
    """Say what the first fault is, where it stands, and what was meant."""
    faults = error.errors()
    first = min(faults, key=lambda one: _RANK.get(one["type"], 1))
    location = tuple(str(part) for part in first["loc"] if part != "[key]")
    message = first["msg"].removeprefix("Value error, ")
    hint = first.get("ctx", {}).get("hint", "")
    name = _cut_name(location, faults)
    if name:
        location = (*location[:2], name)
        message = "a table stands where a number should"
        hint = f'write a name with dots in quotes: {{ "{name}" = 1.0 }}'
    elif first["type"] == "dict_type" and location in _SHARES:
        message = "should be a table of names and shares"
        hint = f'{".".join(location)} = {{ "NAME" = 1.0 }}'
    elif first["type"] == "extra_forbidden":
        message = "is not a setting"
        known = _keys(location[:-1])
        near = difflib.get_close_matches(location[-1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
    where = ".".join(location)
    changed = any(
        f"{where}.".startswith(f"{item.partition('=')[0].strip()}.")
        for item in overrides
    )
    line = None if changed else _line_of(text, location)
    at = f"line {line}: " if line else ""
    sentence = f"{at}{where}: {message}" if where else message
    return UsageError(sentence, path=path, hint=hint)


def _cut_name(location: tuple[str, ...], faults: list[ErrorDetails]) -> str:
    """Return the name, dots and all, that TOML made a table of; "" where it did not.

    The part before the dot may be no name of its own, which is then the first fault.
    """
    found = (one["input"] for one in faults if one["loc"] == location)
    value = next((one for one in found if isinstance(one, dict)), None)
    if location[:-1] not in _SHARES or not value:
        return ""
    parts = [location[-1]]
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        parts.append(str(key))
    return ".".join(parts)


def _keys(sections: tuple[str, ...]) -> list[str]:
    """Return the settings of a section."""
    model: type[BaseModel] = TrainConfig
    for name in sections:
        inner = (
            model.model_fields[name].annotation if name in model.model_fields else None
        )
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _line_of(text: str, location: tuple[str, ...]) -> int | None:
    """Return the line on which a setting, or else the table that holds it, stands."""
    section, lines = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            name = section = header.group(1).strip()
        else:
            key = line.partition("=")[0].strip()
            name = f"{section}.{key}" if section else key
        lines.setdefault(re.sub("[\"']", "", name), number)
    parents = (".".join(location[:end]) for end in range(len(location), 0, -1))
    return next((lines[name] for name in parents if name in lines), None)
