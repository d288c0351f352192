"""Where slices lie: their order, spacing and the affine of the stack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medenh.formats.dicom import nuclear
from medenh.formats.dicom.header import (
    FAR,
    functional_groups,
    integer,
    numbers,
    slice_position,
)
from medenh.types import Geometry

__all__ = [
    "frame_order",
    "frame_time",
    "geometry_of",
    "is_cine",
    "slice_order",
    "uneven_pixels",
    "volume_time",
]

# Of slices in one place, what makes them parts of different volumes; in this order.
# Enhanced files have words of their own for some of it.
_TOLD_APART_BY = (
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "AcquisitionNumber",
    "FrameReferenceTime",
)
_APART_MM = 1e-3
_SAME_PLACE_MM = 0.01
_PARALLEL = 1e-3  # greatest difference of direction cosines
_SAME_SIZE = 1e-3  # of a pixel: by its other side a picture is half a pixel off
_WHOLE = 0.05  # of a step, to be called missing slices
_GAPS_TOLD = 3
_FRAME_TIMES = {0x00181063: "FrameTime", 0x00181065: "FrameTimeVector"}
_PLANAR, _OTHER_SCALES = 1, {2, 3}  # of regions: places; M-mode, spectra
_CENTIMETRES = 3
_FLAT = 1e-3  # volume of a unit cube whose sides are no directions in space [chosen]
_EVEN = 0.05  # of a step in time, from which none may differ by more [chosen]

_Plane = tuple[tuple[float, ...] | None, tuple[float, ...] | None]
_Kind = tuple[tuple[str, ...] | tuple[float, ...] | float, ...]


def slice_order(
    datasets: Sequence[Dataset], paths: Sequence[Path]
) -> tuple[list[int], int | None]:
    """Return the order of single-frame files, and how many make one volume.

    By position, else number, else name. Where each place is held by as many slices
    (echoes, diffusion weightings, times), they are volumes that follow one another;
    None where there is one volume only, or the slices are no whole volumes.
    """
    places = [slice_position(dataset) for dataset in datasets]
    counts = [integer(dataset, "InstanceNumber", None) for dataset in datasets]
    names = [str(path) for path in paths]
    indices = range(len(datasets))
    numbered = [-1 if count is None else count for count in counts]
    known = [place for place in places if place is not None]
    if len(known) == len(datasets):
        order = sorted(indices, key=lambda i: (known[i], numbered[i], names[i]))
        return _as_volumes(order, known, [_kind(dataset) for dataset in datasets])
    if None not in counts:
        return sorted(indices, key=lambda i: (numbered[i], names[i])), None
    return sorted(indices, key=lambda i: names[i]), None


def frame_order(dataset: Dataset, frames: int) -> tuple[list[int], int | None] | None:
    """Return the order of the frames of one file as `slice_order` does that of files.

    By position, then as they lie in the file. None where a frame tells no place, or
    they are not parallel: nothing sorts them then.
    """
    located = _located(_planes([dataset], frames)[0])
    if len(located) != frames:
        return None
    turns = np.array([turn for _, turn in located], float)
    if np.abs(turns - turns[0]).max() > _PARALLEL:
        return None
    normal = np.cross(turns[0, :3], turns[0, 3:])
    places = (np.array([place for place, _ in located], float) @ normal).tolist()
    order = sorted(range(frames), key=places.__getitem__)
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[:frames]
    groups += [Dataset()] * (frames - len(groups))
    return _as_volumes(order, places, [_kind(*_contents(group)) for group in groups])


def _contents(group: Dataset) -> list[Dataset]:
    """Return the items of a frame's functional groups; makers' own may contradict."""
    return [
        element.value[0]
        for element in group
        if element.VR == "SQ" and not element.tag.is_private and element.value
    ]


def _as_volumes(
    order: list[int], places: Sequence[float], kinds: Sequence[_Kind]
) -> tuple[list[int], int | None]:
    """Return slices in order of their places as volumes, and slices in a volume."""
    stacks = [[order[0]]]
    for index in order[1:]:
        if places[index] - places[stacks[-1][0]] > _APART_MM:
            stacks.append([])
        stacks[-1].append(index)
    volumes = len(stacks[0])
    if volumes == 1 or any(len(stack) != volumes for stack in stacks):
        return order, None
    # sorting is stable: what has no such attributes stays in order of its numbers
    stacks = [sorted(stack, key=kinds.__getitem__) for stack in stacks]
    return [stack[k] for k in range(volumes) for stack in stacks], len(stacks)


def _kind(*told: Dataset) -> _Kind:
    """Return what tells the volumes of one series or file apart, as it sorts."""

    def value_of(keyword: str) -> Any:
        return next((one.get(keyword) for one in told if keyword in one), None)

    # an index of the place is among them, and the same in one place
    indices = value_of("DimensionIndexValues")
    several = indices if isinstance(indices, Iterable) else (indices,)
    types = value_of("ImageType") or value_of("FrameType") or ()
    return (
        tuple(map(_as_number, several)),
        tuple(map(str, types)),
        *(_as_number(value_of(keyword)) for keyword in _TOLD_APART_BY),
    )


def _as_number(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return -np.inf
    return found if np.isfinite(found) else -np.inf


def geometry_of(
    datasets: Sequence[Dataset],
    frames: int,
    depth: int | None,
    order: Sequence[int] | None = None,
) -> tuple[Geometry, str]:
    """Return spacing and affine of the frames, in their order, and what is wrong.

    Parameters
    ----------
    datasets : sequence of Dataset
        One for each frame, or the one of a multi-frame file.
    frames : int
        Number of frames.
    depth : int or None
        Frames of one volume, where it is known that there are several.
    order : sequence of int, optional
        That of the frames of a multi-frame file, where it is not the file's.

    Returns
    -------
    Geometry
        The affine takes (column, row, frame) to the patient's LPS system (PS3.3
        C.7.6.2.1.1). None where positions or the pixels' spacing are missing, or places
        are told in another system. Of slices that are not evenly spaced it has the
        first's place and their usual spacing.
    str
        Why the affine is not true of all frames; empty where it is.
    """
    row, column = _pixel_spacings(datasets[0])[0]
    planes, in_patient = _planes(datasets, frames)
    if order is not None:
        planes = [planes[index] for index in order]
    located = _located(planes)
    thickness = _thickness(datasets[0]) if frames == 1 else np.nan
    if len(located) != frames:
        problem = "some of its slices tell no place" if located else ""
        if len(datasets) == 1 and not located and is_cine(datasets[0], frames):
            depth = 1
        return Geometry((thickness, row, column), depth=depth), problem
    places = np.array([place for place, _ in planes], float)
    turns = np.array([turn for _, turn in planes], float)
    depth = depth or _period(places)
    step, problem = _step(places[:depth], turns, _thickness(datasets[0]))
    if not problem and depth is not None:
        again = places.reshape(-1, depth, 3)
        if np.abs(again - again[0]).max() > _SAME_PLACE_MM:
            problem = "its volumes do not lie in one place"
    between = float(np.linalg.norm(step))
    if problem or (len(places[:depth]) == 1 and np.isnan(_thickness(datasets[0]))):
        between = np.nan
    if np.isnan(row) or not in_patient:
        return Geometry((between, row, column), depth=depth), problem
    affine = np.eye(4)
    # the first value of PixelSpacing is the distance between rows
    affine[:3, 0] = turns[0, :3] * column
    affine[:3, 1] = turns[0, 3:] * row
    affine[:3, 2] = step
    affine[:3, 3] = places[0]
    if not _spans_space(affine):
        problem = "the places and directions that it tells cannot be true"
        return Geometry((thickness, row, column), depth=depth), problem
    return Geometry((between, row, column), affine, depth), problem


def _spans_space(affine: NDArray[np.float64]) -> bool:
    """Tell whether three directions lead out of one plane, over possible lengths."""
    if not np.abs(affine).max() < FAR:
        return False
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < 1.0 / FAR:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / sizes)) > _FLAT)


def is_cine(dataset: Dataset, frames: int) -> bool:
    """Tell whether the frames of a file without places follow one another in time.

    `FrameIncrementPointer` (PS3.3 C.7.6.6.1.2) says by what they do; where it is not
    there, that there is a time. In nuclear medicine it names vectors.
    """
    if frames == 1:
        return False
    if nuclear.has_times(dataset, frames):
        return True
    told = dataset.get("FrameIncrementPointer")
    if told is None or told == "":
        return any(_increments(dataset, name).size for name in _FRAME_TIMES.values())
    pointed = told if isinstance(told, Iterable) else [told]
    return any(tag in _FRAME_TIMES for tag in pointed)


def frame_time(dataset: Dataset, frames: int) -> tuple[float, str]:
    """Return how long after one another frames come, in s, and why that is unknown.

    NaN where they come unevenly, which the text says, or nothing tells it.
    """
    for name in _FRAME_TIMES.values():
        steps = _increments(dataset, name)
        if name == "FrameTimeVector":
            steps = steps[1:] if steps.size == frames else steps[:0]
        if steps.size and steps.min() > 0:
            return _even_step(steps)
    return _even_step(nuclear.frame_steps(dataset, frames))


def volume_time(datasets: Sequence[Dataset], depth: int | None) -> tuple[float, str]:
    """Return how long after one another volumes of a series come: see `frame_time`."""
    return _even_step(nuclear.volume_steps(datasets, depth), "volumes")


def _even_step(steps: NDArray[np.float64], what: str = "frames") -> tuple[float, str]:
    """Return steps in ms as one in s, and why they are none."""
    if not steps.size or not steps.min() > 0:
        return np.nan, ""
    mean = float(steps.mean())
    if np.abs(steps - mean).max() <= _EVEN * mean:
        return mean / 1000.0, ""
    least, most = (f"{round(one, 2):.10g}" for one in (steps.min(), steps.max()))
    return np.nan, f"its {what} come {least} to {most} ms after one another"


def _increments(dataset: Dataset, keyword: str) -> NDArray[np.float64]:
    """Return one or several numbers; none where they are damaged."""
    try:
        found = np.atleast_1d(np.asarray(dataset.get(keyword, ()), np.float64))
    except (TypeError, ValueError):
        return np.empty(0)
    return found if np.isfinite(found).all() else np.empty(0)


def uneven_pixels(datasets: Sequence[Dataset]) -> str:
    """Return why one size of pixels is not that of all slices; empty where it is.

    Parameters
    ----------
    datasets : sequence of Dataset
        As for `geometry_of`.
    """
    told = np.array([one for each in datasets for one in _pixel_spacings(each)])
    if len(told) == 1 or np.allclose(told, told[0], rtol=_SAME_SIZE, equal_nan=True):
        return ""
    return "the pixels of its slices differ in size"


def _pixel_spacings(dataset: Dataset) -> list[tuple[float, float]]:
    """Return rows' and columns' distance in mm, for each frame that tells them.

    One pair of NaN where none does.
    """
    told = []
    for keyword in ("PixelMeasuresSequence", "FramePixelDataPropertiesSequence"):
        items = functional_groups(dataset, keyword, some=True)
        told = [_pixel_spacing((item, dataset)) for item in items or [dataset]]
        if not np.isnan(told).all():
            break
    else:
        told = [_region_spacing(dataset)]
    return [one for one in told if not np.isnan(one).any()] or told[:1]


def _pixel_spacing(sources: Iterable[Dataset]) -> tuple[float, float]:
    for source in sources:
        for keyword in (
            "PixelSpacing",
            "ImagerPixelSpacing",
            "NominalScannedPixelSpacing",
        ):
            found = numbers(source, keyword, 2)
            if found and min(found) > 1.0 / FAR:
                return found[0], found[1]
    return np.nan, np.nan


def _region_spacing(dataset: Dataset) -> tuple[float, float]:
    """Return rows' and columns' distance in mm by the regions of an ultrasound picture.

    PS3.3 C.8.5.5. NaN unless all regions that show places lie in the picture (else it
    was reduced or cropped since) and agree. Curves beside them, as an ECG, do not
    count; M-mode and spectra do.
    """
    told = dataset.get("SequenceOfUltrasoundRegions")
    several = told if isinstance(told, Iterable) else ()  # not so where it is damaged
    regions = [one for one in several if isinstance(one, Dataset)]
    formats = [integer(one, "RegionSpatialFormat", 0) for one in regions]
    if _PLANAR not in formats or not _OTHER_SCALES.isdisjoint(formats):
        return np.nan, np.nan
    planar = [
        one for one, kind in zip(regions, formats, strict=True) if kind == _PLANAR
    ]
    steps = np.array([_region_step(one, dataset) for one in planar])
    if not np.allclose(steps, steps[0], rtol=_SAME_SIZE, atol=0.0):
        return np.nan, np.nan
    return float(steps[0, 0]), float(steps[0, 1])


def _region_step(region: Dataset, dataset: Dataset) -> tuple[float, float]:
    """Return rows' and columns' distance in mm of one region; NaN where unknown."""
    steps = []
    for axis, low, high, side in (
        ("Y", "Y0", "Y1", "Rows"),
        ("X", "X0", "X1", "Columns"),
    ):
        first = integer(region, f"RegionLocationMin{low}", None)
        last = integer(region, f"RegionLocationMax{high}", None)
        unit = integer(region, f"PhysicalUnits{axis}Direction", 0)
        step = _increments(region, f"PhysicalDelta{axis}")
        if first is None or last is None or unit != _CENTIMETRES or step.size != 1:
            return np.nan, np.nan
        # some count the last pixel as one more
        if not 0 <= first < last <= integer(dataset, side, 0) or not step[0]:
            return np.nan, np.nan
        steps.append(10.0 * abs(float(step[0])))
    return steps[0], steps[1]


def _thickness(dataset: Dataset) -> float:
    items = functional_groups(dataset, "PixelMeasuresSequence", some=True)
    for source in [*items[:1], dataset]:
        for keyword in ("SpacingBetweenSlices", "SliceThickness"):
            try:
                found = float(source.get(keyword) or np.nan)
            except (TypeError, ValueError):
                continue
            if 1.0 / FAR < found < FAR:
                return found
    return np.nan


def _planes(datasets: Sequence[Dataset], frames: int) -> tuple[list[_Plane], bool]:
    """Return position and orientation of each frame, and whether in the patient.

    Enhanced ultrasound volumes tell both in the transducer's system (PS3.3 C.8.24.2).
    """
    if (len(datasets) == frames and frames > 1) or frames == 1:
        flat: list[_Plane] = [
            (
                numbers(dataset, "ImagePositionPatient", 3),
                numbers(dataset, "ImageOrientationPatient", 6),
            )
            for dataset in datasets
        ]
        if frames > 1 or flat[0][0] is not None:
            return flat, True
    if slices := nuclear.planes_of(datasets[0], frames):
        return list(slices), True
    planes = _framed_planes(datasets[0], frames, "", "Patient")
    if not _located(planes):
        volume = _framed_planes(datasets[0], frames, "Volume", "Volume")
        if _located(volume):
            return volume, False
    return planes, True


def _framed_planes(
    dataset: Dataset, frames: int, group: str, system: str
) -> list[_Plane]:
    """Return position and orientation of each frame by its functional groups."""
    places = _of_each(dataset, f"PlanePosition{group}Sequence", frames)
    turns = _of_each(dataset, f"PlaneOrientation{group}Sequence", frames)
    return [
        (
            numbers(place, f"ImagePosition{system}", 3),
            numbers(turn, f"ImageOrientation{system}", 6),
        )
        for place, turn in zip(places, turns, strict=True)
    ]


def _of_each(dataset: Dataset, keyword: str, frames: int) -> list[Dataset]:
    """Return the item of a functional group for each frame, empty where it has none."""
    for item in dataset.get("SharedFunctionalGroupsSequence") or []:
        if item.get(keyword):
            return [item.get(keyword)[0]] * frames
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[:frames]
    found = [(group.get(keyword) or [Dataset()])[0] for group in groups]
    return found + [Dataset()] * (frames - len(found))


def _located(planes: Sequence[_Plane]) -> list[_Plane]:
    """Return those planes of which the place and the orientation are known."""
    return [plane for plane in planes if plane[0] and plane[1]]


def _period(places: NDArray[np.float64]) -> int | None:
    """Return after how many frames their places repeat, to the end; else None."""
    again = np.abs(places[1:] - places[0]).max(axis=1) <= _SAME_PLACE_MM
    if not again.any():
        return None
    depth = int(np.argmax(again)) + 1
    if len(places) % depth:
        return None
    volumes = places.reshape(-1, depth, 3)
    return depth if np.abs(volumes - volumes[0]).max() <= _SAME_PLACE_MM else None


def _step(
    places: NDArray[np.float64], turns: NDArray[np.float64], thickness: float
) -> tuple[NDArray[np.float64], str]:
    """Return the vector from one slice to the next, and why it is not that of all."""
    normal = np.cross(turns[0, :3], turns[0, 3:])
    alone = normal * (1.0 if np.isnan(thickness) else thickness)
    if np.abs(turns - turns[0]).max() > _PARALLEL:
        return alone, "its slices are not parallel"
    if len(places) == 1:
        return alone, ""
    steps = np.diff(places, axis=0)
    mean = steps.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length > 0 and np.abs(steps - mean).max() <= 0.01 * length + 1e-3:
        return mean, ""
    lengths = np.linalg.norm(steps, axis=1)
    moving = np.flatnonzero(lengths > _SAME_PLACE_MM)
    if not len(moving):
        return alone, "all of its slices lie in one place"
    ordered = moving[np.argsort(lengths[moving], kind="stable")]
    usual = ordered[(len(ordered) - 1) // 2]  # the median, and one of them
    if len(moving) < len(lengths):
        problem = "several of its slices lie in one place, and are no whole volumes"
        return steps[usual], problem
    return steps[usual], _unevenness(lengths, float(lengths[usual]))


def _unevenness(lengths: NDArray[np.float64], usual: float) -> str:
    """Say where slices are missing, or how far apart they lie."""
    ratios = lengths / usual
    missing = np.rint(ratios).astype(int) - 1
    whole = np.abs(ratios - np.rint(ratios)) <= _WHOLE
    if not whole.all() or missing.min() < 0 or not missing.any():
        return (
            f"its slices are not evenly spaced: they lie {lengths.min():.4g} to "
            f"{lengths.max():.4g} mm apart"
        )
    gaps = np.flatnonzero(missing)
    told = [f"{missing[gap]} after slice {gap + 1}" for gap in gaps[:_GAPS_TOLD]]
    more = f" and {len(gaps) - _GAPS_TOLD} more gaps" if len(gaps) > _GAPS_TOLD else ""
    return f"slices are missing: {', '.join(told)}{more} ({usual:.4g} mm apart)"
