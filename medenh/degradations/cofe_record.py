"""Cofe-Net's own parameter records, read and written.

Two layouts exist: what the released code writes, and older published samples whose
halo has `style_num`, `leak_style`, `gauss_rad` and `sigma`, and whose spots have their
amplitude as `A` and `t`. Lengths are pixels of a cleaned square, mostly of 512.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from medenh.degradations.cofe_detail import CofeBlur, CofeSpots, Spot, spot_amplitude
from medenh.degradations.cofe_illumination import (
    HALO_TINTS,
    CofeColour,
    CofeHalo,
    CofeHole,
)
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import operator_of
from medenh.degradations.recipe import InOrder, Recipe
from medenh.degradations.record import Framing, Record, read_step, write_step
from medenh.degradations.smoothing import odd
from medenh.errors import UsageError, spelled

__all__ = ["can_hold", "from_cofe", "is_cofe", "side_of", "to_cofe"]

_GROUPS = ("illumination", "spots", "blur")
_KNOWN: dict[str, type[Operator]] = {
    one.name: one for one in (CofeColour, CofeHalo, CofeHole, CofeSpots, CofeBlur)
}
_Keys = Mapping[str, Any]


def is_cofe(record: _Keys) -> bool:
    """Whether a dictionary is one of Cofe-Net's records, by its keys."""
    if "schema" in record or "steps" in record:
        return False
    return "params" in record or any(group in record for group in _GROUPS)


def side_of(record: _Keys, side: int) -> int:
    """Return the side a record is for: 512, or a square picture's if only that fits.

    The halo's inner disc is .75 to 1 times the side, so that records of 512 and of
    1024 (I-SECRET) can be told apart; those without a halo count as 512.
    """
    try:
        diameter = _number(_group(_params(record), "illumination"), "halo", "dia_a")
    except UsageError:
        return 512
    sides = (512, side)
    return next((one for one in sides if 0.75 * one <= diameter <= one), 512)


def from_cofe(record: _Keys | str | bytes, *, size: int = 512) -> Record:
    """Return one of Cofe-Net's records as ours.

    Parameters
    ----------
    record : dict or str
        Either layout, or its JSON. The steps it holds are applied, whatever its
        "type" says; keys that are not needed are ignored.
    size : int
        Side of the cleaned square that its lengths are for.

    Returns
    -------
    Record
        In mode "exact", of a cleaned square. Statistics of the picture that the
        layout does not hold are measured when it is applied.

    Raises
    ------
    UsageError
        Not such a record, or a number in it is missing or makes no sense.
    """
    data = _parsed(record)
    params = _params(data)
    operators: list[Operator] = []
    illumination = _group(params, "illumination")
    if illumination.get("color"):
        operators.append(_colour(illumination))
    if illumination.get("halo"):
        operators.append(_halo(illumination, size))
    if illumination.get("hole"):
        operators.append(_hole(illumination))
    if params.get("spots"):
        operators.append(CofeSpots(_spots(params["spots"])))
    if params.get("blur"):
        blur = _group(params, "blur")
        window = _window(blur, "rad_w"), _window(blur, "rad_h")
        operators.append(CofeBlur(_number(blur, "sigma"), *window))
    middle = (size - 1) / 2
    return Record(
        source=str(data.get("name", "")),
        modality="fundus",
        preset=f"cofe-{_type_of(operators)}",
        size=size,
        options={"mode": "exact"},
        scale=(0.0, 255.0),
        framing=Framing(
            method="shown",
            centre=(middle, middle),
            radius=size / 2,
            box=(0, 0, size, size),
            size=size,
            finish="multiply",
        ),
        eight_bit=True,
        steps=tuple(write_step(operator) for operator in operators),
    )


def can_hold(recipe: Recipe) -> bool:
    """Tell whether Cofe-Net's layout has a place for all that a recipe may do."""
    return isinstance(recipe.plan, InOrder) and all(
        operator_of(sampler).name in _KNOWN for sampler in recipe.plan.samplers()
    )


def to_cofe(record: Record) -> dict[str, Any]:
    """Return a record in the layout of Cofe-Net's released code.

    Raises
    ------
    UsageError
        It has what the layout cannot hold: steps of other recipes, a step twice,
        windows that are not whole (mode "scaled" at sizes other than 512), a halo
        weakened by a severity.
    """
    operators = [read_step(step, _KNOWN) for step in record.steps]
    if len({operator.name for operator in operators}) < len(operators):
        raise UsageError("Cofe-Net's layout can hold each step only once")
    parts: dict[str, Any] = {}
    for operator in operators:
        parts |= _layout(operator)
    order = ("color", "halo", "hole")
    illumination = {part: parts.pop(part) for part in order if part in parts}
    params = {"illumination": illumination} if illumination else {}
    return {
        "name": PurePosixPath(record.source).name,
        "type": _type_of(operators),
        "params": params | parts,
    }


def _layout(operator: Operator) -> dict[str, Any]:
    """Return an operator under its key."""
    match operator:
        case CofeColour():
            return {
                "color": {
                    "brightness_factor": operator.brightness,
                    "contrast_factor": operator.contrast,
                    "saturation_factor": operator.saturation,
                }
            }
        case CofeHalo():
            if operator.weight != 1.0:
                raise UsageError(
                    "Cofe-Net's layout has no place for the weight of the halo",
                    hint="degrade without a severity",
                )
            halo = {
                "num": operator.kind,
                "center_a": list(operator.centre_a),
                "dia_a": operator.diameter_a,
                "center_b": list(operator.centre_b),
                "dia_b": operator.diameter_b,
            }
            return {"halo": halo}
        case CofeHole():
            hole = {
                "center": list(operator.centre),
                "diameter_circle": operator.diameter,
                "brightness_factor": operator.factor,
                "rad_w": operator.window_w,
                "rad_h": operator.window_h,
                "sigma": operator.sigma,
            }
            return {"hole": hole}
        case CofeSpots():
            return {"spots": [_spot_layout(spot) for spot in operator.spots]}
        case CofeBlur():
            blur = {
                "sigma": operator.sigma,
                "rad_w": _whole(operator.window_w),
                "rad_h": _whole(operator.window_h),
            }
            return {"blur": blur}
    raise UsageError(f"Cofe-Net's layout has no step {operator.name!r}")


def _spot_layout(spot: Spot) -> dict[str, Any]:
    return {
        "radius": _whole(spot.radius),
        "center": list(spot.centre),
        "rad_w": _whole(spot.window_w),
        "rad_h": _whole(spot.window_h),
        "sigma": spot.sigma,
    }


def _colour(illumination: _Keys) -> CofeColour:
    names = ("brightness_factor", "contrast_factor", "saturation_factor")
    brightness, contrast, saturation = (
        _number(illumination, "color", name) for name in names
    )
    return CofeColour(brightness, contrast, saturation)


def _halo(illumination: _Keys, size: int) -> CofeHalo:
    halo = _group(illumination, "halo")
    kind = int(_number(halo, "num" if "num" in halo else "style_num"))
    if kind not in range(len(HALO_TINTS)):
        raise UsageError(f"Cofe-Net's record has a halo of unknown kind {kind}")
    centre, diameter = _pair(halo, "center_a"), _number(halo, "dia_a")
    window, sigma = CofeHalo.blur_of(centre, diameter, size)
    if "gauss_rad" in halo and "sigma" in halo:  # older layout
        window, sigma = _window(halo, "gauss_rad"), _number(halo, "sigma")
    tint = HALO_TINTS[kind]
    if "leak_style" in halo:  # a list of kinds for each channel
        red, green, blue = (
            _number({"leak_style": row}, "leak_style", kind)
            for row in _three(halo["leak_style"], "leak_style")
        )
        tint = (red, green, blue)
    return CofeHalo(
        kind=kind,
        centre_a=centre,
        diameter_a=diameter,
        centre_b=_pair(halo, "center_b") if "center_b" in halo else centre,
        diameter_b=_number(halo, "dia_b"),
        window=window,
        sigma=sigma,
        tint=tint,
    )


def _hole(illumination: _Keys) -> CofeHole:
    hole = _group(illumination, "hole")
    return CofeHole(
        centre=_pair(hole, "center"),
        diameter=_number(hole, "diameter_circle"),
        factor=_number(hole, "brightness_factor"),
        window_w=_window(hole, "rad_w"),
        window_h=_window(hole, "rad_h"),
        sigma=_number(hole, "sigma"),
    )


def _spots(spots: object) -> tuple[Spot, ...]:
    if not isinstance(spots, list | tuple):
        raise UsageError('Cofe-Net\'s record: "spots" is no list')
    return tuple(_spot(_group({"spots": spot}, "spots")) for spot in spots)


def _spot(spot: _Keys) -> Spot:
    """Return a spot; an amplitude in the record goes before the formula's.

    The older records come of integer division: their t is not what the formula says.
    """
    radius = _number(spot, "radius")
    amplitude = spot_amplitude(radius / 25)
    if "A" in spot and "t" in spot:
        amplitude = _number(spot, "A") * (1.0 - _number(spot, "t"))
    return Spot(
        radius=radius,
        disc_radius=int(radius / 2),
        centre=_pair(spot, "center"),
        window_w=_window(spot, "rad_w"),
        window_h=_window(spot, "rad_h"),
        sigma=_number(spot, "sigma"),
        amplitude=amplitude,
    )


def _parsed(record: _Keys | str | bytes) -> _Keys:
    data = record
    if isinstance(record, str | bytes):
        try:
            data = json.loads(record)
        except ValueError as error:
            raise UsageError(f"not a Cofe-Net record: {error}") from error
    if not isinstance(data, Mapping) or not is_cofe(data):
        raise UsageError("not a Cofe-Net record: it has no parameters")
    return data


def _params(record: _Keys) -> _Keys:
    return _group(record, "params") if "params" in record else record


def _group(group: _Keys, name: str) -> _Keys:
    """Return a dictionary in a dictionary; an empty one where there is none."""
    found = group.get(name) or {}
    if not isinstance(found, Mapping):
        raise UsageError(f'Cofe-Net\'s record: "{name}" is no dictionary')
    return found


def _number(value: Any, *path: str | int) -> float:
    """Return a finite number somewhere below a value, written in any way.

    Amplitudes are three equal rows in the code: of a nested list the first counts.
    """
    try:
        for key in path:
            value = value[key]
        while isinstance(value, list):
            value = value[0]
        number = float(value)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        where = ".".join(map(str, path))
        raise UsageError(f'Cofe-Net\'s record lacks the number "{where}"') from error
    if not math.isfinite(number) or abs(number) > 1e6:
        raise UsageError(f'Cofe-Net\'s record: "{path[-1]}" is {number:g}')
    return number


def _window(group: _Keys, name: str) -> int:
    return odd(max(int(_number(group, name)), 1))


def _pair(group: _Keys, name: str) -> tuple[float, float]:
    return _number(group, name, 0), _number(group, name, 1)


def _three(value: object, name: str) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise UsageError(f'Cofe-Net\'s record: "{name}" is no list of three')
    return list(value)


def _whole(value: float) -> int:
    if value != int(value):
        raise UsageError(
            f"Cofe-Net's layout holds whole pixels only, not {value:g}",
            hint=f"degrade with {spelled(size=512)}",
        )
    return int(value)


def _type_of(operators: list[Operator]) -> str:
    """Return Cofe-Net's three bits: blur, spots, illumination."""
    names = {operator.name for operator in operators}
    lit = {CofeColour.name, CofeHalo.name, CofeHole.name}
    bits = (CofeBlur.name in names, CofeSpots.name in names, bool(names & lit))
    return "".join(str(int(bit)) for bit in bits)
