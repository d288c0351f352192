"""Frames of nuclear medicine: what is told of their place and time.

PS3.3 C.8.4.8 (NM Multi-frame), C.8.4.14 (NM Phase), C.8.4.15 (NM Reconstruction), and
C.8.9.4 (PET Image).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from medenh.formats.dicom.header import numbers

__all__ = ["frame_steps", "has_times", "planes_of", "volume_steps"]

_GROUP = 0x0054
_TIMES = {"TimeSliceVector", "TimeSlotVector"}

_Plane = tuple[tuple[float, ...], tuple[float, ...]]


def planes_of(dataset: Dataset, frames: int) -> list[_Plane]:
    """Return position and orientation of each frame of reconstructed slices.

    Parameters
    ----------
    dataset : Dataset
    frames : int
        Number of frames.

    Returns
    -------
    list of (position, orientation)
        In mm, and as direction cosines. Empty where the frames are no slices, or
        nothing tells their place.

    Notes
    -----
    The place of the first slice stands in `DetectorInformationSequence`. A positive
    spacing leads along the normal, a negative one against it.
    """
    indices = _vectors(dataset, frames).get("SliceVector")
    step = _slice_step(dataset)
    detectors = dataset.get("DetectorInformationSequence") or []
    for detector in detectors:
        place = numbers(detector, "ImagePositionPatient", 3)
        turn = numbers(detector, "ImageOrientationPatient", 6)
        if indices is None or np.isnan(step) or place is None or turn is None:
            continue
        along = np.cross(turn[:3], turn[3:]) * step
        places = np.array(place) + (indices[:, None] - 1) * along
        return [(tuple(map(float, one)), turn) for one in places]
    return []


def has_times(dataset: Dataset, frames: int) -> bool:
    """Tell whether the frames are one view at several times.

    So are those of dynamic and gated planar pictures, of one detector and one energy
    window. Several of these are several pictures.
    """
    vectors = _vectors(dataset, frames)
    others = set(vectors) - _TIMES - {"PhaseVector"}
    return not _TIMES.isdisjoint(vectors) and all(
        (vectors[name] == vectors[name][0]).all() for name in others
    )


def frame_steps(dataset: Dataset, frames: int) -> NDArray[np.float64]:
    """Return how long after one another dynamic frames begin, in ms.

    Empty where one of the phases does not tell it.
    """
    phases = _vectors(dataset, frames).get("PhaseVector")
    told = dataset.get("PhaseInformationSequence") or []
    if phases is None or phases.max() > len(told):
        return np.empty(0)
    names = ("ActualFrameDuration", "PauseBetweenFrames", "PhaseDelay")
    lasts, pauses, delays = np.array(
        [[_number(item, name) for name in names] for item in told]
    )[phases - 1].T
    new_phase = phases[1:] != phases[:-1]
    steps: NDArray[np.float64] = lasts[:-1] + np.where(
        new_phase, delays[1:], pauses[:-1]
    )
    return steps if np.isfinite(steps).all() else np.empty(0)


def volume_steps(datasets: Sequence[Dataset], depth: int | None) -> NDArray[np.float64]:
    """Return how long after one another volumes of PET slices come, in ms.

    Parameters
    ----------
    datasets : sequence of Dataset
        One for each slice, in order.
    depth : int or None
        Slices of one volume.

    Returns
    -------
    array
        Of a volume the first slice counts: beds of a body follow one another in it.
        Empty where there is one volume, or a slice does not tell its time.
    """
    if depth is None or len(datasets) == depth:
        return np.empty(0)
    times = [_number(one, "FrameReferenceTime") for one in datasets[::depth]]
    steps = np.diff(times)
    return steps if np.isfinite(steps).all() else np.empty(0)


def _vectors(dataset: Dataset, frames: int) -> dict[str, NDArray[np.int64]]:
    """Return the indices, from 1, along each dimension that the pointer names."""
    told = dataset.get("FrameIncrementPointer")
    pointed = told if isinstance(told, Iterable) else [told]
    found = {}
    for tag in pointed:
        if not isinstance(tag, int) or tag >> 16 != _GROUP:
            continue
        keyword = keyword_for_tag(tag)
        try:
            indices = np.atleast_1d(np.asarray(dataset.get(keyword), np.int64))
        except (TypeError, ValueError, OverflowError):
            continue
        if indices.shape == (frames,) and indices.min() >= 1:
            found[keyword] = indices
    return found


def _slice_step(dataset: Dataset) -> float:
    """Return the distance between slices in mm, against the normal below zero."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        found = _number(dataset, keyword)
        if np.isfinite(found) and found != 0:
            return found
    return np.nan


def _number(dataset: Dataset, keyword: str) -> float:
    try:
        return float(dataset.get(keyword))
    except (TypeError, ValueError):
        return np.nan
