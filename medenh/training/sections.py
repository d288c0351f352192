"""Sections of a training configuration, as they stand in the TOML file."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from medenh import models
from medenh.errors import UsageError
from medenh.zoo.card import ModalityWord

if TYPE_CHECKING:
    from medenh.degradations import Recipe

__all__ = [
    "AdversarialConfig",
    "AugmentConfig",
    "DataConfig",
    "GuidedConfig",
    "LossConfig",
    "NetworkConfig",
    "OptimiserConfig",
    "PromoteConfig",
    "Section",
    "StillGanConfig",
    "TeacherConfig",
]


@contextmanager
def _name_checked() -> Iterator[None]:
    """Turn an unknown name into a fault of the setting that holds it."""
    try:
        yield
    except UsageError as error:
        what = error.what if error.path is None else f"{error.path}: {error.what}"
        raise PydanticCustomError(
            "unknown_name", "{what}", {"what": what, "hint": error.hint}
        ) from error


def _known_recipe(name: str) -> str:
    from medenh.degradations import find_recipe

    with _name_checked():
        find_recipe(name)
    return name


Decay = Annotated[float, Field(ge=0, lt=1)]
Frequency = Annotated[float, Field(gt=0)]
# no shell resolves a ~ behind "data.high=", and none reads a file of settings
UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
RecipeName = Annotated[UserPath, AfterValidator(_known_recipe)]


class Section(BaseModel):
    """A frozen group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkConfig(Section):
    """Which network of `medenh.models` is trained.

    Attributes
    ----------
    start_from : str
        Safetensors file, or id of a model of the zoo, whose tensors replace the random
        start where name and shape agree (an AG-Net's those in a MAGE-Net); empty for
        none.
    trained : list of str
        Parts of the network that learn, by name (`estimator`, `encoder.0`); the others
        stay as they start. Empty for all.
    """

    architecture: str
    preset: str = "default"
    options: dict[str, Any] = {}
    start_from: UserPath = ""
    trained: list[str] = []

    @field_validator("architecture")
    @classmethod
    def _architecture_is_known(cls, name: str) -> str:
        with _name_checked():
            models.find_architecture(name)
        return name

    @field_validator("preset")
    @classmethod
    def _preset_is_known(cls, name: str, told: ValidationInfo) -> str:
        architecture = told.data.get("architecture")
        if architecture is not None:  # else that is what is wrong
            with _name_checked():
                models.find_preset(architecture, name)
        return name

    @field_validator("options")
    @classmethod
    def _options_are_known(
        cls, options: dict[str, Any], told: ValidationInfo
    ) -> dict[str, Any]:
        architecture = told.data.get("architecture")
        if architecture is not None and options:
            with _name_checked():
                models.check_options(architecture, options)
        return options


class DataConfig(Section):
    """Where images come from and how they are cut and degraded.

    Attributes
    ----------
    root : str
        Folder with one pack a subfolder (manifest.csv and .tar shards).
    packs : list of str
        Subfolders to use.
    qualities : list of str
        Values of the manifest's `quality` column that count as clean.
    datasets : dict of str to float
        Source data sets to use, and how often an image of each is drawn against the
        others'; empty is all of them.
    high : str
        Folder of clean images, in place of packs.
    low : str
        Folder of degraded images with the same names: real pairs, no recipe.
    real : str
        Folder of real low-quality images without a clean partner.
    real_qualities : list of str
        The same from packs: values of the `quality` column, e.g. ["usable"].
    real_recipes : dict of str to float
        The same made from the packs: some of the clean images' groups are degraded by
        these recipes and never seen clean. For tests of unpaired methods.
    real_share : float
        Share of the groups to learn from that `real_recipes` degrade.
    modality : str
        What a folder's images show, where they do not say; else what all recipes are
        for, if that is one kind.
    masks, labels : str
        For a folder: masks of the same names; CSV with the columns file and label.
    pseudo_masks : str
        A segmentation task whose recogniser marks the clean images, for networks that
        learn to segment on the side.
    recipes : dict of str to float
        Degradations, by name or file (``.toml``), and how often each is drawn. Files
        are read when the configuration is, and never again.
    recipes_with_air : list of str
        Those of `recipes` that degrade only squares with air around an object. Noise of
        several coils brightens what is dark, and air alone tells by how much: from a
        square of tissue a network would learn to darken tissue on suspicion.
    severity : float or None
        1 to 5; without it the whole range of each recipe.
    max_side : int
        Images are reduced to this long side once, when they are loaded.
    size : int
        Side of the training squares.
    whole_share : float
        Share of training samples that show the whole image, squashed to the square.
    native_share : float
        Share of squares cut from the loaded image pixel by pixel, without resampling:
        the sharpness and grain a network meets when it enhances at full size. The rest
        are crops of a random area, brought to the square.
    smallest_crop : float
        Area of the smallest of these crops, in parts of the image's.
    turned : str
        "any" (quarter turns, and mirrored half of the time), "mirrored" (left and right
        alone), "none".
    holdout_share : float
        Share of the groups (patients) of split "train" kept for validation.
    validation_images : int
        At most so many of them are measured.
    identity_share : float
        Share of undegraded samples, which teach the network to leave good images be.
    quantise_share : float
        Share of samples rounded to 8 bits, the rest keep their depth.
    recolour_share : float
        Share of pairs of colour pictures in hues and tones of no data set, from black
        to white: what to do with a picture unlike all that are learnt from.
    retone_share : float
        Share of pairs of grey pictures whose tones go through a random curve that keeps
        black: other contrasts of the same head.
    lift_share : float
        Share of pairs of grey pictures whose black becomes a random grey: tissue from
        edge to edge, without air.
    squared_share : float
        Share of fundus photographs, paired or not, that are shown as the square around
        the field, black outside it, as the protocols and cleaned archives show them.
    field_share : float
        Share of the pairs of fundus photographs that are degraded inside the disc
        alone; of the others the surround changes too.
    workers : int or "auto"
        Processes that prepare batches; 0 is a thread of this one. "auto" is 0 on a CPU,
        whose cores are busy, and all cores but one for a GPU.

    Notes
    -----
    Recognisers use root, packs, qualities, size, holdout_share, datasets and workers;
    their images are loaded at the working size of the task. They learn from clean
    images, unless recipes (with severity, identity_share and quantise_share) are given.
    """

    root: UserPath = ""
    packs: list[str] = []
    qualities: list[str] = ["good", "high"]
    datasets: dict[str, Frequency] = {}
    high: UserPath = ""
    low: UserPath = ""
    real: UserPath = ""
    real_qualities: list[str] = []
    real_recipes: dict[RecipeName, Frequency] = {}
    real_share: float = Field(default=0.5, gt=0, lt=1)
    modality: Literal["", ModalityWord] = ""
    masks: UserPath = ""
    labels: UserPath = ""
    pseudo_masks: str = ""
    recipes: dict[RecipeName, Frequency] = {}
    recipes_with_air: list[UserPath] = []
    severity: float | None = Field(default=None, ge=1, le=5)
    max_side: int = Field(default=384, ge=64)
    size: int = Field(default=192, ge=32)
    whole_share: float = Field(default=0.5, ge=0, le=1)
    native_share: float = Field(default=0.0, ge=0, le=1)
    smallest_crop: float = Field(default=0.2, gt=0, le=1)
    turned: Literal["any", "mirrored", "none"] = "any"
    holdout_share: float = Field(default=0.06, gt=0, lt=0.5)
    validation_images: int = Field(default=96, ge=1)
    identity_share: float = Field(default=0.1, ge=0, le=1)
    quantise_share: float = Field(default=0.8, ge=0, le=1)
    recolour_share: float = Field(default=0.0, ge=0, le=1)
    retone_share: float = Field(default=0.0, ge=0, le=1)
    lift_share: float = Field(default=0.0, ge=0, le=1)
    squared_share: float = Field(default=0.0, ge=0, le=1)
    field_share: float = Field(default=1.0, ge=0, le=1)
    workers: int | Literal["auto"] = "auto"
    _known: dict[str, Recipe] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _recipes_are_read(self) -> DataConfig:
        for name in (*self.recipes, *self.real_recipes):
            self.recipe(name)
        if unknown := set(self.recipes_with_air) - set(self.recipes):
            raise ValueError(
                f"recipes_with_air names {min(unknown)}, which recipes does not"
            )
        own = [one.name for one in self.own_recipes().values()]
        if twice := {name for name in own if own.count(name) > 1}:
            raise ValueError(
                f"two recipes are named {min(twice)}, by which the run's folder and a "
                "card know them: give one of the files another name"
            )
        return self

    def recipe(self, name: str) -> Recipe:
        """Return a recipe that is named here, as it was when the settings were read."""
        from medenh.degradations import find_recipe

        if name not in self._known:
            self._known[name] = find_recipe(name)
        return self._known[name]

    def own_recipes(self) -> dict[str, Recipe]:
        """Return the recipes of the user's own files, by path."""
        return {name: one for name, one in self._known.items() if one.sha256}

    @model_validator(mode="after")
    def _shares_fit(self) -> DataConfig:
        if self.whole_share + self.native_share > 1 + 1e-9:
            raise ValueError("whole_share and native_share are more than 1 together")
        return self

    def told(self) -> str:
        """Say which images of the packs are taken, for those who miss some."""
        kinds = f"data.qualities ({', '.join(self.qualities)})"
        if self.datasets:
            kinds += f" and data.datasets ({', '.join(self.datasets)})"
        return f"of data.packs only those of {kinds} are taken"


class AugmentConfig(Section):
    """How a recogniser's samples are varied; clean variations only, no noise or blur.

    Attributes
    ----------
    scale : float
        Scale factors are drawn from 1 / scale to scale, evenly in the logarithm.
    turn : float
        Largest turn in degrees, either way.
    flip, flip_vertical : bool
        Mirror left and right, top and bottom, half of the time each.
    shift : float
        Largest shift of a picture that fits into the square, in parts of its side.
    brightness, contrast, gamma, colour : float
        Largest change: added; of the factor about the mean; of the exponent's
        logarithm; of each channel's factor.
    """

    scale: float = Field(default=1.25, ge=1)
    turn: float = Field(default=180.0, ge=0, le=180)
    flip: bool = True
    flip_vertical: bool = True
    shift: float = Field(default=0.1, ge=0, le=0.5)
    brightness: float = Field(default=0.1, ge=0)
    contrast: float = Field(default=0.25, ge=0, lt=1)
    gamma: float = Field(default=0.3, ge=0)
    colour: float = Field(default=0.1, ge=0, lt=1)


class LossConfig(Section):
    """Weights of the reconstruction terms; 0 removes the computation.

    Attributes
    ----------
    l1, mse, charbonnier, gradient, edge, log_mse, ssim : float
        Mean absolute and squared error; Charbonnier; L1 of gradients; MPRNet's edge
        term; logarithm of the squared error (PSNR itself); 1 - SSIM.
    segmentation : float
        Of the cross-entropy of a network that segments on the side (MAGE-Net: 0.5).
    """

    l1: float = Field(default=0.0, ge=0)
    mse: float = Field(default=0.0, ge=0)
    charbonnier: float = Field(default=1.0, ge=0)
    gradient: float = Field(default=0.1, ge=0)
    edge: float = Field(default=0.0, ge=0)
    log_mse: float = Field(default=0.02, ge=0)
    ssim: float = Field(default=0.0, ge=0)
    segmentation: float = Field(default=0.5, ge=0)


class AdversarialConfig(Section):
    """DPE's objective beside the reconstruction: features and a discriminator.

    Attributes
    ----------
    discriminator : str
        "dpe" (one score an image, as published), "dpe-compat" (the same with the ring
        of bias around its last map, as in the released code), "patch" (70 x 70
        PatchGAN).
    width : int
        Channels of a PatchGAN's first layer, here and in the unpaired strategies.
    weight : float
        Of the adversarial term (published: 1e-3).
    features : str
        What the feature term compares: "analytic" (fixed filters), "none",
        "discriminator" (its own maps), a safetensors file or zoo id of an "autoencoder"
        network, or a safetensors file of VGG-19 in torchvision's names (published, and
        not shipped).
    unit_features : bool
        Features of each place are scaled to length one [our choice]; false compares
        them as they are (published).
    feature_mode : str
        "product" (published: gradient distance times feature distance) or "sum".
    feature_weight : float
    """

    discriminator: Literal["dpe", "dpe-compat", "patch"] = "dpe"
    width: int = Field(default=64, ge=1)
    weight: float = Field(default=1e-3, ge=0)
    features: UserPath = "analytic"
    unit_features: bool = True
    feature_mode: Literal["product", "sum"] = "product"
    feature_weight: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _features_are_there(self) -> AdversarialConfig:
        if self.features == "discriminator" and not self.weight:
            raise ValueError(
                "features of the discriminator, and weight 0 leaves it out: give it a "
                "weight, or other features"
            )
        return self


class GuidedConfig(Section):
    """HQG-Net's objective; weights of 0 remove the computation.

    Attributes
    ----------
    adversarial, consistency, wavelet, features, identity, kl, illumination, histogram
        Weights of the terms [our choice; the paper's are unknown].
    kl_warmup : float
        Share of the run over which the weight of KL rises.
    r1 : float
        Weight of the gradient penalty on real images, taken every 16 steps.
    pair_steps : int
        First so many steps on synthetic pairs (`data.recipes`): L1 and wavelet term.
    pair_reference : str
        Who guides in these steps [our choice]. "other": a good image of something else,
        which teaches to ignore it, as the answer does not depend on it. "own": in every
        other step the answer itself, turned by a quarter, so that a reference says what
        the result shall look like, and is trusted; in the steps between the code that
        guides where no reference is given, which stays as it is in these steps.
    content : str
        Second encoder of the feature term: "analytic", or a safetensors file or zoo id
        of an "autoencoder" network.
    """

    adversarial: float = Field(default=1.0, ge=0)
    consistency: float = Field(default=1.0, ge=0)
    wavelet: float = Field(default=10.0, ge=0)
    features: float = Field(default=1.0, ge=0)
    identity: float = Field(default=5.0, ge=0)
    kl: float = Field(default=0.01, ge=0)
    kl_warmup: float = Field(default=0.1, gt=0, le=1)
    illumination: float = Field(default=0.1, ge=0)
    histogram: float = Field(default=0.0, ge=0)
    r1: float = Field(default=10.0, ge=0)
    pair_steps: int = Field(default=0, ge=0)
    pair_reference: Literal["other", "own"] = "other"
    content: UserPath = "analytic"


class StillGanConfig(Section):
    """StillGAN's objective, the unpaired peer: two generators, two discriminators."""

    cycle: float = Field(default=10.0, ge=0)
    identity: float = Field(default=5.0, ge=0)
    structure: float = Field(default=5.0, ge=0)
    illumination: float = Field(default=1.0, ge=0)


class TeacherConfig(Section):
    """T-MAGE-Net's mean teacher on real low-quality images.

    Attributes
    ----------
    batch : int
        Real images a step, beside `batch` pairs (paper: 8 beside 16).
    weight : float
        Largest weight of the consistency [our choice: 0.1].
    ramp : float
        Share of the run over which it rises.
    noise : float
        Standard deviation of the teacher's noise (paper: Gaussian), clipped at the same
        value [our choice: 0.1].
    """

    batch: int = Field(default=8, ge=1)
    weight: float = Field(default=0.1, ge=0)
    ramp: float = Field(default=1.0, gt=0, le=1)
    noise: float = Field(default=0.1, ge=0)


class PromoteConfig(Section):
    """GradProm: a recognition loss that may only help the enhancement's own.

    Attributes
    ----------
    rule : str
        "off", "sum" (joint training), "hard" (the paper's), "soft", "layer", "project".
    weight : float
        Of the task's loss.
    cap : float
        Largest length of the task's gradient against the enhancement's; 0 is none.
    reference : str
        "batch", or "ema": a running mean of the enhancement's gradient.
    momentum : float
        Adds so many times that mean to the step, whatever the rule: the control of
        "project" with "ema" [our choice].
    task : str
        A downstream task of the zoo whose recogniser looks at the enhanced images, or
        the id (or ``id@version``) of a recogniser of one's own. With rule "off" its
        score on held-back images is measured all the same.
    held_out : str
        The id of another recogniser of that task, whose score is measured too: what the
        one that looks on gains may be its own alone.
    loss : str
        "supervised" (needs masks or labels), "unsupervised" (agree with the answer on
        the clean image).
    train : bool
        The recogniser learns too, on enhanced and clean images (bi-level training).
    bilevel : str
        How: "joint" (every step), "alternate" (every fifth step, on the other half of
        the images), "unrolled" (with a one-step look-ahead of the enhancer).
    warmup : int
        Steps over which the weight rises.
    """

    rule: Literal["off", "sum", "hard", "soft", "layer", "project"] = "off"
    weight: float = Field(default=1e-3, ge=0)
    cap: float = Field(default=0.0, ge=0)
    reference: Literal["batch", "ema"] = "batch"
    momentum: float = Field(default=0.0, ge=0)
    task: str = ""
    held_out: str = ""
    loss: Literal["supervised", "unsupervised"] = "supervised"
    train: bool = False
    bilevel: Literal["joint", "alternate", "unrolled"] = "joint"
    warmup: int = Field(default=0, ge=0)


class OptimiserConfig(Section):
    """AdamW or Muon, linear warm-up, then a schedule.

    Attributes
    ----------
    name : str
        "adamw", or "muon": momentum made orthogonal, AdamW's steps for what is no
        matrix. About twice as far by as many steps where it was tried.
    lr, final_lr : float
        Learning rate after the warm-up, and at the end.
    companion_lr : float
        Of discriminators and the like; 0 is the same.
    schedule : str
        "cosine"; "constant"; "linear", from the middle of the run down to `final_lr`
        (StillGAN's code); "drops", to a tenth after two thirds and to a hundredth after
        five sixths (ESTR's code, without `final_lr`).
    clip : float
        Largest norm of the gradient; 0 lets any pass.
    ema : float
        Decay of the averaged weights, which are what is validated and published.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    final_lr: float = Field(default=0.0, ge=0)
    companion_lr: float = Field(default=0.0, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    weight_decay: float = Field(default=1e-4, ge=0)
    schedule: Literal["cosine", "constant", "linear", "drops"] = "cosine"
    warmup_steps: int = Field(default=200, ge=0)
    clip: float = Field(default=1.0, ge=0)
    ema: float = Field(default=0.999, ge=0, lt=1)
