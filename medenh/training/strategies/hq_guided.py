"""HQ-guided (HQG-Net): unpaired, under the guidance of good images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.losses.adversarial import hinge_discriminator, hinge_generator, r1_penalty
from medenh.losses.bands import wavelet
from medenh.losses.distribution import code_consistency, code_kl, intensity_distance
from medenh.losses.features import content_features
from medenh.losses.lighting import illumination
from medenh.models.discriminators import MultiScaleDiscriminator
from medenh.models.hqg import HQGNet
from medenh.training.config import TrainConfig
from medenh.training.content import load_content
from medenh.training.sampler import PairSampler
from medenh.training.strategies.base import Batch, Measured, Tensors, autocast
from medenh.training.strategies.paired import stack
from medenh.training.strategies.unpaired import Unpaired
from medenh.training.update import Losses, Networks, Update, frozen

__all__ = ["HQGuided"]

_log = logging.getLogger(__name__)

_R1_EVERY = 16
_CODES = 64  # references whose mean code is kept, at each validation
_FEATURE_LEVELS = slice(1, 4)  # levels 2 to 4: the finest sees noise


class HQGuided(Unpaired):
    """HQG-Net (He et al., IEEE TNNLS 2024), as far as abstract and figures fix it.

    The enhancer is guided by the code of a good image that shows something else. Known
    from the paper: adversarial, consistency and structure terms, a content loss of a
    wavelet and a multi-encoder part (that this is the structure term is a guess). Forms
    and weights are our choice (`guided`), and so are the terms of identity and of the
    code's spread; that of illumination is the released code's.

    With `guided.pair_steps` the run begins on synthetic pairs, by L1 and the wavelet
    term, which makes the adversarial part short and stable.
    """

    def __init__(self, config: TrainConfig, device: str = "cpu") -> None:
        super().__init__(config, device)
        guided = config.guided
        if guided.pair_steps >= config.steps:
            _log.warning(
                "guided.pair_steps %d is not below steps %d: all steps are on pairs, "
                "and no unpaired picture is learnt from",
                guided.pair_steps,
                config.steps,
            )
        if config.data.recipes and not guided.pair_steps:
            _log.warning("data.recipes are not learnt from: guided.pair_steps is 0")
        self._others_guide = guided.pair_reference == "other"
        self._code_stays = False
        self._content = load_content(guided.content) if guided.features else None
        self._pair_sampler = (
            PairSampler(self.sources.learnt, config.data, config.seed)
            if guided.pair_steps
            else None
        )

    def companions(self, network: nn.Module) -> dict[str, nn.Module]:
        """Return discriminator and content encoder, and the task that helps."""
        found = super().companions(network)
        if self._content is not None:
            found["content"] = self._content
        if self.config.guided.adversarial:
            width = self.config.adversarial.width
            found["discriminator"] = MultiScaleDiscriminator(width=width)
        return found

    def draw(self, step: int, positions: range) -> Batch:
        """Return pairs and references in the first steps, then as ever."""
        if self._pair_sampler is None or step >= self.config.guided.pair_steps:
            return super().draw(step, positions)
        batch = stack([self._pair_sampler.sample(step, i) for i in positions])
        if self._others_guide:
            guides = [self.references.sample(step, i)["image"] for i in positions]
            batch["reference"] = np.stack(guides)
        elif step % 2:
            batch["reference"] = np.rot90(batch["high"], axes=(2, 3)).copy()
        return batch

    def names(self, step: int, positions: range) -> list[str]:
        """Return the names of the images in a part of a batch."""
        if self._pair_sampler is None or step >= self.config.guided.pair_steps:
            return super().names(step, positions)
        pairs = [self._pair_sampler.name(step, i) for i in positions]
        guides = positions if self._others_guide else []
        return pairs + [self.references.name(step, i) for i in guides]

    def take_step(
        self, step: int, batches: Sequence[Tensors], update: Update
    ) -> dict[str, float]:
        """Update the discriminator, then enhancer and guidance encoder."""
        network = cast(HQGNet, update.networks["network"])
        pairs = step < self.config.guided.pair_steps
        self._code_stays = pairs and not self._others_guide
        if pairs:
            logged = update("network", self._pair_losses, batches)
            network.clamp_rho()
            return logged
        losses = partial(self._losses, step=step, discriminator=None)
        logged = {}
        if self.config.guided.adversarial:
            judge = partial(self._judge, network=network, step=step)
            logged = update("discriminator", judge, batches)
            discriminator = update.networks["discriminator"]
            losses = partial(self._losses, step=step, discriminator=discriminator)
            with frozen(discriminator):
                logged |= self._update_enhancer(step, batches, update, losses)
        else:
            logged = self._update_enhancer(step, batches, update, losses)
        network.clamp_rho()
        return logged

    def _update_enhancer(
        self, step: int, batches: Sequence[Tensors], update: Update, losses: Any
    ) -> dict[str, float]:
        if self.promotion is None:
            return update("network", losses, batches)
        alone = step - self.config.guided.pair_steps  # the task comes in after pairs
        beside = self.promotion.beside(losses, alone, update)
        logged = update("network", beside, batches)
        return logged | self.promotion.teach(step, batches, update, losses)

    def validate(self, networks: Networks, device: str) -> Measured:
        """Set the mean code of good images, which guides where none is given; measure.

        It is a buffer of the network, so it is stored and published with the weights.
        Pairs that guide themselves learn under it in every other step and make it a
        word for "none": there it stays what it was, for answers to another one are
        learnt over again, 2 dB worse at first.
        """
        if self._code_stays:
            return super().validate(networks, device)
        average = cast(HQGNet, networks.average)
        draws = [self.references.sample(0, i)["image"] for i in range(_CODES)]
        with torch.no_grad():
            codes = [
                average.encode(torch.from_numpy(one)[None].to(device))[0]
                for one in draws
            ]
            mean = torch.cat(codes).float().mean(0, keepdim=True)
        for network in (average, cast(HQGNet, networks["network"])):
            network.default_code.copy_(mean)
        return super().validate(networks, device)

    def _pair_losses(self, network: nn.Module, batch: Tensors) -> Losses:
        hqg, low, high = cast(HQGNet, network), batch["low"], batch["high"]
        with autocast(low.device.type, self.config.precision):
            code = hqg.default_code
            if "reference" in batch:
                code = hqg.sample_code(*hqg.encode(batch["reference"]))
            enhanced = hqg.enhance(low, code).float()
        terms = {"l1": F.l1_loss(enhanced, high), "wavelet": wavelet(enhanced, high)}
        return Losses(terms, enhanced=enhanced)

    def _judge(
        self, discriminator: nn.Module, batch: Tensors, *, network: HQGNet, step: int
    ) -> Losses:
        low, good = batch["low"], batch["reference"]
        precision = self.config.precision
        with autocast(low.device.type, precision):
            with torch.no_grad():
                fake = network.enhance(low, network.sample_code(*network.encode(good)))
            answers = discriminator(good), discriminator(fake.float())
        terms = {"hinge": hinge_discriminator(*answers)}
        weight = self.config.guided.r1
        if weight and step % _R1_EVERY == 0:
            real = good.detach().clone().requires_grad_()
            penalty = r1_penalty(discriminator(real), real)  # in float32
            terms["r1"] = weight * _R1_EVERY * penalty
        return Losses(terms)

    def _losses(
        self,
        network: nn.Module,
        batch: Tensors,
        *,
        step: int,
        discriminator: nn.Module | None,
    ) -> Losses:
        """Return enhancer's and guidance encoder's terms."""
        hqg, weights = cast(HQGNet, network), self.config.guided
        low, good = batch["low"], batch["reference"]
        terms: dict[str, Tensor] = {}
        with autocast(low.device.type, self.config.precision):
            mean, spread = hqg.encode(good)
            enhanced = hqg.enhance(low, hqg.sample_code(mean, spread)).float()
            if discriminator is not None:
                verdict = discriminator(enhanced)
                terms["adversarial"] = weights.adversarial * hinge_generator(verdict)
            if weights.consistency:
                code = hqg.encode(enhanced)[0]
                terms["consistency"] = weights.consistency * code_consistency(
                    code, mean
                )
            if weights.features:
                terms["features"] = weights.features * self._feature_term(
                    hqg, enhanced, low
                )
            if weights.identity:
                itself = hqg.enhance(good, mean).float()
                terms["identity"] = weights.identity * F.l1_loss(itself, good)
        if weights.wavelet:
            terms["wavelet"] = weights.wavelet * wavelet(enhanced, low)
        if weights.kl and spread is not None:
            alone = step - weights.pair_steps  # codes come in after pairs
            rise = min(1.0, alone / max(1.0, weights.kl_warmup * self.config.steps))
            terms["kl"] = weights.kl * rise * code_kl(mean, spread)
        if weights.illumination:
            terms["illumination"] = weights.illumination * illumination(enhanced)
        if weights.histogram:
            terms["histogram"] = weights.histogram * intensity_distance(enhanced, good)
        return Losses(terms, enhanced=enhanced)

    def _feature_term(self, network: HQGNet, enhanced: Tensor, low: Tensor) -> Tensor:
        """Compare what two encoders see in output and input; neither learns from it."""
        content = cast(nn.Module, self._content)
        with torch.no_grad():
            seen, own = content(low), network.features(low)
        with frozen(network):
            mine = network.features(enhanced)
        terms = [
            content_features(content(enhanced)[_FEATURE_LEVELS], seen[_FEATURE_LEVELS]),
            content_features(mine[_FEATURE_LEVELS], own[_FEATURE_LEVELS]),
        ]
        return torch.stack(terms).mean()
