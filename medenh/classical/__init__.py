"""Weight-free methods: baselines, and enhancement that needs no download.

`METHODS[name](pixels, mask=None, **options)` is the one way in. A method's module is
imported at its first use, so that listing methods stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from medenh.classical.info import MethodInfo, Option
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
    module, function : str
        Where it is written.
    info : MethodInfo
        What is known of it.
    """

    name: str
    module: str
    function: str
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

        settings = self.info.checked(options)
        kernel = getattr(import_module(self.module), self.function)
        return guarded(kernel, pixels, mask, settings)

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
                f"{self.name} follows no reference picture",
                hint="ref-color and models of HQG-Net do",
            )
        measure = getattr(import_module(self.module), self.info.follows)
        options: dict[str, float] = measure(reference)
        return options


METHODS: dict[str, Method] = {
    name: Method(name, f"medenh.classical.{module}", function, INFO[name])
    for name, module, function in (
        ("identity", "point", "identity"),
        ("stretch", "point", "stretch"),
        ("gamma", "point", "gamma"),
        ("clahe", "clahe", "clahe"),
        ("clahe-green", "clahe", "clahe_green"),
        ("clahe-hsv", "clahe", "clahe_hsv"),
        ("clahe-ycc", "clahe", "clahe_ycc"),
        ("clahe-rgb", "clahe", "clahe_rgb"),
        ("ben-graham", "ben_graham", "ben_graham"),
        ("lcn", "lcn", "lcn"),
        ("lime", "lime", "lime"),
        ("dual", "dual", "dual"),
        ("dcp", "dark_channel", "dcp"),
        ("dcp-illum", "dark_channel", "dcp_illum"),
        ("dpfr", "dpfr", "dpfr"),
        ("msr", "retinex", "msr"),
        ("msrcp", "retinex", "msrcp"),
        ("msrcr", "retinex", "msrcr"),
        ("shades-of-gray", "colour_constancy", "shades_of_gray"),
        ("gray-world", "colour_constancy", "gray_world"),
        ("ref-color", "colour_transfer", "ref_color"),
        ("flat-field", "flat_field", "flat_field"),
        ("nlm", "denoise", "nlm"),
        ("nlm-rician", "rician", "nlm_rician"),
        ("wavelet", "denoise", "wavelet"),
        ("median", "denoise", "median"),
        ("bilateral", "denoise", "bilateral"),
        ("tv", "denoise", "tv"),
        ("bm3d", "bm3d", "bm3d"),
        ("unsharp", "unsharp", "unsharp"),
        ("unsharp-guided", "unsharp", "unsharp_guided"),
        ("tv-stretch", "chains", "tv_stretch"),
        ("tv-flat-field", "chains", "tv_flat_field"),
        ("flat-field-ref-color", "chains", "flat_field_ref_color"),
    )
}
