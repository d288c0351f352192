"""The pipeline as one function: an array, an image, a file, or a whole cohort."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from medenh.arrays import PillowPicture, without_pillow
from medenh.errors import UsageError
from medenh.formats import array
from medenh.paths import StrPath, as_place
from medenh.pipeline.files import enhance_files
from medenh.pipeline.in_memory import Source, as_paths, enhance_in_memory
from medenh.pipeline.options import options_of
from medenh.pipeline.results import Summary
from medenh.types import Image

__all__ = ["enhance"]

_Number = TypeVar("_Number", bound=np.generic)


@overload
def enhance(
    input: NDArray[_Number],
    output: None = None,
    *,
    uncertainty: Literal[True],
    **options: Any,
) -> tuple[NDArray[_Number], NDArray[np.float32]]: ...
@overload
def enhance(
    input: PillowPicture,
    output: None = None,
    *,
    uncertainty: Literal[True],
    **options: Any,
) -> tuple[NDArray[Any], NDArray[np.float32]]: ...
@overload
def enhance(
    input: Image | StrPath,
    output: None = None,
    *,
    uncertainty: Literal[True],
    **options: Any,
) -> tuple[Image, Image]: ...
@overload
def enhance(
    input: NDArray[_Number], output: None = None, **options: Any
) -> NDArray[_Number]: ...
@overload
def enhance(
    input: PillowPicture, output: None = None, **options: Any
) -> NDArray[Any]: ...
@overload
def enhance(input: Image | StrPath, output: None = None, **options: Any) -> Image: ...
@overload
def enhance(
    input: Image | NDArray[Any] | PillowPicture, output: StrPath, **options: Any
) -> Path: ...
@overload
def enhance(input: StrPath, output: StrPath, **options: Any) -> Path | Summary: ...
@overload
def enhance(input: Iterable[StrPath], output: StrPath, **options: Any) -> Summary: ...
def enhance(
    input: Source | Iterable[StrPath],
    output: StrPath | None = None,
    *,
    model: str = "auto",
    **options: Any,
) -> Any:
    """Enhance an array, an image, a file, or many.

    Parameters
    ----------
    input : array, Image, picture of Pillow, path, or iterable of paths
        Arrays are (H, W), (H, W, C), (frames, H, W) or (frames, H, W, C), with 1, 3 or
        4 channels (RGB and opacity), of integers, floats of up to 64 bits (longdouble
        is refused), or booleans, which are 0 and 1 and come back as booleans. NaN keeps
        its place; masked values (`numpy.ma`) are refused: fill them. Channels come
        last: (3, H, W) is taken for three grey frames. Pictures of Pillow, of mode L,
        I;16, RGB, RGBA or F, are taken as `numpy.asarray` gives them.
    output : path, optional
        Where files go: a file for one image (a file, or a DICOM series), else a folder.
        An iterable of paths needs one.
    model : str
        Id, alias or "auto"; see `medenh.list_models`.
    **options
        Fields of `EnhanceOptions`: ``strength=0.5``, ``modality="fundus"``...

    Returns
    -------
    array, Image, Path or Summary
        An array for an array or a picture of Pillow; an Image for an Image, and for a
        path without ``output``, else the output's path; a summary for a folder, and for
        an iterable of paths, however many it holds.
        With ``uncertainty=True`` and no ``output`` a pair of arrays or Images: the
        enhanced one, and the map of the answers' standard deviation, float32 of shape
        ([frames,] H, W) in parts of the range; with an output it is a file beside it.

    Warns
    -----
    UserWarning
        What a reader of the output of one file must know: the input or the result is
        outside the model's card, something of the file is lost. Arrays and Images are
        not measured; ``strict=True`` does, and refuses. Black and white of an array
        were guessed from its values, or (3, H, W) was taken for frames.

    Raises
    ------
    MedenhError
        The one of its kinds that tells what is wrong. Where a summary is returned,
        each file's failure is in it instead.
    """
    asked = options_of(model=model, **options)
    source = without_pillow(input)
    if isinstance(source, str | os.PathLike):
        source = as_place(source, "input")
    output = None if output is None else as_place(output, "output")
    array.check_own_range(source, asked.data_range)
    if isinstance(source, np.ndarray | Image):
        return enhance_in_memory(source, output, asked)
    if not isinstance(source, str | Path):
        paths = as_paths(source)
        if output is None:  # one of several would be written beside its input
            raise UsageError(
                "paths need an output, the folder that the files go to",
                hint='enhance(paths, "out"); of one path an Image is returned',
            )
        return enhance_files(paths, output, asked)
    if output is None:
        return enhance_in_memory(source, None, asked)
    summary = enhance_files([source], output, asked)
    if Path(source).is_dir():
        return summary
    if summary.failed:
        raise summary.failed[0].error
    told = (word for result in summary.written for word in result.warnings)
    for word in dict.fromkeys(told):  # slices of a series share theirs
        warnings.warn(word, stacklevel=2)
    done = [result.output for result in summary.written]
    return (done or [skip.output for skip in summary.skipped])[0]
