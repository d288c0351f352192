"""What is known of a method and its options: data for the command line, checks.

Neither numpy nor any method is imported here, so that listing methods is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from medenh.errors import UsageError

__all__ = ["MethodInfo", "Option", "Value"]

Value = float | int | None


@dataclass(frozen=True, slots=True)
class Option:
    """One named, range-checked number of a method.

    Attributes
    ----------
    name : str
        Keyword of the option.
    default : float, int or None
        None is "measured on the image", and only then allowed as a value.
    low, high : float
        Smallest and largest value allowed, both included.
    help : str
        One line that says what it does.
    whole : bool
        True where only whole numbers make sense.
    """

    name: str
    default: Value
    low: float
    high: float
    help: str
    whole: bool = False

    def checked(self, value: object) -> Value:
        """Return ``value`` as this option's number.

        Raises
        ------
        UsageError
            It is no number, not whole where it must be, or outside the range.
        """
        if value is None and self.default is None:
            return None
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise UsageError(f"{self.name} must be a number, not {value!r}")
        number = float(value)
        if not isfinite(number) or not self.low <= number <= self.high:
            raise UsageError(
                f"{self.name}={number:g} is outside its range",
                hint=f"{self.low:g} to {self.high:g}",
            )
        if not self.whole:
            return number
        if number != int(number):
            raise UsageError(f"{self.name}={number:g} must be a whole number")
        return int(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodInfo:
    """What is known of a method, beside its card in ``weights_manifest.json``.

    Attributes
    ----------
    kernel : str
        "module.function" of `medenh.classical`: where it is written.
    natural : bool
        False where the output is a map of detail rather than a natural image.
    slow : bool
        True where a picture of 512 px takes seconds: tables have it by name alone.
    follows : str
        Function of its module that measures options on a reference picture; "" where
        the method follows none.
    from_zero : bool
        True where 0 in native units, no signal, must be 0 to the method, whatever else
        is black on the screen.
    options : tuple of Option
        Its settings.
    """

    kernel: str
    natural: bool = True
    slow: bool = False
    follows: str = ""
    from_zero: bool = False
    options: tuple[Option, ...] = ()

    @property
    def module(self) -> str:
        """The module of `medenh.classical` that it is written in."""
        return self.kernel.partition(".")[0]

    @property
    def function(self) -> str:
        """Its function there."""
        return self.kernel.partition(".")[2]

    @property
    def defaults(self) -> dict[str, Value]:
        """Default of every option, by name."""
        return {option.name: option.default for option in self.options}

    def checked(self, name: str, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return all options of the method of this name, see `Method.checked`.

        Raises
        ------
        UsageError
            An option is unknown, or its value is not allowed.
        """
        known = {option.name: option for option in self.options}
        unknown = sorted(set(given) - set(known))
        if unknown:
            names = ", ".join(known) or "it has none"
            raise UsageError(
                f"{name} has no option {unknown[0]!r}", hint=f"options: {names}"
            )
        return self.defaults | {
            name: known[name].checked(value) for name, value in given.items()
        }
