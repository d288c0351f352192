"""GradProm's arithmetic: a task's gradient is added as far as it agrees with another.

Zhang and Cheng, "Generalized Task-Driven Medical Image Quality Enhancement with
Gradient Promotion", IEEE TPAMI 2025. Rule `hard` is read from the abstract [paper];
`soft` and `layer` are other readings of it [inferred]; `project` and the running mean
as reference are ours.

g is the gradient of the primary loss (fidelity), h of the auxiliary one (recognition),
both with respect to the enhancer's weights. Each rule but "sum" keeps
<g, d> >= |g|^2 for the direction d that is taken (with a running mean m in g's place,
<m, d> >= <m, g>), so a small enough step lowers the primary loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Gradients", "Rule", "Stats", "combine"]

Rule = Literal["off", "sum", "hard", "soft", "layer", "project"]
Gradients = Sequence[Tensor | None]

_TINY = 1e-12  # norms below are no direction


@dataclass(frozen=True, slots=True)
class Stats:
    """How one step's gradients met.

    Attributes
    ----------
    cosine : float
        Between h and the reference (g, or its running mean), in [-1, 1]; 0 where one of
        them vanishes.
    open : float
        Length of what the rule let through of h, against all of h, in [0, 1]: 0 or 1
        for "hard".
    ratio : float
        |lam h| / |g|, before the cap.
    skipped : bool
        h was not finite and was left out.

    All three figures are NaN where nothing was compared: no auxiliary loss, rule "off",
    or "sum" without a cap, which is one plain backward pass.
    """

    cosine: float = math.nan
    open: float = math.nan
    ratio: float = math.nan
    skipped: bool = False


def combine(
    g: Gradients,
    h: Gradients,
    rule: Rule = "hard",
    lam: float = 1.0,
    cap: float | None = None,
    m: Gradients | None = None,
) -> tuple[list[Tensor | None], Stats]:
    """Combine two gradients into the direction of a step; changes none of them.

    Parameters
    ----------
    g, h : sequences of tensor or None
        Gradient of the primary and of the auxiliary loss, a tensor for each parameter;
        None is zero.
    rule : str
        With c the cosine of h and the reference r (g, or ``m``), d is

        ========= =========================================== ======================
        "off"     g                                           enhancement only
        "sum"     g + lam h                                   joint training
        "hard"    g + lam h if c > 0, else g                  the paper's
        "soft"    g + lam max(0, c) h                         Du et al. 2018, weighted
        "layer"   "hard" for each tensor by itself            reading of its figure 3
        "project" g + lam (h - min(0, <r, h>) / |r|^2 r)      ours
        ========= =========================================== ======================

    lam : float
        Weight of the task, at least 0.
    cap : float, optional
        Shortens lam h to at most ``cap`` times |g| (ours).
    m : sequence of tensor or None, optional
        Running mean of g, the reference in g's place.

    Returns
    -------
    d : list of tensor or None
        None where both gradients are.
    stats : Stats

    Notes
    -----
    Where h is not finite d is g. Products are float32 within a tensor, float64 across.
    """
    reference = g if m is None else m
    pairs = [(g, g), (h, h), (reference, h)]
    rows = _products(pairs if m is None else [*pairs, (m, m)])
    gg, hh, rh, *rest = (sum(row) for row in rows)
    rr = gg if m is None else rest[0]
    if not (math.isfinite(gg) and math.isfinite(hh)):
        skipped = math.isfinite(gg)
        return list(g), Stats(0.0, 0.0, 0.0, skipped=skipped)
    g_norm, r_norm, h_norm = math.sqrt(gg), math.sqrt(rr), math.sqrt(hh)
    cosine = 0.0
    if min(r_norm, h_norm) >= _TINY:
        cosine = max(-1.0, min(1.0, rh / (r_norm * h_norm)))
    shares = _shares(rule, cosine, rows[2])
    step = lam
    if cap is not None and lam * h_norm > cap * g_norm:
        step = cap * g_norm / h_norm
    back = 0.0  # how much of the reference is added again
    opened = sum(s * s * x for s, x in zip(shares, rows[1], strict=True))
    through = math.sqrt(opened / hh) if h_norm >= _TINY else 0.0
    if rule == "project" and cosine < 0:
        back, through = -step * rh / rr, math.sqrt(1 - cosine**2)
    d = [
        _added(_added(a, b, step * share), r, back)
        for a, b, share, r in zip(g, h, shares, reference, strict=True)
    ]
    return d, Stats(cosine, through, lam * h_norm / max(g_norm, _TINY))


def _products(pairs: Sequence[tuple[Gradients, Gradients]]) -> list[list[float]]:
    """Return the inner product of each two tensors; one transfer from the device."""
    found: dict[tuple[int, int], Tensor] = {}
    for row, (left, right) in enumerate(pairs):
        for column, (a, b) in enumerate(zip(left, right, strict=True)):
            if a is not None and b is not None:
                found[row, column] = (a.float() * b.float()).sum()
    table = [[0.0] * len(left) for left, _ in pairs]
    values = torch.stack(list(found.values())).tolist() if found else []
    for (row, column), value in zip(found, values, strict=True):
        table[row][column] = value
    return table


def _shares(rule: Rule, cosine: float, agreements: list[float]) -> list[float]:
    """Return how much of each tensor of h goes in."""
    if rule == "layer":
        return [float(agreement > 0) for agreement in agreements]
    share = {
        "off": 0.0,
        "sum": 1.0,
        "hard": float(cosine > 0),
        "soft": max(0.0, cosine),
        "project": 1.0,
    }[rule]
    return [share] * len(agreements)


def _added(base: Tensor | None, other: Tensor | None, weight: float) -> Tensor | None:
    """Return base + weight * other; base itself where that changes nothing."""
    if other is None or weight == 0:
        return base
    if base is None:
        return weight * other
    return torch.add(base, other, alpha=weight)
