"""Upper level of bi-level training: the recogniser's gradient, enhancer looking ahead.

HQG-Net solves enhancement and a downstream task as a bi-level problem [paper]; which
one is the upper level and how it is solved is not known. Here the recogniser's weights
w are the upper level, with one look-ahead step of the enhancer's weights theta and a
finite difference in place of second derivatives (Liu et al., DARTS, ICLR 2019)
[our choice].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["look_ahead_gradient"]

_TINY = 1e-12


def look_ahead_gradient(
    theta: Sequence[Tensor],
    w: Sequence[Tensor],
    lower: Callable[[], Tensor],
    upper: Callable[[], Tensor],
    rate: float,
) -> list[Tensor]:
    """Return the gradient in w of ``upper`` after a step of theta on ``lower``.

    Parameters
    ----------
    theta, w : sequences of tensor
        Leaves of both losses that want gradients; theta is moved and put back.
    lower, upper : callable
        Losses as they stand for the present values, scalars.
    rate : float
        Length xi of the look-ahead, theta' = theta - xi grad lower.

    Returns
    -------
    list of tensor
        ``grad_w upper(theta', w) - xi (grad_w lower(theta+, w) - grad_w lower(theta-,
        w)) / 2 eps`` with theta+- = theta +- eps grad_theta' upper and
        eps = 0.01 / |grad_theta' upper|.
    """
    start = [t.detach().clone() for t in theta]
    down = _gradients(lower(), theta)
    _put(theta, start, down, -rate)
    ahead = upper()
    found = torch.autograd.grad(ahead, [*theta, *w], allow_unused=True)
    slope = _filled(found[: len(theta)], theta)
    direct = _filled(found[len(theta) :], w)
    norm = torch.sqrt(sum((s * s).sum() for s in slope))  # type: ignore[arg-type]
    if float(norm) < _TINY:
        _put(theta, start, down, 0.0)
        return direct
    step = 0.01 / float(norm)
    _put(theta, start, slope, step)
    plus = _gradients(lower(), w)
    _put(theta, start, slope, -step)
    minus = _gradients(lower(), w)
    _put(theta, start, down, 0.0)
    return [
        d - rate * (p - m) / (2 * step)
        for d, p, m in zip(direct, plus, minus, strict=True)
    ]


def _gradients(loss: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    return _filled(torch.autograd.grad(loss, list(of), allow_unused=True), of)


def _filled(found: Sequence[Tensor | None], of: Sequence[Tensor]) -> list[Tensor]:
    return [
        torch.zeros_like(t) if g is None else g for g, t in zip(found, of, strict=True)
    ]


@torch.no_grad()
def _put(
    theta: Sequence[Tensor], start: list[Tensor], along: list[Tensor], step: float
) -> None:
    for t, at, direction in zip(theta, start, along, strict=True):
        t.copy_(at + step * direction if step else at)
