"""GradProm in training: what takes the place of ``loss.backward()``.

The arithmetic, with its source, is in `gradient_rules`; here the two gradients are
had, summed over micro-batches, averaged over processes, combined and written down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

from medenh.errors import UsageError
from medenh.training.gradient_rules import Gradients, Rule, Stats, combine

__all__ = ["Promoter", "Reference", "Rule", "Stats", "average_gradients", "combine"]

Reference = Literal["batch", "ema"]

_BETA = 0.95  # of the running mean
_ENOUGH = 50  # compared steps before anything is said of a gate [chosen]
_FLAT, _HALF = 0.05, 0.1  # of the mean cosine; of the share of open steps from .5


class Promoter:
    """Takes the place of ``loss.backward()`` where a task helps to train.

    Parameters
    ----------
    rule : str
        See `combine`.
    lam : float
        Weight of the task, at least 0; it depends on the units of both losses (1e-3
        for MSE and cross-entropy in ESTR [code]).
    cap : float, optional
        Largest length of the task's part, in lengths of the primary gradient.
    reference : "batch" or "ema"
        What h is compared with: this step's g, or its running mean m <- beta m +
        (1 - beta) g of beta 0.95, updated before it is used (ours).
    momentum : float
        Adds so many times m to the step, whatever the rule: the control of "project"
        with "ema", whose projection adds a multiple of m too (ours).

    Attributes
    ----------
    skipped : int
        Steps so far in which h (of a plain "sum": the task's loss) was not finite and
        was left out.

    Raises
    ------
    UsageError
        An impossible setting; also "hard" with "ema": against the averaged gradient the
        cosine is nearly always negative, so the gate stays shut (measured: open in 5
        to 7 % of the steps).

    Notes
    -----
    One step is ``zero_grad``, `accumulate` for each micro-batch, `finish`, clip,
    ``optimiser.step``. What stands in ``p.grad`` before counts as primary gradient, as
    it does with ``backward``.

    On several processes, give every one a plain copy of the network, not wrapped in
    DistributedDataParallel: g and h are averaged here, before they are compared, so
    that all take the same step. (The wrapper leaves a second gradient of one forward
    pass silently unaveraged.)
    """

    def __init__(
        self,
        rule: Rule = "hard",
        lam: float = 1e-3,
        *,
        cap: float | None = None,
        reference: Reference = "batch",
        momentum: float = 0.0,
    ) -> None:
        _check(rule, lam, cap, reference)
        self.rule, self.lam, self.cap = rule, lam, cap
        self.reference, self.momentum = reference, momentum
        self.skipped = 0
        self._mean: list[Tensor] | None = None
        self._auxiliary: list[Tensor | None] | None = None
        self._loss_scale = 1.0
        self._seen = [0.0] * 4  # steps; sums of cosine, open, ratio
        self._whole = [0.0] * 4  # the same since the run began

    @property
    def gates(self) -> bool:
        """Whether h has to be known apart from g."""
        joint = self.rule == "sum" and self.cap is None and not self.momentum
        return self.lam > 0 and self.rule != "off" and not joint

    def accumulate(
        self,
        primary: Tensor,
        auxiliary: Tensor | None,
        params: Iterable[Tensor],
        *,
        output: Tensor | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """Add the gradients of one micro-batch; both graphs are freed.

        Parameters
        ----------
        primary, auxiliary : float32 tensors, scalar
            The losses; of K micro-batches each a K-th. Without an auxiliary loss, with
            rule "off" or ``lam`` 0 this is ``primary.backward()`` and nothing else.
        params : iterable of tensor
            Parameters of the enhancer, the same ones in every call; the others of the
            graph get no gradient where h is compared.
        output : tensor, optional
            The enhanced batch, where *both* losses reach the parameters only through
            it: the recogniser's graph is then freed before the enhancer's is walked.
            The result is the same.
        scaler : GradScaler, optional
            For fp16: scales both losses; afterwards, as ever, ``unscale_``, clip,
            ``step``, ``update``.
        """
        self._loss_scale = 1.0 if scaler is None else scaler.get_scale()
        helps = auxiliary is not None and auxiliary.requires_grad
        if auxiliary is None or not helps or self.lam == 0 or self.rule == "off":
            torch.autograd.backward(_scaled(primary, scaler))
            return
        if not self.gates:
            finite = bool(torch.isfinite(auxiliary))
            self.skipped += not finite
            joint = primary + self.lam * auxiliary if finite else primary
            torch.autograd.backward(_scaled(joint, scaler))
            return
        primary, auxiliary = _scaled(primary, scaler), _scaled(auxiliary, scaler)
        chosen = [p for p in params if p.requires_grad]
        g, h = _both(primary, auxiliary, chosen, output)
        for p, new in zip(chosen, g, strict=True):
            p.grad = _sum(p.grad, new)
        if self._auxiliary is None:
            self._auxiliary = h
        else:
            self._auxiliary = [
                _sum(a, b) for a, b in zip(self._auxiliary, h, strict=True)
            ]

    @torch.no_grad()
    def finish(self, params: Iterable[Tensor]) -> Stats:
        """Compare what was accumulated, once, and write d into ``p.grad``.

        Parameters
        ----------
        params : iterable of tensor
            As in `accumulate`.
        """
        chosen = [p for p in params if p.requires_grad]
        h, self._auxiliary = self._auxiliary, None
        g = [p.grad for p in chosen]
        if dist.is_available() and dist.is_initialized():
            g, h = self._shared(chosen, g, h)
        stats, m = Stats(), None
        if self.momentum or (h is not None and self.reference == "ema"):
            m = self._moved(chosen, g)
        if h is not None:
            reference = m if self.reference == "ema" else None
            g, stats = combine(g, h, self.rule, self.lam, self.cap, reference)
            self._count(stats)
        if m is not None and self.momentum:
            scale = self.momentum * self._loss_scale
            g = [_sum(a, scale * b) for a, b in zip(g, m, strict=True)]
        for p, value in zip(chosen, g, strict=True):
            p.grad = value
        return stats

    def _shared(
        self,
        params: list[Tensor],
        g: list[Tensor | None],
        h: list[Tensor | None] | None,
    ) -> tuple[list[Tensor | None], list[Tensor | None] | None]:
        """Average over the processes; h too where any of them has one."""
        if not self.gates:
            return _averaged(params, g), None
        both = _averaged(params * 2, [*g, *(h or [None] * len(params))])
        g, theirs = both[: len(params)], both[len(params) :]
        return g, None if all(t is None for t in theirs) else theirs

    def _moved(self, params: list[Tensor], g: list[Tensor | None]) -> list[Tensor]:
        """Move the running mean towards g, without the loss scale, and return it."""
        if self._mean is None:
            self._mean = [torch.zeros_like(p, dtype=torch.float32) for p in params]
        mean = [m.to(p.device) for m, p in zip(self._mean, params, strict=True)]
        finite = all(bool(torch.isfinite(t).all()) for t in g if t is not None)
        if finite:  # or else the step will not be taken
            for m, new in zip(mean, g, strict=True):
                m.mul_(_BETA)
                if new is not None:
                    m.add_(new, alpha=(1 - _BETA) / self._loss_scale)
        self._mean = mean
        return mean

    def _count(self, stats: Stats) -> None:
        self.skipped += stats.skipped
        if not stats.skipped:
            new = (1.0, stats.cosine, stats.open, stats.ratio)
            self._seen = [a + b for a, b in zip(self._seen, new, strict=True)]
            self._whole = [a + b for a, b in zip(self._whole, new, strict=True)]

    @property
    def follows_noise(self) -> bool:
        """Whether "hard" gated on the noise of the batches, over a whole run.

        Then the mean cosine is within 0.05 of zero and the gate was open in half of the
        steps, give or take a tenth (of fifty and more) [chosen].
        """
        count, cosine, opened, _ = self._whole
        if self.rule != "hard" or count < _ENOUGH:
            return False
        return abs(cosine) < _FLAT * count and abs(opened / count - 0.5) < _HALF

    def summary(self) -> dict[str, float]:
        """Return the means since the last call, for a log: cosine, open and ratio.

        NaN where nothing was compared; ``skipped`` counts all steps of the run.
        """
        (count, *sums), self._seen = self._seen, [0.0] * 4
        means = [total / count if count else math.nan for total in sums]
        named = dict(zip(("cosine", "open", "ratio"), means, strict=True))
        return {**named, "skipped": self.skipped}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors and plain numbers."""
        return {"mean": self._mean, "skipped": self.skipped, "whole": self._whole}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; the settings are the caller's."""
        mean = state["mean"]
        self._mean = None if mean is None else [m.clone() for m in mean]
        self.skipped = state["skipped"]
        self._whole = list(state.get("whole", self._whole))  # older states have none


def average_gradients(params: Iterable[Tensor]) -> None:
    """Average ``p.grad`` over the processes; nothing where there is only one."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    chosen = [p for p in params if p.requires_grad]
    averaged = _averaged(chosen, [p.grad for p in chosen])
    for p, value in zip(chosen, averaged, strict=True):
        p.grad = value


def _averaged(params: Sequence[Tensor], gradients: Gradients) -> list[Tensor | None]:
    """Average over the processes in one message: all tensors, and which there are."""
    if not params:
        return []
    flat = [
        p.new_zeros(p.numel(), dtype=torch.float32) if t is None else t.float().ravel()
        for p, t in zip(params, gradients, strict=True)
    ]
    there = [float(t is not None) for t in gradients]
    message = torch.cat([*flat, flat[0].new_tensor(there)])
    dist.all_reduce(message)
    sizes = [*(p.numel() for p in params), len(there)]
    *pieces, counts = torch.split(message, sizes)
    world = dist.get_world_size()
    return [
        (piece / world).view_as(p).to(p.dtype) if count else None
        for piece, p, count in zip(pieces, params, counts.tolist(), strict=True)
    ]


def _both(
    primary: Tensor, auxiliary: Tensor, params: list[Tensor], output: Tensor | None
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Return g and h; neither touches ``p.grad``."""
    if not params:
        return [], []
    grad = torch.autograd.grad
    if output is None:
        g = grad(primary, params, retain_graph=True, allow_unused=True)
        h = grad(auxiliary, params, allow_unused=True)
    else:
        (a,) = grad(primary, output, retain_graph=True)
        (b,) = grad(auxiliary, output)
        g = grad(output, params, a, retain_graph=True, allow_unused=True)
        h = grad(output, params, b, allow_unused=True)
    return list(g), list(h)


def _scaled(loss: Tensor, scaler: torch.amp.GradScaler | None) -> Tensor:
    return loss if scaler is None else scaler.scale(loss)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _check(rule: str, lam: float, cap: float | None, reference: str) -> None:
    if rule not in get_args(Rule):
        known = ", ".join(get_args(Rule))
        raise UsageError(f"no rule {rule!r} for gradients", hint=f"one of {known}")
    if reference not in get_args(Reference):
        raise UsageError(f"no reference {reference!r}", hint='"batch" or "ema"')
    if rule == "hard" and reference == "ema":
        raise UsageError(
            "rule 'hard' with reference 'ema' would hardly ever let the task in",
            hint="rule 'project' with 'ema', or 'hard' with 'batch'",
        )
    if not (0 <= lam < math.inf and (cap is None or cap >= 0)):
        raise UsageError(
            f"lam {lam} and cap {cap} do not go",
            hint="lam and cap are at least 0",
        )
