"""Recipes as TOML files: read with every value checked; `recipe_writing` writes them.

A file is data. It names operators and says how their parameters are drawn; nothing in
it is carried out but by the operators.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from medenh.degradations.operator import PIXELS, Domain, Drawn, Operator, Sampler
from medenh.degradations.parameters import (
    Choices,
    Draw,
    Graded,
    Levels,
    Parameter,
    Ranged,
    Scaled,
    Uniform,
    operator_of,
)
from medenh.degradations.recipe import InOrder, Item, OneOf, Recipe, Step
from medenh.errors import UsageError, counted
from medenh.types import Modality

__all__ = [
    "SUFFIX",
    "described",
    "is_recipe_file",
    "parameters_of",
    "read_recipe",
]

SUFFIX = ".toml"

_MOST_BYTES = 1 << 18
_MOST_STEPS = 200
_DEEPEST = 4  # alternatives inside alternatives
_LONGEST_WORDS = 200
_LONGEST_NAME = 60  # of a key or word, in a message
_MOST_VALUES = 64  # of one draw
# of lengths, in pixels or parts of at_side: kernels beyond take minutes
_LONGEST_PX, _LONGEST_PART = 256.0, 0.25
_LARGEST = 1e9  # number
_SMALLEST_SIDE, _LARGEST_SIDE = 16, 65_536

_KINDS: dict[str, type[Draw]] = {  # a key that tells it -> what it is
    "mild": Graded,
    "strong": Graded,
    "levels": Levels,
    "low": Uniform,
    "high": Uniform,
    "choices": Choices,
    "value": Scaled,
}
_SHAPES = (
    "{ mild = 1.0, strong = 3.0 } by severity, { low = 0.0, high = 180.0 } whatever "
    "it is, { levels = [...] }, { choices = [...] }"
)
_WORDS: dict[str, tuple[str, ...]] = {
    "domain": get_args(Domain),
    "framing": ("none", "surround", "fundus"),
    "mode": ("scaled", "exact"),
}
_TOP = ("title", "source", "modalities", "domain", "framing", "options")
_STEP = ("operator", "probability", "together")
# what these draw follows from the picture and from their other parameters
_WHOLE = ("cofe-colour", "cofe-halo", "cofe-hole", "cofe-spots", "cataract-veil")
_GOES_WITH = {("mri-undersampling", "acceleration"): "centre"}
# these mean the same in Hounsfield units; the others work on [0, 1]
_ANY_UNITS = (
    "bicubic-reduction",
    "defocus",
    "gaussian-blur",
    "gaussian-noise",
    "motion-blur",
    "pixelate",
    "trajectory-blur",
    "zoom-blur",
)


class _WrongError(Exception):
    """Something in a file is wrong; `read_recipe` says in which."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def is_recipe_file(name: str) -> bool:
    """Tell whether a name is that of a recipe's file, there or not."""
    return name.lower().endswith(SUFFIX)


def read_recipe(path: str | Path, samplers: Mapping[str, Sampler]) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : str or path
        A TOML file of at most 256 KiB; its name is the recipe's.
    samplers : mapping of str to Sampler
        What steps may name.

    Raises
    ------
    UsageError
        It cannot be read, is not TOML, or is no recipe: says which step and key, and
        what may have been meant.
    """
    place = Path(path)
    content = _content(place)
    try:
        text = content.decode()
        tree = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not valid TOML: {error}", path=place) from error
    try:
        return _recipe(tree, place.name, text, content, samplers)
    except _WrongError as error:
        raise UsageError(str(error), path=place, hint=error.hint) from error


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UsageError("is no file of a recipe", path=path)
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        what = f"cannot read the recipe: {error.strerror or error}"
        absent = isinstance(error, FileNotFoundError) and not path.is_absolute()
        hint = f"looked for in {Path.cwd()}, where the command is given"
        raise UsageError(what, path=path, hint=hint if absent else "") from error
    if len(content) > _MOST_BYTES:
        raise UsageError(f"a recipe has at most {_MOST_BYTES >> 10} KiB", path=path)
    return content


def _recipe(
    tree: dict[str, Any],
    name: str,
    text: str,
    content: bytes,
    samplers: Mapping[str, Sampler],
) -> Recipe:
    if not name.isprintable():
        raise _WrongError("its name has characters that cannot be shown", "rename it")
    _check_keys(tree, (*_TOP, "at_least_one", "steps"), "")
    domain = _word(tree, "domain", _WORDS["domain"])
    reader = _StepReader(samplers, domain)
    items = reader.items(tree.get("steps"), "")
    return Recipe(
        name=name,
        title=_words(tree, "title") or "recipe of a file",
        source=_words(tree, "source") or name,
        plan=InOrder(items, _flag(tree, "at_least_one", "")),
        modalities=_modalities(tree.get("modalities", [])),
        domain=domain,  # type: ignore[arg-type]
        framing=_word(tree, "framing", _WORDS["framing"]),  # type: ignore[arg-type]
        options=_options(tree.get("options", {})),
        text=text,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in known:
            what = f"{place}{key[:_LONGEST_NAME]}: there is no such key"
            raise _WrongError(what, _meant(key, known))


def _near(word: object, known: tuple[str, ...]) -> str:
    """Return what may have been meant, if anything comes near."""
    said = word[:_LONGEST_NAME].lower() if isinstance(word, str) else ""
    near = get_close_matches(said, known, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _meant(word: object, known: tuple[str, ...]) -> str:
    return _near(word, known) or f"one of {', '.join(known)}"


def _words(tree: Mapping[str, Any], key: str) -> str:
    said = tree.get(key, "")
    if not isinstance(said, str) or len(said) > _LONGEST_WORDS:
        raise _WrongError(f"{key}: should be text of at most {_LONGEST_WORDS} letters")
    if not said.isprintable():
        raise _WrongError(f"{key}: should be one line")
    return said


def _word(tree: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    word = tree.get(key, known[0])
    if not isinstance(word, str) or word not in known:
        raise _WrongError(
            f"{key}: {_short(word)} is unknown", f"one of {', '.join(known)}"
        )
    return word


def _flag(table: Mapping[str, Any], key: str, place: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _WrongError(f"{place}{key}: should be true or false, not {_short(value)}")
    return value


def _modalities(told: Any) -> tuple[str, ...]:
    known = tuple(str(one) for one in Modality if one is not Modality.UNKNOWN)
    if not isinstance(told, list):
        raise _WrongError(
            f"modalities: should be a list, not {_short(told)}",
            'modalities = ["endoscopy"]',
        )
    for one in told:
        if one not in known:
            raise _WrongError(
                f"modalities: {_short(one)} is unknown", _meant(one, known)
            )
    return tuple(dict.fromkeys(told))


def _options(told: Any) -> dict[str, tuple[str, ...]]:
    hint = 'options = { mode = ["scaled", "exact"] }, the first is the default'
    if not isinstance(told, dict):
        raise _WrongError("options: should be a table", hint)
    _check_keys(told, ("mode",), "options.")
    for words in told.values():
        if not isinstance(words, list) or not words:
            raise _WrongError("options.mode: should be a list of words", hint)
        for word in words:
            if word not in _WORDS["mode"]:
                raise _WrongError(f"options.mode: {_short(word)} is unknown", hint)
    return {name: tuple(dict.fromkeys(words)) for name, words in told.items()}


@dataclass(slots=True)
class _StepReader:
    """Reads steps; counts them, inner ones included."""

    samplers: Mapping[str, Sampler]
    domain: str
    count: int = 0

    def items(self, told: Any, place: str, depth: int = 0) -> tuple[Item, ...]:
        """Return the steps of a list."""
        if place and not isinstance(told, list):
            raise _WrongError(
                f"{place.removesuffix(', ')}: should be a step, or a list of steps"
            )
        if not isinstance(told, list) or (not told and not place):
            raise _WrongError(
                "steps: a recipe needs at least one",
                "each begins with a line [[steps]], then operator = ...",
            )
        return tuple(
            self._item(one, f"{place}step {at}", depth)
            for at, one in enumerate(told, 1)
        )

    def _item(self, table: Any, place: str, depth: int) -> Item:
        self.count += 1
        if self.count > _MOST_STEPS:
            raise _WrongError(f"more than {counted(_MOST_STEPS, 'step')}")
        if not isinstance(table, dict):
            raise _WrongError(f"{place}: should be a table, not {_short(table)}")
        if ("operator" in table) == ("one_of" in table):
            raise _WrongError(
                f"{place}: should have an operator or alternatives (one_of)",
                _meant_of(table),
            )
        probability = _probability(table, place)
        if "one_of" in table:
            _check_keys(table, ("one_of", "probability"), f"{place}, ")
            return OneOf(self._alternatives(table["one_of"], place, depth), probability)
        return Step(self._sampler(table, place), probability)

    def _alternatives(
        self, told: Any, place: str, depth: int
    ) -> tuple[tuple[Item, ...], ...]:
        if not isinstance(told, list) or not told:
            raise _WrongError(
                f"{place}, one_of: should be a list of alternatives",
                'one_of = [{ operator = "defocus" }, { operator = "zoom-blur" }, []]',
            )
        if depth == _DEEPEST:
            raise _WrongError(f"{place}: alternatives are nested too deeply")
        return tuple(
            self.items(
                [one] if isinstance(one, dict) else one,
                f"{place}, alternative {at}, ",
                depth + 1,
            )
            for at, one in enumerate(told, 1)
        )

    def _sampler(self, table: dict[str, Any], place: str) -> Sampler:
        name = table["operator"]
        if not isinstance(name, str) or name not in self.samplers:
            near = _near(name, tuple(self.samplers))
            raise _WrongError(
                f"{place}, operator: {_short(name)} is unknown",
                near
                or "`medenh degrade --list-operators` shows them, "
                "medenh.degradations.registry.SAMPLERS in Python",
            )
        place = f"{place} ({name})"
        base = self.samplers[name]
        operator = operator_of(base)
        self._check_domain(operator, place)
        given = {key: value for key, value in table.items() if key not in _STEP}
        known = parameters_of(base)
        if given and not known:
            raise _WrongError(
                f"{place}, {min(given)}: {name} is drawn as a whole, after the "
                "picture, and takes no parameters"
            )
        _check_keys(given, known, f"{place}, ")
        _check_company(operator, given, place)
        together = _flag(table, "together", f"{place}, ")
        hints = get_type_hints(operator, include_extras=True)
        parameters = {
            key: _parameter(value, hints[key], f"{place}, {key}")
            for key, value in given.items()
        }
        if together and not any(map(_follows_severity, parameters.values())):
            raise _WrongError(
                f"{place}, together: no parameter here follows the severity",
                "together = true goes with { mild = 1.0, strong = 3.0 }",
            )
        return Ranged(base, parameters, together) if given else base

    def _check_domain(self, operator: type[Operator], place: str) -> None:
        tomography = operator.name.startswith("ct-")
        if tomography and self.domain != "hu":
            raise _WrongError(
                f"{place}: {operator.name} works on Hounsfield units",
                'write domain = "hu" at the top of the file',
            )
        if self.domain == "hu" and not tomography and operator.name not in _ANY_UNITS:
            raise _WrongError(
                f"{place}: {operator.name} does not work on Hounsfield units",
                f"with domain hu go ct-... and {', '.join(_ANY_UNITS)}",
            )


def _follows_severity(parameter: Parameter) -> bool:
    if isinstance(parameter, tuple):
        return any(map(_follows_severity, parameter))
    return isinstance(parameter, Graded | Levels)


def _meant_of(table: Mapping[str, Any]) -> str:
    if "operator" in table:
        return "take one of them out"
    near = [
        f"{word} for {key[:_LONGEST_NAME]}"
        for key in table
        for word in get_close_matches(key, ("operator", "one_of"), n=1)
    ]
    return f"did you mean {near[0]}?" if near else 'operator = "gaussian-blur"'


def _check_company(
    operator: type[Operator], given: Mapping[str, Any], place: str
) -> None:
    for (name, key), other in _GOES_WITH.items():
        if name == operator.name and key in given and other not in given:
            raise _WrongError(
                f"{place}, {key}: {other} should be given too",
                f"without either, {name} draws both itself",
            )


def _probability(table: Mapping[str, Any], place: str) -> float | None:
    if "probability" not in table:
        return None
    value = table["probability"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 <= value <= 1.0:
        raise _WrongError(
            f"{place}, probability: should be in 0 to 1, not {_short(value)}"
        )
    return float(value)


def described(sampler: Sampler) -> str:
    """Return what a step does, in words: a sentence, then parameters with units."""
    operator = operator_of(sampler)
    text = inspect.getdoc(operator) or ""
    if not isinstance(sampler, Drawn):
        return text
    how = (inspect.getdoc(sampler.draw) or "").partition("\n")[0]
    return f"{operator.name}: {how}\n\n{text}"


def parameters_of(sampler: Sampler) -> tuple[str, ...]:
    """Return the parameters of a step that a file may set, in the order they are drawn.

    Places, which are drawn by the dozen, are not among them, nor is what follows from
    the picture.
    """
    operator = operator_of(sampler)
    if operator.name in _WHOLE:
        return ()
    hints = get_type_hints(operator, include_extras=True)
    names = [one.name for one in fields(operator)]  # type: ignore[arg-type]
    return tuple(name for name in names if not _is_places(hints[name]))


def _is_places(hint: Any) -> bool:
    return get_origin(hint) is tuple and any(
        get_origin(part) is tuple for part in get_args(hint)
    )


def _parameter(value: Any, hint: Any, place: str) -> Any:
    """Return a draw or a fixed value of a parameter of a type."""
    if isinstance(value, dict):
        return _draw(value, hint, place)
    if not isinstance(value, list):
        return _checked(value, hint, place)
    parts = get_args(hint)
    if get_origin(hint) is not tuple:
        raise _WrongError(f"{place}: should be a value or a range, not a list", _SHAPES)
    if len(parts) == 2 and parts[1] is ...:
        parts = (parts[0],) * len(value)
    if len(value) != len(parts) or len(value) > _MOST_VALUES:
        raise _WrongError(f"{place}: should be {counted(len(parts), 'number')}")
    return tuple(
        _parameter(one, part, f"{place}[{at}]")
        for at, (one, part) in enumerate(zip(value, parts, strict=True))
    )


def _draw(table: dict[str, Any], hint: Any, place: str) -> Draw:
    kind = next((found for key, found in _KINDS.items() if key in table), None)
    if kind is None:
        raise _WrongError(f"{place}: does not say how it is drawn", _SHAPES)
    names = tuple(one.name for one in fields(kind))  # type: ignore[arg-type]
    _check_keys(table, names, f"{place}.")
    side = _side(table, hint, place)
    ends: dict[str, Any] = {}
    for name in names:
        if name in ("log", "at_side"):
            continue
        if name not in table:
            raise _WrongError(f"{place}: lacks {name}")
        ends[name] = _ends(table[name], hint, f"{place}.{name}", side)
        _check_shape(ends[name], kind, f"{place}.{name}")
    if kind is Choices:
        return Choices(**ends)
    if kind is Scaled:
        if side is None:
            raise _WrongError(f"{place}: value needs at_side")
        return Scaled(ends["value"], side)
    if kind is Uniform and ends["low"] > ends["high"]:
        raise _WrongError(
            f"{place}: low is above high",
            "if it falls as severity rises: { mild = ..., strong = ... }",
        )
    if kind is not Graded:
        return kind(**ends, at_side=side)  # type: ignore[call-arg]
    graded = Graded(**ends, log=_flag(table, "log", f"{place}."), at_side=side)
    _check_graded(graded, place)
    return graded


def _check_shape(value: Any, kind: type[Draw], place: str) -> None:
    """Refuse what is no number, or a list of them where there is one."""
    several = isinstance(value, tuple)
    if kind in (Levels, Choices) and not (several and len(value) > 1):
        raise _WrongError(f"{place}: should be a list of two or more")
    if kind in (Uniform, Scaled) and several:
        raise _WrongError(f"{place}: should be one number, not a list")
    if kind is not Choices and not _is_number(value):
        raise _WrongError(f"{place}: should be a number", "{ choices = [...] }")


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ends(value: Any, hint: Any, place: str, side: int | None) -> Any:
    """Return a value of a draw, or a list of them as a tuple, each checked."""
    if isinstance(value, list) and get_origin(hint) is not tuple:
        if not 0 < len(value) <= _MOST_VALUES:
            raise _WrongError(f"{place}: should be 1 to {_MOST_VALUES} values")
        return tuple(
            _checked(one, hint, f"{place}[{at}]", side) for at, one in enumerate(value)
        )
    return _checked(value, hint, place, side)


def _side(table: Mapping[str, Any], hint: Any, place: str) -> int | None:
    if "at_side" not in table:
        return None
    side = table["at_side"]
    if not _is_length(hint):
        raise _WrongError(f"{place}.at_side: is only for lengths in pixels")
    if (
        not isinstance(side, int)
        or isinstance(side, bool)
        or not _SMALLEST_SIDE <= side <= _LARGEST_SIDE
    ):
        raise _WrongError(
            f"{place}.at_side: should be a whole number in {_SMALLEST_SIDE} to "
            f"{_LARGEST_SIDE}, not {_short(side)}"
        )
    return side


def _check_graded(graded: Graded, place: str) -> None:
    counts = [len(x) for x in (graded.mild, graded.strong) if isinstance(x, tuple)]
    if len({count for count in counts if count > 1}) > 1:
        raise _WrongError(f"{place}: mild and strong should list equally many values")
    if graded.log and any(mild * strong <= 0 for mild, strong in graded.sides()):
        raise _WrongError(
            f"{place}: with log, both ends need the same sign, and none may be 0"
        )


def _checked(value: Any, hint: Any, place: str, side: int | None = None) -> Any:
    """Return a value of a type, inside its bounds.

    Whole numbers are taken for fractions, and nothing else for anything.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise _WrongError(f"{place}: should be a finite number, not {value}")
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise _WrongError(
            f"{place}: should be at most {_LARGEST:g}, not {_short(value)}"
        )
    try:
        found = _adapter(hint).validate_json(_json(value, place), strict=True)
    except ValidationError as error:
        said = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise _WrongError(
            f"{place}: {said.removeprefix('Input ')}, not {_short(value)}",
            _SHAPES if isinstance(value, str) else "",
        ) from error
    longest = _LONGEST_PART * side if side else _LONGEST_PX
    if _is_length(hint) and abs(found) > longest:
        most = f"{longest:g}{', a quarter of at_side' if side else ' pixels'}"
        raise _WrongError(f"{place}: should be at most {most}, not {_short(value)}")
    return found


def _json(value: Any, place: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:  # a date, or NaN in a list
        raise _WrongError(
            f"{place}: should be a number, not {_short(value)}"
        ) from error


def _short(value: Any) -> str:
    try:
        said = repr(value)
    except ValueError:  # thousands of digits
        return "a number of thousands of digits"
    return said if len(said) <= 40 else f"{said[:37]}..."


def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


def _is_length(hint: Any) -> bool:
    """Tell whether a parameter is in pixels."""
    if get_origin(hint) in (Union, UnionType):
        return any(map(_is_length, get_args(hint)))
    return PIXELS in getattr(hint, "__metadata__", ())
