"""Folders of the user's own images to learn from, with partners, masks and labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medenh import formats, intensity
from medenh.errors import InputError, UsageError, counted
from medenh.formats.discover import IsOutput
from medenh.formats.outputs import is_output_folder
from medenh.formats.pairing import Listing, list_pictures
from medenh.tasks.labels import class_of, read_labels
from medenh.tasks.masks import read_mask
from medenh.tasks.table import Task
from medenh.training.data import CleanImage, coverage, digest_of, reduced
from medenh.types import Image, UnitRange

__all__ = ["levels_of", "load_folder"]

_log = logging.getLogger(__name__)
# pictures of a run or a sweep, and what lies beside them
_RUN, _SWEEP = ("config.json", "log.csv"), ("runs.csv", "summary.csv")
_DRAWN = {
    "curve.png": _RUN,
    "samples.png": _RUN,
    "sweep.png": _SWEEP,
    "frontier.png": _SWEEP,
}
_SHOWN = 10  # unequal pairs that are named
_FAR = 8.0  # times that two ranges differ in width before partners seem unlike [chosen]
_CLIPPED = 0.02  # share of a clean picture whose clipping is told [chosen]


def load_folder(
    root: str,
    max_side: int,
    *,
    low: str = "",
    masks: str = "",
    labels: str = "",
    task: Task | None = None,
) -> list[CleanImage]:
    """Read a folder into memory; of volumes every frame is an image.

    Parameters
    ----------
    root : str
        Folder, or a file. Subfolders that runs wrote their outputs into hold no clean
        pictures: they are passed over, with a warning.
    max_side : int
        Larger images are reduced to this long side.
    low : str
        Folder of real low-quality partners: same names, same shapes. Where the numbers
        of a pair are on one scale, both go through the range of the low-quality
        picture, and what of the clean one lies outside is clipped, which is told where
        it is much. Of two bit depths that values alone tell, the larger is for both.
    masks, labels : str
        Answers to ``task``: masks of the same names, or a CSV of file and label.
    task : Task, optional
        Only images with an answer to it.

    Returns
    -------
    list of CleanImage
        In the order of their names; the first folder of a relative name is the group
        (patient), or else the name itself. Groups that share a picture, that of one
        value aside, are one. The data set is the folder's name. Unreadable files,
        masks of another size than their picture, and pairs that differ in frames, size
        or channels are left out and logged.

    Raises
    ------
    UsageError
        Nothing is left: all pairs differ; nothing has a partner or an answer: low,
        masks or labels, whichever have no name of an image, are told.
    """
    read = Path(labels) if labels else None
    listing = _list_own(root, is_output_folder, read)
    partners = _list_own(low, labels=read) if low else None
    truths = _list_own(masks, labels=read) if masks and task else None
    known = _read_labels(read, task) if read and task else {}
    _check_names(listing, partners, truths, known, task)
    lists = [one for one in (listing, partners, truths) if one is not None]
    for path, error in (pair for one in lists for pair in one.rejected):
        _log.warning("%s is left out: %s", path, error.what)
    images: list[CleanImage] = []
    pairs = _Pairs()
    alike: dict[str, set[str]] = {}
    lonely = unanswered = 0
    for key in listing.files:
        if partners is not None and key not in partners.files:
            lonely += 1
            continue
        name = listing.name_of(key)
        try:
            image = formats.read(listing.files[key])
            if partners is None:
                frames = _frames(name, key, image, image.unit_range, max_side)
            else:
                low_path = partners.files[key]
                frames = pairs.frames(name, key, image, low_path, max_side)
            if not frames:  # of a pair that does not fit
                continue
            answered = _answered(frames, key, truths, known, task, max_side)
        except InputError as error:
            path = error.path or listing.files[key]
            _log.warning("%s is left out: %s", path, error.what)
            continue
        unanswered += not answered
        images += answered
        alike.setdefault(_identity(key, image), set()).add(frames[0].group)
    pairs.tell(low, some_left=bool(images))
    for count, what in ((lonely, "partner"), (unanswered, "answer")):
        if count and images:
            _log.warning(
                "left out, without %s: %d of %s in %s",
                what,
                count,
                counted(len(listing.files), "file"),
                root,
            )
    if not images:
        asked = {"a partner": low, "an answer": task}
        words = [word for word, given in asked.items() if given]
        wanted = f" with {' and '.join(words)}" if words else ""
        raise UsageError(f"no image{wanted} to learn from", path=root)
    source = Path(root).name
    return [replace(one, dataset=source) for one in _joined(images, alike.values())]


def _list_own(
    root: str, is_output: IsOutput | None = None, labels: Path | None = None
) -> Listing:
    """List the pictures of a folder, but for those that a training run drew there.

    ``is_output`` and ``labels`` as of `list_pictures`.

    Raises
    ------
    UsageError
        None is left.
    """
    listing = list_pictures(Path(root), is_output=is_output, labels=labels)
    kept = {key: path for key, path in listing.files.items() if not _is_drawn(path)}
    drawn = len(listing.files) - len(kept)
    if drawn:
        told = counted(drawn, "picture")
        _log.info("%s: left out %s that training drew", root, told)
    if not kept:
        raise UsageError("no image to learn from", path=root)
    return replace(listing, files=kept)


def _is_drawn(path: Path) -> bool:
    """Say whether a run or sweep wrote a picture: it lies beside what they write."""
    beside = _DRAWN.get(path.name, ())
    return bool(beside) and all((path.parent / name).is_file() for name in beside)


def _tell_strays(listing: Listing, what: str, place: str, there: set[str]) -> None:
    """Warn of partners, masks or labels that belong to no image."""
    known = {*listing.files, *listing.damaged}
    names: set[str] = set()
    if what == "label":  # a row may stand for a file in another folder
        names = {Path(key).name for key in known}
        there = there - {Path(key).name for key in there if "/" in key}
    strays = [one for one in sorted(there - known) if Path(one).name not in names]
    if strays:
        _log.warning(
            "%d of %d %ss in %s belong to no image in data.high and are left out, %s "
            "for one",
            len(strays),
            len(there),
            what,
            place,
            strays[0],
        )


def _check_names(
    listing: Listing,
    partners: Listing | None,
    truths: Listing | None,
    known: dict[str, int],
    task: Task | None,
) -> None:
    """Refuse partners, masks or labels of which none has the name of an image.

    Those that belong to no image are warned about.
    """
    names = {("partner", "data.low"): set(partners.files) if partners else None}
    if task is not None and task.kind == "classification":
        names["label", "data.labels"] = set(known)
    elif task is not None:
        names["mask", "data.masks"] = set(truths.files) if truths else None
    for (what, place), there in names.items():
        by_name = {Path(key).name for key in listing.files} if what == "label" else ()
        if there is None or there & {*listing.files, *by_name}:
            continue
        one, two = next(iter(listing.files)), min(there, default="nothing")
        raise UsageError(
            f"no image has a {what} in {place} of the same name "
            f"(for example {one!r} here, {two!r} there)",
            path=listing.root,
            hint="names must be equal but for the extension and '.enhanced'",
        )
    for (what, place), there in names.items():
        if there is not None:
            _tell_strays(listing, what, place, there)


def _identity(key: str, image: Image) -> str:
    """Return what equal pictures share; those of one value share nothing."""
    flat = image.pixels.min() == image.pixels.max()
    return f"flat {key}" if flat else digest_of(image.pixels)


def _joined(images: list[CleanImage], alike: Iterable[set[str]]) -> list[CleanImage]:
    """Give groups that share a picture one name: the smallest."""
    heads: dict[str, str] = {}

    def head(group: str) -> str:
        while group in heads:
            group = heads[group]
        return group

    for groups in alike:
        found = {head(group) for group in groups}
        first = min(found)
        heads |= dict.fromkeys(found - {first}, first)
    return [replace(image, group=head(image.group)) for image in images]


def _frames(
    name: str, key: str, image: Image, unit_range: UnitRange, max_side: int
) -> list[CleanImage]:
    group = Path(name).parts[0] if "/" in name else key
    digest = digest_of(image.pixels)
    return [
        CleanImage(
            f"{name}#{index}" if index else name,
            str(image.modality),
            "train",
            group,
            pixels,
            digest=digest,
        )
        for index, pixels in enumerate(levels_of(image, unit_range, max_side))
    ]


def levels_of(image: Image, unit_range: UnitRange, max_side: int) -> list[NDArray[Any]]:
    """Return the frames as 8-bit or, where the file is deeper, 16-bit levels."""
    shallow = image.pixels.dtype == np.uint8 and _is_full_scale(unit_range)
    white, dtype = (255, np.uint8) if shallow else (65535, np.uint16)
    unit = np.moveaxis(intensity.to_unit(image.pixels, unit_range), 1, -1)
    return [reduced(np.rint(one * white).astype(dtype), max_side) for one in unit]


class _Pairs:
    """Reads partners, and remembers those that do not fit."""

    def __init__(self) -> None:
        self._count = 0
        self._unequal: list[str] = []
        self._far: list[Path] = []
        self._shallow: list[Path] = []
        self._clipped: list[tuple[float, str]] = []

    def frames(
        self, name: str, key: str, high: Image, path: Path, max_side: int
    ) -> list[CleanImage]:
        """Return the frames with their partners; none where the files differ."""
        low = formats.read(path)
        self._count += 1
        if low.pixels.shape != high.pixels.shape:
            clean_partner = f"its clean partner {high.source} {_described(high)}"
            self._unequal.append(f"{path} is {_described(low)}, {clean_partner}")
            return []
        low_range, high_range = low.unit_range, high.unit_range
        if _share_scale(low, high):
            shared = self._shared(low_range, high_range, path)
            self._note_clipped(low, high, shared)
            # polarity is how a file is written, not what was measured
            low_range = replace(shared, inverted=low_range.inverted)
            high_range = replace(shared, inverted=high_range.inverted)
        clean = _frames(name, key, high, high_range, max_side)
        lows = levels_of(low, low_range, max_side)
        digest = digest_of(low.pixels, clean[0].digest)
        return [
            replace(f, low=one, digest=digest)
            for f, one in zip(clean, lows, strict=True)
        ]

    def _shared(self, low: UnitRange, high: UnitRange, path: Path) -> UnitRange:
        """Return the range for both of a pair on one scale."""
        guessed = low.guessed and high.guessed
        ratio = (high.high - high.low) / (low.high - low.low)
        apart = high.low >= low.high or high.high <= low.low
        # a guess goes by steps of 4
        most = _FAR**2 if guessed else _FAR
        if apart or not 1 / most <= ratio <= most:
            self._far.append(path)
        elif guessed and ratio > 1:
            self._shallow.append(path)
        return high if guessed and ratio > 1 else low

    def _note_clipped(self, low: Image, high: Image, shared: UnitRange) -> None:
        """Remember a clean picture that a range clips where its partner is whole."""
        whole, kept = (
            (one.pixels >= shared.low) & (one.pixels <= shared.high)
            for one in (low, high)
        )
        share = float(np.mean(whole & ~kept))
        if share > _CLIPPED:
            self._clipped.append((share, str(high.source)))

    def tell(self, root: str, *, some_left: bool) -> None:
        """Warn of pairs that differ in shape, which are left out, or seem unlike.

        Also of clean pictures that lose much to the range that the pair shares.

        Raises
        ------
        UsageError
            Pairs differ, and nothing else is left.
        """
        if self._unequal:
            more = len(self._unequal) - _SHOWN
            rest = f"; and {more} more" if more > 0 else ""
            named = f"{'; '.join(self._unequal[:_SHOWN])}{rest}"
            what = (
                "pairs that differ in frames, size or channels: "
                f"{len(self._unequal)} of {self._count}"
            )
            if not some_left:
                raise UsageError(f"{what}: {named}", path=root)
            _log.warning("left out, %s: %s", what, named)
        if self._far:
            _log.warning(
                "clean pictures with values far from those of their low-quality "
                "partners: %d, the first %s: save pairs in the same units",
                len(self._far),
                self._far[0],
            )
        if self._shallow:
            _log.warning(
                "low-quality pictures without a value that needs the bit depth of "
                "their clean partner, read with it all the same: %d, the first %s: "
                "`medenh enhance --bits` tells the depth there",
                len(self._shallow),
                self._shallow[0],
            )
        if self._clipped:
            share, worst = max(self._clipped)
            _log.warning(
                "clean pictures clipped in more than %.0f %% of their pixels, which "
                "lie beyond the range of their low-quality partner: %d, the worst %s "
                "in %.0f %%: save pairs with equal brightness, or as PNG or TIFF of 16 "
                "bits, whose range is that of the depth",
                100 * _CLIPPED,
                len(self._clipped),
                worst,
                100 * share,
            )


def _described(image: Image) -> str:
    frames, channels = (
        counted(image.frames, "frame"),
        counted(image.channels, "channel"),
    )
    return f"{frames} of {image.height} x {image.width} with {channels}"


def _share_scale(low: Image, high: Image) -> bool:
    """Say whether equal numbers in two files mean the same intensity.

    Not where both are full scales of different types (a PNG of 8 bits and a TIFF of
    16), or one is and the other has units (a PNG of a CT slice).
    """
    if low.pixels.dtype == high.pixels.dtype and low.pixels.dtype.kind in "iu":
        return True
    full = [_is_full_scale(image.unit_range) for image in (low, high)]
    return not (all(full) if low.units == high.units else any(full))


def _is_full_scale(unit_range: UnitRange) -> bool:
    """Say whether a range is 0 to the white of a type: 1, 255, 1023, 65535."""
    white = unit_range.high
    return (
        unit_range.low == 0 and white.is_integer() and not int(white + 1) & int(white)
    )


def _answered(
    frames: list[CleanImage],
    key: str,
    truths: Listing | None,
    known: dict[str, int],
    task: Task | None,
    max_side: int,
) -> list[CleanImage]:
    if task is None:
        return frames
    if task.kind == "classification":
        label = next(
            (known[key] for key in (key, Path(key).name) if key in known), None
        )
        if label is None:
            return []
        digest = f"{frames[0].digest}/{label}"
        return [replace(f, label=label, digest=digest) for f in frames]
    if truths is None or key not in truths.files:
        return []
    if len(frames) > 1:
        raise InputError("it is a volume, and only pictures can have masks here")
    numbers = read_mask(truths.files[key])
    planes = coverage(numbers, task, max_side)
    if planes.shape[:2] != frames[0].pixels.shape[:2]:
        path = truths.files[key]
        raise InputError(f"its mask {path} is of another size", path=path)
    digest = digest_of(numbers, frames[0].digest)
    return [replace(frames[0], mask=planes, digest=digest)]


def _read_labels(path: Path, task: Task) -> dict[str, int]:
    """Return class numbers by key, whole and of the bare name where that is enough."""
    labels = read_labels(path, [task])
    known = {key: class_of(label, task) for key, label in labels.items()}
    by_name: dict[str, set[int]] = {}
    for key, label in known.items():
        by_name.setdefault(Path(key).name, set()).add(label)
    # a row may stand for a file in another folder, where no other name is meant
    sole = {name: min(found) for name, found in by_name.items() if len(found) == 1}
    return sole | known
