"""Which downstream tasks a protocol asks of a folder of the user's."""

from __future__ import annotations

from pathlib import Path

from medenh.errors import UsageError, spelled
from medenh.evaluation.protocols import Protocol
from medenh.tasks import Task, get_task

__all__ = ["tasks_of_folder"]


def tasks_of_folder(
    protocol: Protocol, masks: Path | None, labels: Path | None, modality: str | None
) -> tuple[str, ...]:
    """Return the tasks of a protocol that the masks and labels answer.

    A mask answers one question: of several tasks for one kind of picture it is the
    first, as vessels come before lesions.

    Parameters
    ----------
    protocol : Protocol
    masks, labels : path or None
        Given by the user.
    modality : str or None
        What the pictures show, where the protocol alone does not tell.

    Raises
    ------
    UsageError
        Nothing tells which task the masks or labels answer.
    """
    sole = protocol.modalities[0] if len(protocol.modalities) == 1 else None
    kind_of_picture = modality or sole
    fitting = [
        task
        for task in map(get_task, protocol.tasks)
        if kind_of_picture in (None, task.modality)
    ]
    asked = []
    if masks is not None:
        asked.append(_only(fitting, "segmentation", "masks", protocol))
    if labels is not None:
        asked.append(_only(fitting, "classification", "labels", protocol))
    return tuple(asked)


def _only(fitting: list[Task], kind: str, word: str, protocol: Protocol) -> str:
    of_kind = [task for task in fitting if task.kind == kind]
    if not of_kind:
        raise UsageError(
            f"protocol {protocol.name} has no task that could use {word}",
            hint=f"give {spelled(tasks='NAME')}",
        )
    if len({task.modality for task in of_kind}) > 1:
        names = " or ".join(task.name for task in of_kind)
        raise UsageError(
            f"the {word} may be for {names}",
            hint=f"give {spelled(tasks='NAME', modality='WORD')}",
        )
    return of_kind[0].name
