"""Adversarial (DPE): reconstruction, a feature term, and a discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from medenh.losses.adversarial import bce_discriminator, bce_generator
from medenh.losses.features import FeatureExtractor, regularised_features
from medenh.models.discriminators import DPEDiscriminator, PatchDiscriminator
from medenh.training.config import TrainConfig
from medenh.training.content import load_content
from medenh.training.objectives import answer
from medenh.training.strategies.base import Tensors, autocast
from medenh.training.strategies.paired import Paired
from medenh.training.strategies.promotion import FindLosses
from medenh.training.update import Losses, Update, frozen

__all__ = ["Adversarial"]


class Adversarial(Paired):
    """DPE's objective on pairs (Sharif et al., IEEE JBHI 2022) [code].

    Reconstruction (`loss`; published: mean absolute error on [-1, 1], which is twice
    that on [0, 1]), the regularised feature loss, and 1e-3 of a non-saturating
    adversarial term. The discriminator takes its step first, with soft labels.

    Deviations: labels above 1, which torch refuses, are drawn from 0.7 to 1; the
    feature network is ours, unless a file of VGG-19 is named and its maps are compared
    as they are (`adversarial.unit_features`).
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        features = config.adversarial.features
        self._features: nn.Module | None = None
        if features not in ("none", "discriminator"):
            self._features = load_content(features, vgg=True)

    def companions(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return discriminator and feature network, and the task that helps."""
        found = super().companions(network)
        if self._features is not None:
            found["features"] = self._features
        if self.config.adversarial.weight:
            found["discriminator"] = self._discriminator()
        return found

    def _discriminator(self) -> nn.Module:
        settings = self.config.adversarial
        if settings.discriminator == "patch":
            return PatchDiscriminator(width=settings.width)
        return DPEDiscriminator(compat=settings.discriminator == "dpe-compat")

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update the discriminator, then the network."""
        network = update.networks["network"]
        if not self.config.adversarial.weight:
            return self.update_network(step, batches, update, self._judged(None))

        def judge(discriminator: nn.Module, batch: Tensors) -> Losses:
            return self._judge(discriminator, network, batch)

        logged = update("discriminator", judge, batches)
        discriminator = update.networks["discriminator"]
        with frozen(discriminator):
            judged = self._judged(discriminator)
            return logged | self.update_network(step, batches, update, judged)

    def _judge(
        self, discriminator: nn.Module, network: nn.Module, batch: Tensors
    ) -> Losses:
        with autocast(batch["low"].device.type, self.config.precision):
            with torch.no_grad():
                fake = answer(network, batch["low"]).enhanced
            answers = discriminator(batch["high"]), discriminator(fake)
        return Losses({"bce": bce_discriminator(*answers)})

    def _judged(self, discriminator: nn.Module | None) -> FindLosses:
        """Return the network's losses under a discriminator."""
        config = self.config.adversarial

        def losses(network: nn.Module, batch: Tensors) -> Losses:
            low, high = batch["low"], batch["high"]
            more: dict[str, Tensor] = {}
            with autocast(low.device.type, self.config.precision):
                found = answer(network, low)
                if discriminator is not None:
                    verdict = discriminator(found.enhanced)
                    more["adversarial"] = config.weight * bce_generator(verdict)
                extractor = self._extractor(discriminator)
                if extractor is not None and config.feature_weight:
                    more["features"] = regularised_features(
                        found.enhanced,
                        high,
                        extractor,
                        rf_mode=config.feature_mode,
                        feature_weight=config.feature_weight,
                        unit=config.unit_features,
                    )
            return self.pair_losses(found, batch, more)

        return losses

    def _extractor(self, discriminator: nn.Module | None) -> FeatureExtractor | None:
        """Return what the feature term sees pictures by."""
        if self.config.adversarial.features == "discriminator":
            return cast(Any, discriminator).features  # type: ignore[no-any-return]
        return self._features
