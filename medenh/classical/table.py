"""The table of methods: where each is written, its options and their defaults.

Title, paper, modalities and limits stand in its entry of ``weights_manifest.json``.
"""

from __future__ import annotations

from medenh.classical.info import MethodInfo, Option

__all__ = ["INFO"]

_SIGMA = Option(
    "sigma", None, 0.0, 1.0, "noise standard deviation in [0, 1]; measured if not given"
)

_CLAHE = (
    Option("clip", 2.0, 1.0, 256.0, "largest slope of the tile maps"),
    Option("tiles", 8, 1, 64, "tiles along each side", whole=True),
    Option("bins", 256, 16, 4096, "histogram bins", whole=True),
)
_COLOURS = (
    Option("lightness", 43.0, 0.0, 100.0, "mean L*; of good fundus photographs"),
    Option("a", 26.0, -128.0, 128.0, "mean a*"),
    Option("b", 36.0, -128.0, 128.0, "mean b*"),
    Option("lightness_spread", 10.0, 0.0, 50.0, "standard deviation of L*"),
    Option("a_spread", 6.4, 0.0, 100.0, "standard deviation of a*"),
    Option("b_spread", 7.5, 0.0, 100.0, "standard deviation of b*"),
    Option(
        "limit", 2.0, 1.0, 10.0, "largest gain, more in the dark; 1 over the smallest"
    ),
)
_TV = (
    _SIGMA,
    Option("strength", 1.0, 0.05, 10.0, "weight of the variation over sigma"),
)
_FLOOR = Option("floor", 0.2, 0.01, 1.0, "smallest light, over its mean")
_PATCHES = (
    Option("strength", 0.6, 0.05, 5.0, "filter width h over sigma"),
    Option("patch", 5, 3, 15, "side of the compared patches, px", whole=True),
    Option("search", 8, 1, 20, "how far it looks, px", whole=True),
)
_SURROUNDS = (
    Option("small", 15.0, 0.5, 1000.0, "first surround's sigma, px at 512 px"),
    Option("medium", 80.0, 0.5, 1000.0, "second surround's sigma"),
    Option("large", 250.0, 0.5, 1000.0, "third surround's sigma"),
)

INFO: dict[str, MethodInfo] = {
    "identity": MethodInfo(kernel="point.identity"),
    "stretch": MethodInfo(
        kernel="point.stretch",
        options=(
            Option("low", 0.5, 0.0, 49.0, "percentile that becomes 0"),
            Option("high", 99.5, 51.0, 100.0, "percentile that becomes 1"),
            Option("black", None, 0.0, 1.0, "value that becomes 0, in place of `low`"),
            Option("white", None, 0.0, 1.0, "value that becomes 1, in place of `high`"),
        ),
    ),
    "gamma": MethodInfo(
        kernel="point.gamma",
        options=(Option("gamma", 0.67, 0.05, 20.0, "below 1 brightens"),),
    ),
    "clahe": MethodInfo(kernel="clahe.clahe", options=_CLAHE),
    "clahe-green": MethodInfo(kernel="clahe.clahe_green", options=_CLAHE),
    "clahe-hsv": MethodInfo(kernel="clahe.clahe_hsv", options=_CLAHE),
    "clahe-ycc": MethodInfo(kernel="clahe.clahe_ycc", options=_CLAHE),
    "clahe-rgb": MethodInfo(kernel="clahe.clahe_rgb", options=_CLAHE),
    "ben-graham": MethodInfo(
        kernel="ben_graham.ben_graham",
        natural=False,
        options=(
            Option("gain", 4.0, 0.1, 20.0, "factor of the detail"),
            Option("scale", 30.0, 2.0, 200.0, "field radius over the average's sigma"),
        ),
    ),
    "lcn": MethodInfo(
        kernel="lcn.lcn",
        natural=False,
        options=(
            Option("scale", 4.0, 1.0, 50.0, "field radius over the windows' side"),
            Option("spread", 0.5, 0.01, 5.0, "background, in standard deviations"),
            Option("ceiling", 0.75, 0.0, 1.0, "green above it is no background"),
            Option("contrast", 0.07, 0.001, 0.5, "standard deviation of the output"),
            Option("floor", 0.01, 1e-4, 1.0, "smallest deviation divided by"),
        ),
    ),
    "lime": MethodInfo(
        kernel="lime.lime",
        options=(
            Option("alpha", 0.15, 0.001, 10.0, "smoothness of the illumination map"),
            Option("gamma", 0.8, 0.0, 1.0, "share of the darkness taken away"),
            Option("smoothing", 2.0, 0.5, 20.0, "Gaussian sigma of the weights, px"),
        ),
    ),
    "dual": MethodInfo(
        kernel="dual.dual",
        options=(
            Option("alpha", 0.15, 0.001, 10.0, "smoothness of the illumination maps"),
            Option("gamma", 0.6, 0.0, 1.0, "share of the darkness taken away"),
            Option("smoothing", 3.0, 0.5, 20.0, "Gaussian sigma of the weights, px"),
        ),
    ),
    "dcp": MethodInfo(
        kernel="dark_channel.dcp",
        options=(
            Option("omega", 0.95, 0.0, 1.0, "share of the haze that is taken away"),
            Option("window", 15.0, 1.0, 101.0, "dark channel's square, px at 512 px"),
            Option("eps", 1e-3, 1e-6, 1.0, "variance that counts as flat"),
            Option("floor", 0.1, 0.01, 1.0, "smallest transmission divided by"),
        ),
    ),
    "dcp-illum": MethodInfo(
        kernel="dark_channel.dcp_illum",
        options=(
            Option("omega", 1.0, 0.0, 1.0, "share of the darkness taken away"),
            Option("window", 25.0, 1.0, 201.0, "dark channel's square, px at 1000 px"),
            Option("radius", 80.0, 1.0, 500.0, "smoothing's radius, px at 1000 px"),
            Option("eps", 1e-2, 1e-6, 1.0, "variance that counts as flat"),
            Option("floor", 0.05, 0.01, 1.0, "smallest transmission divided by"),
        ),
    ),
    "dpfr": MethodInfo(
        kernel="dpfr.dpfr",
        options=(
            Option("omega", 0.95, 0.0, 1.0, "share of the darkness taken away"),
            Option("scatter", 0.55, 0.0, 1.0, "share of the stray light taken away"),
            Option("window", 7.0, 1.0, 101.0, "dark channel's square, px to 1000 px"),
            Option("radius", 15.0, 1.0, 500.0, "smoothing's radius, px to 1000 px"),
            Option("eps", 1e-3, 1e-6, 1.0, "variance that counts as flat"),
            Option("floor", 0.1, 0.01, 1.0, "smallest transmission divided by"),
            Option("clip", 3.55, 1.0, 256.0, "largest slope of the CLAHE's maps"),
        ),
    ),
    "msr": MethodInfo(
        kernel="retinex.msr",
        options=(
            *_SURROUNDS,
            Option("clipped", 1.0, 0.0, 20.0, "% made black, and made white"),
        ),
    ),
    "msrcp": MethodInfo(
        kernel="retinex.msrcp",
        options=(
            *_SURROUNDS,
            Option("clipped", 1.0, 0.0, 20.0, "% made black, and made white"),
        ),
    ),
    "msrcr": MethodInfo(
        kernel="retinex.msrcr",
        options=(
            *_SURROUNDS,
            Option(
                "alpha",
                125.0,
                5.0,
                1000.0,
                "the smaller, the more the colour restoration weighs",
            ),
            Option("spread", 2.0, 0.1, 10.0, "deviations from the mean to 0 and to 1"),
        ),
    ),
    "shades-of-gray": MethodInfo(
        kernel="colour_constancy.shades_of_gray",
        options=(
            Option("power", 6.0, 1.0, 20.0, "1 is plain means; more, the brightest"),
            Option("limit", 2.0, 1.0, 10.0, "largest gain, and 1 over the smallest"),
        ),
    ),
    "gray-world": MethodInfo(
        kernel="colour_constancy.gray_world",
        options=(
            Option("limit", 2.0, 1.0, 10.0, "largest gain, and 1 over the smallest"),
        ),
    ),
    "ref-color": MethodInfo(
        kernel="colour_transfer.ref_color",
        follows="colours_of",
        options=_COLOURS,
    ),
    "flat-field": MethodInfo(
        kernel="flat_field.flat_field",
        options=(
            Option("sigma", 0.1, 0.01, 1.0, "Gaussian sigma over the diagonal"),
            _FLOOR,
        ),
    ),
    "nlm": MethodInfo(
        kernel="denoise.nlm",
        options=(_SIGMA, *_PATCHES),
    ),
    "nlm-rician": MethodInfo(
        kernel="rician.nlm_rician",
        from_zero=True,
        options=(_SIGMA, *_PATCHES),
    ),
    "wavelet": MethodInfo(
        kernel="denoise.wavelet",
        options=(
            _SIGMA,
            Option("levels", 4, 1, 8, "levels of decomposition", whole=True),
            Option("shifts", 2, 1, 4, "shifts averaged along each side", whole=True),
            Option("chroma", 1.0, 0.0, 5.0, "factor on sigma for the chroma planes"),
        ),
    ),
    "median": MethodInfo(
        kernel="denoise.median",
        options=(Option("radius", 1, 1, 2, "1: 3 x 3 px; 2: 5 x 5 px", whole=True),),
    ),
    "bilateral": MethodInfo(
        kernel="denoise.bilateral",
        options=(
            _SIGMA,
            Option("strength", 3.0, 0.05, 20.0, "width by value over sigma"),
            Option("space", 3.0, 0.3, 10.0, "width by distance, px"),
        ),
    ),
    "tv": MethodInfo(kernel="denoise.tv", options=_TV),
    "bm3d": MethodInfo(
        kernel="bm3d.bm3d",
        slow=True,
        options=(
            _SIGMA,
            Option("strength", 1.0, 0.05, 5.0, "factor on sigma"),
            Option("search", 19, 3, 40, "how far it looks, px", whole=True),
        ),
    ),
    "unsharp": MethodInfo(
        kernel="unsharp.unsharp",
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
    ),
    "unsharp-guided": MethodInfo(
        kernel="unsharp.unsharp_guided",
        options=(
            Option("gain", 1.5, 0.0, 10.0, "factor of the detail"),
            Option("radius", 8.0, 1.0, 100.0, "of the windows, px at 512 px"),
            Option("eps", 1e-2, 1e-6, 1.0, "variance below which all is detail"),
        ),
    ),
    "tv-stretch": MethodInfo(
        kernel="chains.tv_stretch",
        options=(
            *_TV,
            Option("low", 0.1, 0.0, 49.0, "percentile that becomes 0"),
            Option("high", 99.9, 51.0, 100.0, "percentile that becomes 1"),
        ),
    ),
    "tv-flat-field": MethodInfo(
        kernel="chains.tv_flat_field",
        options=(
            *_TV,
            Option("light", 0.2, 0.01, 1.0, "sigma of the light over the diagonal"),
            _FLOOR,
        ),
    ),
    "flat-field-ref-color": MethodInfo(
        kernel="chains.flat_field_ref_color",
        follows="colours_of",
        options=(
            Option("light", 0.1, 0.01, 1.0, "sigma of the light over the diagonal"),
            _FLOOR,
            *_COLOURS,
        ),
    ),
}
