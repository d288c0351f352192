"""Several processes that train together, as `torchrun` starts them.

Every process holds a plain copy of the networks and takes its part of each batch;
gradients are averaged before a step (`medenh.training.gradients`), so the copies stay
equal. Not wrapped in DistributedDataParallel: a promoted gradient bypasses it.
"""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from medenh.errors import UsageError

__all__ = ["World", "join"]

_PATIENCE = timedelta(hours=2)  # the others wait while one validates


class World:
    """The processes of a run.

    Attributes
    ----------
    rank, size : int
        This one, and how many.
    device : str
        Where this one works.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: str = "cpu") -> None:
        self.rank, self.size, self.device = rank, size, device

    @property
    def leads(self) -> bool:
        """Whether this process writes, logs and validates."""
        return self.rank == 0

    def part(self, positions: range) -> range:
        """Return this process's share of a batch's positions.

        Raises
        ------
        UsageError
            The batch does not part evenly.
        """
        if len(positions) % self.size:
            raise UsageError(
                f"{len(positions)} samples do not part over {self.size} processes",
                hint="batch must be a multiple of accumulate times the processes",
            )
        each = len(positions) // self.size
        first = positions.start + self.rank * each
        return range(first, first + each)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.size == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return bool(shared.item())

    @torch.no_grad()
    def align(self, network: nn.Module) -> None:
        """Give all processes the first one's tensors, buffers too."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    def leave(self) -> None:
        """End the group."""
        if self.size > 1:
            dist.destroy_process_group()


def join(device: str) -> World:
    """Return the world that `torchrun` announces, or one of a single process.

    Parameters
    ----------
    device : str
        "cpu", or "cuda" for one GPU a process.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(device=device)
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    gpu = device.startswith("cuda")
    if gpu:
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if gpu else "gloo", timeout=_PATIENCE)
    return World(rank, size, device)
