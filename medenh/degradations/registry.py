"""All operators and recipes, by name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from medenh.degradations import (
    blur,
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
from medenh.degradations.operator import Operator
from medenh.degradations.recipe import Recipe
from medenh.errors import UsageError

__all__ = ["OPERATORS", "RECIPES", "find_recipe"]

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


def find_recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises
    ------
    UsageError
        No recipe of that name.
    """
    if name not in RECIPES:
        near = get_close_matches(str(name).lower(), RECIPES, n=3)
        meant = f"do you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"no recipe named {name!r}",
            hint=f"{meant}`medenh degrade --list` shows them, "
            "medenh.degradations.RECIPES in Python",
        )
    return RECIPES[name]
