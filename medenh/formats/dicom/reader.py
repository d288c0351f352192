"""One file, or the files of one series, to one `Image`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medenh.errors import UnreadableError, UnsupportedError, UsageError
from medenh.formats import files
from medenh.formats.dicom import codecs, meaning
from medenh.formats.dicom.dataset import (
    Source,
    damage_guard,
    from_bytes,
    keep_text,
    load,
    to_bytes,
    to_little_endian,
)
from medenh.formats.dicom.geometry import (
    frame_order,
    frame_time,
    geometry_of,
    is_cine,
    slice_order,
    uneven_pixels,
    volume_time,
)
from medenh.formats.dicom.header import (
    Layout,
    integer,
    is_tiled,
    layout_of,
    no_magnitude,
    text,
    transfer_syntax,
)
from medenh.formats.dicom.palette import is_palette, to_rgb
from medenh.formats.limits import Limits
from medenh.formats.viewing import Viewing
from medenh.types import Geometry, Image

__all__ = ["DicomFiles", "DicomPart", "read"]


@dataclass(frozen=True, slots=True, eq=False)
class DicomPart:
    """One source file, without its pixels.

    Attributes
    ----------
    dataset : Dataset
        All elements but the pixel data; binary values are little-endian.
    transfer_syntax : str
        Of the source.
    compression : float
        Decoded over stored size of the pixel data; 1 where they are not compressed.
    left_out : int
        Frames of its pixel data beyond those that its header tells of.
    """

    dataset: Dataset
    transfer_syntax: str
    compression: float = 1.0
    left_out: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        # pydicom's elements cannot be pickled once they hold several numbers
        told = str(self.dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        dataset = copy.deepcopy(self.dataset)
        keep_text(dataset)
        elements = to_bytes(dataset)
        rest = (self.transfer_syntax, self.compression, self.left_out)
        return _part, (elements, told, *rest)


def _part(elements: bytes, sop_class: str, *rest: Any) -> DicomPart:
    """Rebuild a part that went to another process."""
    return DicomPart(from_bytes(elements, sop_class), *rest)


@dataclass(frozen=True, slots=True, eq=False)
class DicomFiles:
    """The header of an `Image` that was read from DICOM.

    Attributes
    ----------
    parts : tuple of DicomPart
        The files, in the order they were given.
    frame_of : tuple of int
        For each frame of the image, the file it came from.
    order : tuple of int
        For each frame of the image, its place in the one file it came from. Empty
        where the frames have the order of the file.
    rescaled : bool
        False where pixels are stored numbers because the files' modality lookup table
        or damaged rescale is not undone by a line.
    damaged_rescale : bool
        There is a rescale slope or intercept from which no line follows.
    no_magnitude : str
        What MR holds in place of magnitudes, somewhere; empty where nothing is told.
    coloured : bool
        Some pixels of grey frames stand for colours; they are frozen.
    tiled : bool
        The frames are tiles of one picture, as those of whole slides are.
    misplaced : str
        Why the frames do not lie as the image's affine says; empty where they do.
    uneven : str
        Why the image's spacing of pixels is not that of all its frames; empty where
        it is.
    untimed : str
        Why no time from one frame to the next is that of all; empty where it is, or
        they are no times.
    unused_window : str
        That and why a window of Hounsfield units is not the image's range; empty where
        it is, or there is none.
    """

    parts: tuple[DicomPart, ...]
    frame_of: tuple[int, ...]
    order: tuple[int, ...] = ()
    rescaled: bool = True
    damaged_rescale: bool = False
    no_magnitude: str = ""
    coloured: bool = False
    tiled: bool = False
    misplaced: str = ""
    uneven: str = ""
    untimed: str = ""
    unused_window: str = ""

    @property
    def size(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the pixels that belong to it."""
        dataset = self.parts[0].dataset
        rows, columns = integer(dataset, "Rows", 0), integer(dataset, "Columns", 0)
        return len(self.frame_of), rows, columns

    def viewing(self, frame: int) -> Viewing:
        """Return what picture formats can say of a frame too: its colour profile."""
        dataset = self.parts[self.frame_of[frame]].dataset
        paths = dataset.get("OpticalPathSequence") or ()  # of slides, PS3.3 C.8.12.5
        holders = (dataset, *paths) if len(paths) == 1 else (dataset,)
        profile = next(filter(None, (one.get("ICCProfile") for one in holders)), None)
        if not isinstance(profile, bytes):
            return Viewing()
        # ICC.1 section 7.2.2: its own length comes first; DICOM makes that even
        return Viewing(profile=profile[: int.from_bytes(profile[:4], "big")])


def read(paths: Sequence[Path], *, limits: Limits) -> Image:
    """Return one image: see `medenh.formats.dicom.read`."""
    if not paths:
        raise UsageError("no DICOM file was given")
    if len(paths) == 1:
        part, layout, stored = _read_file(paths[0], limits)
        return _image([part], layout, stored, [0] * layout.frames, paths[0])
    return _read_series(paths, limits)


def _read_file(path: Path, limits: Limits) -> tuple[DicomPart, Layout, NDArray[Any]]:
    with load(path, limits) as source:
        head = source.parse(pixels=False)
        layout = _checked_layout(head, source, limits)
        syntax = transfer_syntax(head)
        codecs.check_syntax(syntax, path)
        dataset = source.parse(pixels=True)
        size = len(dataset.get("PixelData", b"") or b"")
    stored, seen = codecs.decode(dataset, layout, syntax, path)
    with damage_guard(path):
        beyond = codecs.frames_stored(dataset, layout, syntax) - layout.frames
    for keyword in ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
    with damage_guard(path):
        if not syntax.is_little_endian:
            to_little_endian(dataset)
        if is_palette(seen):
            stored, seen = to_rgb(stored, dataset, seen, path)
    ratio = stored.nbytes / size if syntax.is_compressed and size else 1.0
    return DicomPart(dataset, str(syntax), ratio, max(beyond, 0)), seen, stored


def _checked_layout(head: Dataset, source: Source, limits: Limits) -> Layout:
    layout = layout_of(head, source.path)
    limits.check(source.path, layout.voxels, _bytes_of(layout), source.size)
    return layout


def _bytes_of(layout: Layout) -> int:
    return layout.voxels * layout.samples * layout.bits_allocated // 8


def _check_whole(layout: Layout, paths: Sequence[Path], limits: Limits) -> None:
    """Refuse a series that is over the limits where all slices are like the first."""
    count, on_disk = len(paths), sum(map(files.regular_size, paths))
    limits.check(paths[0], layout.voxels * count, _bytes_of(layout) * count, on_disk)


def _read_series(paths: Sequence[Path], limits: Limits) -> Image:
    """Read single-frame files of one series, sorted along the slice normal."""
    parts: list[DicomPart] = []
    slices: list[NDArray[Any]] = []
    layouts: list[Layout] = []
    for path in paths:
        part, layout, stored = _read_file(path, limits)
        if parts:
            _check_same(part, layout, parts[0], layouts[0], path)
        else:
            _check_whole(layout, paths, limits)
        if layout.frames != 1:
            raise UnsupportedError(
                "has several frames and cannot be one slice of a series",
                path=path,
                hint="give it on its own",
            )
        parts.append(part)
        slices.append(stored)
        layouts.append(layout)
    order, depth = slice_order([part.dataset for part in parts], paths)
    widest = max(layouts, key=lambda layout: layout.bits_stored)
    stored = np.concatenate([slices[index] for index in order])
    slices.clear()
    return _image(parts, widest, stored, order, paths[0], depth)


def _check_same(
    part: DicomPart, layout: Layout, first: DicomPart, like: Layout, path: Path
) -> None:
    def key(one: Layout) -> tuple[Any, ...]:
        return (one.rows, one.columns, one.samples, one.dtype, one.photometric)

    series = [text(p.dataset, "SeriesInstanceUID") for p in (part, first)]
    if series[0] != series[1]:
        raise UnsupportedError(
            "belongs to another series", path=path, hint="give each series on its own"
        )
    if key(layout) != key(like):
        raise UnsupportedError(
            "differs from the series in size, type or colour",
            path=path,
            hint="give it on its own",
        )


def _image(
    parts: Sequence[DicomPart],
    layout: Layout,
    stored: NDArray[Any],
    frame_of: Sequence[int],
    path: Path,
    depth: int | None = None,
) -> Image:
    with damage_guard(path):
        ordered = [parts[index].dataset for index in frame_of]
        unique = ordered if len(parts) > 1 else ordered[:1]
        storage, rescaled = meaning.storage_of(unique, layout)
        geometry, misplaced, order = _placed(unique, len(frame_of), depth)
        geometry, untimed = _timed(geometry, unique, len(frame_of))
        if order:
            stored, storage = stored[list(order)], storage.of(list(order))
        pixels = meaning.native_pixels(stored, storage)
        colours = meaning.colour_mask(stored, ordered)
        frozen = _either(meaning.padding_mask(stored, ordered, layout), colours)
        unit_range, unused_window = meaning.unit_range_of(
            pixels,
            unique,
            layout,
            storage=storage,
            rescaled=rescaled,
            frozen=frozen,
            depth=geometry.depth,
        )
        if not unit_range.low < unit_range.high:
            raise UnreadableError("its window is not a range", path=path)
        hounsfield = meaning.is_hounsfield(unique, rescaled=rescaled)
        return Image(
            pixels=pixels,
            unit_range=unit_range,
            storage=storage,
            format="dicom",
            modality=meaning.modality_of(unique[0]),
            units="HU" if hounsfield else "",
            geometry=geometry,
            frozen=frozen,
            source=path,
            header=DicomFiles(
                tuple(parts),
                tuple(frame_of),
                order,
                rescaled=rescaled,
                damaged_rescale=not rescaled and meaning.has_damaged_rescale(unique),
                no_magnitude=next(filter(None, map(no_magnitude, unique)), ""),
                coloured=colours is not None,
                tiled=len(frame_of) > 1 and is_tiled(unique[0]),
                misplaced=misplaced,
                uneven=uneven_pixels(unique),
                untimed=untimed,
                unused_window=unused_window,
            ),
        )


def _placed(
    datasets: Sequence[Dataset], frames: int, depth: int | None
) -> tuple[Geometry, str, tuple[int, ...]]:
    """Return place and order of the frames, and why they do not lie as it says.

    Frames of one file, no volumes as they lie, are sorted by their place. Those that
    are volumes, the last slice first too, stay as they lie: their order is empty.
    """
    geometry, misplaced = geometry_of(datasets, frames, depth)
    if not misplaced or len(datasets) > 1:
        return geometry, misplaced, ()
    found = frame_order(datasets[0], frames)
    if found is None:
        return geometry, misplaced, ()
    order, depth = found
    geometry, misplaced = geometry_of(datasets, frames, depth, order)
    return geometry, misplaced, tuple(order)


def _timed(
    geometry: Geometry, datasets: Sequence[Dataset], frames: int
) -> tuple[Geometry, str]:
    """Return a geometry with the time between its frames or volumes, or why it lacks.

    That of a cine, or of slices of PET, which are volumes that follow one another.
    """
    if len(datasets) > 1:
        seconds, problem = volume_time(datasets, geometry.depth)
    elif geometry.depth == 1 and is_cine(datasets[0], frames):
        seconds, problem = frame_time(datasets[0], frames)
    else:
        return geometry, ""
    return replace(geometry, time_s=seconds), problem


def _either(
    one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other
