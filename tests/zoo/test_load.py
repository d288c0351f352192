"""Networks from weights files: good ones, hostile ones, ones that do not fit."""

from __future__ import annotations

import json
import os
import pickle
import struct
import time

import numpy as np
import pytest
import safetensors.torch
import torch
from zoo_site import make_card, safetensors_bytes

from medenh import models
from medenh.errors import WeightsError
from medenh.zoo import cache as cache_module
from medenh.zoo.load import HEADER_LIMIT, check_header, load_network, read_weights
from medenh.zoo.manifest import load_manifest


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Publish a state dict as the bundled weights of a tiny architecture."""

    def build(width: int = 4) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, width, 3, padding=1),
            torch.nn.BatchNorm2d(width),
            torch.nn.Conv2d(width, 3, 1),
        )

    def create(architecture, preset="default", **options):
        assert (architecture, preset) == ("toy", "default")
        return build(**options)

    monkeypatch.setattr(models, "create", create)

    def publish(state, **changes):
        content = safetensors.torch.save(state)
        place = tmp_path / "toy-fundus.safetensors"
        place.write_bytes(content)
        monkeypatch.setattr(cache_module, "bundled_path", lambda weights: place)
        return make_card(content, architecture="toy", **changes)

    return build, publish


def half(network):
    return {
        k: v.half() if v.is_floating_point() else v
        for k, v in network.state_dict().items()
    }


def test_network_gives_what_the_weights_say(toy):
    build, publish = toy
    original = build()
    card = publish(half(original))
    network = load_network(card, offline=True)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    batch = torch.rand(1, 3, 8, 8)
    expected = original.half().float().eval()(batch)
    assert torch.equal(network(batch), expected)


def test_options_of_the_card_reach_the_network(toy):
    build, publish = toy
    card = publish(half(build(7)), options={"width": 7})
    assert load_network(card)[0].out_channels == 7


def test_every_bundled_network_loads_and_runs():
    """Weights that outlive a change of their architecture are of no use."""
    for card in load_manifest().cards:
        if card.weights is not None and card.weights.bundled:
            network = load_network(card, offline=True)
            side = max(64, card.input.min_size)
            batch = torch.rand(1, card.input.channels or 3, side, side)
            answer = network(batch)
            if card.recognition is None:
                assert answer.shape == batch.shape, card.full_id
            else:
                assert answer.shape[1] == len(card.recognition.classes), card.full_id
                assert card.weights.size_bytes < 3e6, card.full_id


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "option"])
def test_weights_that_do_not_fit(toy, change):
    build, publish = toy
    state, options = half(build()), {}
    if change == "missing":
        del state["0.weight"]
    elif change == "extra":
        state["9.weight"] = torch.zeros(2)
    elif change == "shape":
        state["0.weight"] = torch.zeros(4, 3, 5, 5)
    else:
        options = {"depth": 3}
    with pytest.raises(WeightsError, match="does not fit"):
        load_network(publish(state, options=options))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(toy, bad):
    build, publish = toy
    state = half(build())
    state["2.bias"][1] = bad
    with pytest.raises(WeightsError, match=r"2\.bias holds NaN"):
        load_network(publish(state))


def test_reads_what_another_writer_wrote(tmp_path):
    """Our hand-made file, the library's reading, and ours agree."""
    values = np.arange(8, dtype=np.float16)
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes({"x": values.tobytes(), "y": b"\0\0"}))
    state = read_weights(path)
    assert state["x"].dtype == torch.float32
    assert state["x"].tolist() == values.tolist()


class _Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def _hostile() -> dict[str, bytes]:
    good = safetensors_bytes({"x": bytes(64)})

    def with_header(header: object, body: bytes = b"") -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body

    def tensor(begin, end):
        return {"x": {"dtype": "F16", "shape": [1], "data_offsets": [begin, end]}}

    many = {
        f"t{i}": {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]}
        for i in range(100_000)
    }
    return {
        "zip checkpoint": b"PK\x03\x04" + bytes(200),
        "html": b"<html><body>please log in</body></html>",
        "empty": b"",
        "seven bytes": bytes(7),
        "huge length": struct.pack("<Q", 2**63) + bytes(100),
        "beyond the limit": with_header(b" " * (HEADER_LIMIT + 1)),
        "many entries": with_header(many),
        "truncated": good[:-1],
        "trailing": good + b"x",
        "no json": with_header(b"not json at all"),
        "json list": with_header([1, 2]),
        "no tensors": with_header({}),
        "deep json": with_header(b"[" * 100_000),
        "negative offset": with_header(tensor(-2, 2), bytes(2)),
        "backwards": with_header(tensor(4, 2), bytes(2)),
        "text offsets": with_header(tensor("0", "2"), bytes(2)),
        "wrong length": with_header(tensor(0, 6), bytes(6)),
        "unknown type": with_header(
            {"x": {"dtype": "F12", "shape": [1], "data_offsets": [0, 2]}}, bytes(2)
        ),
        "gap": with_header(
            {
                "x": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
                "y": {"dtype": "F16", "shape": [1], "data_offsets": [6, 8]},
            },
            bytes(8),
        ),
    }


HOSTILE = _hostile()


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_file_is_refused(tmp_path, kind):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(HOSTILE[kind])
    start = time.monotonic()
    with pytest.raises(WeightsError):
        read_weights(path)
    assert time.monotonic() - start < 2


def test_renamed_pickle_is_refused_and_runs_nothing(tmp_path):
    marker = tmp_path / "it-ran"
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(_Bomb(marker)))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_weights(path)
    assert not marker.exists()


def test_hostile_file_from_torch_save_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    torch.save({"x": torch.zeros(4)}, path)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_weights(path)


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        check_header(tmp_path / "none.safetensors")
