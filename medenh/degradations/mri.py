"""Recipes for MRI, on magnitudes: shading, then k-space, then noise."""

from __future__ import annotations

from functools import partial

from medenh.degradations import (
    mri_bias,
    mri_kspace,
    mri_motion,
    mri_noise,
)
from medenh.degradations.mri_bias import MriBias
from medenh.degradations.mri_kspace import (
    MriGhosting,
    MriGibbs,
    MriSpike,
    MriUndersampling,
)
from medenh.degradations.mri_motion import MriMotion
from medenh.degradations.mri_noise import MriNoise
from medenh.degradations.operator import Operator
from medenh.degradations.parameters import Choices, Graded, Uniform, ranged
from medenh.degradations.recipe import (
    Recipe,
    Step,
    at_times,
    in_order,
    one_of,
    then,
)
from medenh.degradations.thick_slice import MriAnisotropy

__all__ = ["OPERATORS", "RECIPES"]

OPERATORS: tuple[type[Operator], ...] = (
    *mri_bias.OPERATORS,
    *mri_kspace.OPERATORS,
    *mri_motion.OPERATORS,
    *mri_noise.OPERATORS,
    MriAnisotropy,
)

# air shines with sqrt(2 coils) sigma: less noise than one coil's [C]
_multi_coil = ranged(
    MriNoise,
    sigma=Graded(0.01, 0.03),
    coils=Choices((4, 8, 16, 32)),
    boost=Graded(1.0, 3.0),
    right=Uniform(-0.3, 0.3),
    down=Uniform(-0.3, 0.3),
    # all, else the operator draws, too, and all draws are other ones
    band=1.0,
    air=1.0,
    part="magnitude",
)
_interpolated = ranged(MriNoise, sigma=Graded(0.01, 0.06), band=Uniform(0.5, 0.9))
_masked = one_of(
    in_order(ranged(MriNoise, air=0.0)),
    in_order(ranged(MriNoise, part="real", air=0.0)),
    in_order(
        ranged(
            MriNoise, sigma=Graded(0.01, 0.03), coils=Choices((4, 8, 16, 32)), air=0.0
        )
    ),
)
_scan = in_order(Step(MriBias, 0.5), Step(MriAnisotropy, 0.2))
_fault = one_of(
    *(
        in_order(fault)
        for fault in (MriMotion, MriGhosting, MriUndersampling, MriGibbs, MriSpike)
    )
)
_noise = one_of(in_order(MriNoise), in_order(_multi_coil))

_recipe = partial(Recipe, modalities=("mri",), domain="magnitude")

RECIPES = (
    _recipe(
        "mri-rician",
        "Rician noise, 1 to 9 % of the brightest tissue",
        "Gudbjartsson & Patz 1995; BrainWeb's levels [known]",
        in_order(MriNoise),
    ),
    _recipe(
        "mri-multi-coil",
        "Noise of 4 to 32 coils, non-central chi, uneven over the picture",
        "Constantinides 1997 [known]; ranges [C]",
        in_order(_multi_coil),
    ),
    _recipe(
        "mri-interpolated",
        "Rician noise of a smaller matrix that was enlarged with zeros in k-space",
        "Zero-filled interpolation, usual on scanners [known]; ranges [C]",
        in_order(_interpolated),
    ),
    _recipe(
        "mri-masked",
        "Noise of one coil, of several or of a real part, with black air around it",
        "Scanners that blacken air, heads that were cut out [known]; ranges [C]",
        _masked,
    ),
    _recipe(
        "mri-undersampled",
        "2 to 8 times fewer phase-encode lines, zero-filled",
        "fastMRI's factors and centres [known]; a smooth phase is added [C]",
        in_order(MriUndersampling),
    ),
    _recipe(
        "mri-motion",
        "Two rigid moves during the scan, up to 10 degrees and 10 mm",
        "TorchIO RandomMotion [known]",
        in_order(MriMotion),
    ),
    _recipe(
        "mri-ghosting",
        "Every 4th to 10th line of k-space weaker",
        "TorchIO RandomGhosting [known]",
        in_order(MriGhosting),
    ),
    _recipe(
        "mri-spike",
        "One to three wrong points in k-space",
        "TorchIO RandomSpike [known]; strengths [C]",
        in_order(MriSpike),
    ),
    _recipe(
        "mri-gibbs",
        "k-space cut off at 90 to 30 %",
        "TorchIO, MONAI [known]",
        in_order(MriGibbs),
    ),
    _recipe(
        "mri-bias",
        "Smooth shading, polynomial of third order",
        "TorchIO RandomBiasField [known]",
        in_order(MriBias),
    ),
    _recipe(
        "mri-thick-slice",
        "One axis 1.5 to 5 times coarser, and back",
        "TorchIO RandomAnisotropy [known]",
        in_order(MriAnisotropy),
    ),
    _recipe(
        "mri-mixed",
        "Shading, thick slices, one fault of k-space, noise: some of each",
        "Order of acquisition; probabilities [C]",
        then(_scan, at_times(0.7, _fault), _noise),
    ),
)
