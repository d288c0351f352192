"""The table of methods: titles, references, options and their defaults, limits."""

from __future__ import annotations

from medenh.classical.info import MethodInfo, Option

__all__ = ["INFO"]

_ALL = (
    "fundus",
    "xray",
    "ct",
    "mri",
    "dermoscopy",
    "microscopy",
    "endoscopy",
    "ultrasound",
    "nuclear",
)
_NOISY = ("xray", "ct", "mri", "dermoscopy", "microscopy", "fundus", "nuclear")

_SIGMA = Option(
    "sigma", None, 0.0, 1.0, "noise standard deviation in [0, 1]; measured if not given"
)

INFO: dict[str, MethodInfo] = {
    "identity": MethodInfo(
        title="Identity (do nothing)",
        reference="",
        summary="Gives the picture back as it is: the row every table needs.",
        modalities=_ALL,
    ),
    "stretch": MethodInfo(
        title="Percentile stretch",
        reference="",
        summary="One linear map for all channels, from two percentiles to 0 and 1.",
        modalities=_ALL,
        options=(
            Option("low", 0.5, 0.0, 49.0, "percentile that becomes 0"),
            Option("high", 99.5, 51.0, 100.0, "percentile that becomes 1"),
            Option("black", None, 0.0, 1.0, "value that becomes 0, in place of `low`"),
            Option("white", None, 0.0, 1.0, "value that becomes 1, in place of `high`"),
        ),
        limits="Clips the values beyond the percentiles; amplifies noise as well.",
    ),
    "clahe": MethodInfo(
        title="Contrast-limited adaptive histogram equalisation",
        reference="Zuiderveld, Graphics Gems IV, 1994; Pizer et al., CVGIP 39, 1987",
        summary="Equalises lightness (or grey) locally, with a limited slope.",
        modalities=("fundus", "xray", "ct", "mri", "dermoscopy", "endoscopy"),
        options=(
            Option("clip", 2.0, 1.0, 256.0, "largest slope of the tile maps"),
            Option("tiles", 8, 1, 64, "tiles along each side", whole=True),
            Option("bins", 256, 16, 4096, "histogram bins", whole=True),
        ),
        limits="Brightness no longer compares between places; amplifies noise.",
    ),
    "ben-graham": MethodInfo(
        title="Local average subtraction (Graham)",
        reference="Graham, Kaggle diabetic retinopathy detection report, 2015",
        summary="Takes the local average away and scales what is left about grey.",
        modalities=("fundus",),
        natural=False,
        options=(
            Option("gain", 4.0, 0.1, 20.0, "factor of the detail"),
            Option("scale", 30.0, 2.0, 200.0, "field radius over the average's sigma"),
        ),
        limits="The output is a map of detail for machines, not a natural image.",
    ),
    "lime": MethodInfo(
        title="Low-light image enhancement by illumination map",
        reference="Guo, Li, Ling, IEEE TIP 26(2), 2017; solver after Min et al., 2014",
        summary="Divides by a structure-aware map of the illumination.",
        modalities=("fundus", "dermoscopy", "endoscopy", "microscopy", "xray"),
        options=(
            Option("alpha", 0.15, 0.001, 10.0, "smoothness of the illumination map"),
            Option("gamma", 0.8, 0.0, 1.0, "share of the darkness taken away"),
            Option("smoothing", 2.0, 0.5, 20.0, "Gaussian sigma of the weights, px"),
        ),
        limits="Brightens whatever is dark, its noise and its vignette included.",
    ),
    "nlm": MethodInfo(
        title="Non-local means",
        reference="Buades, Coll, Morel, CVPR 2005",
        summary="Averages places whose neighbourhoods look alike.",
        modalities=_NOISY,
        options=(
            _SIGMA,
            Option("strength", 0.6, 0.05, 5.0, "filter width h over sigma"),
            Option("patch", 5, 3, 15, "side of the compared patches, px", whole=True),
            Option("search", 8, 1, 20, "how far it looks, px", whole=True),
        ),
        limits="Made for additive noise of one strength; faint texture may go.",
    ),
    "wavelet": MethodInfo(
        title="Wavelet shrinkage (BayesShrink) with cycle spinning",
        reference="Chang, Yu, Vetterli, IEEE TIP 9(9), 2000; Coifman, Donoho, 1995",
        summary="Shrinks the wavelet details by what noise explains of them.",
        modalities=_NOISY,
        options=(
            _SIGMA,
            Option("levels", 4, 1, 8, "levels of decomposition", whole=True),
            Option("shifts", 2, 1, 4, "shifts averaged along each side", whole=True),
            Option("chroma", 1.0, 0.0, 5.0, "factor on sigma for the chroma planes"),
        ),
        limits="Made for additive noise of one strength.",
    ),
    "unsharp": MethodInfo(
        title="Unsharp masking with a noise threshold",
        reference="",
        summary="Adds a share of the fine detail that stands above the noise.",
        modalities=("xray", "dermoscopy", "microscopy", "fundus", "endoscopy"),
        options=(
            Option("amount", 0.8, 0.0, 5.0, "share of the detail that is added"),
            Option("radius", 1.5, 0.3, 20.0, "Gaussian sigma in px at 512 px"),
            Option(
                "threshold", None, 0.0, 1.0, "detail left alone; 1.5 sigma if not given"
            ),
            Option(
                "overshoot", 0.05, 0.0, 1.0, "allowed beyond the neighbours' extremes"
            ),
        ),
        limits="Sharpens edges, brings back nothing that blur has taken away.",
    ),
}
