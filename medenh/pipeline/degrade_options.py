"""What can be asked of `degrade`, checked once; defaults live here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medenh.device import usable_cores
from medenh.errors import UsageError, check_word
from medenh.formats import PROFILES
from medenh.pipeline.budget import usable_memory
from medenh.pipeline.options import FORMATS, ON_EXISTS
from medenh.types import Modality

if TYPE_CHECKING:
    from medenh.degradations import Recipe

__all__ = ["DegradeOptions", "mark_of"]

_MOST_COPIES = 100_000
_BYTES_A_WORKER = 1 << 30  # of memory, that a process and a usual picture need


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradeOptions:
    """One request to degrade.

    Attributes
    ----------
    recipes : tuple of str
        Names of recipes, or files of the user's own (``.toml``); each is applied to
        each input.
    severity : float, optional
        1 (mild) to 5 (strong); without it parameters come from their whole range.
    copies : int
        Degraded pictures of each input and recipe.
    seed : int
        Fixes all chance, with the relative name of a file and the copy's number.
    size : int, optional
        Long side of the result, or side of the square that a field is cropped to.
    pairs : bool
        Write ``low/`` and ``high/``: the degraded picture and the clean one.
    recipe_options : mapping
        The recipes' own options ({"mode": "exact"}); each recipe takes those it has.
    mask : path, optional
        Field of view: a file for all inputs, or a folder of files of equal stem.
    masks : path, optional
        Label masks that are cropped and resized as the pictures are: a file for all
        inputs, or a folder of files of equal stem.
    modality : str, optional
        What the images show, where the files do not tell or tell wrongly.
    bits : int, optional
        Bit depth, 8 to 16, of 16-bit files that do not tell theirs; else each has the
        smallest usual one that holds its largest value.
    format : str
        Output format; "same" keeps the input's, but JPEG becomes PNG.
    on_exists : str
        What to do where an output is already there: error, skip, overwrite, rename.
    workers : int or "auto"
        Processes; one works in the calling process.
    recursive : bool
        Look into sub-folders.
    legacy_json : path, optional
        Parameters in Cofe-Net's layout instead of drawn ones: a file for one input,
        or a folder of NAME.json.
    write_legacy_json : path, optional
        Folder for the parameters in Cofe-Net's layout.
    deidentify : "basic", optional
        Leave out what names the patient, by the Basic profile of DICOM PS3.15.
    """

    recipes: tuple[str, ...] = ()
    severity: float | None = None
    copies: int = 1
    seed: int = 0
    size: int | None = None
    pairs: bool = False
    recipe_options: Mapping[str, Any] = field(default_factory=dict)
    mask: Path | None = None
    masks: Path | None = None
    modality: str | None = None
    bits: int | None = None
    format: str = "same"
    on_exists: str = "error"
    workers: int | Literal["auto"] = "auto"
    recursive: bool = True
    legacy_json: Path | None = None
    write_legacy_json: Path | None = None
    deidentify: str | None = None

    def __post_init__(self) -> None:
        check_word("format", self.format, FORMATS)
        check_word("on-exists", self.on_exists, ON_EXISTS)
        if self.modality is not None:
            check_word("modality", self.modality, tuple(Modality))
        if self.bits is not None and not 8 <= self.bits <= 16:
            raise UsageError(f"bits must be 8 to 16, not {self.bits}")
        if self.deidentify is not None:
            check_word("profile", self.deidentify, PROFILES)
        if self.severity is not None and not 1.0 <= self.severity <= 5.0:
            raise UsageError(f"severity must be in 1..5, not {self.severity:g}")
        if not 1 <= self.copies <= _MOST_COPIES:
            raise UsageError(f"copies must be in 1..{_MOST_COPIES}")
        if self.seed < 0:
            raise UsageError(f"seed must not be negative: {self.seed}")
        if self.size is not None and self.size < 1:
            raise UsageError(f"size must be at least 1 pixel, not {self.size}")
        if self.workers != "auto" and self.workers < 1:
            raise UsageError(f"workers must be at least 1, not {self.workers}")
        if len(set(self.recipes)) < len(self.recipes):
            raise UsageError("a recipe is named twice")

    def chosen_recipes(self) -> tuple[Recipe, ...]:
        """Return the recipes.

        Raises
        ------
        UsageError
            None is named, one is unknown, or none has an option that is asked for.
        """
        from medenh.degradations import find_recipe

        if not self.recipes:
            raise UsageError(
                "no recipe", hint="name one with --recipe; --list shows them"
            )
        recipes = tuple(find_recipe(name) for name in self.recipes)
        marks = [mark_of(recipe) for recipe in recipes]
        for mark in marks:
            if marks.count(mark) > 1:
                raise UsageError(
                    f"two recipes are named {mark}: their outputs would have one name",
                    hint="give one of the files another name",
                )
        for name, value in self.recipe_options.items():
            able = [recipe for recipe in recipes if name in recipe.options]
            if not able:
                raise UsageError(f"no {name} in recipe {', '.join(self.recipes)}")
            known = sorted({str(v) for recipe in able for v in recipe.options[name]})
            if any(value not in recipe.options[name] for recipe in able):
                raise UsageError(
                    f"{name} {value!r} is unknown", hint=f"one of {', '.join(known)}"
                )
        return recipes

    def num_workers(self, tasks: int) -> int:
        """Return how many processes to use: cores, memory and work allow it."""
        if self.workers != "auto":
            return min(self.workers, max(1, tasks))
        room = max(1, usable_memory() // _BYTES_A_WORKER)
        return max(1, min(usable_cores(), room, tasks))


def mark_of(recipe: Recipe) -> str:
    """Return what stands for a recipe in the names of files."""
    return Path(recipe.name).stem if recipe.sha256 else recipe.name
