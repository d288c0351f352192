"""Where slices lie: their order, spacing and the affine of the stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medenh.formats.dicom.header import integer, numbers, slice_position
from medenh.formats.dicom.meaning import functional_groups
from medenh.types import Geometry

__all__ = ["geometry_of", "slice_order"]

_Plane = tuple[tuple[float, ...] | None, tuple[float, ...] | None]


def slice_order(datasets: Sequence[Dataset], paths: Sequence[Path]) -> list[int]:
    """Return the order of single-frame files: position, else number, else name."""
    places = [slice_position(dataset) for dataset in datasets]
    counts = [integer(dataset, "InstanceNumber", None) for dataset in datasets]
    names = [str(path) for path in paths]
    indices = range(len(datasets))
    numbered = [-1 if count is None else count for count in counts]
    known = [place for place in places if place is not None]
    if len(known) == len(datasets) and max(known) - min(known) > 1e-3:
        return sorted(indices, key=lambda i: (known[i], numbered[i], names[i]))
    if None not in counts:
        return sorted(indices, key=lambda i: (numbered[i], names[i]))
    return sorted(indices, key=lambda i: names[i])


def geometry_of(datasets: Sequence[Dataset], frames: int) -> Geometry:
    """Return spacing and affine of the frames, in their order.

    Parameters
    ----------
    datasets : sequence of Dataset
        One for each frame, or the one of a multi-frame file.
    frames : int
        Number of frames.

    Returns
    -------
    Geometry
        The affine takes (column, row, frame) to the patient's LPS system (PS3.3
        C.7.6.2.1.1). None where positions are missing, or frames are not parallel
        and evenly spaced.
    """
    row, column = _pixel_spacing(datasets[0])
    planes = _planes(datasets, frames)
    step = _frame_step(planes)
    between = float(np.linalg.norm(step)) if step is not None else np.nan
    if np.isnan(between) and frames == 1:
        between = _thickness(datasets[0])
    affine = _affine(planes, step, (row, column), between)
    return Geometry((between, row, column), affine)


def _pixel_spacing(dataset: Dataset) -> tuple[float, float]:
    items = functional_groups(dataset, "PixelMeasuresSequence")
    for source in [*items[:1], dataset]:
        for keyword in (
            "PixelSpacing",
            "ImagerPixelSpacing",
            "NominalScannedPixelSpacing",
        ):
            found = numbers(source, keyword, 2)
            if found and min(found) > 0:
                return found[0], found[1]
    return np.nan, np.nan


def _thickness(dataset: Dataset) -> float:
    items = functional_groups(dataset, "PixelMeasuresSequence")
    for source in [*items[:1], dataset]:
        for keyword in ("SpacingBetweenSlices", "SliceThickness"):
            try:
                found = float(source.get(keyword) or np.nan)
            except (TypeError, ValueError):
                continue
            if found > 0:
                return found
    return np.nan


def _planes(datasets: Sequence[Dataset], frames: int) -> list[_Plane]:
    """Return position and orientation of each frame."""
    if (len(datasets) == frames and frames > 1) or frames == 1:
        flat: list[_Plane] = [
            (
                numbers(dataset, "ImagePositionPatient", 3),
                numbers(dataset, "ImageOrientationPatient", 6),
            )
            for dataset in datasets
        ]
        if frames > 1 or flat[0][0] is not None:
            return flat
    places = functional_groups(datasets[0], "PlanePositionSequence")
    turns = functional_groups(datasets[0], "PlaneOrientationSequence")
    if len(places) != frames or len(turns) not in (1, frames):
        return []
    if len(turns) == 1:
        turns = turns * frames
    return [
        (
            numbers(place, "ImagePositionPatient", 3),
            numbers(turn, "ImageOrientationPatient", 6),
        )
        for place, turn in zip(places, turns, strict=True)
    ]


def _frame_step(planes: Sequence[_Plane]) -> NDArray[np.float64] | None:
    """Return the vector from one frame to the next if it is the same for all."""
    if len(planes) < 2 or any(p is None or t is None for p, t in planes):
        return None
    places = np.array([place for place, _ in planes], float)
    turns = np.array([turn for _, turn in planes], float)
    steps = np.diff(places, axis=0)
    mean = steps.mean(axis=0)
    length = float(np.linalg.norm(mean))
    even = np.abs(steps - mean).max() <= 0.01 * length + 1e-3
    parallel = np.abs(turns - turns[0]).max() <= 1e-3
    return mean if length > 0 and even and parallel else None


def _affine(
    planes: Sequence[_Plane],
    step: NDArray[np.float64] | None,
    spacing: tuple[float, float],
    between: float,
) -> NDArray[np.float64] | None:
    if not planes or np.isnan(spacing[0]) or (len(planes) > 1 and step is None):
        return None
    place, turn = planes[0]
    if place is None or turn is None:
        return None
    along_row, along_column = np.array(turn[:3]), np.array(turn[3:])
    if step is None:
        thick = 1.0 if np.isnan(between) else between
        step = np.cross(along_row, along_column) * thick
    affine = np.eye(4)
    # the first value of PixelSpacing is the distance between rows
    affine[:3, 0] = along_row * spacing[1]
    affine[:3, 1] = along_column * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = place
    return affine
