"""Evaluation from Python: the user's own pairs, and the frozen protocols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from medenh.arrays import is_pillow
from medenh.errors import UsageError
from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol
from medenh.evaluation.pairs import evaluate_pairs
from medenh.evaluation.planning import PairOptions
from medenh.evaluation.result import Evaluation
from medenh.paths import StrPath, as_path, as_place, as_places, kind_of
from medenh.types import Image

if TYPE_CHECKING:
    import torch

    from medenh.evaluation.own import OwnFunction

    Own: TypeAlias = OwnFunction | torch.nn.Module

__all__ = ["evaluate", "evaluate_protocol"]


def evaluate(
    enhanced: StrPath,
    reference: StrPath | None = None,
    *,
    metrics: Iterable[str] = (),
    region: str = "whole",
    masks: StrPath | None = None,
    baselines: StrPath | Iterable[StrPath] = (),
    tasks: Iterable[str] = (),
    labels: StrPath | None = None,
    modality: str | None = None,
    bits: int | None = None,
    workers: int | None = 1,
) -> Evaluation:
    """Measure files against references of the same name.

    Parameters
    ----------
    enhanced : path
        File or folder.
    reference : path, optional
        File or folder; without it only metrics that need none are taken.
    metrics : str, or several
        Keys of `medenh.metrics.registry.METRICS`; the usual ones if empty.
    region : str
        "whole"; "fov", the field of view found on the reference; "mask", from masks.
    masks : path, optional
        Folder of masks by name: the region, or the truth of a segmentation task.
    baselines : path, or several
        Other answers for the same names, to test the enhanced ones against.
    tasks : str, or several
        Downstream tasks, keys of `medenh.tasks.TASKS`.
    labels : path, optional
        CSV with columns file and label: the truth of a classification task.
    modality : str, optional
        What the pictures show.
    bits : int, optional
        Bit depth, 8 to 16, of 16-bit files that do not tell theirs; else each has the
        smallest usual one that holds its largest value.
    workers : int, optional
        Processes; None takes as many as pay, and needs the usual guard
        ``if __name__ == "__main__"`` in a script.

    Returns
    -------
    Evaluation

    Raises
    ------
    UsageError, NothingReadableError, WeightsError
        Nothing could be measured, and why; single bad files are in ``failed``.
    """
    options = PairOptions(
        metrics=_words("metrics", metrics),
        region=region,
        masks=_path("masks", masks),
        tasks=_words("tasks", tasks),
        labels=_path("labels", labels),
        modality=modality,
        bits=_count("bits", bits),
        workers=_count("workers", workers),
    )
    _refuse_pictures(enhanced=enhanced, reference=reference)
    subject = Path(as_place(enhanced, "enhanced"))
    others = [Path(one) for one in as_places(baselines, "baselines")]
    return evaluate_pairs(subject, _path("reference", reference), others, options)


def evaluate_protocol(
    protocol: StrPath,
    data: StrPath | None = None,
    *,
    models: str
    | Mapping[str, Own]
    | tuple[str, Own]
    | Iterable[str | tuple[str, Own]] = (),
    masks: StrPath | None = None,
    labels: StrPath | None = None,
    metrics: Iterable[str] = (),
    tasks: Iterable[str] = (),
    modality: str | None = None,
    limit: int | None = None,
    output: StrPath | None = None,
    device: str = "auto",
    workers: int | None = 1,
) -> Evaluation:
    """Run a frozen protocol: degrade clean pictures, enhance, score, compare.

    Parameters
    ----------
    protocol : str
        A key of `medenh.evaluation.protocols.PROTOCOLS`, or a file of a recipe of your
        own (``.toml``): seed 0, any severity.
    data : path, optional
        Clean pictures: a folder, a file, or a data pack. If not given, the pack of the
        protocol's kind of picture in the folder that the environment variable
        ``MEDENH_DATA`` names; medenh brings none along.
    models : str, (str, callable), or several; or a mapping
        Ids, ``id@version`` and aliases; "classical" is all weight-free methods that
        suit. A model in several versions has a row each, named ``id@version``.
        A pair of a name and a function, or of a name and a torch network, is a model
        of your own, as is each entry of a mapping; `medenh.evaluation.own.OwnModel`
        tells what it is given and returns. It runs in this process, and where it fails
        the picture has no figure in its row, and is in ``failed``.
    masks, labels, metrics, tasks, modality, limit, output, device, workers
        See `medenh.evaluation.benchmark.BenchmarkOptions`.

    Returns
    -------
    Evaluation

    Raises
    ------
    UsageError, NothingReadableError, WeightsError, OutputError
        As `medenh.evaluation.benchmark.run_protocol` raises them.
    """
    names, own = _models(models)
    options = BenchmarkOptions(
        data=_path("data", data),
        models=names,
        own=own,
        masks=_path("masks", masks),
        labels=_path("labels", labels),
        metrics=_words("metrics", metrics),
        tasks=_words("tasks", tasks),
        modality=modality,
        limit=_count("limit", limit),
        output=_path("output", output),
        device=device,
        workers=_count("workers", workers),
    )
    return run_protocol(as_path(protocol, "protocol"), options)


def _refuse_pictures(**given: object) -> None:
    for name, value in given.items():
        if isinstance(value, Image) or hasattr(value, "__array__") or is_pillow(value):
            raise UsageError(
                f"{name}: {kind_of(value)} is no path",
                hint="evaluate measures files; arrays are measured by "
                "medenh.metrics.psnr(enhanced, reference), ssim and so on, or by name "
                'by medenh.metrics.METRICS["psnr"](enhanced, reference)',
            )


def _words(name: str, values: Any) -> tuple[str, ...]:
    """Return several words as a tuple; one, which is a sequence too, as one."""
    several = isinstance(values, Iterable) and not isinstance(values, str)
    words: tuple[Any, ...] = tuple(values) if several else (values,)
    for one in words:
        if not isinstance(one, str):
            raise UsageError(f"{name}: {kind_of(one)} is no name")
    return words


def _models(given: Any) -> tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]:
    """Return names of models, and the pairs of a name and a function."""
    if isinstance(given, Mapping):
        given = given.items()
    one = isinstance(given, str) or _is_pair(given) or not isinstance(given, Iterable)
    several = [given] if one else list(given)
    if any(callable(each) for each in several):
        raise UsageError(
            "models: a function or network of your own needs a name",
            hint='models={"mine": function}',
        )
    names = _words("models", [each for each in several if not _is_pair(each)])
    return names, tuple(each for each in several if _is_pair(each))


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple) and len(value) == 2 and not isinstance(value[1], str)
    )


def _path(name: str, value: object) -> Path | None:
    return None if value is None else Path(as_place(value, name))


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, Integral) and int(value) >= 1:
        return int(value)
    raise UsageError(f"{name} must be a whole number of at least 1, not {value!r}")
