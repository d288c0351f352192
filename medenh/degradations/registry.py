"""All operators and recipes, by name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

from medenh.degradations import (
    blobs,
    blur,
    cofe_detail,
    compression,
    ct,
    dermoscopy,
    dpe,
    endoscopy,
    fundus,
    fundus_plus,
    generic,
    light,
    microscopy,
    mri,
    noise,
    resampling,
    shading,
    xray,
)
from medenh.degradations.operator import Operator, Sampler
from medenh.degradations.recipe import Recipe
from medenh.degradations.recipe_file import SUFFIX, is_recipe_file, read_recipe
from medenh.degradations.recipe_writing import write_recipe
from medenh.errors import UsageError
from medenh.paths import as_path, as_place

__all__ = ["OPERATORS", "RECIPES", "SAMPLERS", "find_recipe", "recipe_text"]

_SHARED = (blur, compression, light, noise, resampling, shading)  # operators only
_MODULES = (
    dpe,
    fundus,
    fundus_plus,
    generic,
    xray,
    ct,
    mri,
    dermoscopy,
    microscopy,
    endoscopy,
)


def _by_name(groups: Iterable[Iterable[type[Operator]]]) -> dict[str, type[Operator]]:
    return {operator.name: operator for group in groups for operator in group}


# each module lists its own in OPERATORS and RECIPES
OPERATORS: dict[str, type[Operator]] = _by_name(
    m.OPERATORS for m in (*_SHARED, *_MODULES)
)
RECIPES: dict[str, Recipe] = {r.name: r for m in _MODULES for r in m.RECIPES}

# what the steps of a recipe's file may name: operators, and other ways to draw them
SAMPLERS: dict[str, Sampler] = {
    **OPERATORS,
    "dpe-wide": dpe.WIDE,
    "fluorescence": microscopy.FLUORESCENCE,
    "glare": blobs.GLARE,
    "pce-colour": fundus.WideColour,
    "tmage-spots": cofe_detail.ManySpots,
    "white-balance": fundus_plus.WHITE_BALANCE,
}


def recipe_text(name: str | PathLike[str] | Recipe) -> str:
    """Return a recipe as the text of a file, to be changed and given as one.

    Raises
    ------
    UsageError
        There is no such recipe, or it is a function, which no file can hold.
    """
    return write_recipe(find_recipe(name), SAMPLERS)


def find_recipe(name: str | PathLike[str] | Recipe) -> Recipe:
    """Return a recipe.

    Parameters
    ----------
    name : str, path or Recipe
        A key of `RECIPES`, or a file of a recipe (``.toml``), which is read each time.
        A recipe is returned as it is.

    Raises
    ------
    UsageError
        No recipe of that name, a file that is none, or neither name nor path.
    """
    if isinstance(name, Recipe):
        return name
    name = as_path(name, "recipe")
    if is_recipe_file(name):
        return read_recipe(as_place(name, "recipe"), SAMPLERS)
    if name not in RECIPES:
        near = get_close_matches(name.lower(), RECIPES, n=3)
        if Path(name + SUFFIX).is_file():
            near = [name + SUFFIX]
        meant = f"do you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"no recipe named {name!r}",
            hint=f"{meant}`medenh degrade --list` shows them, "
            "medenh.degradations.RECIPES in Python; a file of your own ends in .toml",
        )
    return RECIPES[name]
