"""The configuration of a training run: settings, and what goes with what."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Literal, Self

from pydantic import Field, model_validator

from medenh.errors import UsageError
from medenh.models import RECOGNISERS
from medenh.tasks import TASKS, Task, find_task
from medenh.training.sections import (
    AdversarialConfig,
    AugmentConfig,
    DataConfig,
    GuidedConfig,
    LossConfig,
    NetworkConfig,
    OptimiserConfig,
    PromoteConfig,
    Section,
    StillGanConfig,
    TeacherConfig,
)

__all__ = ["LOSSES", "TrainConfig"]

# section -> its terms, as they stand in a log
LOSSES = {
    "loss": tuple(LossConfig.model_fields),
    "adversarial": ("adversarial", "features"),
    "guided": (
        "adversarial",
        "consistency",
        "wavelet",
        "features",
        "identity",
        "kl",
        "illumination",
        "histogram",
    ),
    "still_gan": ("adversarial", *StillGanConfig.model_fields),
}

_CONDITIONED = ("dpe-plus", "fieldnet")
_UNPAIRED = ("hq-guided", "still-gan")


class TrainConfig(Section):
    """A whole run.

    Attributes
    ----------
    strategy : str
        "supervised" (degraded and clean pairs), "adversarial" (DPE), "mean-teacher"
        (T-MAGE-Net), "hq-guided" (HQG-Net, unpaired), "still-gan" (its peer),
        "segmentation" or "classification" (recognisers of `medenh.tasks`).
    task : str
        What a recogniser learns, a key of `medenh.tasks.TASKS`.
    augment : AugmentConfig
        How a recogniser's samples are varied.
    batch : int
        Samples an optimiser step, over all processes.
    accumulate : int
        Parts in which a batch is taken, one after the other, where memory is short.
    steps : int
        Optimiser steps of the full schedule.
    validate_every : int
        Steps between validations.
    checkpoint_minutes : float
        Wall-clock minutes between checkpoints.
    precision : str
        "bf16" or "fp16" (autocast, weights in fp32; fp16 on GPUs) or "fp32"; "auto" is
        bf16 where the device multiplies it natively and fp32 elsewhere, and a run
        keeps what it began with.
    condition_batch, condition_size : int
        Extra samples a step, of a smaller side, for `network.condition` alone: cheap,
        and the estimate of the whole picture needs many more samples than the rest.
        0 for networks without one.
    condition_whole_share : float
        Share of those that show the whole image; the rest are crops.
    teacher_share : float
        Share of the full-size samples that get the best affine condition in hindsight
        instead of the network's own, so that an error of exposure does not drown what
        the local part has to learn.
    """

    name: str
    strategy: Literal[
        "supervised",
        "adversarial",
        "mean-teacher",
        "hq-guided",
        "still-gan",
        "segmentation",
        "classification",
    ] = "supervised"
    task: str = ""
    network: NetworkConfig
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    adversarial: AdversarialConfig = AdversarialConfig()
    guided: GuidedConfig = GuidedConfig()
    still_gan: StillGanConfig = StillGanConfig()
    teacher: TeacherConfig = TeacherConfig()
    promote: PromoteConfig = PromoteConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    batch: int = Field(default=16, ge=1)
    accumulate: int = Field(default=1, ge=1)
    steps: int = Field(default=20000, ge=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    condition_batch: int = Field(default=0, ge=0)
    condition_size: int = Field(default=96, ge=32)
    condition_whole_share: float = Field(default=0.5, ge=0, le=1)
    teacher_share: float = Field(default=0.0, ge=0, le=1)
    validate_every: int = Field(default=500, ge=1)
    checkpoint_minutes: float = Field(default=3.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch {self.batch} does not part into accumulate {self.accumulate}: "
                "give accumulate=1, or a multiple of it as batch"
            )
        if self.strategy in RECOGNISERS:
            self._check_recogniser()
        else:
            self._check_enhancer()
        return self

    def _check_recogniser(self) -> None:
        task = TASKS.get(self.task)
        if task is None or task.kind != self.strategy:
            known = ", ".join(t.name for t in TASKS.values() if t.kind == self.strategy)
            raise ValueError(f"{self.strategy} wants a task, one of {known}")
        allowed = RECOGNISERS[self.strategy]
        if self.network.architecture not in allowed:
            raise ValueError(
                f"{self.strategy} trains {' or '.join(allowed)}, "
                f"not {self.network.architecture}"
            )
        self._check_clean(task)
        if self.promote.rule != "off":
            raise ValueError(
                "a recogniser has no gradient to promote: promote.rule off"
            )
        self.network.options.setdefault("classes", len(task.classes))

    def _check_enhancer(self) -> None:
        if self.task:
            raise ValueError(f"{self.strategy} has no task; promote.task, perhaps?")
        if self.network.architecture in chain(*RECOGNISERS.values()):
            raise ValueError(
                f"{self.network.architecture} recognises and cannot enhance: "
                "strategy segmentation or classification"
            )
        self._check_strategy()
        supervised = self.promote.loss == "supervised"
        self._check_clean(_promoted(self.promote.task) if supervised else None)
        self._check_images()
        self._check_promotion()
        self._check_pseudo_masks()
        self._check_losses()
        self._check_condition()

    def _check_clean(self, task: Task | None) -> None:
        """Check where clean images, and their answers to a task, come from."""
        data = self.data
        if not data.packs and not data.high:
            raise ValueError(
                "data names no images: data.high, a folder of yours, or data.packs"
            )
        if data.packs and data.high:
            raise ValueError(
                "data wants packs, or a folder high, and not both: --set data.packs=[] "
                "leaves the packs out"
            )
        if not data.high and (data.low or data.masks or data.labels):
            raise ValueError("data.low, masks and labels go with a folder, data.high")
        if not data.high:
            return
        wanted = ""
        if task is not None:
            wanted = "masks" if task.kind == "segmentation" else "labels"
        if wanted and not getattr(data, wanted):
            raise ValueError(
                "a folder's answers are data.masks of a segmentation, "
                "data.labels of a classification"
            )
        for name in ("masks", "labels"):
            if name != wanted and getattr(data, name):
                raise ValueError(
                    f"data.{name} holds answers, and nothing here learns from them: "
                    "leave it out, or name a task (promote.task with promote.loss "
                    "supervised for an enhancer)"
                )

    def _check_images(self) -> None:
        data = self.data
        if data.low and data.recipes:
            raise ValueError(
                "data.low brings real pairs, so no data.recipes: "
                "--set data.recipes={} leaves them out"
            )
        starts = self.strategy == "hq-guided" and self.guided.pair_steps > 0
        paired = starts or self.strategy not in _UNPAIRED
        if paired and not (data.low or data.recipes):
            raise ValueError(
                f"{self.strategy} learns from pairs: data.recipes to make them, "
                "or data.low"
            )
        if data.low and not paired:
            raise ValueError(
                f"{self.strategy} learns from no pairs here, so no data.low: data.real "
                "names the images of low quality"
            )
        real = {
            "data.real": "''",
            "data.real_qualities": "[]",
            "data.real_recipes": "{}",
        }
        sources = [
            f"--set {name}={nothing} leaves {name} out"
            for name, nothing in real.items()
            if getattr(data, name.removeprefix("data."))
        ]
        if self.strategy in (*_UNPAIRED, "mean-teacher"):
            if len(sources) != 1:
                which = ", ".join(real)
                raise ValueError(
                    f"{self.strategy} learns from real low-quality images: one of "
                    f"{which}"
                    + (f", not {len(sources)}: {'; '.join(sources)}" if sources else "")
                )
        elif sources:
            raise ValueError(
                f"{self.strategy} learns from pairs alone: no data.real, "
                "data.real_qualities or data.real_recipes"
            )

    def _check_strategy(self) -> None:
        architecture = self.network.architecture
        if self.strategy == "hq-guided" and architecture != "hqg":
            raise ValueError(
                f"hq-guided trains hqg, not {architecture}, which no code guides"
            )
        if self.strategy != "hq-guided" and architecture == "hqg":
            raise ValueError("hqg wants the strategy hq-guided, which teaches its code")
        if architecture == "hqg-legacy":
            raise ValueError("hqg-legacy is for weights of others, and is not trained")

    def _check_promotion(self) -> None:
        promote = self.promote
        task = _promoted(promote.task)  # known, or an error
        self._check_held_out(task)
        if promote.rule == "off":
            if promote.train:
                raise ValueError("promote.train wants a rule, sum for example")
            return
        if not promote.task:
            raise ValueError(f"promote wants a task, one of {', '.join(TASKS)}")
        if promote.reference == "ema" and promote.rule in ("hard", "soft", "layer"):
            raise ValueError(
                f"reference ema keeps the gate of {promote.rule} shut; "
                "it goes with project"
            )
        if promote.train and promote.loss != "supervised":
            raise ValueError(
                "a recogniser that learns too wants answers: loss supervised"
            )
        if promote.train and promote.bilevel == "unrolled" and self.precision != "fp32":
            raise ValueError(
                "bilevel unrolled takes differences too small for "
                f"{self.precision}: precision fp32"
            )
        if self.strategy in _UNPAIRED:
            self._check_unpaired_promotion()

    def _check_held_out(self, task: Task | None) -> None:
        other = _promoted(self.promote.held_out, "held_out")
        if other is None:
            return
        # an own recogniser's task is the same but for what it is named after
        alike = task and replace(other, name=task.name, model=task.model) == task
        if not alike or self.promote.loss != "supervised":
            raise ValueError(
                "promote.held_out gives the answers of promote.task too: a recogniser "
                "of the same task, and promote.loss supervised"
            )

    def _check_unpaired_promotion(self) -> None:
        if self.promote.loss != "supervised":
            raise ValueError(
                f"{self.strategy} has no clean partner whose answer could be agreed "
                "with: promote.loss supervised"
            )
        if not self.data.real_recipes:
            raise ValueError(
                "real low-quality images come without answers to promote.task: "
                "data.real_recipes makes some that have them"
            )

    def _check_pseudo_masks(self) -> None:
        name = self.data.pseudo_masks
        if not name:
            return
        task, promoted = TASKS.get(name), _promoted(self.promote.task)
        if task is None or task.kind != "segmentation":
            known = [t.name for t in TASKS.values() if t.kind == "segmentation"]
            raise ValueError(f"data.pseudo_masks is none of {', '.join(known)}")
        if self.network.architecture != "mage":
            raise ValueError(
                "data.pseudo_masks are for mage, which segments on the side, "
                f"not for {self.network.architecture}"
            )
        masked = promoted is not None and promoted.kind == "segmentation"
        if masked and self.promote.loss == "supervised":
            raise ValueError(
                "data.pseudo_masks would stand in for the masks of promote.task: "
                "one of them, or promote.loss unsupervised"
            )

    def _check_losses(self) -> None:
        weights = self.loss.model_dump(exclude={"segmentation"})
        if self.strategy == "adversarial":
            weights["adversarial"] = self.adversarial.weight
            if self.adversarial.features != "none":
                weights["features"] = self.adversarial.feature_weight
        if self.strategy == "hq-guided":
            weights = self.guided.model_dump(include=set(LOSSES["guided"]) - {"kl"})
        if not any(weights.values()):
            section = "guided" if self.strategy == "hq-guided" else "loss"
            raise ValueError(f"all weights of [{section}] are 0: nothing is learnt")

    def _check_condition(self) -> None:
        if not self.condition_batch and not self.teacher_share:
            return
        if (
            self.strategy != "supervised"
            or self.network.architecture not in _CONDITIONED
        ):
            raise ValueError(
                f"condition_batch and teacher_share go with {', '.join(_CONDITIONED)} "
                "and supervised training alone"
            )


def _promoted(name: str, setting: str = "task") -> Task | None:
    """Return the task of a setting of ``promote``, which may be a recogniser's id."""
    if not name:
        return None
    try:
        return find_task(name)
    except UsageError as error:
        raise ValueError(f"promote.{setting}: {error}") from error
