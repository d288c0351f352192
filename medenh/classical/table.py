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
    "gamma": MethodInfo(
        title="Gamma correction",
        reference="",
        summary="Takes every value to one power.",
        modalities=("fundus", "xray", "mri", "dermoscopy", "microscopy", "endoscopy"),
        options=(Option("gamma", 0.67, 0.05, 20.0, "below 1 brightens"),),
        limits="Brightens what is bright enough, too; shifts hues; amplifies noise in "
        "the dark.",
    ),
    "clahe": MethodInfo(
        title="Contrast-limited adaptive histogram equalisation",
        reference="Zuiderveld, Graphics Gems IV, 1994; Pizer et al., CVGIP 39, 1987",
        summary="Equalises lightness (or grey) locally, with a limited slope.",
        modalities=("fundus", "xray", "ct", "mri", "dermoscopy", "endoscopy"),
        options=_CLAHE,
        limits="Brightness no longer compares between places; amplifies noise.",
    ),
    "clahe-green": MethodInfo(
        title="Contrast-limited adaptive histogram equalisation of green",
        reference="Setiawan et al., ICISS, 2013",
        summary="Equalises green (or grey) locally, leaves red and blue alone.",
        modalities=("fundus",),
        options=_CLAHE,
        limits="Changes hues, mostly towards green; amplifies noise.",
    ),
    "clahe-hsv": MethodInfo(
        title="Contrast-limited adaptive histogram equalisation of HSV's value",
        reference="Zuiderveld, Graphics Gems IV, 1994",
        summary="Equalises the brightest channel locally, keeps hue and saturation.",
        modalities=("fundus",),
        options=_CLAHE,
        limits="Sees one channel where one is the brightest throughout, as red in "
        "fundus photographs; amplifies noise.",
    ),
    "clahe-ycc": MethodInfo(
        title="Contrast-limited adaptive histogram equalisation of luma",
        reference="Zuiderveld, Graphics Gems IV, 1994",
        summary="Equalises luma locally, keeps the chroma of YCbCr.",
        modalities=("fundus",),
        options=_CLAHE,
        limits="Colours pale where it brightens; amplifies noise.",
    ),
    "clahe-rgb": MethodInfo(
        title="Contrast-limited adaptive histogram equalisation of each channel",
        reference="Zuiderveld, Graphics Gems IV, 1994",
        summary="Equalises red, green and blue locally, each by itself.",
        modalities=("fundus",),
        options=_CLAHE,
        limits="Shifts hues, towards grey; amplifies noise.",
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
    "lcn": MethodInfo(
        title="Luminosity and contrast normalisation",
        reference="Foracchia, Grisan, Ruggeri, Medical Image Analysis 9(3), 2005",
        summary="Evens out mean and contrast of the retinal background.",
        modalities=("fundus",),
        natural=False,
        options=(
            Option("scale", 4.0, 1.0, 50.0, "field radius over the windows' side"),
            Option("spread", 0.5, 0.01, 5.0, "background, in standard deviations"),
            Option("ceiling", 0.75, 0.0, 1.0, "green above it is no background"),
            Option("contrast", 0.07, 0.001, 0.5, "standard deviation of the output"),
            Option("floor", 0.01, 1e-4, 1.0, "smallest deviation divided by"),
        ),
        limits="The output is for machines: every picture gets the same contrast; "
        "large lesions fade, noise of dark places grows.",
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
    "dual": MethodInfo(
        title="Dual illumination estimation with exposure fusion",
        reference="Zhang, Nie, Zheng, Computer Graphics Forum 38(7), 2019; fusion "
        "after Mertens, Kautz, Van Reeth, 2009",
        summary="Corrects under- and over-exposure by illumination maps, fuses both.",
        modalities=("fundus", "dermoscopy", "endoscopy", "microscopy", "xray"),
        options=(
            Option("alpha", 0.15, 0.001, 10.0, "smoothness of the illumination maps"),
            Option("gamma", 0.6, 0.0, 1.0, "share of the darkness taken away"),
            Option("smoothing", 3.0, 0.5, 20.0, "Gaussian sigma of the weights, px"),
        ),
        limits="Amplifies noise in the dark, its vignette included; flat places, and "
        "grey ones in colour pictures, are a plain mean of the three exposures.",
    ),
    "dcp": MethodInfo(
        title="Dehazing by the dark channel prior",
        reference="He, Sun, Tang, IEEE TPAMI 33(12), 2011; refined by the guided "
        "filter, 35(6), 2013",
        summary="Takes away haze whose density the darkest channel nearby tells.",
        modalities=("endoscopy",),
        options=(
            Option("omega", 0.95, 0.0, 1.0, "share of the haze that is taken away"),
            Option("window", 15.0, 1.0, 101.0, "dark channel's square, px at 512 px"),
            Option("eps", 1e-3, 1e-6, 1.0, "variance that counts as flat"),
            Option("floor", 0.1, 0.01, 1.0, "smallest transmission divided by"),
        ),
        limits="Made for haze over colourful scenes; darkens others, and fundus "
        "photographs with them (`dcp-illum` and `dpfr` are made for those).",
    ),
    "dcp-illum": MethodInfo(
        title="Illumination correction by dehazing the inverted picture",
        reference="Savelli et al., IEEE CBMS 2017; constants of a public toolkit",
        summary="Divides by a smoothed local maximum of the channels.",
        modalities=("fundus",),
        options=(
            Option("omega", 1.0, 0.0, 1.0, "share of the darkness taken away"),
            Option("window", 25.0, 1.0, 201.0, "dark channel's square, px at 1000 px"),
            Option("radius", 80.0, 1.0, 500.0, "smoothing's radius, px at 1000 px"),
            Option("eps", 1e-2, 1e-6, 1.0, "variance that counts as flat"),
            Option("floor", 0.05, 0.01, 1.0, "smallest transmission divided by"),
        ),
        limits="The brightest channel, red in fundus photographs, comes close to 1 "
        "everywhere; amplifies noise.",
    ),
    "dpfr": MethodInfo(
        title="Double-pass fundus reflection model",
        reference="Zhang, Webers, Berendschot, Signal Processing 192, 2022",
        summary="Evens the light, takes stray light away, equalises lightness locally.",
        modalities=("fundus",),
        options=(
            Option("omega", 0.95, 0.0, 1.0, "share of the darkness taken away"),
            Option("scatter", 0.55, 0.0, 1.0, "share of the stray light taken away"),
            Option("window", 7.0, 1.0, 101.0, "dark channel's square, px to 1000 px"),
            Option("radius", 15.0, 1.0, 500.0, "smoothing's radius, px to 1000 px"),
            Option("eps", 1e-3, 1e-6, 1.0, "variance that counts as flat"),
            Option("floor", 0.1, 0.01, 1.0, "smallest transmission divided by"),
            Option("clip", 3.55, 1.0, 256.0, "largest slope of the CLAHE's maps"),
        ),
        limits="Strong local contrast, of noise as well; take a smaller omega where "
        "the optic disc or bright lesions wash out.",
    ),
    "msr": MethodInfo(
        title="Multi-scale retinex",
        reference="Jobson et al., IEEE TIP 6(7), 1997; ends after Petro, Sbert, Morel, "
        "IPOL 4, 2014",
        summary="Divides each channel by its surroundings at three scales.",
        modalities=("xray",),
        options=(
            *_SURROUNDS,
            Option("clipped", 1.0, 0.0, 20.0, "% made black, and made white"),
        ),
        limits="Greys colours; always uses the whole range, so contrast no longer "
        "compares between pictures; amplifies noise in the dark.",
    ),
    "msrcp": MethodInfo(
        title="Multi-scale retinex with chromaticity preservation",
        reference="Petro, Sbert, Morel, IPOL 4, 2014; Jobson et al., IEEE TIP 6(7), "
        "1997",
        summary="Divides intensity by its surroundings at three scales, keeps hues.",
        modalities=("dermoscopy", "endoscopy"),
        options=(
            *_SURROUNDS,
            Option("clipped", 1.0, 0.0, 20.0, "% made black, and made white"),
        ),
        limits="Always uses the whole range, so contrast no longer compares between "
        "pictures; amplifies noise in the dark. Where one channel is near white "
        "already, as in red fundus photographs, contrast is lost instead.",
    ),
    "msrcr": MethodInfo(
        title="Multi-scale retinex with colour restoration",
        reference="Jobson et al., IEEE TIP 6(7), 1997; constants after Petro, Sbert, "
        "Morel, IPOL 4, 2014",
        summary="Divides each channel by its surroundings, gives some colour back.",
        modalities=("endoscopy",),
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
        limits="Greys pictures of one dominant colour, as of skin and the fundus, and "
        "shifts hues; uses the same range in every picture, so contrast no longer "
        "compares; amplifies noise in the dark.",
    ),
    "shades-of-gray": MethodInfo(
        title="Shades of gray",
        reference="Finlayson, Trezzi, Color Imaging Conference 12, 2004",
        summary="Takes a colour cast away: one Minkowski mean for all channels.",
        modalities=("dermoscopy", "endoscopy", "microscopy"),
        options=(
            Option("power", 6.0, 1.0, 20.0, "1 is plain means; more, the brightest"),
            Option("limit", 2.0, 1.0, 10.0, "largest gain, and 1 over the smallest"),
        ),
        limits="Takes a colour that the tissue itself has for a cast, in part: not "
        "for fundus photographs or stained slides. Leaves grey pictures as they are.",
    ),
    "gray-world": MethodInfo(
        title="Gray world",
        reference="Buchsbaum, Journal of the Franklin Institute 310(1), 1980",
        summary="Takes a colour cast away: one mean for all channels.",
        modalities=("dermoscopy", "endoscopy", "microscopy"),
        options=(
            Option("limit", 2.0, 1.0, 10.0, "largest gain, and 1 over the smallest"),
        ),
        limits="Takes the tissue's own colour for a cast: only where there is one, not "
        "for fundus photographs or stained slides. Leaves grey pictures as they are.",
    ),
    "ref-color": MethodInfo(
        title="Colour transfer to a reference",
        reference="Reinhard et al., IEEE CG&A 21(5), 2001",
        summary="Gives lightness and colours the means and spreads of a reference.",
        modalities=("fundus",),
        follows="colours_of",
        options=_COLOURS,
        limits="Every picture gets the same mean colour: differences between eyes and "
        "cameras go, and what tells by its overall colour. The reference is 1,034 good "
        "fundus photographs unless a picture of yours is given.",
    ),
    "flat-field": MethodInfo(
        title="Flat-field correction without a reference",
        reference="",
        summary="Divides by the light's low frequencies, read from the picture.",
        modalities=("xray", "microscopy"),
        options=(
            Option("sigma", 0.1, 0.01, 1.0, "Gaussian sigma over the diagonal"),
            _FLOOR,
        ),
        limits="Takes broad structures for light and evens them out too; amplifies "
        "noise in the dark; leaves some fall-off at the very border. For bright "
        "fields: in fluorescence it lifts what is empty.",
    ),
    "nlm": MethodInfo(
        title="Non-local means",
        reference="Buades, Coll, Morel, CVPR 2005",
        summary="Averages places whose neighbourhoods look alike.",
        modalities=_ALL,
        options=(_SIGMA, *_PATCHES),
        limits="Made for additive noise of one strength; faint texture may go.",
    ),
    "nlm-rician": MethodInfo(
        title="Non-local means for Rician noise",
        reference="Manjon et al., Medical Image Analysis 12(4), 2008; Koay, Basser, "
        "Journal of Magnetic Resonance 179(2), 2006",
        summary="Averages places that look alike, takes away what the noise adds.",
        modalities=("mri",),
        from_zero=True,
        options=(_SIGMA, *_PATCHES),
        limits="Made for magnitudes, where 0 is no signal: not for phases and maps. "
        "Faint texture may go.",
    ),
    "wavelet": MethodInfo(
        title="Wavelet shrinkage (BayesShrink) with cycle spinning",
        reference="Chang, Yu, Vetterli, IEEE TIP 9(9), 2000; Coifman, Donoho, 1995",
        summary="Shrinks the wavelet details by what noise explains of them.",
        modalities=_ALL,
        options=(
            _SIGMA,
            Option("levels", 4, 1, 8, "levels of decomposition", whole=True),
            Option("shifts", 2, 1, 4, "shifts averaged along each side", whole=True),
            Option("chroma", 1.0, 0.0, 5.0, "factor on sigma for the chroma planes"),
        ),
        limits="Made for additive noise of one strength.",
    ),
    "median": MethodInfo(
        title="Median filter",
        reference="",
        summary="Takes the median of the small square around each pixel.",
        modalities=_ALL,
        options=(Option("radius", 1, 1, 2, "1: 3 x 3 px; 2: 5 x 5 px", whole=True),),
        limits="Made for single wrong pixels (impulse noise); lines thinner than half "
        "the square go, and noise in every pixel mostly stays.",
    ),
    "bilateral": MethodInfo(
        title="Bilateral filter",
        reference="Tomasi, Manduchi, ICCV 1998",
        summary="Averages near pixels whose values are alike.",
        modalities=_ALL,
        options=(
            _SIGMA,
            Option("strength", 3.0, 0.05, 20.0, "width by value over sigma"),
            Option("space", 3.0, 0.3, 10.0, "width by distance, px"),
        ),
        limits="Leaves single pixels of strong noise; faint texture goes. Made for "
        "additive noise of one strength.",
    ),
    "tv": MethodInfo(
        title="Total variation denoising",
        reference="Rudin, Osher, Fatemi, Physica D 60, 1992; Chambolle, JMIV 20, 2004",
        summary="Looks for the smoothest picture, edges apart, that is near enough.",
        modalities=_ALL,
        options=_TV,
        limits="Makes flat patches with steps of slopes, lowers the contrast of what "
        "is small; faint texture goes. Made for additive noise of one strength.",
    ),
    "bm3d": MethodInfo(
        title="Block matching and 3-D filtering",
        slow=True,
        reference="Dabov, Foi, Katkovnik, Egiazarian, IEEE TIP 16(8), 2007",
        summary="Stacks blocks that look alike and shrinks what they do not share.",
        modalities=_ALL,
        options=(
            _SIGMA,
            Option("strength", 1.0, 0.05, 5.0, "factor on sigma"),
            Option("search", 19, 3, 40, "how far it looks, px", whole=True),
        ),
        limits="Slow. Made for additive noise of one strength; faint texture goes, "
        "and strong noise leaves patterns in flat places.",
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
    "unsharp-guided": MethodInfo(
        title="Detail enhancement by the guided filter",
        reference="He, Sun, Tang, IEEE TPAMI 35(6), 2013",
        summary="Adds half the detail that a filter which keeps edges takes away.",
        modalities=("fundus",),
        options=(
            Option("gain", 1.5, 0.0, 10.0, "factor of the detail"),
            Option("radius", 8.0, 1.0, 100.0, "of the windows, px at 512 px"),
            Option("eps", 1e-2, 1e-6, 1.0, "variance below which all is detail"),
        ),
        limits="Amplifies noise as much as detail; brings back nothing that blur has "
        "taken away.",
    ),
    "tv-stretch": MethodInfo(
        title="Total variation denoising, then a stretch",
        reference="As of `tv`",
        summary="Takes noise away, then uses the whole range.",
        modalities=_ALL,
        options=(
            *_TV,
            Option("low", 0.1, 0.0, 49.0, "percentile that becomes 0"),
            Option("high", 99.9, 51.0, 100.0, "percentile that becomes 1"),
        ),
        limits="Always uses the whole range, so brightness no longer compares between "
        "pictures; faint texture goes.",
    ),
    "tv-flat-field": MethodInfo(
        title="Total variation denoising, then flat-field correction",
        reference="As of `tv`",
        summary="Takes noise away, then evens the light.",
        modalities=("dermoscopy",),
        options=(
            *_TV,
            Option("light", 0.2, 0.01, 1.0, "sigma of the light over the diagonal"),
            _FLOOR,
        ),
        limits="Takes a large dark lesion for shade, in part, and lightens it; faint "
        "texture goes.",
    ),
    "flat-field-ref-color": MethodInfo(
        title="Flat-field correction, then colour transfer",
        reference="As of `ref-color`",
        summary="Evens the light, then brings colours to those of a reference.",
        modalities=("fundus",),
        follows="colours_of",
        options=(
            Option("light", 0.1, 0.01, 1.0, "sigma of the light over the diagonal"),
            _FLOOR,
            *_COLOURS,
        ),
        limits="As of `flat-field` and `ref-color`: broad differences of light and the "
        "overall colour go.",
    ),
}
