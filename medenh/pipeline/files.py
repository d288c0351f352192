"""Files and folders enhanced into files: what would be done, and doing it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medenh import formats
from medenh.errors import InputError, RefusedError
from medenh.pipeline import fidelity
from medenh.pipeline.attempt import attempt
from medenh.pipeline.engine import Engine
from medenh.pipeline.loading import ZooModels
from medenh.pipeline.looks import choose_model
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.results import Failure, Listener, Summary
from medenh.pipeline.work import Plan, WorkItem
from medenh.pipeline.writing import check_fits, lost_meaning
from medenh.types import Modality

__all__ = ["enhance_files", "foresee", "plan_files"]


def plan_files(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: EnhanceOptions,
    models: ZooModels,
) -> Plan:
    """Return what `enhance_files` would do, without doing any of it."""
    models.resolve(Modality.UNKNOWN)  # an unknown name is known before anything
    return make_plan(inputs, output, options, models=models)


def foresee(
    plan: Plan, models: ZooModels, options: EnhanceOptions
) -> tuple[Plan, list[tuple[str, str]]]:
    """Return a plan without what cannot be read or ``strict`` would refuse unseen.

    With it come the models of what is left, and why. What keeps its format is not read
    here where the model is known without. What is read and outside the card is remarked
    on, as the run would warn of it.

    Only a run knows whether a result is outside the card's limits.
    """
    work, chosen, refused = [], [], []
    for item in plan.work:
        try:
            model, reason, said = _foreseen(item, models, options)
        except (RefusedError, InputError) as error:
            refused += [Failure(path, error) for path in item.sources]
        else:
            chosen.append((model, reason))
            work.append(replace(item, remarks=(*item.remarks, *said)))
    failed = (*plan.failed, *refused)
    return replace(plan, work=tuple(work), failed=failed), chosen


def _foreseen(
    item: WorkItem, models: ZooModels, options: EnhanceOptions
) -> tuple[str, str, list[str]]:
    """Return an item's model, why, and what would be warned about.

    Raises
    ------
    RefusedError
        ``strict`` is set, and the image is outside the model's card.
    InputError
        It is one file, which cannot be read; or its outputs cannot hold it.
    """
    plain = models.resolve(Modality.UNKNOWN)
    named = options.model in (plain.card.id, plain.card.full_id)
    if named and not options.strict and item.kind in ("", item.format):
        return plain.card.id, plain.reason, []
    try:
        image = formats.read(item.sources, axis=options.axis, limits=options.limits)
    except InputError as error:
        if len(item.sources) == 1:
            raise
        return "none", f"not all of it can be read: {error.what}", []
    check_fits(image, item.targets, item.kind)
    image = options.told(image)
    resolution, modality = choose_model(image, models)
    seen = replace(image, modality=modality)
    told = options.modality is not None
    problems, said = fidelity.check_input(seen, resolution.card, told=told)
    problems += lost_meaning(image, item.kind, item.map_format)
    if options.strict and problems:
        raise fidelity.describe(problems, image)
    return resolution.card.id, resolution.reason, [*problems, *said]


def enhance_files(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: EnhanceOptions,
    *,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    summary: Summary | None = None,
) -> Summary:
    """Enhance files and folders into files.

    Parameters
    ----------
    inputs : sequence of path
    output : path or None
        A file for one image (a file, or a DICOM series), else a folder; None is
        ``NAME.enhanced.EXT`` beside one file.
    options : EnhanceOptions
    listener : Listener, optional
        Hears how it goes.
    stop : threading.Event, optional
        Set it to end early; KeyboardInterrupt is raised.
    summary : Summary, optional
        Filled and returned; it tells what was done of a run that ends early too.

    Returns
    -------
    Summary
        With every file that failed, and why; one bad file costs only itself.

    Raises
    ------
    UsageError, NothingReadableError, WeightsError
        Nothing could be started.
    """
    stop = stop or threading.Event()

    def prepare() -> tuple[ZooModels, Plan]:
        models = ZooModels(options, cancelled=stop.is_set)
        plan = plan_files(inputs, output, options, models)
        if plan.work:
            card = models.resolve(Modality.UNKNOWN).card
            if options.model in (card.id, card.full_id):
                # whatever the images are, it is this one: fail before reading any
                models.prepare(card)
        return models, plan

    # hashing, downloads and imports take long, and ask nobody whether to stop
    models, plan = attempt(prepare, name="prepare", stop=stop)
    engine = Engine(options, models, listener=listener, stop=stop, summary=summary)
    return engine.run(plan)
