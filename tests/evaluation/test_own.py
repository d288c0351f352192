from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

import medenh
from medenh.errors import UsageError
from medenh.evaluation.output import to_json


@pytest.fixture
def data(make_folder, picture):
    return make_folder("data", {f"p{i}.png": picture(i, noise=2) for i in range(3)})


def test_a_function_has_the_figures_of_the_model_that_it_calls(data, tmp_path):
    model = medenh.load_model("stretch")
    given = []

    def mine(array):
        given.append((array.dtype, array.shape))
        better = model.enhance(array)
        array[:] = 0  # what is done to the argument is done to a copy
        return better

    found = medenh.evaluate_protocol(
        "dpe",
        data,
        models=["stretch", ("mine", mine)],
        output=tmp_path / "kept",
        workers=2,  # and a function in a function goes to no other process
    )
    assert found.failed == ()
    assert found.row("mine").scores == found.row("stretch").scores
    assert found.row("mine").note == "your own function"
    assert set(given) == {(np.dtype(np.uint8), (48, 48, 3))}
    document = json.loads(json.dumps(to_json(found)))
    assert list(document["rows"]) == ["identity", "stretch", "mine", "oracle-affine"]
    assert document["settings"]["models"]["mine"]["own"] == "function"
    assert document["rows"]["mine"]["note"] == "your own function"
    assert len(list((tmp_path / "kept" / "mine").iterdir())) == 3


def test_pictures_go_to_folders_that_every_system_can_have(data, tmp_path):
    """To Windows "con" is a device, and "v1:best" a second stream of a file "v1"."""
    models = dict.fromkeys(("con", "v1:best", "last."), lambda array: array)
    kept = tmp_path / "kept"
    found = medenh.evaluate_protocol("dpe", data, models=models, output=kept)
    assert [row.name for row in found.rows][1:4] == list(models)
    assert {one.name for one in kept.iterdir()} > {"con-", "v1-best", "last-"}
    models["V1-best"] = models["con"]
    with pytest.raises(UsageError, match="the name 'V1-best' is taken"):
        medenh.evaluate_protocol("dpe", data, models=models)


def test_an_array_that_is_given_again_and_again_is_kept_each_time(data):
    buffer = np.zeros((48, 48, 3), np.uint8)

    def mine(array):
        np.copyto(buffer, array)
        return buffer

    found = medenh.evaluate_protocol("dpe", data, models={"mine": mine}, workers=2)
    assert found.row("mine").scores == found.row("identity").scores


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_come_as_they_are_stored(make_folder, picture, channels):
    pixels = picture(channels=channels, dtype=np.uint16)
    data = make_folder("data", {"a.png": pixels})
    seen = []
    medenh.evaluate_protocol(
        "gauss-0.1", data, models={"mine": lambda array: seen.append(array) or array}
    )
    assert (seen[0].dtype, seen[0].shape) == (pixels.dtype, pixels.shape)


class _Halved(torch.nn.Module):
    """Half of the brightness; a network that learns adds noise."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)
        self.frozen = torch.nn.BatchNorm2d(3).eval()
        self.seen = []

    def forward(self, x):
        self.seen.append((x.dtype, tuple(x.shape), torch.is_grad_enabled()))
        return self.drop(x / 2)


def test_a_network_is_given_batches_and_left_as_it_was(data):
    network = _Halved()
    found = medenh.evaluate_protocol(
        "dpe",
        data,
        models=[("net", network), ("function", lambda a: np.rint(a / 2).astype("u1"))],
    )
    assert found.failed == ()
    assert set(network.seen) == {(torch.float32, (1, 3, 48, 48), False)}
    assert (network.training, network.frozen.training) == (True, False)
    net, function = (found.row(name).scores["psnr"] for name in ("net", "function"))
    assert net == pytest.approx(function, abs=0.05)
    assert found.row("net").note == "your own network"
    assert found.settings["models"]["net"]["own"] == "network"


def _raise(array):
    raise KeyError("weights")


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (_raise, "your function raised KeyError: 'weights'"),
        (lambda a: a / 1.0, r"float64 array of shape \(48, 48, 3\), not a uint8"),
        (lambda a: a[::2], r"shape \(24, 48, 3\), not a .*shape \(48, 48, 3\)"),
        (lambda a: None, "your function returned NoneType"),
        (torch.nn.MaxPool2d(2), r"returned shape \(1, 3, 24, 24\), not"),
        (torch.nn.Threshold(2.0, float("nan")), "your network returned NaN"),
        (torch.nn.Conv2d(5, 5, 1), "your network raised RuntimeError"),
    ],
)
def test_one_that_fails_costs_its_row(data, mine, words):
    found = medenh.evaluate_protocol("dpe", data, models=["stretch", ("mine", mine)])
    assert [one["path"] for one in found.failed] == ["p0.png", "p1.png", "p2.png"]
    for one in found.failed:
        assert re.match(f"mine: .*{words}", one["error"])
    assert to_json(found)["rows"]["mine"]["psnr"]["n"] == 0
    assert to_json(found)["rows"]["stretch"]["psnr"]["n"] == 3


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"": _raise}, "'' cannot be the name"),
        ({"../a": _raise}, "cannot be the name"),
        ({3: _raise}, "3 cannot be the name"),
        ({"clahe": _raise}, "'clahe' is taken"),
        ({"DPE": _raise}, "'DPE' is taken"),
        ({"identity": _raise}, "is taken"),
        ({"region": _raise}, "is taken"),
        ([("mine", _raise), ("mine", _raise)], "is taken"),
        ({"mine": 3}, "int is no function of a picture"),
        ({"mine": torch.nn.ReLU}, "an instance of a torch.nn.Module"),
        (_raise, 'needs a name .*{"mine": function}'),
        (["clahe", torch.nn.ReLU()], "needs a name"),
        (("clahe", "no-such"), "no-such"),
    ],
)
def test_names_and_functions_are_known_before_the_work(data, models, words):
    with pytest.raises(UsageError, match=words):
        medenh.evaluate_protocol("dpe", data, models=models)


def test_one_pair_is_one_model(data):
    found = medenh.evaluate_protocol("dpe", data, models=("mine", lambda a: a), limit=1)
    assert [row.name for row in found.rows] == ["identity", "mine", "oracle-affine"]
