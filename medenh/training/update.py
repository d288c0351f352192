"""One change of one network by a loss: gradients, clipping, optimiser step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from medenh.errors import MedenhError, UsageError
from medenh.training.gradients import Promoter
from medenh.training.muon import Muon
from medenh.training.sections import OptimiserConfig, PromoteConfig

__all__ = [
    "Losses",
    "Networks",
    "NonFiniteLossError",
    "Update",
    "frozen",
    "hold_still",
]

_PLAIN = PromoteConfig()


class NonFiniteLossError(MedenhError):
    """A loss became NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Loss of a micro-batch.

    Attributes
    ----------
    terms : dict of str to float32 scalar
        Weighted; their sum is the primary loss.
    auxiliary : float32 scalar or None
        A task's loss, which may only help (`medenh.training.gradients`).
    output : tensor or None
        ``enhanced``, where all terms reach the network only through it.
    enhanced : tensor or None
        The enhanced batch, float32, for a task to look at.
    """

    terms: dict[str, Tensor]
    auxiliary: Tensor | None = None
    output: Tensor | None = None
    enhanced: Tensor | None = None


class Networks(dict[str, nn.Module]):
    """All networks of a run by name; "network" is the one that is trained.

    Attributes
    ----------
    average : nn.Module
        Running mean of its weights: validated, published, and the mean teacher.
    """

    def __init__(self, network: nn.Module, companions: dict[str, nn.Module]) -> None:
        super().__init__({"network": network, **companions})
        self.average = deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def move_average(self, decay: float, step: int) -> None:
        """Follow the network; step 0 copies it, then ever more is kept.

        ``a_t = min(t / (t + 9), decay)``: a mean over the last ninth of the steps while
        the run is young. The mean teacher's ``1 - 1 / (t + 1)`` [code] is a mean over
        all of them, and would hold on to the first, bad ones. Running statistics of
        batch normalisation are averaged along; they belong to it.
        """
        keep = min(decay, step / (step + 9))
        theirs = self["network"].state_dict()
        ours = self.average.state_dict()
        moving = [name for name in ours if ours[name].is_floating_point()]
        # at once: one by one it is hundreds of small kernels
        follow = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
        follow([ours[name] for name in moving], [theirs[name] for name in moving], step)
        for name in ours.keys() - set(moving):
            ours[name].copy_(theirs[name])


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients pass through networks to their input, and none stay in them."""
    before = [(p, p.requires_grad) for n in networks for p in n.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)


def hold_still(network: nn.Module, trained: Sequence[str]) -> None:
    """Keep all parameters from learning but those of some parts.

    Raises
    ------
    UsageError
        The network has no such part.
    """
    names = [name for name, _ in network.named_parameters()]
    for part in trained:
        if not any(_belongs(name, part) for name in names):
            parts = ", ".join(sorted({name.partition(".")[0] for name in names}))
            raise UsageError(
                f"network.trained: the network has no part {part!r}",
                hint=f"its parts are {parts}",
            )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(any(_belongs(name, part) for part in trained))


def _belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


@dataclass(slots=True)
class Update:
    """Updates the networks of a run by their losses.

    Attributes
    ----------
    networks : Networks
    optimisers : dict of str to Optimizer
        For each network that learns.
    promoters : dict of str to Promoter
        Likewise; only the enhancer's may compare gradients.
    clip : float
        Largest norm of a gradient.
    scaler : GradScaler or None
        For fp16.
    """

    networks: Networks
    optimisers: dict[str, torch.optim.Optimizer]
    promoters: dict[str, Promoter]
    clip: float
    scaler: torch.amp.GradScaler | None = None
    _bases: dict[str, float] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        networks: Networks,
        config: OptimiserConfig,
        promote: PromoteConfig = _PLAIN,
        scaler: torch.amp.GradScaler | None = None,
    ) -> Update:
        """Make an optimiser for every network with parameters that learn."""
        optimisers: dict[str, torch.optim.Optimizer] = {}
        for name, network in networks.items():
            parameters = [p for p in network.parameters() if p.requires_grad]
            if parameters:
                lr = config.lr if name == "network" else config.companion_lr
                kind = Muon if config.name == "muon" else torch.optim.AdamW
                optimisers[name] = kind(
                    parameters,
                    lr=lr or config.lr,
                    weight_decay=config.weight_decay,
                    betas=config.betas,
                )
        promoters = {name: Promoter("off") for name in optimisers}
        promoters["network"] = Promoter(
            promote.rule,
            promote.weight,
            cap=promote.cap or None,
            reference=promote.reference,
            momentum=promote.momentum,
        )
        bases = {n: o.param_groups[0]["lr"] for n, o in optimisers.items()}
        return cls(networks, optimisers, promoters, config.clip, scaler, bases)

    def set_rate(self, share: float) -> None:
        """Set all learning rates to a share of their own."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self._bases[name] * share

    def __call__(
        self,
        name: str,
        losses: Callable[[nn.Module, Any], Losses],
        batches: Sequence[Any],
        *,
        along: Sequence[str] = (),
    ) -> dict[str, float]:
        """Take one optimiser step of a network on the mean of its micro-batches.

        Parameters
        ----------
        name : str
        losses : callable
            From the network and a micro-batch to its losses.
        batches : sequence
        along : sequence of str
            Networks in the same graph that take a step too.

        Returns
        -------
        dict of str to float
            Each term's mean, the task's too; "loss" is the sum of the terms of
            "network", and the terms of others have their name in front.

        Raises
        ------
        NonFiniteLossError
            A term is NaN or infinite; the network is as it was.
        """
        network, promoter = self.networks[name], self.promoters[name]
        optimisers = [self.optimisers[one] for one in (name, *along)]
        groups = [group for one in optimisers for group in one.param_groups]
        parameters = [p for group in groups for p in group["params"]]
        for one in optimisers:
            one.zero_grad(set_to_none=True)
        logged: dict[str, float] = {}
        for batch in batches:
            found = losses(network, batch)
            self._log(found, logged, len(batches))
            primary = _total(found.terms) / len(batches)
            auxiliary = found.auxiliary
            if auxiliary is not None:
                auxiliary = auxiliary / len(batches)
            promoter.accumulate(
                primary, auxiliary, parameters, output=found.output, scaler=self.scaler
            )
        promoter.finish(parameters)
        self._step(optimisers, parameters)
        if name != "network":
            return {f"{name} {term}": value for term, value in logged.items()}
        primary_sum = sum(value for term, value in logged.items() if term != "task")
        return {"loss": primary_sum, **logged, **_gate(promoter)}

    def _log(self, found: Losses, logged: dict[str, float], count: int) -> None:
        terms = dict(found.terms)
        if found.auxiliary is not None:
            terms["task"] = found.auxiliary
        for term, value in terms.items():
            number = value.item()
            if not math.isfinite(number) and term != "task":
                raise NonFiniteLossError(
                    f"the loss is no longer finite: {term}",
                    hint="a smaller learning rate, or fp32",
                )
            logged[term] = logged.get(term, 0.0) + number / count

    def _step(
        self, optimisers: list[torch.optim.Optimizer], parameters: list[Tensor]
    ) -> None:
        if self.scaler is not None:
            for one in optimisers:
                self.scaler.unscale_(one)
        if self.clip:
            nn.utils.clip_grad_norm_(parameters, self.clip)
        for one in optimisers:
            if self.scaler is None:
                one.step()
            else:
                self.scaler.step(one)

    def state_dict(self) -> dict[str, Any]:
        """Return networks, averages, optimisers and promoters, as they stand."""
        return {
            "networks": {n: net.state_dict() for n, net in self.networks.items()},
            "average": self.networks.average.state_dict(),
            "optimisers": {n: o.state_dict() for n, o in self.optimisers.items()},
            "promoters": {n: p.state_dict() for n, p in self.promoters.items()},
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.networks.average.load_state_dict(state["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name, promoter in self.promoters.items():
            promoter.load_state_dict(state["promoters"][name])
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])


def _gate(promoter: Promoter) -> dict[str, float]:
    """Return how the last step's gradients met, where they were compared."""
    if not promoter.gates:
        return {}
    found = promoter.summary()
    return {name: found[name] for name in ("cosine", "open", "ratio")}


def _total(terms: dict[str, Tensor]) -> Tensor:
    values = list(terms.values())
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
