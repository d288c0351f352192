"""What a training run needs to know, read from TOML and checked."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medenh.errors import UsageError
from medenh.tasks.table import TASKS

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "LossConfig",
    "NetworkConfig",
    "OptimiserConfig",
    "TrainConfig",
    "load_config",
    "named_config",
    "named_configs",
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(_Section):
    """Which network of `medenh.models` is trained.

    Attributes
    ----------
    start_from : str
        Safetensors file, or id of a model of the zoo, whose tensors replace the random
        start where name and shape agree; empty for none.
    """

    architecture: str
    preset: str = "default"
    options: dict[str, Any] = {}
    start_from: str = ""


class DataConfig(_Section):
    """Where images come from and how they are cut.

    Attributes
    ----------
    root : str
        Folder with one pack a subfolder (manifest.csv and .tar shards).
    packs : list of str
        Subfolders to use.
    qualities : list of str
        Values of the manifest's `quality` column that count as clean.
    max_side : int
        Images are reduced to this long side once, when they are loaded.
    size : int
        Side of the training squares.
    whole_share : float
        Share of training samples that show the whole image, squashed to the square;
        the rest are random crops.
    holdout_share : float
        Share of the groups (patients) of split "train" kept for validation.
    identity_share : float
        Share of undegraded samples, which teach the network to leave good images be.
    wide_share : float
        Share of samples with factors from U(0.1, 1.1) instead of the recipe's.
    quantise_share : float
        Share of samples rounded to 8 bits, the rest keep their depth.
    datasets : dict of str to float
        Recognisers: the source data sets to use, and how often an image of each is
        drawn against the others'; empty is all of them, evenly.

    Notes
    -----
    Recognisers use root, packs, qualities, size, holdout_share and datasets; their
    images are loaded at the working size of the task.
    """

    root: str
    packs: list[str] = Field(min_length=1)
    qualities: list[str] = ["good", "high"]
    max_side: int = Field(default=384, ge=64)
    size: int = Field(default=192, ge=32)
    whole_share: float = Field(default=0.5, ge=0, le=1)
    holdout_share: float = Field(default=0.06, gt=0, lt=0.5)
    identity_share: float = Field(default=0.1, ge=0, le=1)
    wide_share: float = Field(default=0.15, ge=0, le=1)
    quantise_share: float = Field(default=0.8, ge=0, le=1)
    datasets: dict[str, float] = {}


class AugmentConfig(_Section):
    """How a recogniser's samples are varied; clean variations only, no noise or blur.

    Attributes
    ----------
    scale : float
        Scale factors are drawn from 1 / scale to scale, evenly in the logarithm.
    turn : float
        Largest turn in degrees, either way.
    flip, flip_vertical : bool
        Mirror left and right, top and bottom, half of the time each.
    shift : float
        Largest shift of a picture that fits into the square, in parts of its side.
    brightness, contrast, gamma, colour : float
        Largest change: added; of the factor about the mean; of the exponent's
        logarithm; of each channel's factor.
    """

    scale: float = Field(default=1.25, ge=1)
    turn: float = Field(default=180.0, ge=0, le=180)
    flip: bool = True
    flip_vertical: bool = True
    shift: float = Field(default=0.1, ge=0, le=0.5)
    brightness: float = Field(default=0.1, ge=0)
    contrast: float = Field(default=0.25, ge=0, lt=1)
    gamma: float = Field(default=0.3, ge=0)
    colour: float = Field(default=0.1, ge=0, lt=1)


class LossConfig(_Section):
    """Weights of the loss terms."""

    charbonnier: float = Field(default=1.0, ge=0)
    gradient: float = Field(default=0.1, ge=0)
    log_mse: float = Field(default=0.02, ge=0)


class OptimiserConfig(_Section):
    """AdamW, linear warm-up, cosine to zero."""

    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.999, ge=0, lt=1)


class TrainConfig(_Section):
    """A whole run.

    Attributes
    ----------
    strategy : str
        "restoration" (degraded and clean pairs), "segmentation" or "classification"
        (recognisers of `medenh.tasks`).
    task : str
        What a recogniser learns, a key of `medenh.tasks.TASKS`.
    augment : AugmentConfig
        How a recogniser's samples are varied.
    steps : int
        Optimiser steps of the full schedule.
    validate_every : int
        Steps between validations.
    checkpoint_minutes : float
        Wall-clock minutes between checkpoints.
    precision : str
        "bf16" (autocast, weights in fp32) or "fp32".
    condition_batch, condition_size : int
        Extra samples a step, of a smaller side, for `network.condition` alone: cheap,
        and the estimate of the whole picture needs many more samples than the rest.
        0 for networks without one.
    teacher_share : float
        Share of the full-size samples that get the best affine condition in hindsight
        instead of the network's own, so that an error of exposure does not drown what
        the local part has to learn.
    """

    name: str
    strategy: Literal["restoration", "segmentation", "classification"] = "restoration"
    task: str = ""
    network: NetworkConfig
    data: DataConfig
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    batch: int = Field(default=16, ge=1)
    steps: int = Field(default=20000, ge=1)
    seed: int = Field(default=0, ge=0)
    precision: Literal["bf16", "fp32"] = "bf16"
    condition_batch: int = Field(default=0, ge=0)
    condition_size: int = Field(default=96, ge=32)
    teacher_share: float = Field(default=0.0, ge=0, le=1)
    validate_every: int = Field(default=500, ge=1)
    checkpoint_minutes: float = Field(default=3.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strategy == "restoration":
            if self.task:
                raise ValueError("restoration has no task")
            return self
        task = TASKS.get(self.task)
        if task is None or task.kind != self.strategy:
            known = ", ".join(t.name for t in TASKS.values() if t.kind == self.strategy)
            raise ValueError(f"{self.strategy} wants a task, one of {known}")
        self.network.options.setdefault("classes", len(task.classes))
        return self


def named_configs() -> list[str]:
    """Return the names of the configurations that come with the package."""
    folder = resources.files("medenh.training") / "configs"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml"))


def named_config(name: str) -> str:
    """Return the text of a configuration that comes with the package."""
    if name not in named_configs():
        known = ", ".join(named_configs())
        raise UsageError(f"no configuration named {name!r}", hint=f"one of {known}")
    return (resources.files("medenh.training") / "configs" / f"{name}.toml").read_text()


def load_config(source: str | Path, overrides: list[str] | None = None) -> TrainConfig:
    """Read a configuration.

    Parameters
    ----------
    source : str or path
        A TOML file, or the name of one that comes with the package.
    overrides : list of str
        "section.key=value" with TOML values; bare words count as strings.

    Raises
    ------
    UsageError
        Missing file, TOML errors, unknown keys, wrong types, impossible values.
    """
    path = Path(source)
    if path.suffix == ".toml":
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the configuration: {error}") from error
    else:
        text = named_config(str(source))
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not valid TOML: {error}", path=path) from error
    for item in overrides or []:
        _override(tree, item)
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {first['msg']}", path=path) from error


def _override(tree: dict[str, Any], item: str) -> None:
    key, separator, value = item.partition("=")
    if not separator:
        raise UsageError(f"--set {item!r} is not key=value")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UsageError(f"--set {item!r}: {section} is not a section")
    tree[last] = parsed
