"""Evaluation from Python: the user's own pairs, and the frozen protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol
from medenh.evaluation.pairs import evaluate_pairs
from medenh.evaluation.planning import PairOptions
from medenh.evaluation.result import Evaluation

__all__ = ["evaluate", "evaluate_protocol"]

PathLike = str | Path

_T = TypeVar("_T", bound=str | Path)


def evaluate(
    enhanced: PathLike,
    reference: PathLike | None = None,
    *,
    metrics: Sequence[str] | str = (),
    region: str = "whole",
    masks: PathLike | None = None,
    baselines: Sequence[PathLike] | PathLike = (),
    tasks: Sequence[str] | str = (),
    labels: PathLike | None = None,
    modality: str | None = None,
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
        metrics=_several(metrics),
        region=region,
        masks=_path(masks),
        tasks=_several(tasks),
        labels=_path(labels),
        modality=modality,
        workers=workers,
    )
    others = [Path(one) for one in _several(baselines)]
    return evaluate_pairs(Path(enhanced), _path(reference), others, options)


def evaluate_protocol(
    protocol: str,
    data: PathLike | None = None,
    *,
    models: Sequence[str] | str = (),
    masks: PathLike | None = None,
    labels: PathLike | None = None,
    tasks: Sequence[str] | str = (),
    modality: str | None = None,
    limit: int | None = None,
    output: PathLike | None = None,
    device: str = "auto",
    workers: int | None = 1,
) -> Evaluation:
    """Run a frozen protocol: degrade clean pictures, enhance, score, compare.

    Parameters
    ----------
    protocol : str
        A key of `medenh.evaluation.protocols.PROTOCOLS`.
    data : path, optional
        Clean pictures: a folder, a file, or a data pack. If not given, the pack of the
        protocol's kind of picture in the folder that the environment variable
        ``MEDENH_DATA`` names; medenh brings none along.
    models : str, or several
        Ids, ``id@version`` and aliases; "classical" is all weight-free methods that
        suit. A model in several versions has a row each, named ``id@version``.
    masks, labels, tasks, modality, limit, output, device, workers
        See `medenh.evaluation.benchmark.BenchmarkOptions`.

    Returns
    -------
    Evaluation

    Raises
    ------
    UsageError, NothingReadableError, WeightsError, OutputError
        As `medenh.evaluation.benchmark.run_protocol` raises them.
    """
    options = BenchmarkOptions(
        data=_path(data),
        models=_several(models),
        masks=_path(masks),
        labels=_path(labels),
        tasks=_several(tasks),
        modality=modality,
        limit=limit,
        output=_path(output),
        device=device,
        workers=workers,
    )
    return run_protocol(protocol, options)


def _several(values: Sequence[_T] | _T) -> tuple[_T, ...]:
    """Return several as a tuple; one word or path, which is a sequence too, as one."""
    return (values,) if isinstance(values, str | Path) else tuple(values)


def _path(value: PathLike | None) -> Path | None:
    return None if value is None else Path(value)
