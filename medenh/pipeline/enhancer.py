"""A batch of equal frames through one runner: tiles, strength, and the ways back.

What happens when memory runs out or a number is not finite is decided here. No files
and no threads: those are in `engine`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medenh import intensity
from medenh.errors import NonFiniteError, OutOfMemoryError, is_out_of_memory, spelled
from medenh.pipeline.budget import Memory, ShortageError
from medenh.pipeline.frames import STRIP, Blend, FrameTask, as_image, as_network
from medenh.pipeline.lettering import find_lettering
from medenh.pipeline.reduced import carry_over, reduced_copy
from medenh.pipeline.runners import Runner
from medenh.pipeline.tiles import Tile, make_grid, round_up
from medenh.types import FloatArray, Image

__all__ = ["Contract", "FrameEnhancer"]

AUTO_CORE = 1024  # pixels; with a halo of 128 about two thirds of the work is core
WHOLE_BELOW = 1536 * 1536  # pixels; smaller frames are not worth a halo
_SMALLEST_CORE = 64
# of a volume, looked at for the condition they share; evenly spaced from either end,
# as 15 or 17 are not: the one in the middle would have the say between two halves
_CONDITION_FRAMES = 16
_FORCED_OVERLAP = 64  # halo of tiles that no halo makes exact

_WHOLE = slice(None)


@dataclass(frozen=True, slots=True)
class Contract:
    """What a model wants of its input.

    Attributes
    ----------
    channels : int or None
        1, 3, or None where both are taken as they are.
    multiple_of, min_size : int
        Tiles start on multiples of the first; smaller frames are padded.
    halo : int or None
        Pixels around a tile that make it exact; None where none do.
    largest_side : int or None
        Frames with a longer side are enhanced on a copy reduced to it.
    bytes_per_pixel : int
        Memory that each pixel of a call takes; 0 if not known.
    each_by_itself : bool
        True where every frame gets light and contrast of its own.
    from_zero : bool
        True where 0 in native units must be 0 to the model: see `FrameTask.from_zero`.
    keeps_lettering : bool
        True where letters in a dark surround stay as they are.
    """

    channels: int | None = None
    multiple_of: int = 1
    min_size: int = 1
    halo: int | None = None
    largest_side: int | None = None
    bytes_per_pixel: int = 0
    each_by_itself: bool = False
    from_zero: bool = False
    keeps_lettering: bool = False


class FrameEnhancer:
    """Runs frames through one runner under one contract.

    Parameters
    ----------
    runner : Runner
    contract : Contract
    strength : float
        0 gives the frame back, 1 the model's answer.
    tile : int, "auto" or "off"
        Side of a tile's core.
    batch : int
        Tiles in one call.
    cancelled : callable, optional
        Asked between tiles; True raises KeyboardInterrupt.
    memory : Memory, optional
        What all calls of the process share.
    """

    def __init__(
        self,
        runner: Runner,
        contract: Contract,
        *,
        strength: float = 1.0,
        tile: int | Literal["auto", "off"] = "auto",
        batch: int = 1,
        cancelled: Callable[[], bool] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._runner = runner
        self._contract = contract
        self._strength = strength
        self._tile = tile
        self._batch = batch
        self._cancelled = cancelled or (lambda: False)
        self._memory = memory
        self._core_limit = sys.maxsize

    def tasks(self, image: Image, out: NDArray[Any]) -> list[FrameTask]:
        """Return a task for each frame, with the condition that it shares."""
        conditions = self.shared_conditions(image)
        if self._contract.keeps_lettering:
            image = _with_lettering_frozen(image)
        return [
            FrameTask(image, index, out, condition)
            for index, condition in enumerate(conditions)
        ]

    def shared_conditions(self, image: Image) -> list[Any]:
        """Return each frame's condition: one for all of a volume, None of a picture.

        Slices of a volume must stay comparable: they get the median of the conditions
        of some of them, evenly spaced. A single picture gets its own, when it is run.
        Channels of a microscope are volumes of their own.
        """
        if image.frames == 1 or not self._runner.has_condition:
            return [None] * image.frames
        channel_of = image.channel_of or ()
        if len(channel_of) != image.frames:  # none, or frames were taken out
            channel_of = (0,) * image.frames
        shared = {
            channel: self._typical(
                image, [i for i, own in enumerate(channel_of) if own == channel]
            )
            for channel in set(channel_of)
        }
        return [shared[channel] for channel in channel_of]

    def _typical(self, image: Image, frames: Sequence[int]) -> Any:
        # of an even count the median is the mean of two: where one half is bright and
        # one dim, either alone may blow out the other
        count = min(len(frames), _CONDITION_FRAMES)
        places = np.linspace(0, len(frames) - 1, count).round().astype(int)
        return self._runner.typical(
            [
                self._runner.condition(
                    as_network(
                        FrameTask(image, frames[place], image.pixels)
                        .without_holes()
                        .unit(),
                        self._contract.channels,
                    )
                )
                for place in places
            ]
        )

    def enhance(
        self,
        tasks: Sequence[FrameTask],
        *,
        alone: bool = False,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Enhance frames of one shape and write them to their places.

        Parameters
        ----------
        tasks : sequence of FrameTask
            Of equal shape.
        alone : bool
            Nothing else runs meanwhile.
        on_progress : callable, optional
            Called with the share of the present frame that is done, tile by tile.

        Raises
        ------
        OutOfMemoryError
            It does not fit, even one frame at a time, even in the smallest tiles.
        NonFiniteError
            The model gives NaN or infinity, in float32 too.
        """
        report = on_progress or (lambda share: None)
        tasks = [task.without_holes() for task in tasks]
        if self._contract.from_zero:
            tasks = [task.from_zero() for task in tasks]
        core = self._core_for(tasks[0])
        side = self._contract.largest_side
        if side is not None and side < max(tasks[0].shape[1:]):
            for task in tasks:
                copy = reduced_copy(task, side)
                answer = self._answer(copy, task.condition, alone, grey=task.grey)
                carry_over(task, copy[0], answer[0])
                report(1.0)
        elif core is not None:
            for task in tasks:
                self._enhance_tiled(task, core, alone, report)
        else:
            alike = groupby(tasks, key=lambda task: (id(task.condition), task.grey))
            for _, group in alike:
                self._enhance_whole(list(group), alone, report)

    def caveats(self, image: Image) -> list[str]:
        """Return what a user must know of how an image is cut; empty if nothing."""
        told = self._of_tiles(image)
        channels = len(set(image.channel_of or ())) or 1
        if self._contract.each_by_itself and image.frames > channels:
            told.append(
                "each frame gets its own light and contrast: values of different "
                "frames cannot be compared"
            )
        return told

    def _of_tiles(self, image: Image) -> list[str]:
        longest = max(image.height, image.width)
        if not isinstance(self._tile, int) or longest <= self._tile:
            return []
        side = self._contract.largest_side
        if side is not None and side < longest:
            return [
                f"tiles were asked for, but this model sees a copy of {side} pixels"
            ]
        if self._contract.halo is not None:
            return []
        return [
            f"cut into tiles of {self._tile} pixels as asked for, though this model "
            "looks at the whole of a picture: values differ from the whole's"
        ]

    def _core_for(self, task: FrameTask) -> int | None:
        """Return the tile's core for a frame, or None for the frame as a whole."""
        pixels = task.image.height * task.image.width
        longest = max(task.image.height, task.image.width)
        if self._tile == "off":
            return None
        if isinstance(self._tile, int):
            core = self._tile
        elif self._contract.halo is None or pixels <= WHOLE_BELOW:
            core = longest
        else:
            core = AUTO_CORE
        if self._contract.halo is not None:
            core = min(core, self._core_limit)
        return None if core >= longest else core

    def _enhance_whole(
        self,
        tasks: Sequence[FrameTask],
        alone: bool,
        report: Callable[[float], None],
    ) -> None:
        try:
            batch = np.concatenate([task.unit() for task in tasks])
            grey = tasks[0].grey
            answer = self._answer(batch, tasks[0].condition, alone, grey=grey)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            answer = None
            short = f" ({error})" if isinstance(error, ShortageError) else ""
        if answer is None:
            self._back_off(tasks, alone, report, short)
            return
        for task, enhanced in zip(tasks, answer, strict=True):
            task.store(enhanced, slice(0, task.image.height), _WHOLE)
            report(1.0)

    def _back_off(
        self,
        tasks: Sequence[FrameTask],
        alone: bool,
        report: Callable[[float], None],
        short: str,
    ) -> None:
        """Memory ran out on whole frames: fewer at a time, then tiles where exact.

        ``short`` tells how much is missing, where that was known before.
        """
        _release_memory()
        if len(tasks) > 1:
            middle = len(tasks) // 2
            self._enhance_whole(tasks[:middle], alone, report)
            self._enhance_whole(tasks[middle:], alone, report)
            return
        task = tasks[0]
        longest = max(task.image.height, task.image.width)
        if self._contract.halo is None or self._tile == "off":
            why, hint = (
                "this model is not exact on tiles",
                "use a machine with more memory",
            )
            if self._tile == "off":
                why, hint = "tiles are switched off", f"leave out {spelled(tile='off')}"
            elif longest > AUTO_CORE:
                small = spelled(tile=AUTO_CORE)
                hint += f"; or, if faint seams are acceptable, {small}"
            raise OutOfMemoryError(
                f"{task.image.width}x{task.image.height} pixels do not fit in memory "
                f"as a whole{short}, and {why}",
                path=task.image.source,
                hint=hint,
            )
        core = max(_SMALLEST_CORE, min(AUTO_CORE, -(-longest // 2)))
        self._enhance_tiled(task, core, alone, report)

    def _enhance_tiled(
        self,
        task: FrameTask,
        core: int,
        alone: bool,
        report: Callable[[float], None],
    ) -> None:
        while True:
            try:
                self._run_tiles(task, core, alone, report)
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            _release_memory()
            if self._batch > 1:
                self._batch = 1
            elif core > _SMALLEST_CORE and self._contract.halo is not None:
                core = max(_SMALLEST_CORE, core // 2)
                self._core_limit = min(self._core_limit, core)
            else:
                hint = "close other programs"
                if self._memory is None:  # of a device
                    hint += f", or use {spelled(device='cpu')}"
                if core > _SMALLEST_CORE:  # values would differ: the user's choice
                    hint += f", or {spelled(tile=max(_SMALLEST_CORE, core // 2))}"
                raise OutOfMemoryError(
                    f"not enough memory for tiles of {core} pixels",
                    path=task.image.source,
                    hint=hint,
                )

    def _run_tiles(
        self,
        task: FrameTask,
        core: int,
        alone: bool,
        report: Callable[[float], None],
    ) -> None:
        contract = self._contract
        exact = contract.halo is not None
        tiles = make_grid(
            task.image.height,
            task.image.width,
            core=round_up(core, contract.multiple_of),
            halo=_FORCED_OVERLAP if contract.halo is None else contract.halo,
            multiple=contract.multiple_of,
        )
        # elsewhere a condition may be a field, spread over all that it is given with
        condition = task.condition if exact else None
        if condition is None and exact and self._runner.has_condition:
            condition = self._runner.condition(
                as_network(task.unit(), contract.channels)
            )
        blend = None if exact else Blend(task, tiles)
        done, grey = 0, task.grey
        for group in _equal_shapes(tiles, self._batch):
            batch = np.concatenate(
                [task.unit(tile.rows.seen, tile.columns.seen) for tile in group]
            )
            answer = self._answer(batch, condition, alone, grey=grey)
            for tile, source, enhanced in zip(group, batch, answer, strict=True):
                if blend is not None:
                    blend.add(tile, enhanced - source)
                    continue
                inner = enhanced[:, tile.rows.inner, tile.columns.inner]
                task.store(inner, tile.rows.core, tile.columns.core)
            done += len(group)
            report(done / len(tiles))
        if blend is not None:
            blend.finish()

    def _answer(
        self, batch: FloatArray, condition: Any, alone: bool, *, grey: bool
    ) -> FloatArray:
        """Return the model's answer at the wanted strength, finite and in [0, 1].

        Grey frames stored as colours are run as grey ones, and stay grey.
        """
        if grey:
            one = self._answer(batch[:, :1], condition, alone, grey=False)
            return np.repeat(one, batch.shape[1], axis=1)
        if self._cancelled():
            raise KeyboardInterrupt
        if self._strength == 0.0:
            return batch
        x = self._padded(as_network(batch, self._contract.channels))
        with self._room_for(x):
            y = self._runner.run(x, condition, alone=alone)
        bad = np.array([not np.isfinite(one).all() for one in y])
        if bad.any():
            y = self._repair(x, y, bad, condition)
        y = y[:, :, : batch.shape[2], : batch.shape[3]]
        y = as_image(batch, np.clip(y, 0.0, 1.0, dtype=np.float32))
        if self._strength != 1.0:
            y = batch + np.float32(self._strength) * (y - batch)
        return y

    def _room_for(self, batch: FloatArray) -> AbstractContextManager[None]:
        """Hold the memory of a call; ShortageError where the machine has less."""
        count, _, height, width = batch.shape
        need = count * height * width * self._contract.bytes_per_pixel
        if self._memory is None or not need:
            return nullcontext()
        return self._memory.room(need)

    def _repair(
        self, x: FloatArray, y: FloatArray, bad: NDArray[np.bool_], condition: Any
    ) -> FloatArray:
        """Run what came out non-finite once more, alone and in float32."""
        y = y.copy()
        runner = self._runner.exact()
        for index in np.flatnonzero(bad):
            y[index] = runner.run(x[index : index + 1], condition)[0]
            if not np.isfinite(y[index]).all():
                raise NonFiniteError(
                    "the model's output holds NaN or infinity, in float32 too",
                    hint="the input is probably unlike anything the model knows",
                )
        return y

    def _padded(self, batch: FloatArray) -> FloatArray:
        smallest = self._contract.min_size
        bottom = max(0, smallest - batch.shape[2])
        right = max(0, smallest - batch.shape[3])
        if not (bottom or right):
            return batch
        return np.pad(batch, ((0, 0), (0, 0), (0, bottom), (0, right)), mode="reflect")


def _brightest(image: Image, index: int) -> FloatArray:
    """Return the largest channel of a frame's pixels in [0, 1], (H, W), by strips."""
    brightest = np.empty((image.height, image.width), np.float32)
    step = max(1, STRIP // image.width)
    for top in range(0, image.height, step):
        part = image.pixels[index : index + 1, top : top + step]
        unit = intensity.to_unit(part, image.unit_range)
        brightest[top : top + step] = unit[0].max(axis=0)
    return brightest


def _with_lettering_frozen(image: Image) -> Image:
    """Return an image whose letters in a dark surround stay as they are.

    To networks of photographs they are spots of light: some take half of them away.
    """
    frozen = None if image.frozen is None else image.frozen.copy()
    for index in range(image.frames):
        found = find_lettering(_brightest(image, index))
        if found is not None:
            if frozen is None:
                frozen = np.zeros(image.pixels.shape[:3], bool)
            frozen[index] |= found
    return image if frozen is None else replace(image, frozen=frozen)


def _equal_shapes(tiles: Sequence[Tile], count: int) -> Iterator[list[Tile]]:
    """Yield groups of at most ``count`` tiles of one shape, whatever their order."""
    groups: dict[tuple[int, int], list[Tile]] = {}
    for tile in tiles:
        group = groups.setdefault(tile.shape, [])
        group.append(tile)
        if len(group) == count:
            yield groups.pop(tile.shape)
    yield from groups.values()


def _release_memory() -> None:
    """Give back what a failed attempt left behind."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
