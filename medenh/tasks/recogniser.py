"""A trained recogniser: a picture of any size in, probabilities out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medenh.arrays import not_taken, unmasked
from medenh.device import pick_device
from medenh.errors import NonFiniteError, UsageError
from medenh.intensity import lies_in_unit
from medenh.tasks.table import TASKS, Task, get_task
from medenh.types import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["Recogniser", "find_task", "load", "to_working_size"]

_MARGIN = 8


@dataclass(frozen=True, slots=True, eq=False)
class Recogniser:
    """A network that answers a task's question.

    Attributes
    ----------
    task : Task
        The question.
    network : torch.nn.Module
        float32 (1, 3, H, W) in [0, 1] to logits.
    thresholds : tuple of float
        For each class of a segmentation the probability from which on the answer is
        yes, chosen on pictures held back from training.
    device : str
        torch device.
    """

    task: Task
    network: torch.nn.Module
    thresholds: tuple[float, ...]
    device: str = "cpu"

    def predict(
        self, unit: ArrayLike, *, field: NDArray[np.bool_] | None = None
    ) -> FloatArray:
        """Return the probability of every class.

        Parameters
        ----------
        unit : float array, shape (H, W, C) or (H, W), in [0, 1]
            C is 1 or 3 (RGB); any size. The rounding and overshoot of resampling are
            cut off.
        field : bool array, shape (H, W), optional
            Field of view: outside of it a segmentation is 0, and a classifier sees
            black.

        Returns
        -------
        float32 array
            (H, W, K) for a segmentation, each class for itself; (K,) for a
            classification, with the sum 1.

        Raises
        ------
        UsageError
            The array has another shape, no pixels, or values of another range (0 to
            255...).
        NonFiniteError
            It holds NaN or infinity.

        Notes
        -----
        The network sees the picture with the long side at the task's own size, which
        it was trained at; the answer is brought back bilinearly. A segmenter sees the
        picture mirrored 8 px beyond its edges, where the zeros that pad convolutions
        would look like something bright or dark. float32 throughout, so the same
        picture gives the same answer.
        """
        pixels = _checked(unit, field)
        if field is not None and self.task.kind == "classification":
            pixels = pixels * field[..., None]
        height, width = pixels.shape[:2]
        working = to_working_size(pixels, self.task.side)
        if self.task.kind == "classification":
            return _softmax(self._logits(working))
        around = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
        logits = self._logits(np.pad(working, around, mode="reflect"))
        logits = logits[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        answer = _resize(_sigmoid(np.moveaxis(logits, 0, -1)), height, width)
        return answer if field is None else answer * field[..., None]

    def _logits(self, pixels: FloatArray) -> FloatArray:
        import torch

        planes = np.moveaxis(pixels, -1, 0)
        planes = np.array(np.broadcast_to(planes, (3, *planes.shape[1:])), np.float32)
        kind = torch.device(self.device).type
        with torch.inference_mode(), torch.autocast(kind, enabled=False):
            batch = torch.from_numpy(planes[None]).to(self.device)
            answer: FloatArray = self.network(batch)[0].float().cpu().numpy()
        return answer


def find_task(name: str) -> Task:
    """Return a task by name, or what a recogniser of the zoo was trained for.

    Parameters
    ----------
    name : str
        A key of `TASKS`, which means the package's own recogniser; or the id or
        ``id@version`` of another one, such as an imported one.

    Returns
    -------
    Task
        That recogniser's is named after it.

    Raises
    ------
    UsageError
        There is neither; close tasks and all are given.
    """
    if not isinstance(name, str) or name in TASKS:
        return get_task(name)
    from medenh.zoo.load import recogniser_card

    try:
        card = recogniser_card(name)
    except UsageError:
        return get_task(name)  # which says so
    learnt = card.training.config if card.training is not None else None
    task = TASKS.get(str(learnt.get("task"))) if isinstance(learnt, dict) else None
    told = card.recognition
    if task is None or told is None or told.classes != task.classes:
        return get_task(name)
    return replace(task, name=name, model=card.full_id)


def load(name: str, *, device: str = "cpu") -> Recogniser:
    """Load the recogniser of a task.

    Parameters
    ----------
    name : str
        As `find_task` takes it.
    device : str
        "cpu", "cuda"...

    Raises
    ------
    UsageError
        There is no such task, or no such device.
    WeightsError
        Its weights are missing, damaged, or of another task.
    """
    from medenh.zoo.load import load_recogniser

    task = find_task(name)
    device = pick_device(str(device)).name
    network, thresholds = load_recogniser(task.model, task.classes)
    return Recogniser(task, network.to(device), thresholds, device)


def to_working_size(pixels: NDArray[Any], side: int) -> FloatArray:
    """Resize a picture so that its long side is ``side``; the aspect stays.

    Parameters
    ----------
    pixels : float array, shape (H, W, C)
    side : int
        Pixels; the short side becomes at least 1.

    Returns
    -------
    float32 array, shape (h, w, C)

    Notes
    -----
    Anti-aliased when shrinking. Training and inference both come through here.
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    return _resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def _resize(pixels: NDArray[Any], height: int, width: int) -> FloatArray:
    """Resize (H, W, C) bilinearly, with a triangle filter where it shrinks."""
    import torch
    import torch.nn.functional as F

    pixels = np.ascontiguousarray(pixels, np.float32)
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = torch.from_numpy(np.moveaxis(pixels, -1, 0)[None].copy())
    resized = F.interpolate(
        planes, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
    back: FloatArray = np.ascontiguousarray(np.moveaxis(resized[0].numpy(), 0, -1))
    return back


def _checked(unit: ArrayLike, field: NDArray[np.bool_] | None) -> FloatArray:
    try:
        pixels = np.asarray(unmasked(unit), np.float32)
    except (TypeError, ValueError):
        hint = "give an array in [0, 1]; a frame of an Image is "
        hint += "numpy.moveaxis(image.to_unit()[0], 0, -1)"
        raise not_taken(unit, "recognised", hint=hint) from None
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise UsageError(
            f"a picture of shape {pixels.shape} cannot be recognised",
            hint="(H, W, C) with 1 or 3 channels",
        )
    if field is not None and np.shape(field) != pixels.shape[:2]:
        raise UsageError(
            f"field of view {np.shape(field)} and picture {pixels.shape[:2]} differ"
        )
    if not np.isfinite(pixels).all():
        raise NonFiniteError("the picture holds NaN or infinity")
    if not lies_in_unit(pixels):
        raise UsageError(
            f"values from {pixels.min():g} to {pixels.max():g} do not lie in [0, 1]",
            hint="divide levels of 8 bits by 255, and of 16 bits by 65535",
        )
    return np.clip(pixels, 0, 1)


def _sigmoid(logits: FloatArray) -> FloatArray:
    out: FloatArray = np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * logits))
    return out


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max())
    out: FloatArray = powers / powers.sum()
    return out
