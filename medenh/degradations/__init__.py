"""Degradations: physically sound, replayable damage to clean images.

One operator a file or small group; recipes are named pipelines of them; sampling is
apart from applying; a record replays to the same bytes.
"""

from __future__ import annotations

from medenh.degradations.api import apply, degrade
from medenh.degradations.engine import Pair, degrade_image, replay_image
from medenh.degradations.operator import Operator, Scene
from medenh.degradations.recipe import Recipe
from medenh.degradations.record import Record
from medenh.degradations.registry import OPERATORS, RECIPES, find_recipe, recipe_text
from medenh.degradations.seeding import rng_for

__all__ = [
    "OPERATORS",
    "RECIPES",
    "Operator",
    "Pair",
    "Recipe",
    "Record",
    "Scene",
    "apply",
    "degrade",
    "degrade_image",
    "find_recipe",
    "recipe_text",
    "replay_image",
    "rng_for",
]
