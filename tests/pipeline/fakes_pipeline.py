"""Runners and models that do as they are told, and sometimes fail when told to."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading

import numpy as np
from safetensors.torch import save_file

from medenh.device import Device
from medenh.pipeline.enhancer import FrameEnhancer
from medenh.pipeline.loading import Prepared, contract_of
from medenh.types import Image, Storage, UnitRange
from medenh.zoo.cache import cached_name
from medenh.zoo.card import ModelCard
from medenh.zoo.manifest import Resolution, read_card


class FakeRunner:
    """Calls a function on each batch; `faults` maps call index to what happens."""

    engine = "fake"
    has_condition = False
    batches = True

    def __init__(
        self, function=lambda x: x, faults=None, precision="fp32", workers=2, twin=None
    ):
        self.function = function
        self.faults = faults or {}
        self.precision = precision
        self.workers = workers
        self.twin = twin
        self.calls = 0
        self.shapes = []
        self.lock = threading.Lock()

    def condition(self, batch):
        return None

    def run(self, batch, condition=None, *, alone=False):
        with self.lock:
            index = self.calls
            self.calls += 1
            self.shapes.append(batch.shape)
        fault = self.faults.get(index, self.faults.get("always"))
        if isinstance(fault, BaseException):
            raise fault
        answer = self.function(batch)
        if fault == "nan":
            answer = answer.copy()
            answer[-1, 0, 0, 0] = np.nan
        return answer

    def exact(self):
        return self.twin or self


def box(batch):
    """A 17-pixel box filter with mirrored edges: local, and not the identity."""
    from scipy.ndimage import uniform_filter

    out = uniform_filter(batch.astype(np.float64), (0, 0, 17, 17), mode="mirror")
    return out.astype(np.float32)


def make_card(**changes):
    fields = {
        "id": "fake-any",
        "version": "1",
        "title": "Fake",
        "description": "For tests.",
        "task": "enhance",
        "architecture": "classical",
        "method": "identity",
        "licence": "Apache-2.0",
        "global_ops": False,
        "receptive_field": 8,
    }
    return ModelCard(**(fields | changes))


class FakeModels:
    """One model for everything."""

    device = Device("cpu")

    def __init__(self, runner=None, card=None, batch=1, **enhancer_options):
        self.card = card or make_card()
        runner = runner or FakeRunner()
        enhancer = FrameEnhancer(
            runner, contract_of(self.card, runner), batch=batch, **enhancer_options
        )
        slots = threading.Semaphore(runner.workers)
        self.prepared = Prepared(self.card, runner, enhancer, slots, batch)

    by_modality = False

    def resolve(self, modality, *, volume=False, grey=False):
        return Resolution(self.card, "a test wants it")

    def weight_free(self, modality):
        return self.card

    def prepare(self, card):
        return self.prepared

    def computation(self, card):
        return f"fake {self.prepared.runner.precision} cpu"


def make_image(pixels, low=None, high=None):
    if pixels.dtype.kind == "f":
        storage = Storage(pixels.dtype)
        low, high = 0.0 if low is None else low, 1.0 if high is None else high
    else:
        info = np.iinfo(pixels.dtype)
        storage = Storage(pixels.dtype, 1.0, 0.0, info.min, info.max)
        low = info.min if low is None else low
        high = info.max if high is None else high
    return Image(pixels=pixels, unit_range=UnitRange(low, high), storage=storage)


def put_into_zoo(folder, monkeypatch, state, **fields):
    """Make tensors the only model of a user's manifest; return their cached file."""
    weights = folder / f"{fields['id']}.safetensors"
    save_file(state, weights)
    card = {
        "version": "1",
        "title": "Tiny",
        "description": "For tests.",
        "task": "enhance",
        "preset": "tiny",
        "licence": "Apache-2.0",
        "data": [{"name": "none", "terms": "none", "images": 0}],
        "weights": {
            "file": weights.name,
            "size_bytes": weights.stat().st_size,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        **fields,
    }
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"schema": "medenh.manifest/1", "models": [card]}))
    monkeypatch.setenv("MEDENH_MANIFEST", str(manifest))
    monkeypatch.setenv("MEDENH_CACHE", str(folder / "cache"))
    (folder / "cache" / "weights").mkdir(parents=True)
    name = cached_name(read_card(json.dumps(card)).weights)
    return shutil.copy(weights, folder / "cache" / "weights" / name)
