"""StillGAN's objective, the unpaired peer of HQG-Net: two ways and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh import models
from medenh.losses.adversarial import lsgan_discriminator, lsgan_generator
from medenh.losses.correlation import structure
from medenh.losses.lighting import illumination
from medenh.models.discriminators import PatchDiscriminator
from medenh.training.strategies.base import Tensors, autocast
from medenh.training.strategies.unpaired import Unpaired
from medenh.training.update import Losses, Update, frozen

__all__ = ["StillGan"]

_SCALE = 2  # published cycle and identity terms are on [-1, 1]


class StillGan(Unpaired):
    """StillGAN (Ma et al., IEEE TMI 2021): a CycleGAN with two more terms [code].

    Two generators and two discriminators; least-squares adversarial terms, cycle and
    identity L1 both ways, structure both ways, illumination of the enhanced picture.

    Deviations: no pool of former pictures, and terms over the whole square instead of
    its central 384 pixels.
    """

    def companions(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return the way back, and a discriminator for either kind of picture."""
        settings, width = self.config.network, self.config.adversarial.width
        back = models.create(settings.architecture, settings.preset, **settings.options)
        return {
            **super().companions(network),
            "back": back,
            "judge_high": PatchDiscriminator(width=width),
            "judge_low": PatchDiscriminator(width=width),
        }

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update both generators together, then the discriminators."""
        nets = update.networks
        judges = nets["judge_high"], nets["judge_low"]
        losses = partial(self._losses, back=nets["back"], judges=judges)
        beside = losses
        if self.promotion is not None:
            beside = self.promotion.beside(losses, step, update)  # type: ignore[assignment]
        with frozen(*judges):
            logged = update("network", beside, batches, along=["back"])
        for name, kind, maker in (
            ("judge_high", "reference", "network"),
            ("judge_low", "low", "back"),
        ):
            source = "low" if kind == "reference" else "reference"
            judge = partial(
                self._judge, generator=nets[maker], real=kind, source=source
            )
            logged |= update(name, judge, batches)
        if self.promotion is not None:
            logged |= self.promotion.teach(step, batches, update, losses)
        return logged

    def _judge(
        self,
        judge: nn.Module,
        batch: Tensors,
        *,
        generator: nn.Module,
        real: str,
        source: str,
    ) -> Losses:
        with autocast(batch["low"].device.type, self.config.precision):
            with torch.no_grad():
                fake = generator(batch[source]).float()
            answers = judge(batch[real]), judge(fake)
        return Losses({"lsgan": lsgan_discriminator(*answers)})

    def _losses(
        self,
        network: nn.Module,
        batch: Tensors,
        *,
        back: nn.Module,
        judges: tuple[nn.Module, nn.Module],
    ) -> Losses:
        weights, low, high = self.config.still_gan, batch["low"], batch["reference"]
        with autocast(low.device.type, self.config.precision):
            enhanced, worse = network(low).float(), back(high).float()
            round_low, round_high = back(enhanced).float(), network(worse).float()
            verdicts = judges[0](enhanced), judges[1](worse)
            same: tuple[Tensor, Tensor] | None = None
            if weights.identity:
                same = network(high).float(), back(low).float()
        terms = {
            "adversarial": lsgan_generator(verdicts[0]) + lsgan_generator(verdicts[1])
        }
        cycle = F.l1_loss(round_low, low) + F.l1_loss(round_high, high)
        terms["cycle"] = weights.cycle * _SCALE * cycle
        if same is not None:
            kept = F.l1_loss(same[0], high) + F.l1_loss(same[1], low)
            terms["identity"] = weights.identity * _SCALE * kept
        if weights.structure:
            terms["structure"] = weights.structure * (
                structure(enhanced, low) + structure(worse, high)
            )
        if weights.illumination:
            # published on [0, 1] too, so not scaled
            terms["illumination"] = weights.illumination * illumination(enhanced)
        return Losses(terms, enhanced=enhanced)
