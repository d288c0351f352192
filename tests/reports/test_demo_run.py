from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import medenh
from medenh import formats
from medenh.errors import WeightsError
from medenh.reports.demo import MODELS, TRAINED, _standing, run_demo
from medenh.reports.samples import SAMPLES

SMALL = [sample for sample in SAMPLES if sample.package == "pydicom"]
TISSUE = next(sample for sample in SAMPLES if sample.key == "ihc")


class Fake:
    """Stands for a model: a card, and what it does to an image."""

    def __init__(self, name, change=lambda image: image, sha256=None):
        weights = None if sha256 is None else SimpleNamespace(sha256=sha256)
        self.card = SimpleNamespace(id=name, version="1", weights=weights)
        self.enhance = change


def brighter(image):
    return image.from_unit(np.clip(image.to_unit() * 1.5, 0, 1))


@pytest.fixture
def fakes(monkeypatch):
    known = {
        "identity": Fake("identity"),
        "brighter": Fake("brighter", brighter, "ab" * 32),
    }
    monkeypatch.setattr(medenh, "load_model", known.__getitem__, raising=False)
    return tuple(known)


def bytes_below(folder, *parts):
    paths = [p for part in parts for p in (folder / part).rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.key)
def test_samples_lie_in_installed_packages(sample):
    assert formats.read(sample.path).pixels.size > 4000


def test_identity_row_is_what_the_files_say(tmp_path, fakes):
    from skimage.io import imread
    from skimage.metrics import peak_signal_noise_ratio

    result = run_demo(tmp_path, models=fakes, samples=[TISSUE])
    degraded = imread(tmp_path / "degraded" / "ihc.png")
    expected = peak_signal_noise_ratio(imread(TISSUE.path), degraded)
    row = result.to_json()["rows"]["identity"]
    assert row["psnr"]["per_image"]["ihc"] == pytest.approx(expected, abs=1e-3)
    assert row["psnr"]["mean"] == pytest.approx(expected, abs=1e-3)
    kept = imread(tmp_path / "enhanced" / "identity" / "ihc.png")
    np.testing.assert_array_equal(kept, degraded)


def test_scores_are_in_the_range_of_the_original(tmp_path, monkeypatch):
    """A model that undoes the darkening must be seen to, on DICOM files too."""
    originals = {s.key: formats.read(s.path) for s in SMALL}

    def restore(image):
        key = "ct" if image.height == 128 else "mr"
        return replace(image, pixels=originals[key].pixels)

    known = {"identity": Fake("identity"), "oracle": Fake("oracle", restore)}
    monkeypatch.setattr(medenh, "load_model", known.__getitem__, raising=False)
    result = run_demo(tmp_path, models=["identity", "oracle"], samples=SMALL)
    for key in ("ct", "mr"):
        assert result.scores["identity"][key]["psnr"] < 35
        assert result.scores["oracle"][key]["psnr"] > 100
        assert result.scores["oracle"][key]["delta_e2000"] == pytest.approx(0)


def test_same_seed_same_files_and_nothing_else_touched(tmp_path, fakes):
    mine = tmp_path / "degraded" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    run_demo(tmp_path, models=fakes, samples=SMALL)
    first = bytes_below(tmp_path, "degraded", "enhanced")
    run_demo(tmp_path, models=fakes, samples=SMALL)
    assert bytes_below(tmp_path, "degraded", "enhanced") == first
    assert mine.read_text() == "mine"
    run_demo(tmp_path, models=fakes, samples=SMALL, seed=1)
    changed = bytes_below(tmp_path, "degraded", "enhanced")
    assert {name for name in first if changed[name] != first[name]} == {
        name for name in first if not name.endswith("mine.txt")
    }


def test_page_names_models_hashes_and_settings(tmp_path, fakes):
    result = run_demo(tmp_path, models=fakes, samples=SMALL, seed=3)
    page = result.page.read_text(encoding="utf-8")
    for words in ("identity (does nothing)", "brighter", "ab" * 32, "--seed 3"):
        assert words in page
    assert page.count('class="card case') == len(SMALL)


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ((21.0, 24.0), "has the best mean PSNR here, 22.5 dB."),
        ((20.0, 21.0), "identity has 21.0 dB on average, brighter 20.5 dB, and the "
                       "higher figure on 1 of 2 images."),
    ],
)  # fmt: skip
def test_page_says_where_the_model_it_shows_stands(tmp_path, fakes, ours, said):
    result = run_demo(tmp_path, models=fakes, samples=SMALL)
    page = result.page.read_text()
    assert "mean PSNR here" in page or "not the best here" in page
    values = {"identity": (22.0, 20.0), "brighter": ours}
    scores = {
        model: {str(i): {"psnr": value} for i, value in enumerate(row)}
        for model, row in values.items()
    }
    records = {key: {} for key in "01"}
    assert said in _standing(
        replace(result, scores=scores, records=records), "brighter"
    )


def test_missing_weights_stop_it_before_any_file(tmp_path, monkeypatch, fakes):
    known = medenh.load_model

    def load(name):
        if name == "brighter":
            raise WeightsError("weights are missing")
        return known(name)

    monkeypatch.setattr(medenh, "load_model", load)
    with pytest.raises(WeightsError):
        run_demo(tmp_path / "out", models=fakes, samples=SMALL)
    assert not (tmp_path / "out").exists()


def test_result_is_json(tmp_path, fakes):
    result = run_demo(tmp_path, models=fakes, samples=SMALL)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert list(document["rows"]) == list(fakes)
    assert document["images"] == ["ct", "mr"]
    records = document["degradation"]
    made = {key: record["steps"][0]["op"] for key, record in records.items()}
    assert made == {"ct": "ct-low-dose", "mr": "mri-noise"}


def test_zoo_models_run_on_dicom(tmp_path):
    result = run_demo(tmp_path, samples=SMALL)
    assert tuple(result.scores) == MODELS
    assert result.trained == {"ct": "denoise-ct", "mr": "denoise-mri"}
    # how good the models are is for the benchmarks; here each must have done its own
    rows = [tuple(one.values()) for one in result.scores["identity"].values()]
    for model in set(MODELS) - {"identity"}:
        scores = [tuple(one.values()) for one in result.scores[model].values()]
        assert np.isfinite(scores).all()
        assert scores[0] != rows[0] or scores[1] != rows[1]


def test_each_image_gets_the_model_made_for_it(tmp_path, monkeypatch):
    asked = []

    def load(name):
        return Fake(name, lambda image: asked.append(name) or image)

    monkeypatch.setattr(medenh, "load_model", load)
    result = run_demo(tmp_path, models=["identity", TRAINED], samples=SMALL)
    assert asked == ["identity", "identity", "denoise-ct", "denoise-mri"]
    assert list(result.scores) == ["identity", TRAINED]
    page = result.page.read_text()
    assert "denoise-ct" in page
    assert "noise of a low dose (recipe ct-low-dose)" in page


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.key)
def test_the_models_are_bundled_and_know_the_fault(sample):
    from medenh.zoo.manifest import load_manifest

    (card,) = (c for c in load_manifest().cards if c.id == sample.model)
    assert card.weights.bundled
    assert sample.recipe in card.training.config["data"]["recipes"]


def test_the_trained_models_are_shown_and_cannot_be_left_out():
    assert MODELS[0] == "identity"
    assert MODELS[-1] == TRAINED
