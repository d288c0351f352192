"""The frozen protocols: what is degraded how, and what is measured. Never edited.

A change of any value makes other figures under the same name. What must change gets a
new name here; seeds depend on this file and on relative file names alone. A title is
only words, and may be put right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from medenh.errors import UsageError

if TYPE_CHECKING:
    from medenh.degradations import Recipe

__all__ = ["PROTOCOLS", "Protocol", "find_protocol", "protocol_of"]

_FULL = ("psnr", "ssim", "de2000")
_GREY = ("psnr", "ssim", "ms-ssim", "mae")
_GREY_KINDS = {"ct", "mri", "xray"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A frozen benchmark.

    Attributes
    ----------
    name, title : str
        As on the command line, and for people.
    recipe : str or Recipe
        A key of `medenh.degradations.RECIPES`; one of the user's own file as it was
        read, for no worker may find another there.
    source : str
        Where its definition comes from.
    modalities : tuple of str
        Kinds of picture it is for; empty is any. A sole one is assumed of pictures
        that do not say.
    options : mapping
        Options of the recipe.
    severity : float or None
        1 to 5; None draws from the recipe's whole range.
    seed : int
        Of the recipe; with the relative name it fixes all chance.
    size : int or None
        Side that pictures are brought to before; None keeps theirs.
    depth : str
        "8-bit": clean and degraded pictures are rounded to 8 bits of their display
        range first. "native": they keep their own numbers.
    metrics : tuple of str
        Names of metrics; the first ranks the methods.
    region : str
        "whole", or "fov" for the field of view.
    tasks : tuple of str
        Downstream tasks, scored where the data has answers.
    bound : bool
        Whether the row "oracle-affine" is shown: the best single gain and offset in
        hindsight.
    """

    name: str
    title: str
    recipe: str | Recipe
    source: str
    modalities: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    severity: float | None = None
    seed: int = 0
    size: int | None = None
    depth: Literal["8-bit", "native"] = "native"
    metrics: tuple[str, ...] = _FULL
    region: Literal["whole", "fov"] = "whole"
    tasks: tuple[str, ...] = ()
    bound: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the definition as plain data, with the text of a recipe's file."""
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        told["options"] = dict(self.options)
        if not isinstance(self.recipe, str):
            told["recipe"] = self.recipe.name
            told["recipe_sha256"] = self.recipe.sha256
            told["recipe_text"] = self.recipe.text
        return told


_ESTR_NOISE = "ESTR, additive noise on [0, 1], clipped [code]"

_ALL = (
    Protocol(
        name="cofe-111",
        title="Fundus: uneven light, blur and spots together (Cofe-Net)",
        recipe="cofe-111",
        source="Shen et al., IEEE TMI 2020, all three factors; size [C]",
        modalities=("fundus",),
        size=512,
        depth="8-bit",
        region="fov",
        tasks=("vessels-fundus", "lesions-fundus"),
    ),
    Protocol(
        name="cofe-mix7",
        title="Fundus: one of the seven mixtures of light, blur and spots (Cofe-Net)",
        recipe="cofe-mix7",
        source="Shen et al., IEEE TMI 2020, types 001 to 111 equally likely [C]",
        modalities=("fundus",),
        size=512,
        depth="8-bit",
        region="fov",
        tasks=("vessels-fundus", "lesions-fundus"),
    ),
    Protocol(
        name="dpe",
        title="Brightness and contrast loss with faint noise (DPE)",
        recipe="dpe",
        source="DPE, Algorithm 1 and released code [code]; any size, 8 bits [C]",
        depth="8-bit",
        tasks=("lesion-derm", "nuclei-micro", "lung-xray", "pneumonia-xray"),
        bound=True,
    ),
    *(
        Protocol(
            name=f"gauss-{sigma}",
            title=f"Gaussian noise of sigma {sigma}{why}",
            recipe=f"gauss-{sigma}",
            source=source,
            modalities=("dermoscopy", "xray"),
            tasks=("lesion-derm", "class-derm", "lung-xray", "pneumonia-xray"),
        )
        for sigma, why, source in (
            (0.03, ": as pictures in use have it", f"{_ESTR_NOISE}; sigma [C]"),
            (0.1, " (GradProm)", _ESTR_NOISE),
            (0.2, " (GradProm)", f"{_ESTR_NOISE}; sigma [C]"),
            (
                0.3,
                " (GradProm)",
                "GradProm: sigma [paper]; ESTR: additive, clipped [code]",
            ),
        )
    ),
    Protocol(
        name="bicubic-x2",
        title="Resolution lost by a factor of 2 (GradProm)",
        recipe="bicubic-x2",
        source="ESTR's bicubic [code]; factor and full size [C]",
        modalities=("dermoscopy", "xray", "microscopy"),
        tasks=("lesion-derm", "class-derm"),
    ),
    Protocol(
        name="bicubic-x4",
        title="Resolution lost by a factor of 4 (GradProm)",
        recipe="bicubic-x4",
        source="ESTR, antialiased bicubic [code]; compared at full size [C]",
        modalities=("dermoscopy", "xray", "microscopy"),
        tasks=("lesion-derm", "class-derm"),
    ),
    Protocol(
        name="ct-low-dose",
        title="CT at low dose, noise of the projections",
        recipe="ct-low-dose",
        source="Zeng et al., IEEE TNS 2015; whole range of doses [C]",
        modalities=("ct",),
        metrics=_GREY,
    ),
    Protocol(
        name="mri-rician",
        title="MRI with Rician noise",
        recipe="mri-rician",
        source="Gudbjartsson and Patz, MRM 1995; levels of BrainWeb [C]",
        modalities=("mri",),
        metrics=_GREY,
    ),
    Protocol(
        name="mri-multi-coil",
        title="MRI with noise of several coils, uneven over the picture",
        recipe="mri-multi-coil",
        source="Constantinides et al., MRM 1997; whole range [C]",
        modalities=("mri",),
        metrics=_GREY,
    ),
    Protocol(
        name="mri-interpolated",
        title="MRI with Rician noise of a smaller matrix, enlarged with zeros",
        recipe="mri-interpolated",
        source="zero-filled interpolation; whole range [C]",
        modalities=("mri",),
        metrics=_GREY,
    ),
    Protocol(
        name="mri-masked",
        title="Noise of one coil, of several or of a real part, air black",
        recipe="mri-masked",
        source="Gudbjartsson & Patz 1995; Constantinides 1997; whole range [C]",
        modalities=("mri",),
        metrics=_GREY,
    ),
    Protocol(
        name="xray-low-dose",
        title="Radiographs at low dose",
        recipe="xray-low-dose",
        source="Poisson and Gaussian noise of the line integrals; whole range [C]",
        modalities=("xray",),
        metrics=_GREY,
        tasks=("lung-xray", "pneumonia-xray"),
    ),
    Protocol(
        name="xray-mixed",
        title="Radiographs: low dose, scatter, grid lines, wrong gamma, JPEG",
        recipe="xray-mixed",
        source="specification of the degradations, part B.1; whole range [C]",
        modalities=("xray",),
        metrics=_GREY,
        tasks=("lung-xray", "pneumonia-xray"),
    ),
    Protocol(
        name="derm-mixed",
        title="Dermoscopy: blur, uneven light, noise, JPEG",
        recipe="derm-mixed",
        source="specification of the degradations, part B.4; whole range [C]",
        modalities=("dermoscopy",),
        depth="8-bit",
        tasks=("lesion-derm", "class-derm"),
    ),
    Protocol(
        name="micro-mixed",
        title="Microscopy: defocus, uneven light, photon noise, JPEG",
        recipe="micro-mixed",
        source="specification of the degradations, part B.5; whole range [C]",
        modalities=("microscopy",),
        tasks=("nuclei-micro",),
    ),
    Protocol(
        name="endo-mixed",
        title="Endoscopy: exposure, motion blur, reflections, smoke, video",
        recipe="endo-mixed",
        source="specification of the degradations, part B.6; whole range [C]",
        modalities=("endoscopy",),
        depth="8-bit",
        tasks=("polyp-endo",),
    ),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}


def find_protocol(name: str) -> Protocol:
    """Return a frozen protocol.

    Raises
    ------
    UsageError
        No protocol of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(
            f"no protocol named {name!r}", hint=f"one of {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]


def protocol_of(name: str) -> Protocol:
    """Return a frozen protocol, or what a recipe's file makes one.

    Seed 0, the whole range of severities; pictures keep size and depth. Metrics are
    those of the protocols for such pictures: of grey kinds alone the grey ones. With
    the framing "fundus" the field of view is measured.

    Raises
    ------
    UsageError
        No protocol of that name, or a file (``.toml``) that is no recipe.
    """
    from medenh.degradations import find_recipe

    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if not name.lower().endswith(".toml"):
        raise _no_protocol(name)
    recipe = find_recipe(name)
    grey = bool(recipe.modalities) and set(recipe.modalities) <= _GREY_KINDS
    return Protocol(
        name=recipe.name,
        title=recipe.title,
        recipe=recipe,
        source=recipe.source,
        modalities=recipe.modalities,
        metrics=_GREY if grey else _FULL,
        region="fov" if recipe.framing == "fundus" else "whole",
    )


def _no_protocol(name: str) -> UsageError:
    """Return the error of a name that is none; of a recipe it says what to do."""
    from medenh.degradations import RECIPES

    if name not in RECIPES:
        known = ", ".join(PROTOCOLS)
        return UsageError(
            f"no protocol named {name!r}",
            hint=f"one of {known}, or a recipe of your own, a file that ends in .toml",
        )
    kinds = set(RECIPES[name].modalities)
    like = ", ".join(
        one.name
        for one in _ALL
        if not kinds or not one.modalities or kinds & set(one.modalities)
    )
    return UsageError(
        f"{name!r} is a recipe; a protocol is one frozen with seed, size and metrics",
        hint=f"for such pictures: {like}; or `medenh degrade --print-recipe {name} > "
        f"{name}.toml`, in Python medenh.degradations.recipe_text: a recipe's file is "
        "a protocol, too",
    )
