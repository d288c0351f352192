from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from fakes_pipeline import FakeRunner, make_card, put_into_zoo
from PIL import Image

import medenh
from medenh import device as device_module
from medenh import models
from medenh.classical import METHODS
from medenh.cli import doctor
from medenh.cli.main import main
from medenh.errors import OutOfMemoryError, UsageError, WeightsError
from medenh.pipeline import loading, openvino_cache
from medenh.pipeline.budget import Memory
from medenh.pipeline.loading import ZooModels, certified, contract_of
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.runners import ClassicalRunner
from medenh.zoo.card import Certificate

GOOD = {"psnr_db": 58.0, "max_levels": 1.0}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Put one small network with weights of its own in a user's manifest."""
    torch.manual_seed(0)
    network = models.create("dpe-plus", preset="tiny")
    state = {
        name: (value + torch.randn_like(value) * 0.02).half()
        for name, value in network.state_dict().items()
    }
    return put_into_zoo(
        tmp_path,
        monkeypatch,
        state,
        id="tiny-general",
        architecture="dpe-plus",
        input={"channels": 3, "multiple_of": 16, "min_size": 16},
        receptive_field=128,
        global_ops=True,
        precision={"bf16": GOOD},
    )


def test_a_network_of_the_zoo_runs_the_same_in_both_engines(zoo, tmp_path):
    pytest.importorskip("openvino")
    array = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    by = {
        engine: medenh.enhance(
            array, model="tiny-general", engine=engine, precision="fp32"
        )
        for engine in ("torch", "openvino")
    }
    difference = np.abs(by["torch"].astype(int) - by["openvino"])
    assert difference.max() <= 1
    assert not np.array_equal(by["torch"], array)
    assert list((tmp_path / "cache" / "openvino").glob("*-local.xml"))


@pytest.mark.parametrize("fails_at", [0, 1], ids=["condition", "local"])
def test_a_part_that_openvino_cannot_give_its_shapes_runs_in_torch(
    zoo, tmp_path, monkeypatch, caplog, fails_at
):
    """The converter took it, so nothing was said before: shapes come after."""
    openvino = pytest.importorskip("openvino")
    reshape, calls = openvino.Model.reshape, []

    def refuse(model, *shapes, **more):
        calls.append(model)
        if len(calls) - 1 == fails_at:
            raise RuntimeError("Check 'shapes agree' failed\nat src/core/shape.cpp:9")
        return reshape(model, *shapes, **more)

    monkeypatch.setattr(openvino.Model, "reshape", refuse)
    caplog.set_level("INFO", logger="medenh")
    array = np.random.default_rng(0).integers(0, 255, (70, 90, 3), np.uint8)
    asked = {"model": "tiny-general", "precision": "fp32", "device": "cpu"}
    answer = medenh.enhance(array, **asked)
    assert len(calls) == fails_at + 1
    assert "OpenVINO cannot run tiny-general (Check 'shapes agree' f" in caplog.text
    expected = medenh.enhance(array, engine="torch", **asked)
    np.testing.assert_array_equal(answer, expected)
    assert not np.array_equal(answer, array)
    calls.clear()
    with pytest.raises(UsageError, match="OpenVINO cannot run tiny-general: Check "):
        medenh.enhance(array, engine="openvino", **asked)
    assert not list((tmp_path / "cache" / "openvino").glob("*.xml"))


def test_a_loaded_network_is_what_enhance_uses(zoo):
    model = medenh.load_model("tiny-general", precision="fp32", engine="torch")
    array = np.random.default_rng(0).random((64, 80, 3)).astype(np.float32)
    with torch.inference_mode():
        batch = torch.from_numpy(array).permute(2, 0, 1)[None]
        expected = model.network(batch)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(model.enhance(array), expected, atol=1e-5)


def test_a_certificate_makes_bf16_the_choice_where_the_cpu_has_it(zoo, monkeypatch):
    pytest.importorskip("openvino")
    if not device_module.cpu_has_bf16():
        pytest.skip("this CPU has no bf16")
    source = ZooModels(EnhanceOptions(model="tiny-general", device="cpu"))
    card = source.resolve(medenh.Modality.UNKNOWN).card
    assert source.prepare(card).runner.precision == "bf16"


def test_a_certificate_must_be_good_enough():
    card = make_card(precision={"bf16": GOOD, "fp16": {**GOOD, "psnr_db": 54.9}})
    assert certified(card) == {"bf16"}
    card = make_card(precision={"bf16": {**GOOD, "max_levels": 3.0}})
    assert certified(card) == frozenset()


def test_missing_weights_are_exit_code_four_before_anything_is_read(
    zoo, tmp_path, capsys
):
    zoo.unlink()
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 20), np.uint8))
    words = ["enhance", str(tmp_path / "a.png"), "-m", "tiny-general", "--offline"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 4
    assert "weights" in capsys.readouterr().err
    assert not (tmp_path / "a.enhanced.png").exists()


def test_weights_not_as_hashed_are_refused_and_remembered(zoo):
    content = bytearray(zoo.read_bytes())
    content[-1] ^= 1
    zoo.write_bytes(content)
    source = ZooModels(EnhanceOptions(model="tiny-general", offline=True))
    card = source.resolve(medenh.Modality.UNKNOWN).card
    for _ in range(2):
        with pytest.raises(WeightsError):
            source.prepare(card)


@pytest.mark.parametrize(
    ("global_ops", "field", "apart", "halo"),
    [
        (False, 100, False, 100),
        (False, None, False, None),
        (True, 100, False, None),
        (True, 100, True, 100),
    ],
)
def test_tiles_are_automatic_only_where_exact(global_ops, field, apart, halo):
    runner = FakeRunner()
    runner.has_condition = apart
    card = make_card(global_ops=global_ops, receptive_field=field)
    assert contract_of(card, runner).halo == halo


@pytest.mark.parametrize(
    ("task", "global_ops", "apart", "told"),
    [
        ("enhance", True, False, True),
        ("enhance", True, True, False),
        ("enhance", False, False, False),
        ("denoise", True, False, False),
    ],
)
def test_which_models_light_each_frame_by_itself(task, global_ops, apart, told):
    runner = FakeRunner()
    runner.has_condition = apart
    card = make_card(task=task, global_ops=global_ops)
    assert contract_of(card, runner).each_by_itself == told


def test_the_computation_is_told_without_loading_anything(monkeypatch):
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    network = make_card().model_copy
    certain = network(
        update={"method": None, "precision": {"bf16": Certificate(**GOOD)}}
    )
    plain = network(update={"method": None, "id": "plain"})
    models = ZooModels(EnhanceOptions(device="cpu"))
    assert models.computation(certain) == "torch bf16 cpu"
    assert models.computation(plain) == "torch fp32 cpu"
    assert models.computation(make_card(id="method")) == "classical"
    asked = ZooModels(EnhanceOptions(device="cpu", precision="fp32"))
    assert asked.computation(certain) == "torch fp32 cpu"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "found")
    again = ZooModels(EnhanceOptions(device="cpu"))
    assert again.computation(certain) == "openvino bf16 cpu"


def test_a_call_takes_the_memory_of_its_engine():
    card = make_card(bytes_per_pixel={"torch": 300, "openvino": 500})
    for engine, need in (("torch", 300), ("openvino", 500), ("fake", 0)):
        runner = FakeRunner()
        runner.engine = engine
        assert contract_of(card, runner).bytes_per_pixel == need


def test_a_picture_larger_than_the_memory_is_refused_with_what_it_takes(monkeypatch):
    monkeypatch.setattr(loading, "MEMORY_OF_PROCESS", Memory(10_000_000))
    array = np.zeros((600, 500), np.uint8)
    with pytest.raises(OutOfMemoryError, match=r"500x600 .*of 9.5 MiB"):
        medenh.enhance(array, model="clahe")


def test_models_of_one_process_share_its_memory(monkeypatch):
    """Each took half of it for its own: two at work took all."""
    monkeypatch.setattr(loading, "MEMORY_OF_PROCESS", Memory(2_600_000))
    array = np.zeros((100, 100), np.uint8)  # .7 and 1.2 MB a call: one at a time
    lock, inside, seen = threading.Lock(), [0], []

    def slow(self, batch, condition=None, *, alone=False):
        with lock:
            inside[0] += 1
            seen.append(inside[0])
        time.sleep(0.1)
        with lock:
            inside[0] -= 1
        return batch

    monkeypatch.setattr(ClassicalRunner, "run", slow)
    names = ("clahe", "nlm", "clahe", "nlm")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: medenh.enhance(array, model=name), names))
    assert (len(seen), max(seen)) == (4, 1)


class TestSettings:
    """Options of weight-free methods: `--set clip=3`."""

    PICTURE = np.random.default_rng(0).integers(0, 255, (70, 90), np.uint8)

    def test_reach_the_method(self, tmp_path):
        settings = {"clip": 9, "tiles": 3}
        unit = self.PICTURE[..., None].astype(np.float32) / 255
        wanted = METHODS["clahe"](unit, **settings)[..., 0]
        cv2.imwrite(str(tmp_path / "a.png"), self.PICTURE)

        array = medenh.enhance(self.PICTURE, model="clahe", settings=settings)
        loaded = medenh.load_model("clahe", settings=settings).enhance(self.PICTURE)
        flags = ["-m", "clahe", "--set", "clip=9", "--set", "tiles=3"]
        with pytest.raises(SystemExit, match="0"):
            main(["enhance", str(tmp_path / "a.png"), *flags])
        written = cv2.imread(str(tmp_path / "a.enhanced.png"), cv2.IMREAD_UNCHANGED)

        for out in (array, loaded, written):
            np.testing.assert_allclose(out, wanted * 255, atol=0.51)
        plain = medenh.enhance(self.PICTURE, model="clahe")
        assert np.abs(array.astype(int) - plain).max() > 10

    @pytest.mark.parametrize(
        ("model", "flags", "words"),
        [
            ("clahe", ["clip=300"], "outside its range"),
            ("clahe", ["clop=3"], "no option 'clop'"),
            ("clahe", ["clip"], "must look like"),
            ("clahe", ["clip=much"], "must look like"),
            ("clahe", ["clip=2", "clip=3"], "set twice"),
            ("clahe", ["tiles=2.5"], "whole number"),
            ("dpe-general", ["clip=3"], "no settings"),
            ("auto", ["clip=3"], "name one"),
        ],
    )
    def test_wrong_ones_are_one_error_before_anything_is_done(
        self, model, flags, words, tmp_path, capsys
    ):
        for name in "ab":
            cv2.imwrite(str(tmp_path / f"{name}.png"), self.PICTURE)
        given = [part for flag in flags for part in ("--set", flag)]
        out = tmp_path / "out"
        with pytest.raises(SystemExit, match="2"):
            main(["enhance", str(tmp_path), "-o", str(out), "-m", model, *given])
        said = capsys.readouterr().err
        assert said.count("error: ") == 1
        assert words in said
        assert not out.exists()

    def test_are_in_the_record_of_the_output(self, tmp_path):
        target = tmp_path / "out.png"
        medenh.enhance(self.PICTURE, target, model="nlm", settings={"sigma": 0.125})
        with Image.open(target) as picture:
            assert "sigma:0.125" in picture.info["Processing"]


def test_an_openvino_that_cannot_be_loaded_is_said(tmp_path, monkeypatch):
    (tmp_path / "openvino.py").write_text("raise ImportError('no libopenvino.so')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    with pytest.raises(UsageError, match=r"cannot be loaded.*--engine torch"):
        openvino_cache.import_openvino()
    (found,) = doctor._openvino()
    assert found.state == "broken"
