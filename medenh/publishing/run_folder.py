"""A run folder, read: configuration, weights, and how long it took."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from medenh import models
from medenh.errors import UsageError, first_problem
from medenh.training.checkpoint import check_images, load_state
from medenh.training.config import TrainConfig
from medenh.zoo.load import read_weights

__all__ = ["Run", "read_run", "stored_config"]

_FORMER = ("wide_share",)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a training run left.

    Attributes
    ----------
    weights : path
        Safetensors, fp16.
    config : TrainConfig
        With ``data.root`` as it is on this machine.
    network : torch.nn.Module
        With the weights, float32, in evaluation mode.
    hours : float
        Duration, from the log.
    """

    weights: Path
    config: TrainConfig
    network: nn.Module
    hours: float

    def check_images(self, digests: Mapping[str, str]) -> None:
        """Refuse images and recipes other than those that the run learnt from.

        Those of data packs are what their manifest says; what a folder or a recipe's
        file held is known from last.pt alone.

        Parameters
        ----------
        digests : mapping of str to str
            Name of an image -> hash of what is read of it now.

        Raises
        ------
        UsageError
            Names some that changed, came or went; or there is no last.pt to tell.
        """
        path, data = self.weights.with_name("last.pt"), self.config.data
        if path.exists():
            check_images(load_state(path), digests)
        elif data.high or data.real or data.own_recipes():
            raise UsageError(
                "holds no last.pt, which tells what pictures and recipes the run "
                "learnt from",
                path=path.parent,
                hint="bring it back, or train again",
            )


def read_run(folder: Path, root: Path | None) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : path
        Holds best.safetensors, config.json and log.csv.
    root : path, optional
        Where the packs of the run are, if not where the run found them.

    Raises
    ------
    UsageError
        It is no run folder, holds no weights yet, or is of another version.
    WeightsError
        The weights are damaged.
    """
    if not folder.is_dir():
        raise UsageError("is no run folder", path=folder)
    weights = folder / "best.safetensors"
    config = _read_config(folder / "config.json", root)
    if not weights.is_file():
        raise UsageError(
            "holds no best.safetensors",
            path=folder,
            hint="let it train to its first validation: medenh train --resume",
        )
    return Run(
        weights,
        config,
        _load(weights, config),
        _hours(folder / "log.csv", config.batch),
    )


def _read_config(path: Path, root: Path | None) -> TrainConfig:
    try:
        stored = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            "holds no config.json, so it is no run folder", path=path.parent
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot be read: {error}", path=path) from error
    return stored_config(stored, root, path)


def stored_config(stored: Any, root: Path | None, path: Path) -> TrainConfig:
    """Return a configuration that a run, or its card, has stored.

    Parameters
    ----------
    stored : dict
        Parsed JSON.
    root : path or None
        Folder of the packs, in place of the stored one.
    path : path
        Where it stands, for errors.

    Raises
    ------
    UsageError
        It is of another version.
    """
    try:
        config = TrainConfig.model_validate(_without_former(stored))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "unknown_name":  # of a recipe, whose file may be gone
            what = first_problem(error).replace(".[key]", "")
            raise UsageError(what, path=path, hint=first["ctx"]["hint"]) from error
        raise UsageError(
            f"not the configuration of a run of this version: {first_problem(error)}",
            path=path,
            hint="train it again with this version",
        ) from error
    if root is None:
        return config
    data = config.data.model_copy(update={"root": str(root)})
    return config.model_copy(update={"data": data})


def _without_former(stored: Any) -> Any:
    """Leave out what former versions wrote for recognisers too, which never used it."""
    if not isinstance(stored, dict) or not isinstance(stored.get("data"), dict):
        return stored
    if not stored.get("task"):
        return stored
    data = {k: v for k, v in stored["data"].items() if k not in _FORMER}
    return {**stored, "data": data}


def _load(weights: Path, config: TrainConfig) -> nn.Module:
    settings, state = config.network, read_weights(weights)
    network = models.create(settings.architecture, settings.preset, **settings.options)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"does not fit the network of config.json: {reason}", path=weights
        ) from error
    return network.eval().requires_grad_(False)


def _hours(path: Path, batch: int) -> float:
    """Return the duration of a run from its log, validations with it."""
    seconds, before = 0.0, 0
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                step, speed = int(row["step"]), float(row["images_per_s"])
                if step > before:
                    seconds += batch * (step - before) / speed
                before = step
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise UsageError(
            f"tells no duration of the run: {error or 'a broken line'}", path=path
        ) from error
    return round(seconds / 3600, 3)
