"""What a recogniser thinks of enhanced pictures, as a loss of the enhancer.

GradProm's auxiliary loss (Zhang and Cheng, IEEE TPAMI 2025, supervised and
unsupervised [paper]); cross-entropy and the unsupervised form are ESTR's (Liu et al.,
IEEE TPAMI 2023 [code]), those of segmentations are ours. With ``train=True`` the
recogniser learns as well, by turns: first-order bi-level training. HQG-Net has two
levels; how it solves them is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medenh.errors import UsageError
from medenh.losses.segmentation import bce_dice
from medenh.training.gradients import average_gradients

__all__ = ["Kind", "Mode", "TaskLoss"]

Kind = Literal["classification", "segmentation"]
Mode = Literal["supervised", "unsupervised"]


class TaskLoss:
    """The loss of a downstream task, through a recogniser that stays as it is.

    Parameters
    ----------
    network : nn.Module
        float32 (B, 3, H, W) in [0, 1] to logits, (B, K) or (B, K, H, W). It is frozen
        here: evaluation mode, no gradients of its own.
    kind : "classification" or "segmentation"
        Softmax over the classes, or a sigmoid for each.
    mode : "supervised" or "unsupervised"
        What the enhanced picture is held to:

        ============== =====================================================
        "supervised"   the answer: cross-entropy with ``label``, or binary
                       cross-entropy and soft Dice with ``mask``
        "unsupervised" what the recogniser says of the clean picture: mean
                       squared error of the probabilities
        ============== =====================================================

    precision : "fp32", "bf16" or "fp16"
        Of the recogniser's passes; the loss itself is float32.
    train : bool
        The recogniser may learn, by `learn`; only "supervised" has something to learn.
    lr : float
        Learning rate of its own optimiser (AdamW without decay).
    side : int, optional
        Long side in pixels that pictures are brought to first, for classifiers, which
        look at whole pictures at one size.

    Attributes
    ----------
    network : nn.Module

    Raises
    ------
    UsageError
        A kind or mode that there is none of, or ``train`` without answers.

    Notes
    -----
    Without ``side`` the recogniser sees the batch as it is: pictures (or crops) at the
    scale it was trained at. Grey pictures are repeated to three channels. A network
    that expects another range than [0, 1] wants a layer in front that brings it there.
    """

    def __init__(
        self,
        network: nn.Module,
        kind: Kind,
        mode: Mode = "supervised",
        *,
        precision: str = "fp32",
        train: bool = False,
        lr: float = 1e-4,
        side: int | None = None,
    ) -> None:
        _check(kind, mode, train=train)
        self.network, self.kind, self.mode = network, kind, mode
        self._precision, self._side = precision, side
        self._optimiser: torch.optim.Optimizer | None = None
        if train:
            self._optimiser = torch.optim.AdamW(
                network.parameters(), lr=lr, weight_decay=0.0
            )
        self._freeze()

    @classmethod
    def from_zoo(
        cls,
        task: str,
        mode: Mode = "supervised",
        *,
        precision: str = "fp32",
        train: bool = False,
    ) -> Self:
        """Take the recogniser that `medenh.tasks.find_task` knows by a name.

        Raises
        ------
        UsageError
            There is no such task.
        WeightsError
            Its weights are missing, damaged, or of another task.
        """
        from medenh import tasks

        found = tasks.load(task)
        return cls(
            found.network,
            found.task.kind,
            mode,
            precision=precision,
            train=train,
            side=found.task.side if found.task.kind == "classification" else None,
        )

    def __call__(
        self,
        enhanced: Tensor,
        *,
        clean: Tensor | None = None,
        label: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch; its gradient reaches ``enhanced`` and only that.

        Parameters
        ----------
        enhanced : float tensor, shape (B, C, H, W), in [0, 1]
        clean : float tensor, same shape
            Wanted by "unsupervised".
        label : int64 tensor, shape (B,)
            Wanted by a supervised classification.
        mask : float tensor, shape (B, K, H, W), in [0, 1]
            Coverage of each class; wanted by a supervised segmentation.

        Returns
        -------
        float32 tensor, scalar

        Raises
        ------
        UsageError
            What the mode wants is not there.
        """
        self._freeze()
        if self.mode == "supervised":
            return self.supervised(enhanced, label=label, mask=mask)
        clean = _wanted("clean", clean, self.mode)
        with torch.no_grad():
            target = self._probabilities(clean)
        return F.mse_loss(self._probabilities(enhanced), target)

    def supervised(
        self,
        images: Tensor,
        *,
        label: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of the recogniser's answers against the true ones.

        Parameters
        ----------
        images, label, mask : tensors
            As in the call; nothing is frozen here.
        """
        logits = self._logits(images)
        if self.kind == "classification":
            return F.cross_entropy(logits, _wanted("label", label, self.kind))
        return bce_dice(logits, _wanted("mask", mask, self.kind).float())

    def learn(
        self, images: Tensor, label: Tensor | None = None, mask: Tensor | None = None
    ) -> float:
        """Let the recogniser take one step on pictures with answers.

        Parameters
        ----------
        images, label, mask : tensors
            As in the call; enhanced and good pictures, half of the batch each. Their
            makers get no gradient.

        Returns
        -------
        float
            The loss, before the step.

        Raises
        ------
        UsageError
            It was made without ``train``, or the answers are missing.
        """
        pictures = images.detach()

        def loss() -> Tensor:
            return self.supervised(pictures, label=label, mask=mask)

        return self.learn_by(
            loss, lambda w: list(torch.autograd.grad(loss(), w, allow_unused=True))
        )

    def learn_by(
        self,
        loss: Callable[[], Tensor],
        gradient: Callable[[list[Tensor]], Sequence[Tensor | None]],
    ) -> float:
        """Let the recogniser take one step along a gradient.

        Parameters
        ----------
        loss : callable
            What is reported, before the step.
        gradient : callable
            From the recogniser's parameters to their gradients.

        Raises
        ------
        UsageError
            It was made without ``train``.
        """
        if self._optimiser is None:
            raise UsageError("this task's recogniser is frozen", hint="train=True")
        with self._learning():
            with torch.no_grad():
                before = loss().item()
            parameters: list[Tensor] = list(self.network.parameters())
            for p, found in zip(parameters, gradient(parameters), strict=True):
                p.grad = found
            average_gradients(parameters)
            if all(p.grad is None or p.grad.isfinite().all() for p in parameters):
                self._optimiser.step()  # or else its weights are lost for good
            self._optimiser.zero_grad(set_to_none=True)
        return before

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: nothing of a recogniser that is frozen."""
        if self._optimiser is None:
            return {}
        return {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        if self._optimiser is not None:
            self.network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])

    def _freeze(self) -> None:
        """Leave statistics, weights and gradients alone, whoever changed the mode."""
        self.network.eval().requires_grad_(False)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Have the recogniser look as it does at the enhancer's work, if it learns."""
        learns = self.network.training
        self.network.eval()  # by its own statistics, not the batch's
        try:
            yield
        finally:
            self.network.train(learns)

    @contextmanager
    def _learning(self) -> Iterator[None]:
        self.network.train().requires_grad_(True)
        try:
            yield
        finally:
            self._freeze()

    def _logits(self, images: Tensor) -> Tensor:
        images = _at_side(images.float().expand(-1, 3, -1, -1), self._side)
        half = torch.float16 if self._precision == "fp16" else torch.bfloat16
        with torch.autocast(
            images.device.type, half, enabled=self._precision != "fp32"
        ):
            logits: Tensor = self.network(images)
        return logits.float()

    def _probabilities(self, images: Tensor) -> Tensor:
        logits = self._logits(images)
        if self.kind == "classification":
            return torch.softmax(logits, 1)
        return torch.sigmoid(logits)


def _at_side(images: Tensor, side: int | None) -> Tensor:
    """Bring pictures to a long side, as `medenh.tasks` does when it answers."""
    height, width = images.shape[-2:]
    if side is None or max(height, width) == side:
        return images
    scale = side / max(height, width)
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    return F.interpolate(
        images, size, mode="bilinear", align_corners=False, antialias=True
    )


def _wanted(name: str, tensor: Tensor | None, wants: str) -> Tensor:
    if tensor is None:
        raise UsageError(
            f"the task's loss ({wants}) wants {name!r}, which the batch has not",
            hint='pictures with answers, or mode "unsupervised"',
        )
    return tensor


def _check(kind: str, mode: str, *, train: bool) -> None:
    if kind not in get_args(Kind):
        raise UsageError(f"no kind of task {kind!r}", hint=" or ".join(get_args(Kind)))
    if mode not in get_args(Mode):
        raise UsageError(f"no task loss {mode!r}", hint=" or ".join(get_args(Mode)))
    if train and mode != "supervised":
        raise UsageError(
            f"a recogniser cannot learn from a loss that is {mode}",
            hint='mode "supervised", or train=False',
        )
