"""What strategies without pairs share: data, validation without a reference."""

from __future__ import annotations

import numpy as np

from medenh.degradations.field_of_view import find_shown_field
from medenh.metrics import METRICS
from medenh.training.config import TrainConfig
from medenh.training.data import CleanImage, hold_back
from medenh.training.sampler import SingleSampler, eight_bits, to_unit
from medenh.training.strategies.base import Batch, Measured
from medenh.training.strategies.paired import stack
from medenh.training.strategies.promotion import Promoted, two_levels
from medenh.training.task_validation import TaskValidation
from medenh.training.update import Networks
from medenh.training.validation import (
    PairValidation,
    degraded_copy,
    enhance,
    sample_grid,
)
from medenh.types import FloatArray

__all__ = ["Unpaired", "part_real", "shown_low"]

_REFERENCE_SEED = 2  # references are drawn apart from what they guide
_KEPT = 0.95  # structure below which a picture has been changed, not enhanced [chosen]
_WORST = -1.0  # a gain that counts least; pictures that were changed are below it
_GRID = 8


class Unpaired(Promoted):
    """Learn from low-quality images and from good ones that show something else.

    A batch is ``low`` (the real images of the configuration) and ``reference`` (clean
    images), each with its ``mask`` and ``label`` where they are known.

    The weights that are kept are chosen without pairs: by the gain in no-reference
    quality (for fundus the score learnt from graders, else NIQE's fall), as long as the
    correlation of structure with the input stays above 0.95. Where the real images are
    made by recipes, PSNR gained on hidden pairs chooses: a recipe may destroy
    structure, so that keeping it is no virtue.
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        data = config.data
        real, held = part_real(self.sources.real, data.holdout_share)
        good = self.sources.learnt
        self._upper: tuple[SingleSampler, SingleSampler] | None = None
        if self.promotion is not None and self.promotion.alternates:
            real, upper_real = two_levels(real)
            good, upper_good = two_levels(good)
            self._upper = self._samplers(upper_real, upper_good)
        self._low, self.references = self._samplers(real, good)
        self._held = shown_low(held, config)
        self._identity = [self._quality(*one) for one in self._held]
        hidden = data.model_copy(update={"recipes": data.real_recipes})
        self._pairs: PairValidation | None = None
        self._scores: TaskValidation | None = None
        if data.real_recipes:
            self._pairs = PairValidation(self.sources.held, hidden)
            self._scores = self.task_scores(self._pairs.images, device)

    def _samplers(
        self, low: list[CleanImage], good: list[CleanImage]
    ) -> tuple[SingleSampler, SingleSampler]:
        data, seed = self.config.data, self.config.seed
        return (
            SingleSampler(low, data, seed, data.real_recipes),
            SingleSampler(good, data, seed + _REFERENCE_SEED),
        )

    @classmethod
    def figures_of(cls, config: TrainConfig) -> tuple[str, ...]:
        """Return the names of what `validate` measures."""
        figures = ("score", "quality_gain", "structure_kept")
        if not config.data.real_recipes:
            return figures
        more = TaskValidation.figures_of(config)
        return (*figures, *PairValidation.figures, *more)

    def draw(self, step: int, positions: range) -> Batch:
        """Return low and reference, (B, 3, S, S), with masks and labels where known."""
        batch = _draw(self._low, self.references, step, positions)
        if self._upper and self.promotion and self.promotion.turn(step):
            batch |= self.promotion.upper(_draw(*self._upper, step, positions))
        return batch

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch."""
        samplers = (self._low, self.references)
        return [sampler.name(step, i) for i in positions for sampler in samplers]

    def validate(self, networks: Networks, device: str) -> Measured:
        """Return quality gained and structure kept on held-back low-quality images."""
        network = networks.average
        answers = [enhance(network, pixels, device) for pixels, _ in self._held]
        gains, kept = [], []
        for (pixels, modality), before, answer in zip(
            self._held, self._identity, answers, strict=True
        ):
            gains.append(self._quality(answer, modality) - before)
            kept.append(METRICS["structure"](answer, pixels, data_range=1.0))
        gain, structure = _mean(gains), _mean(kept)
        score = max(gain, _WORST) if structure >= _KEPT else structure + _WORST - _KEPT
        figures = {"score": score, "quality_gain": gain, "structure_kept": structure}
        shown = [
            (low, answer)
            for (low, _), answer in zip(self._held[:_GRID], answers, strict=False)
        ]
        grid = sample_grid(shown)
        if self._pairs is not None:
            answers = self._pairs.answers(network, device)
            more, grid = self._pairs.measure(answers)
            figures |= more | {"score": more["psnr"] - more["psnr_identity"]}
            if self._scores is not None:
                figures |= self._scores.run(answers)
        return Measured(figures, grid)

    @staticmethod
    def _quality(pixels: FloatArray, modality: str) -> float:
        """Return no-reference quality, higher is better; NaN where there is none."""
        if modality == "fundus":
            mask = find_shown_field(pixels) > 0.5
            return METRICS["fundus-quality"](
                pixels, None, data_range=1.0, mask=mask, modality=modality
            )
        return -METRICS["niqe"](pixels, None, data_range=1.0, modality=modality)


def part_real(
    images: list[CleanImage], share: float
) -> tuple[list[CleanImage], list[CleanImage]]:
    """Part real images: learnt from, held back; where one is empty, both are all."""
    real, held = hold_back(images, share, "real")
    return (real, held) if held and real else (images, images)


def shown_low(
    images: list[CleanImage], config: TrainConfig
) -> list[tuple[FloatArray, str]]:
    """Return held-back low-quality pictures and what they show."""
    order = np.random.default_rng(0).permutation(len(images))
    chosen = [images[i] for i in order[: config.data.validation_images]]
    if not config.data.real_recipes:
        return [(to_unit(image.pixels), image.modality) for image in chosen]
    hidden = config.data.model_copy(update={"recipes": config.data.real_recipes})
    return [(eight_bits(degraded_copy(i, hidden)), i.modality) for i in chosen]


def _draw(
    low: SingleSampler, good: SingleSampler, step: int, positions: range
) -> Batch:
    """Return low and reference, and their masks and labels."""
    batch = stack([low.sample(step, i) for i in positions])
    references = stack([good.sample(step, i) for i in positions])
    batch["low"] = batch.pop("image")
    batch["reference"] = references.pop("image")
    return batch | {f"reference_{name}": v for name, v in references.items()}


def _mean(values: list[float]) -> float:
    """Return the mean of those that are numbers; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
