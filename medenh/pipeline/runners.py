"""What turns a batch into a better one: classical methods and torch networks alike.

A runner takes and gives float32 NCHW in [0, 1]; it knows nothing of files or tiles.
`openvino_runner` has the third kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from medenh.device import (
    Device,
    Precision,
    num_threads,
    one_torch_thread_in_forks,
)
from medenh.types import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["ClassicalRunner", "Runner", "TorchRunner"]


class Runner(Protocol):
    """The one interface between the pipeline and everything that enhances.

    Attributes
    ----------
    engine, precision : str
        For reports.
    workers : int
        How many threads may call `run` at once and gain from it.
    has_condition : bool
        True where whole-image statistics can be computed apart, so that the frames of a
        volume can share them.
    batches : bool
        False where more than one image in a call gains nothing.
    """

    engine: str
    precision: Precision
    workers: int
    has_condition: bool
    batches: bool

    def condition(self, batch: FloatArray) -> Any:
        """Return what `run` needs to know of the whole image; None if nothing."""

    def typical(self, conditions: Sequence[Any]) -> Any:
        """Return the median of conditions, for frames that must stay comparable."""

    def run(
        self, batch: FloatArray, condition: Any = None, *, alone: bool = False
    ) -> FloatArray:
        """Return the enhanced batch, same shape.

        Parameters
        ----------
        batch : float32 array, shape (B, C, H, W), in [0, 1]
            Whole images; or tiles of one, where the model's halo makes them exact.
        condition : object, optional
            From `condition`, of one whole image.
        alone : bool
            Nothing else runs: all threads may work on this batch.
        """

    def exact(self) -> Runner:
        """Return a runner of the same model in float32; itself if it is one."""


class ClassicalRunner:
    """A weight-free method.

    Parameters
    ----------
    name : str
        A key of `medenh.classical.METHODS`.
    options : mapping
        Its settings.
    """

    engine = "classical"
    precision: Precision = "fp32"
    has_condition = False
    batches = False

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        from medenh.classical import METHODS

        self._method = METHODS[name]
        self._options = dict(options or {})
        self.workers = num_threads()

    def condition(self, batch: FloatArray) -> Any:
        """Return None: classical methods see whole images."""
        return None

    def typical(self, conditions: Sequence[Any]) -> Any:
        """Return None: there are none."""
        return None

    def run(
        self, batch: FloatArray, condition: Any = None, *, alone: bool = False
    ) -> FloatArray:
        """Return the enhanced batch."""
        out = np.empty_like(batch)
        for index, planes in enumerate(batch):
            pixels = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
            answer = self._method(pixels, **self._options)
            out[index] = np.moveaxis(answer, -1, 0)
        return out

    def exact(self) -> ClassicalRunner:
        """Return itself."""
        return self


class TorchRunner:
    """A network, run by torch.

    Parameters
    ----------
    network : torch.nn.Module
        NCHW in [0, 1] to the same shape, any size.
    device : Device
        Where to run.
    precision : "fp32", "bf16" or "fp16"
        The lower two by autocast: weights stay float32.
    """

    engine = "torch"
    workers = 1

    def __init__(
        self,
        network: torch.nn.Module,
        device: Device,
        precision: Precision = "fp32",
    ) -> None:
        import torch

        from medenh.models.inference import for_inference

        self.precision = precision
        self.batches = device.kind != "cpu"
        self._device = torch.device(device.name)
        if device.kind == "cpu":
            one_torch_thread_in_forks()
            if num_threads() < torch.get_num_threads():
                torch.set_num_threads(num_threads())
        network = for_inference(network.eval().requires_grad_(False)).to(self._device)
        # half of convolution's speed on a CPU, and all of tensor cores', is layout
        self._network: Any = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._place = device
        self.has_condition = hasattr(network, "condition") and hasattr(network, "local")

    def condition(self, batch: FloatArray) -> Any:
        """Return the network's global statistics of whole images, or None."""
        if not self.has_condition:
            return None
        return self._call(self._network.condition, batch, ())

    def typical(self, conditions: Sequence[Any]) -> Any:
        """Return the median of conditions, element by element."""
        if isinstance(conditions[0], tuple):
            return tuple(map(_median, zip(*conditions, strict=True)))
        return _median(conditions)

    def run(
        self, batch: FloatArray, condition: Any = None, *, alone: bool = False
    ) -> FloatArray:
        """Return the enhanced batch."""
        if condition is None:
            answer = self._call(self._network, batch, ())
        else:
            parts = condition if isinstance(condition, tuple) else (condition,)
            count = batch.shape[0]
            spread = tuple(p.expand(count, *p.shape[1:]) for p in parts)
            argument = spread if isinstance(condition, tuple) else spread[0]
            answer = self._call(self._network.local, batch, (argument,))
        result: FloatArray = answer.float().cpu().contiguous().numpy()
        return result

    def _call(self, function: Any, batch: FloatArray, rest: tuple[Any, ...]) -> Any:
        import torch

        x = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
        x = x.to(memory_format=torch.channels_last)
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        low = self.precision != "fp32"
        flags: AbstractContextManager[None] = nullcontext()
        if self._device.type == "cuda":  # they are one for all threads of the process
            # TF32 would make "fp32" a matter of the card in use
            flags = torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=low
            )
        with (
            torch.inference_mode(),
            flags,
            torch.autocast(self._device.type, dtype=dtype, enabled=low),
        ):
            return function(x, *rest)

    def exact(self) -> TorchRunner:
        """Return the same network in float32."""
        if self.precision == "fp32":
            return self
        return TorchRunner(self._network, self._place, "fp32")


def _median(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the median, element by element; of an even count as NumPy's, the mean."""
    import torch

    ordered = torch.stack(list(tensors)).sort(0).values
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return torch.lerp(low, high, 0.5)
