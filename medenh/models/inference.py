"""Networks as they run, not as they learn: equal in exact arithmetic, and faster."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["for_inference", "undisturbed"]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Shut out what a caller may have set in torch: a default device, autocast.

    Both are of this thread alone. The default type of numbers is one for all threads,
    and is left as it is: what is built inside may have to be made float32.
    """
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        yield


def for_inference(network: nn.Module) -> nn.Module:
    """Return a network with the modules replaced that have a faster form.

    Parameters
    ----------
    network : torch.nn.Module
        Not changed. A module in it with a method ``for_inference`` names its faster
        form: no other parameters, no gradients, the same answer but for rounding.

    Returns
    -------
    torch.nn.Module
        A copy in evaluation mode, or the network itself where nothing is to be gained.
    """
    if not any(hasattr(module, "for_inference") for module in network.modules()):
        return network
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    with undisturbed():
        _replace(copied)
    return copied


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        faster: Any = getattr(child, "for_inference", None)
        if faster is None:
            _replace(child)
        else:
            setattr(module, name, faster())
