"""From a name to something that runs: resolve, load once, choose engine and precision.

Files of weights and cards are the zoo's business; here is only what a run needs.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from medenh.device import Device, pick_device, pick_precision
from medenh.errors import MedenhError, UsageError, spelled
from medenh.pipeline.budget import MEMORY_OF_PROCESS
from medenh.pipeline.enhancer import Contract, FrameEnhancer
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.reference import read_reference
from medenh.pipeline.runners import ClassicalRunner, Runner, TorchRunner
from medenh.types import Modality

if TYPE_CHECKING:
    from medenh.zoo.manifest import ModelCard, Resolution

__all__ = ["ModelSource", "Prepared", "ZooModels", "certified", "contract_of"]

_log = logging.getLogger(__name__)

_MIN_PSNR_DB = 55.0
_MAX_LEVELS = 2.0
_RELIGHTING = ("enhance", "normalise")  # tasks that change light and contrast
_DEVICE_BATCH = 8  # frames or tiles in one call where batches pay


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that is loaded and ready.

    Attributes
    ----------
    card : ModelCard
        What the zoo knows of it.
    runner : Runner
    enhancer : FrameEnhancer
    slots : semaphore
        Held while the runner works: as many as it has workers.
    batch : int
        Frames in one call.
    """

    card: ModelCard
    runner: Runner
    enhancer: FrameEnhancer
    slots: threading.Semaphore
    batch: int


class ModelSource(Protocol):
    """Where the engine gets its models from."""

    device: Device

    @property
    def by_modality(self) -> bool:
        """Whether it depends on what an image shows which model it gets."""

    def resolve(
        self, modality: Modality, *, volume: bool = False, grey: bool = False
    ) -> Resolution:
        """Return the model for a kind of picture, and why."""

    def weight_free(self, modality: Modality) -> ModelCard:
        """Return the weight-free method for a kind of picture."""

    def prepare(self, card: ModelCard) -> Prepared:
        """Return a model ready to run; loads it at the first call only."""

    def computation(self, card: ModelCard) -> str:
        """Return engine, precision and kind of device a model would run with."""


def certified(card: ModelCard) -> frozenset[str]:
    """Return the precisions that a card proves to be as good as float32.

    Notes
    -----
    At least 55 dB against float32, and at most 2 of 255 grey levels.
    """
    return frozenset(
        name
        for name, proof in card.precision.items()
        if proof.psnr_db >= _MIN_PSNR_DB and proof.max_levels <= _MAX_LEVELS
    )


def contract_of(card: ModelCard, runner: Runner) -> Contract:
    """Return what a model wants of its input, and the halo that makes tiles exact."""
    exact = not card.global_ops or runner.has_condition
    relights = card.task in _RELIGHTING and card.global_ops
    return Contract(
        channels=card.input.channels,
        multiple_of=card.input.multiple_of,
        min_size=card.input.min_size,
        halo=card.receptive_field if exact else None,
        largest_side=card.input.largest_side,
        bytes_per_pixel=card.bytes_per_pixel.get(runner.engine, 0),
        each_by_itself=relights and not runner.has_condition,
        from_zero=card.method is not None and _from_zero(card.method),
        keeps_lettering=card.wants_colour,
    )


def _from_zero(method: str) -> bool:
    from medenh.classical import METHODS

    return METHODS[method].info.from_zero


class ZooModels:
    """Models of the zoo, loaded as they are needed.

    Parameters
    ----------
    options : EnhanceOptions
    cancelled : callable, optional
        Asked between tiles; True ends the work.
    """

    def __init__(
        self,
        options: EnhanceOptions,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        from medenh.zoo.manifest import load_manifest

        self.device = pick_device(options.device)
        self._options = options
        self._cancelled = cancelled
        self._manifest = load_manifest()
        self._lock = threading.Lock()
        self._ready: dict[str, Prepared | MedenhError] = {}
        # what runs on a device has its own memory, which says itself that it is full
        self._memory = MEMORY_OF_PROCESS if self.device.kind == "cpu" else None
        self._computations: dict[str, str] = {}

    @property
    def by_modality(self) -> bool:
        """Whether it depends on what an image shows which model it gets."""
        return self._manifest.by_modality(self._options.model)

    def resolve(
        self, modality: Modality, *, volume: bool = False, grey: bool = False
    ) -> Resolution:
        """Return the model for a kind of picture, and why.

        Raises
        ------
        UsageError
            The name is unknown, or a recogniser's, which gives no picture back; or the
            model has not the settings that are asked for.
        """
        found = self._manifest.resolve_enhancer(
            self._options.model, modality.value, volume=volume, grey=grey
        )
        _check_settings(found.card, self._options)
        return found

    def weight_free(self, modality: Modality) -> ModelCard:
        """Return the weight-free method that measured best on a kind of picture."""
        return self._manifest.resolve("classic", modality.value).card

    def computation(self, card: ModelCard) -> str:
        """Return engine, precision and kind of device; nothing is loaded for it.

        Raises
        ------
        UsageError
            The engine or precision asked for cannot run the model.
        """
        found = self._computations.get(card.full_id)
        if found is None:
            found = _computation(card, self._options, self.device)
            self._computations[card.full_id] = found
        return found

    def prepare(self, card: ModelCard) -> Prepared:
        """Return a model ready to run; a failure is remembered too.

        Raises
        ------
        WeightsError
            Its weights cannot be had.
        UsageError
            The engine or precision asked for cannot run it.
        """
        with self._lock:
            ready = self._ready.get(card.full_id)
            if ready is None:
                try:
                    ready = self._load(card)
                except MedenhError as error:
                    ready = error
                self._ready[card.full_id] = ready
        if isinstance(ready, MedenhError):
            raise ready
        return ready

    def _load(self, card: ModelCard) -> Prepared:
        options = self._options
        runner = make_runner(card, options, self.device)
        if isinstance(options.batch, int):
            batch = options.batch
        else:
            batch = _DEVICE_BATCH if runner.batches else 1
        enhancer = FrameEnhancer(
            runner,
            contract_of(card, runner),
            strength=options.strength,
            tile=options.tile,
            batch=batch,
            cancelled=self._cancelled,
            memory=self._memory,
        )
        slots = threading.Semaphore(runner.workers)
        return Prepared(card, runner, enhancer, slots, batch)


def _check_settings(card: ModelCard, options: EnhanceOptions) -> None:
    if not options.settings:
        return
    if options.model == "auto":
        raise UsageError(
            "settings belong to a weight-free method: name one",
            hint=f"as {spelled(model='clahe')}",
        )
    if card.method is None:
        raise UsageError(
            f"{card.id} has no settings",
            hint="weight-free methods do; `medenh models show clahe` lists them",
        )
    from medenh.classical import METHODS

    METHODS[card.method].checked(options.settings)


def _computation(card: ModelCard, options: EnhanceOptions, device: Device) -> str:
    if card.method is not None:
        return "classical"
    precision = pick_precision(options.precision, device, certified=certified(card))
    engine = "openvino" if _wants_openvino(options.engine, device) else "torch"
    return f"{engine} {precision} {device.kind}"


def make_runner(card: ModelCard, options: EnhanceOptions, device: Device) -> Runner:
    """Return what runs a model: a method, OpenVINO or torch.

    Raises
    ------
    WeightsError
        The weights cannot be had.
    UsageError
        The engine or precision asked for cannot run it.
    """
    if card.method is not None:
        return ClassicalRunner(card.method, _settings(card, card.method, options))
    precision = pick_precision(options.precision, device, certified=certified(card))
    if _wants_openvino(options.engine, device):
        from medenh.pipeline.openvino_cache import UnconvertibleError
        from medenh.pipeline.openvino_runner import OpenVinoRunner

        try:
            return OpenVinoRunner.of_card(
                card, precision, offline=options.offline, reference=options.reference
            )
        except UnconvertibleError as error:
            if options.engine == "openvino":
                raise UsageError(
                    f"OpenVINO cannot run {card.id}: {error}",
                    hint=f"use {spelled(engine='torch')}",
                ) from error
            _log.info("OpenVINO cannot run %s (%s): torch is used", card.id, error)
    from medenh.zoo.load import follow_reference, load_network

    network = load_network(card, offline=options.offline or None)
    if options.reference is not None:
        follow_reference(network, read_reference(options.reference))
    return TorchRunner(network, device, precision)


def _settings(card: ModelCard, method: str, options: EnhanceOptions) -> dict[str, Any]:
    """Return a method's options: the card's, a reference's over them, the user's."""
    settings = dict(card.options)
    if options.reference is not None:
        from medenh.classical import METHODS

        picture = np.moveaxis(read_reference(options.reference)[0], 0, -1)
        settings.update(METHODS[method].following(np.ascontiguousarray(picture)))
    settings.update(options.settings or {})
    return settings


def _wants_openvino(engine: str, device: Device) -> bool:
    if engine == "torch" or (engine == "auto" and device.kind != "cpu"):
        return False
    if device.kind != "cpu":
        raise UsageError(
            "OpenVINO runs on the CPU here", hint=f"use {spelled(device='cpu')}"
        )
    there = importlib.util.find_spec("openvino") is not None
    if engine == "openvino" and not there:
        raise UsageError(
            "OpenVINO is not installed", hint="pip install 'medenh[openvino]'"
        )
    return there
