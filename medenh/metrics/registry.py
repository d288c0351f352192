"""The table of metrics: what each measures, of what, and which direction is better.

Every entry is called in one way, ``METRICS[name](image, reference, data_range=None,
mask=None, modality=None)``. Neither numpy nor any metric is imported here: the module
of a metric is loaded at its first use, so that listing them stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from medenh.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["METRICS", "Better", "Kind", "Metric", "resolve_metrics"]

Kind = Literal["full-reference", "no-reference", "fidelity", "consistency"]
Better = Literal["higher", "lower", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric and all that a table or a plot needs to know of it.

    Attributes
    ----------
    name : str
        Its id on the command line.
    title : str
        Its name in full, for headings.
    kind : str
        "full-reference" compares with the reference, "fidelity" with the image before
        enhancement, "consistency" that one with the enhanced image degraded again,
        "no-reference" looks at one image alone.
    better : "higher", "lower", "zero" or None
        None where neither direction is better by itself.
    unit : str
        "dB", or "" for a pure number.
    modalities : tuple of str
        Kinds of image it is made for (values of `medenh.types.Modality`); empty for
        all.
    by_modality : bool
        True where it compares with a model of the modality.
    of_structures : bool
        True where the mask says what is measured, and not only where: it must be given.
    module, attribute : str
        Where it is written.
    """

    name: str
    title: str
    kind: Kind
    better: Better | None
    module: str
    attribute: str
    unit: str = ""
    modalities: tuple[str, ...] = ()
    by_modality: bool = False
    of_structures: bool = False

    @property
    def needs_reference(self) -> bool:
        """True where two images are needed."""
        return self.kind != "no-reference"

    @property
    def function(self) -> Callable[..., float]:
        """The function itself: (image, reference) or (image), keywords as in a call."""
        found: Callable[..., float] = getattr(
            import_module(f"medenh.metrics.{self.module}"), self.attribute
        )
        return found

    def __call__(
        self,
        image: NDArray[Any],
        reference: NDArray[Any] | None = None,
        *,
        data_range: float | None = None,
        mask: NDArray[np.bool_] | None = None,
        modality: str | None = None,
    ) -> float:
        """Return the figure of one image, or of one pair.

        Parameters
        ----------
        image : array, shape (H, W) or (H, W, C), in [0, data_range]
            The image that is judged. C is 1 or 3 (RGB).
        reference : array, same shape, optional
            What it is judged by: the reference (kind "full-reference"), or the image
            before enhancement ("fidelity", and "consistency", where the image is the
            enhanced one degraded again). No-reference metrics leave it unused.
        data_range : float, optional
            From the darkest to the brightest value possible; without it that of the
            type: 255 and 65535 for unsigned integers of 8 and 16 bits, 1 for booleans
            and for floats, which must lie in [0, 1] then.
        mask : bool array, shape (H, W), optional
            Where to measure; all of the image if not given. Of structures
            (`of_structures`): True on them, and not to be left out.
        modality : str, optional
            What kind of image it is (a value of `medenh.types.Modality`); for metrics
            that compare with a model of the kind, unused by the others.

        Returns
        -------
        float
            Infinite for the PSNR of equal images; NaN where a metric is not defined
            for the image (too small, or nothing in it to measure).

        Raises
        ------
        UsageError
            The reference is missing, shapes do not fit together, the mask is empty, or
            the range makes no sense.
        NonFiniteError
            An image holds NaN or infinity.
        """
        images = [image]
        if self.needs_reference:
            if reference is None:
                raise UsageError(f"{self.name} compares two images; one is missing")
            images.append(reference)
        options = {"modality": modality} if self.by_modality else {}
        return self.function(*images, data_range=data_range, mask=mask, **options)


def resolve_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics of some names, in their order, each once.

    Raises
    ------
    UsageError
        A name is unknown (the message lists the known ones), or there is none.

    Examples
    --------
    >>> [metric.unit for metric in resolve_metrics(["psnr", "ssim", "psnr"])]
    ['dB', '']
    """
    wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    known = ", ".join(METRICS)
    if not wanted:
        raise UsageError("no metric is named", hint=f"known: {known}")
    for name in wanted:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name!r}", hint=f"known: {known}")
    return tuple(METRICS[name] for name in wanted)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="psnr",
            title="Peak signal-to-noise ratio",
            kind="full-reference",
            better="higher",
            unit="dB",
            module="full_reference",
            attribute="psnr",
        ),
        Metric(
            name="ssim",
            title="Structural similarity",
            kind="full-reference",
            better="higher",
            module="similarity",
            attribute="ssim",
        ),
        Metric(
            name="ms-ssim",
            title="Multi-scale structural similarity",
            kind="full-reference",
            better="higher",
            module="similarity",
            attribute="ms_ssim",
        ),
        Metric(
            name="de2000",
            title="Colour difference CIEDE2000",
            kind="full-reference",
            better="lower",
            module="ciede2000",
            attribute="delta_e2000",
        ),
        Metric(
            name="mae",
            title="Mean absolute error",
            kind="full-reference",
            better="lower",
            module="full_reference",
            attribute="mae",
        ),
        Metric(
            name="flat-bias",
            title="Bias of flat areas",
            kind="full-reference",
            better="lower",
            module="flat",
            attribute="flat_bias",
        ),
        Metric(
            name="niqe",
            title="Natural image quality evaluator, fitted on medical images",
            kind="no-reference",
            better="lower",
            by_modality=True,
            module="natural_statistics",
            attribute="niqe",
        ),
        Metric(
            name="sharpness",
            title="Sharpness",
            kind="no-reference",
            better="higher",
            module="appearance",
            attribute="sharpness",
        ),
        Metric(
            name="cnr",
            title="Contrast-to-noise ratio",
            kind="no-reference",
            better="higher",
            module="appearance",
            attribute="automatic_cnr",
        ),
        Metric(
            name="contrast",
            title="RMS contrast",
            kind="no-reference",
            better=None,
            module="appearance",
            attribute="contrast",
        ),
        Metric(
            name="noise",
            title="Noise standard deviation",
            kind="no-reference",
            better="lower",
            module="appearance",
            attribute="noise",
        ),
        Metric(
            name="fundus-quality",
            title="Quality of a fundus photograph",
            kind="no-reference",
            better="higher",
            modalities=("fundus",),
            module="fundus",
            attribute="fundus_quality",
        ),
        Metric(
            name="snr-ccm",
            title="Signal-to-noise ratio of structures",
            kind="no-reference",
            better="higher",
            unit="dB",
            of_structures=True,
            module="structures",
            attribute="snr_ccm",
        ),
        Metric(
            name="snr-ccm-legacy",
            title="Signal-to-noise ratio of structures, as in HQG-Net's code",
            kind="no-reference",
            better="higher",
            unit="dB",
            of_structures=True,
            module="structures",
            attribute="snr_ccm_legacy",
        ),
        Metric(
            name="ring-cnr",
            title="Contrast-to-noise ratio of structures",
            kind="no-reference",
            better="higher",
            of_structures=True,
            module="structures",
            attribute="ring_cnr",
        ),
        Metric(
            name="structure",
            title="Structure kept",
            kind="fidelity",
            better="higher",
            module="fidelity",
            attribute="structure",
        ),
        Metric(
            name="invented-edges",
            title="Share of invented edges",
            kind="fidelity",
            better="lower",
            module="edges",
            attribute="invented_edges",
        ),
        Metric(
            name="lost-edges",
            title="Share of lost edges",
            kind="fidelity",
            better="lower",
            module="edges",
            attribute="lost_edges",
        ),
        Metric(
            name="clipped",
            title="Share of newly clipped values",
            kind="fidelity",
            better="lower",
            module="fidelity",
            attribute="clipped",
        ),
        Metric(
            name="mean-shift",
            title="Shift of the mean",
            kind="fidelity",
            better="zero",
            module="fidelity",
            attribute="shift",
        ),
        Metric(
            name="consistency",
            title="Consistency with the input",
            kind="consistency",
            better="higher",
            unit="dB",
            module="full_reference",
            attribute="psnr",
        ),
    )
}
