"""The words of a card: what no figure tells, from a file and from options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from medenh.errors import UsageError, first_problem
from medenh.text_files import read_text
from medenh.zoo.card import Identifier, Version

__all__ = ["Words", "read_words"]


_FORMS = {
    "id": "lower-case words and digits joined by hyphens, such as dpe-mine",
    "version": "numbers and dots, such as 2 or 1.3",
}


class Words(BaseModel):
    """The words of a card; empty ones are found from the run.

    Attributes
    ----------
    id, version, title, description, task, aliases, default_for, licence, paper,
    citation, notes
        As in `medenh.zoo.card.ModelCard`.
    modalities : list of str or None
        The same; None is those of the images learnt from.
    largest_side : int or None
        As in `medenh.zoo.card.InputContract`; where it is not given, that of the model
        that the run began with.
    literature : dict of str to str
        What others report: by protocol, or for a recogniser by class ("" for the
        picture as a whole).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Identifier = ""
    version: Version = "1"
    title: str = ""
    description: str = ""
    task: str = ""
    aliases: list[str] = []
    modalities: list[str] | None = None
    largest_side: int | None = None
    default_for: list[str] = []
    licence: str = "LicenseRef-unstated"
    paper: str = ""
    citation: str = ""
    notes: str = ""
    literature: dict[str, str] = {}


def read_words(path: Path | None, over: dict[str, str], name: str) -> Words:
    """Read the words of a card.

    Parameters
    ----------
    path : path or None
        JSON: the words, or words by the ids of several models.
    over : dict
        Words that go before those of the file.
    name : str
        Id of the model where nothing else is said.

    Raises
    ------
    UsageError
        The file cannot be read, or holds something else.
    """
    found: dict[str, Any] = {}
    key = over.get("id", name)
    if path is not None:
        text = read_text(path, "the words of the card")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"cannot read the words of the card: {error}", path=path
            ) from error
        if not isinstance(document, dict):
            raise UsageError("the words of the card must be a JSON object", path=path)
        entry = document.get(key)
        found = entry if isinstance(entry, dict) else document
    try:
        return Words.model_validate({"id": key, **found, **over})
    except ValidationError as error:
        problem = first_problem(error)
        place = problem.partition(":")[0]
        hint = _FORMS.get(place, f"the words are {', '.join(Words.model_fields)}")
        raise UsageError(problem, path=path, hint=hint) from error
