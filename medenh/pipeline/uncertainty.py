"""How much a model's answer hangs on the way the picture is held: a test-time ensemble.

The picture is turned, mirrored and moved, enhanced each time, and put back; the map is
the standard deviation of the answers. It tells where an answer depends on what should
not matter, and nothing of errors that all answers share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh.pipeline.enhancer import FrameEnhancer
from medenh.pipeline.frames import FrameTask, UnitTask
from medenh.types import FloatArray, Image

__all__ = ["TOP", "Ensemble", "Move", "moves_for"]

TOP = 0.5
"""The largest standard deviation that numbers in [0, 1] can have."""

# Off every grid of 2, 4, 8 or 16 pixels that a network halves its input to, and half of
# the coarsest. The picture grows by its own mirror image: none of it is lost.
_SHIFTS = ((3, 5), (8, 8))
_PLANES = 6  # float32 copies of a frame: answers, mean, squares, and in between


@dataclass(frozen=True, slots=True)
class Move:
    """One way to hold a picture, and back.

    Attributes
    ----------
    turned : bool
        Rows and columns change places, first of all.
    upside_down, mirrored : bool
        The order of the rows, of the columns is turned round.
    down, right : int
        Pixels that the picture is moved by.
    """

    turned: bool = False
    upside_down: bool = False
    mirrored: bool = False
    down: int = 0
    right: int = 0

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return pixels (frames, height, width, channels) held this way."""
        if self.turned:
            pixels = pixels.swapaxes(1, 2)
        if self.upside_down:
            pixels = pixels[:, ::-1]
        if self.mirrored:
            pixels = pixels[:, :, ::-1]
        if self.down or self.right:
            edges = ((0, 0), (self.down, 0), (self.right, 0), (0, 0))
            pixels = np.pad(pixels, edges, mode="reflect")
        return pixels

    def undo(self, answer: FloatArray) -> FloatArray:
        """Return an answer (channels, height, width) held as the picture was."""
        answer = answer[:, self.down :, self.right :]
        if self.mirrored:
            answer = answer[:, :, ::-1]
        if self.upside_down:
            answer = answer[:, ::-1]
        return answer.swapaxes(1, 2) if self.turned else answer


def moves_for(height: int, width: int) -> list[Move]:
    """Return the moves for a frame, the picture as it is first.

    The 8 turns and mirrorings of a square, the 4 that keep the shape of others, and two
    small shifts.
    """
    turns = (False, True) if height == width else (False,)
    both = (False, True)
    held = [Move(t, u, m) for t in turns for u in both for m in both]
    return held + [Move(down=down, right=right) for down, right in _SHIFTS]


class Ensemble:
    """The answers of a model to one image, held in several ways.

    Parameters
    ----------
    enhancer : FrameEnhancer
        What made the image's own answer: with its strength, tiles and precision.
    image : Image

    Attributes
    ----------
    spread : float32 array, shape (frames, height, width), in 0 to `TOP`
        Standard deviation of the answers in [0, 1]; of colour the root of the mean
        square over the channels. Zero where pixels are frozen.
    passes : int
        How many answers each frame has, its own among them.
    """

    def __init__(self, enhancer: FrameEnhancer, image: Image) -> None:
        self._enhancer = enhancer
        self._image = image
        # statistics of the whole image may be fields, which move with the picture
        self._members = [
            (move, enhancer.shared_conditions(_held(image, image.pixels, move)))
            for move in moves_for(image.height, image.width)[1:]
        ]
        self.passes = 1 + len(self._members)
        self.spread = np.zeros(image.pixels.shape[:3], np.float32)

    @staticmethod
    def cost(image: Image) -> int:
        """Return the bytes that an image's ensemble takes."""
        frame = image.height * image.width * image.channels
        return 4 * (image.frames * image.height * image.width + _PLANES * frame)

    @staticmethod
    def kept(task: FrameTask) -> FrameTask:
        """Return a task that keeps its answer, for `measure`."""
        return replace(task, answer=np.empty(task.shape, np.float32))

    def of_passes(
        self, report: Callable[[float], None] | None, done: int = 0
    ) -> Callable[[float], None] | None:
        """Return what tells the progress of one pass, after others, as that of all."""
        if report is None:
            return None
        return lambda share: report((done + share) / self.passes)

    def measure(
        self,
        task: FrameTask,
        *,
        alone: bool = False,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Fill in one frame.

        Parameters
        ----------
        task : FrameTask
            From `kept`, and done.
        alone : bool
            Nothing else runs meanwhile.
        on_progress : callable, optional
            Called with the share of all passes that is done, the task's own included.

        Raises
        ------
        OutOfMemoryError, NonFiniteError
            As `FrameEnhancer.enhance`.
        """
        if task.answer is None:
            raise ValueError("the task has not kept its answer")
        image, index = self._image, task.index
        mean = task.answer.copy()
        squares = np.zeros(task.shape, np.float32)
        frame = image.pixels[index : index + 1]
        for count, (move, conditions) in enumerate(self._members, start=2):
            held = _held(image, frame, move)
            out = np.empty((image.channels, held.height, held.width), np.float32)
            self._enhancer.enhance(
                [UnitTask(held, 0, out, conditions[index])],
                alone=alone,
                on_progress=self.of_passes(on_progress, count - 1),
            )
            answer = move.undo(out)
            # Welford: equal answers give exactly zero
            change = answer - mean
            mean += change / np.float32(count)
            squares += change * (answer - mean)
        variance = squares.mean(axis=0) / np.float32(self.passes)
        spread = np.minimum(np.sqrt(variance), np.float32(TOP))
        if image.frozen is not None:
            spread[image.frozen[index]] = 0.0
        self.spread[index] = spread


def _held(image: Image, pixels: NDArray[Any], move: Move) -> Image:
    return replace(image, pixels=move.of(pixels), alpha=None, frozen=None)
