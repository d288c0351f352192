"""Recipes as the text of TOML files; `recipe_file` reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from medenh.degradations.operator import Sampler
from medenh.degradations.parameters import (
    Choices,
    Graded,
    Levels,
    Ranged,
    Scaled,
    Uniform,
    is_seed,
)
from medenh.degradations.recipe import InOrder, Item, OneOf, Recipe
from medenh.degradations.recipe_file import parameters_of
from medenh.errors import UsageError

__all__ = ["write_recipe"]

_HEAD = "# What a recipe's file may hold: docs/degrade.md, A recipe of your own."


def write_recipe(recipe: Recipe, samplers: Mapping[str, Sampler]) -> str:
    """Return a recipe as the text of a file.

    `read_recipe` makes a recipe of it that degrades to the same bytes.

    Parameters
    ----------
    recipe : Recipe
        One of `RECIPES`, or of a file, whose text it is then.
    samplers : mapping of str to Sampler

    Raises
    ------
    UsageError
        Its plan is a function, which no file can hold.
    """
    if recipe.text:
        return recipe.text
    if not isinstance(recipe.plan, InOrder):
        raise UsageError(f"recipe {recipe.name} is a function, and no file can hold it")
    names = {id(sampler): name for name, sampler in samplers.items()}
    told = {
        "title": recipe.title,
        "source": recipe.source,
        "modalities": recipe.modalities,
        "domain": recipe.domain,
        "framing": recipe.framing,
        "options": dict(recipe.options),
        "at_least_one": recipe.plan.at_least_one,
    }
    lines = [_HEAD]
    lines += [f"{key} = {_value(value)}" for key, value in told.items() if value]
    for item in recipe.plan.items:
        lines += ["", "[[steps]]", *_item_lines(item, names)]
    return "\n".join(lines) + "\n"


def _item_lines(item: Item, names: Mapping[int, str]) -> list[str]:
    table = _item_table(item, names)
    lines = [
        f"{key} = {_value(value)}" for key, value in table.items() if key != "one_of"
    ]
    if "one_of" in table:
        lines += ["one_of = [", *(f"    {_value(x)}," for x in table["one_of"]), "]"]
        return lines
    left = [
        name
        for name in parameters_of(item.operator)  # type: ignore[union-attr]
        if name not in table and not is_seed(name)
    ]
    if left:
        lines.append(f"# drawn by {table['operator']} itself: {', '.join(left)}")
    return lines


def _item_table(item: Item, names: Mapping[int, str]) -> dict[str, Any]:
    chance = {} if item.probability is None else {"probability": item.probability}
    if isinstance(item, OneOf):
        alternatives = [
            [_item_table(one, names) for one in part] for part in item.alternatives
        ]
        return chance | {
            "one_of": [part[0] if len(part) == 1 else part for part in alternatives]
        }
    sampler = item.operator
    if not isinstance(sampler, Ranged):
        return {"operator": names[id(sampler)]} | chance
    together = {"together": True} if sampler.together else {}
    named = {"operator": names[id(sampler.base)]}
    return named | chance | together | dict(sampler.parameters)


def _value(value: Any) -> str:
    """Return a value as TOML writes it, on one line."""
    if isinstance(value, Graded | Levels | Uniform | Choices | Scaled):
        told = {one.name: getattr(value, one.name) for one in fields(value)}
        return _value(
            {k: v for k, v in told.items() if v is not None and v is not False}
        )
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
