"""Muon: momentum made orthogonal for weights that are matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonal"]

# Jordan et al. 2024: quintic that brings singular values near 1 within five steps
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
_SMALLEST = 16  # rows and columns below which nothing is gained
_RMS = 0.2  # of AdamW's changes, so that one learning rate serves both


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix with orthogonal rows or columns, float32.

    Parameters
    ----------
    matrix : float tensor, shape (rows, columns)

    Returns
    -------
    float32 tensor, same shape
        Singular values between 0.7 and 1.2; where the matrix's own are next to
        nothing, they stay so.
    """
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp_min(1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    turned: Tensor = x.T if tall else x
    return turned


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal (Jordan et al. 2024) where weights are matrices.

    `torch.optim.Muon` takes two-dimensional weights alone. Kernels of convolutions
    count here as matrices of (outputs, inputs x height x width).
    What is no matrix, or a thin one (biases, scales, depthwise kernels, a last layer of
    few channels), takes the steps of AdamW. The changes are scaled to the size of
    AdamW's (Liu et al. 2025, arXiv 2502.16982), so its learning rates and decays hold.

    Parameters
    ----------
    parameters : iterable of Parameter
    lr, weight_decay : float
    betas : tuple of float
        Of AdamW; the momentum of the matrices is 0.95 with a look ahead.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        parameters = list(parameters)
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if _is_matrix(p)], "matrices": True},
            {"params": [p for p in parameters if not _is_matrix(p)], "matrices": False},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
                "momentum": momentum,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change all parameters that have a gradient."""
        if closure is not None:
            raise NotImplementedError("no closures")
        for group in self.param_groups:
            change = self._turned if group["matrices"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    change(parameter, parameter.grad, group)

    def _turned(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        kept = state["momentum"].lerp_(grad, 1 - group["momentum"])
        ahead = grad.lerp(kept, group["momentum"])
        turned = orthogonal(ahead.reshape(len(ahead), -1))
        size = _RMS * max(turned.shape) ** 0.5
        turned = turned.reshape(parameter.shape).to(parameter.dtype)
        parameter.add_(turned, alpha=-group["lr"] * size)

    def _adam(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        mean = state["mean"].lerp_(grad, 1 - first)
        square = state["square"].mul_(second).addcmul_(grad, grad, value=1 - second)
        steps = state["step"].item()
        root = (square / (1 - second**steps)).sqrt_().add_(1e-8)
        parameter.addcdiv_(mean, root, value=-group["lr"] / (1 - first**steps))


def _is_matrix(parameter: Tensor) -> bool:
    if parameter.ndim < 2 or parameter.shape[0] < _SMALLEST:
        return False
    depthwise = parameter.ndim == 4 and parameter.shape[1] == 1
    return not depthwise and parameter[0].numel() >= _SMALLEST
