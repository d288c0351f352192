"""Weight-free methods: baselines, and enhancement that needs no download.

`METHODS[name](pixels, mask=None, **options)` is the one way in. A method's module is
imported at its first use, so that listing methods stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from medenh.classical.info import MethodInfo, Option, Value
from medenh.classical.table import INFO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medenh.types import FloatArray

__all__ = ["INFO", "METHODS", "Method", "MethodInfo", "Option"]


@dataclass(frozen=True, slots=True)
class Method:
    """A weight-free method, ready to call.

    Attributes
    ----------
    name : str
        Its id on the command line.
    info : MethodInfo
        What is known of it.
    """

    name: str
    info: MethodInfo

    def __call__(
        self,
        pixels: NDArray[Any],
        mask: NDArray[np.bool_] | None = None,
        **options: Any,
    ) -> FloatArray:
        """Return the enhanced picture.

        Parameters
        ----------
        pixels : float array, shape (H, W, C), in [0, 1]
            Grey (C = 1) or RGB (C = 3). It is not changed.
        mask : bool array, shape (H, W), optional
            True in the foreground. Background is copied from ``pixels`` and has no
            part in any statistic.
        **options
            As in ``info.options``.

        Returns
        -------
        float32 array, shape (H, W, C), in [0, 1]

        Raises
        ------
        UsageError
            An option, the shape of an array, or a value outside [0, 1] is not allowed.
        NonFiniteError
            The pixels hold NaN or infinity.
        """
        from medenh.classical.common import guarded

        settings = self.checked(options)
        kernel = self._found(self.info.function)
        return guarded(kernel, pixels, mask, settings)

    def checked(self, given: Mapping[str, Any]) -> dict[str, Value]:
        """Return all options: the given ones, checked, and defaults for the rest.

        Raises
        ------
        UsageError
            An option is unknown, or its value is not allowed.
        """
        return self.info.checked(self.name, given)

    def _found(self, name: str) -> Any:
        return getattr(import_module(f"medenh.classical.{self.info.module}"), name)

    def following(self, reference: FloatArray) -> dict[str, float]:
        """Return the options that make the method follow a reference picture.

        Parameters
        ----------
        reference : float32 array, shape (H, W, 3), in [0, 1]

        Returns
        -------
        dict
            Measured on it, and not checked.

        Raises
        ------
        UsageError
            The method follows none.
        """
        from medenh.errors import UsageError

        if not self.info.follows:
            raise UsageError(
                f"{self.name} does not use a reference image",
                hint="ref-color and models of HQG-Net do",
            )
        measure = self._found(self.info.follows)
        options: dict[str, float] = measure(reference)
        return options


METHODS: dict[str, Method] = {name: Method(name, info) for name, info in INFO.items()}
