from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import PIL.Image
import pydicom
import pytest
import skimage.data
import torch
from pydicom.data import get_testdata_file
from safetensors.torch import save
from scipy import ndimage

import medenh
from medenh import formats, models
from medenh.classical import INFO, METHODS
from medenh.degradations import RECIPES, recipe_text
from medenh.errors import OutputError, UsageError, WeightsError
from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol
from medenh.evaluation.cases import Clean, choose
from medenh.evaluation.degrading import prepare
from medenh.evaluation.entrants import enter, usual_rows
from medenh.evaluation.output import summarise, to_json
from medenh.evaluation.packs import read_set
from medenh.evaluation.protocols import PROTOCOLS, find_protocol, protocol_of
from medenh.formats.array import from_array
from medenh.metrics.registry import METRICS
from medenh.tasks import TASKS
from medenh.types import Modality
from medenh.zoo.manifest import SCHEMA, load_manifest, resolve

ROOT = Path(__file__).resolve().parents[2]
DERM = ROOT.parent / "shared" / "data" / "derm"
ULTRASOUND = ROOT.parent / "shared" / "data" / "us"


@pytest.fixture
def data(make_folder, picture):
    return make_folder("data", {f"p{i}.png": picture(i, noise=2) for i in range(4)})


def test_every_protocol_names_what_there_is():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        recipe = RECIPES[protocol.recipe]
        assert set(protocol.options) <= set(recipe.options)
        assert all(metric in METRICS for metric in protocol.metrics)
        assert all(TASKS[task] for task in protocol.tasks)
        assert protocol.source
        if recipe.modalities and protocol.modalities:
            assert set(protocol.modalities) <= set(recipe.modalities)
    with pytest.raises(UsageError, match=r"'nothing' \(.* ends in .toml"):
        protocol_of("nothing")
    with pytest.raises(UsageError, match=r"'own.toml' \(one of .*-mixed\)$"):
        find_protocol("own.toml")  # as cards do


def test_a_recipe_that_is_no_protocol_is_told_how_it_becomes_one(tmp_path):
    with pytest.raises(UsageError, match="is a recipe; a protocol is") as caught:
        protocol_of("mri-mixed")
    names, words = caught.value.hint.split("; ")
    assert ": dpe, mri-rician, mri-multi-coil," in names
    assert "xray" not in names
    assert "--print-recipe mri-mixed > mri-mixed.toml" in words
    for name in RECIPES:
        own = tmp_path / f"{name}.toml"
        own.write_text(recipe_text(name))
        assert protocol_of(str(own)).recipe.modalities == RECIPES[name].modalities


def test_outputs_of_earlier_runs_are_no_clean_pictures(data, caplog):
    medenh.enhance(data, data / "out", model="clahe")
    found = medenh.evaluate_protocol("gauss-0.1", data, models="clahe")
    counts = {row.name: len(row.scores["psnr"]) for row in found.rows}
    assert counts == {"identity": 4, "clahe": 4}
    assert f"1 folder of earlier outputs ({data / 'out'})" in caplog.text


def test_one_model_or_task_is_not_taken_for_its_letters(data):
    found = medenh.evaluate_protocol("dpe", data, models="clahe", limit=1)
    assert [row.name for row in found.rows] == ["identity", "clahe", "oracle-affine"]
    assert [row.is_bound for row in found.rows] == [False, False, True]
    with pytest.raises(UsageError, match="unknown task 'nothing'"):
        medenh.evaluate_protocol("dpe", data, tasks="nothing")


def test_rows_tests_and_settings(data):
    found = medenh.evaluate_protocol(
        "dpe", data, models=["identity", "stretch", "clahe"]
    )
    names = [row.name for row in found.rows]
    assert names == ["identity", "stretch", "clahe", "oracle-affine"]
    means = {row.name: summarise(row, "psnr").mean for row in found.rows}
    assert means["oracle-affine"] > means["stretch"] > means["identity"]
    assert found.subject == "stretch"
    assert set(found.tests) == {"identity", "clahe", "oracle-affine"}
    assert set(found.against_identity) == {"stretch", "clahe", "oracle-affine"}
    assert found.rows[-1].note.startswith("bound")
    assert found.settings["protocol"]["recipe"] == "dpe"
    document = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert document["protocol"] == "dpe"
    assert set(document["rows"]) == set(names)
    assert document["rows"]["identity"]["psnr"]["n"] == 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_kept_pictures_stand_like_their_source(tmp_path, picture, dtype):
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "in").mkdir()
    PIL.Image.fromarray(picture(0, channels=1, dtype=dtype)).save(
        tmp_path / "in" / "a.png", exif=turned
    )
    kept = tmp_path / "kept"
    medenh.evaluate_protocol("dpe", tmp_path / "in", models="clahe", output=kept)
    written = list(kept.rglob("*.png"))
    assert len(written) >= 2
    for path in written:
        with PIL.Image.open(path) as opened:
            assert opened.getexif()[0x0112] == 6


def test_figures_do_not_depend_on_workers_order_or_neighbours(data):
    both = [
        medenh.evaluate_protocol("gauss-0.1", data, models=["nlm"], workers=count)
        for count in (1, 2)
    ]
    assert [row.scores for row in both[0].rows] == [row.scores for row in both[1].rows]
    part = medenh.evaluate_protocol("gauss-0.1", data, limit=2)
    whole = both[0].rows[0].scores["psnr"]
    for file, value in part.rows[0].scores["psnr"].items():
        assert value == whole[file]


class _InMemory:
    """A case that is there already."""

    name = "p.png"

    def __init__(self, pixels, modality):
        self._image = from_array(pixels, modality=modality)

    def read(self, tasks):
        return Clean(image=self._image)


def _prepared(protocol, pixels, modality):
    return prepare(
        _InMemory(pixels, modality),
        protocol=find_protocol(protocol),
        modality=Modality(modality),
        methods=(),
        tasks=(),
        again=True,
    )


@pytest.mark.parametrize("protocol", ["cofe-111", "cofe-mix7", "dpe", "bicubic-x4"])
def test_the_clean_picture_degraded_again_is_the_input(protocol):
    photograph = skimage.data.retina()[200:1200, 100:1200]  # not square, larger
    prepared = _prepared(protocol, photograph, "fundus")
    again = prepared.forward(prepared.clean)
    assert (again.pixels == prepared.outputs["identity"].pixels).all()


def test_where_photons_are_counted_consistency_is_undefined_and_says_so(data):
    found = medenh.evaluate_protocol("xray-low-dose", data, metrics="consistency")
    assert set(found.row("identity").scores["consistency"].values()) == {None}
    assert any("consistency is undefined for 4 of 4" in note for note in found.notes)
    assert to_json(found)["rows"]["identity"]["psnr"]["n"] == 4


def test_metrics_besides_the_protocols_own(data):
    asked = ["consistency", "structure", "noise", "psnr", "flat-bias"]
    one, two = (
        medenh.evaluate_protocol(
            "bicubic-x4", data, models="stretch", metrics=asked, workers=count
        )
        for count in (1, 2)
    )
    assert [row.scores for row in one.rows] == [row.scores for row in two.rows]
    names = [column.name for column in one.columns]
    assert names == ["psnr", "ssim", "de2000", "consistency", *asked[1:3], "flat-bias"]
    assert one.settings["metrics"] == names
    same, other = one.row("identity").scores, one.row("stretch").scores
    assert set(same["structure"].values()) == {1.0}  # against the input, not the clean
    assert all(20 < value < 100 for value in same["consistency"].values())
    assert min(same["consistency"].values()) > max(other["consistency"].values())
    with pytest.raises(UsageError, match="no metric 'snr'"):
        medenh.evaluate_protocol("dpe", data, metrics="snr")


def test_kept_pictures_score_the_same_again(data, tmp_path):
    kept = tmp_path / "kept"
    found = medenh.evaluate_protocol("dpe", data, models=["stretch"], output=kept)
    assert {p.name for p in kept.iterdir()} == {
        "degraded", "reference", "stretch", "oracle-affine"
    }  # fmt: skip
    again = medenh.evaluate(
        kept / "stretch", kept / "reference", baselines=[kept / "degraded"]
    )
    first = found.row("stretch").scores
    assert again.row("enhanced").scores == {name: first[name] for name in first}
    assert again.row("degraded").scores == found.row("identity").scores
    with pytest.raises(OutputError, match="is there already"):
        medenh.evaluate_protocol("dpe", data, output=kept)


def test_kept_regions_give_the_figures_of_the_protocol_again(tmp_path):
    photograph = skimage.data.retina()[:1200, 100:1300].copy()
    photograph[:400] //= 8  # a field that is found otherwise once it is reduced
    (tmp_path / "in").mkdir()
    formats.write(photograph, tmp_path / "in" / "eye.png")
    kept = tmp_path / "kept"
    first = medenh.evaluate_protocol(
        "cofe-111", tmp_path / "in", models=["clahe"], output=kept
    )
    with PIL.Image.open(kept / "region" / "eye.png") as opened:
        assert opened.size == (512, 512)
        assert set(np.unique(np.asarray(opened))) == {0, 255}
    again = medenh.evaluate(
        kept / "clahe",
        kept / "reference",
        baselines=[kept / "degraded"],
        region="mask",
        masks=kept / "region",
    )
    assert again.row("enhanced").scores == first.row("clahe").scores
    assert again.row("degraded").scores == first.row("identity").scores
    other = medenh.evaluate(kept / "clahe", kept / "reference", region="fov")
    assert other.row("enhanced").scores != first.row("clahe").scores


@pytest.mark.parametrize("there", [True, False])
def test_an_interrupted_run_keeps_no_part_of_the_pictures(data, tmp_path, there):
    kept = tmp_path / "kept"
    if there:
        kept.mkdir()

    def stop(done, count):
        assert list(kept.rglob("*.png"))
        raise KeyboardInterrupt

    options = BenchmarkOptions(data=data, models=("stretch",), output=kept, workers=1)
    with pytest.raises(KeyboardInterrupt):
        run_protocol("dpe", options, on_done=stop)
    assert kept.exists() == there
    assert not list(tmp_path.rglob("*.part"))
    run_protocol("dpe", replace(options, limit=1))  # the same folder can be given again
    assert len(list(kept.rglob("*.png"))) == 4


@pytest.fixture
def two_versions(tmp_path, monkeypatch):
    """Put two versions of a tiny network with unlike weights into the zoo."""
    cards = []
    for version in ("1", "2"):
        torch.manual_seed(int(version))
        network = models.create("nafnet", "tiny")
        # as made they do nothing, and alike
        state = {
            key: torch.randn_like(v) / 9 for key, v in network.state_dict().items()
        }
        content, file = save(state), f"toy-{version}.safetensors"
        (tmp_path / file).write_bytes(content)
        cards.append(
            {
                "id": "toy",
                "version": version,
                "title": "Toy",
                "description": "For tests.",
                "task": "enhance",
                "architecture": "nafnet",
                "preset": "tiny",
                "licence": "Apache-2.0",
                "data": [{"name": "none", "terms": "none", "images": 0}],
                "weights": {
                    "file": file,
                    "size_bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                },
            }
        )
    document = {"schema": SCHEMA, "models": cards}
    (tmp_path / "extra.json").write_text(json.dumps(document))
    monkeypatch.setenv("MEDENH_MANIFEST", str(tmp_path / "extra.json"))
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", tmp_path.as_uri())
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDENH_OFFLINE", raising=False)


def test_versions_of_one_model_are_rows_of_their_own(data, two_versions):
    both = medenh.evaluate_protocol(
        "gauss-0.1", data, models=["toy@1", "toy@2", "toy"], limit=1
    )
    assert [row.name for row in both.rows] == ["identity", "toy@1", "toy@2"]
    assert [one["version"] for one in both.settings["models"].values()] == ["1", "2"]
    alone = medenh.evaluate_protocol("gauss-0.1", data, models=["toy@1"], limit=1)
    assert [row.name for row in alone.rows] == ["identity", "toy"]
    assert alone.row("toy").scores == both.row("toy@1").scores
    assert both.row("toy@1").scores != both.row("toy@2").scores


def test_classical_is_what_suits_the_kind_of_picture(data):
    found = medenh.evaluate_protocol("micro-mixed", data, models=["classical"], limit=1)
    names = {row.name for row in found.rows}
    assert {"identity", "stretch", "nlm"} <= names
    assert not {"clahe", "ben-graham"} & names


@pytest.mark.parametrize(
    ("protocol", "told", "modality", "note"),
    [
        ("gauss-0.1", None, "unknown", "for dermoscopy or xray, .*--modality WORD"),
        ("gauss-0.1", "xray", "xray", None),
        ("gauss-0.1", "ultrasound", "ultrasound", "are ultrasound: no figures to"),
        ("gauss-0.1", "unknown", "unknown", "are unknown: no figures to compare"),
        ("micro-mixed", None, "microscopy", None),
        ("dpe", None, "unknown", None),
    ],
)
def test_what_pictures_show_is_no_guess(data, protocol, told, modality, note):
    found = medenh.evaluate_protocol(protocol, data, modality=told, limit=1)
    assert found.settings["modality"] == modality
    assert len(found.notes) == (note is not None)
    assert not note or re.search(note, found.notes[0])


def test_of_an_unknown_kind_classical_is_all_natural_methods(data):
    found = medenh.evaluate_protocol("bicubic-x2", data, models="classical", limit=1)
    wanted = [m.name for m in METHODS.values() if m.info.natural and not m.info.slow]
    assert [row.name for row in found.rows] == wanted


def test_what_files_say_counts_where_nobody_tells(data):
    said = Path(get_testdata_file("CT_small.dcm"))
    shutil.copy(said, data / "a.dcm")
    (data / "a.png").write_bytes(b"")  # the first of them cannot be read
    (data / "p0.png").unlink()
    found = medenh.evaluate_protocol("bicubic-x2", data, models="classical", limit=5)
    assert found.settings["modality"] == "ct"
    assert "these pictures are ct" in found.notes[0]
    assert not {"clahe-green", "gray-world"} & {row.name for row in found.rows}
    told = medenh.evaluate_protocol("bicubic-x2", data, modality="xray", limit=5)
    assert told.settings["modality"] == "xray"


def test_files_of_another_kind_are_told_where_the_protocol_is_for_one(data):
    for name in ("x", "y"):
        shutil.copy(get_testdata_file("CT_small.dcm"), data / f"{name}.dcm")
    found = medenh.evaluate_protocol("micro-mixed", data)
    assert found.settings["modality"] == "microscopy"
    (note,) = found.notes
    assert "is for microscopy, and 2 of 6 pictures say that they are ct" in note
    told = medenh.evaluate_protocol("micro-mixed", data, modality="microscopy")
    assert not told.notes  # the user knows better
    assert not medenh.evaluate_protocol("dpe", data).notes  # for any


def test_bad_files_cost_themselves_only(data):
    formats.write(np.full((48, 48), np.nan, np.float32), data / "nan.npy")
    (data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    found = medenh.evaluate_protocol("gauss-0.1", data)
    assert len(found.files) == 4
    assert {Path(one["path"]).name for one in found.failed} == {"nan.npy", "broken.png"}


@pytest.mark.parametrize("protocol", ["dpe", "gauss-0.1"])
def test_a_picture_with_a_hole_is_measured_under_no_depth(data, picture, protocol):
    hole = picture(7).astype(np.float32) / 255
    formats.write(hole, data / "whole.npy")
    hole[20, 30, 1] = np.nan
    formats.write(hole, data / "hole.npy")
    found = medenh.evaluate_protocol(protocol, data)
    assert len(found.files) == 5
    (failed,) = {Path(one["path"]).name for one in found.failed}
    assert failed == "hole.npy"
    assert "NaN" in found.failed[0]["error"]


def test_a_surround_without_numbers_is_no_part_of_a_fundus(tmp_path):
    eye = skimage.data.retina()[::4, ::4].astype(np.float32) / 255
    rows, columns = np.indices(eye.shape[:2])
    radius = np.hypot(rows - eye.shape[0] / 2, columns - eye.shape[1] / 2)
    eye[radius > 0.49 * len(eye)] = 0
    for name, beyond in (("surround", radius > 0.6 * len(eye)), ("disc", radius < 3)):
        picture = eye.copy()
        picture[beyond] = np.nan
        formats.write(picture, tmp_path / f"{name}.npy")
    found = medenh.evaluate_protocol("cofe-111", tmp_path, models="identity")
    assert list(found.files) == ["surround.npy"]
    assert [Path(one["path"]).name for one in found.failed] == ["disc.npy"]


def test_wrong_names_are_known_before_the_work(data, tmp_path, monkeypatch):
    with pytest.raises(UsageError):
        medenh.evaluate_protocol("dpe", data, models=["no-such-model"])
    with pytest.raises(UsageError, match="no picture has an answer"):
        medenh.evaluate_protocol("dpe", data, tasks=["lesion-derm"])
    monkeypatch.delenv("MEDENH_DATA", raising=False)
    with pytest.raises(UsageError, match="MEDENH_DATA"):
        medenh.evaluate_protocol("cofe-111")


def test_pictures_go_through_no_pipe(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="pipe"):
        medenh.evaluate_protocol("dpe", data, output="-", limit=1)
    assert not Path("-").exists()


def test_the_pack_is_that_of_the_modality(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDENH_DATA", str(tmp_path))
    found = []
    monkeypatch.setattr(
        "medenh.evaluation.benchmark.read_set",
        lambda root, *words, **options: found.append(root.name) or 1 / 0,
    )
    monkeypatch.setattr("medenh.evaluation.packs.is_pack", lambda place: True)
    monkeypatch.setattr("medenh.evaluation.benchmark.is_pack", lambda place: True)
    for modality in ("ultrasound", "fundus"):
        with pytest.raises(ZeroDivisionError):
            medenh.evaluate_protocol("dpe", modality=modality)
    assert found == ["us", "fundus"]
    with pytest.raises(UsageError, match="MEDENH_DATA"):
        medenh.evaluate_protocol("dpe")


def test_weights_that_cannot_be_had_end_it_at_once(data, monkeypatch):
    def refuse(*words, **options):
        raise WeightsError("not here")

    monkeypatch.setattr("medenh.pipeline.model.load_model", refuse)
    with pytest.raises(WeightsError):
        medenh.evaluate_protocol("dpe", data, models=["dpe-general"])


def test_report_pictures_go_when_the_evaluation_goes(data):
    options = BenchmarkOptions(data=data, models=("stretch",), pictures=True)
    found = run_protocol("dpe", options)
    given = found.pictures.get("p0.png", "degraded")
    clean = found.pictures.get("p0.png", "reference")
    assert given.shape == clean.shape == (48, 48, 3)
    assert np.array_equal(given, found.pictures.get("p0.png", "identity"))
    folder = found.pictures.path
    assert folder.exists()
    found.pictures.close()
    assert not folder.exists()


def test_volume_keeps_its_numbers(make_folder, picture):
    volume = np.stack([picture(i, channels=1, side=24) for i in range(3)])
    data = make_folder("data", {"v.npy": volume.astype(np.float32) * 7.5})
    found = medenh.evaluate_protocol("gauss-0.1", data)
    assert found.failed == ()
    assert "percentiles" in found.data_range


def test_choice_is_the_same_and_in_order():
    numbers = tuple(range(100))
    chosen = choose(numbers, 10)
    assert chosen == choose(numbers, 10) == tuple(sorted(chosen))
    assert max(chosen) - min(chosen) > 50
    assert choose(numbers, None) == numbers


@pytest.mark.shared
@pytest.mark.skipif(not ULTRASOUND.exists(), reason="the ultrasound pack is not here")
def test_rows_that_no_network_made_are_those_of_the_card_of_dpe():
    found = medenh.evaluate_protocol("dpe", ULTRASOUND, models=["stretch"])
    cards = json.loads((ROOT / "weights_manifest.json").read_text())["models"]
    card = next(one for one in cards if one["id"] == "dpe-general")
    table = next(t for t in card["results"] if t["modality"] == "ultrasound")
    assert len(found.files) == table["n"]
    for name in ("identity", "stretch", "oracle-affine"):
        for column in ("psnr", "ssim", "de2000"):
            mean = summarise(found.row(name), column).mean
            published = table["rows"][name][column]["mean"]
            assert mean == pytest.approx(published, abs=2e-3)


@pytest.mark.skipif(not DERM.exists(), reason="the dermoscopy pack is not here")
def test_a_task_that_is_asked_for_takes_all_pictures_with_an_answer():
    card = load_manifest().get("lesion-derm")
    tables = card.recognition.tables
    data = read_set(DERM, ["lesion-derm"], asked=True, native=False)
    assert len(data.cases) == sum(table.n for table in tables)
    usual = read_set(DERM, ["lesion-derm"], asked=False, native=False)
    assert len(usual.cases) < len(data.cases)


@pytest.mark.skipif(not DERM.exists(), reason="the dermoscopy pack is not here")
def test_an_unknown_task_is_a_user_s_error():
    with pytest.raises(UsageError, match="unknown task 'none'"):
        read_set(DERM, ["none"], asked=True, native=False)


def test_slow_methods_are_in_the_tables_of_their_task_and_else_by_name_alone():
    assert INFO["bm3d"].slow
    cards = {name: resolve(name).card for name in ("denoise-mri", "fast-micro")}
    assert usual_rows(cards["denoise-mri"]) == ("classical", "bm3d")
    assert usual_rows(cards["fast-micro"]) == ("classical",)
    group = enter(["classical"], Modality.MRI, device="cpu").methods
    assert "nlm" in group
    assert "bm3d" not in group
    named = enter(["bm3d"], Modality.MRI, device="cpu").methods
    assert named == ("bm3d",)


def test_a_recipe_of_a_file_is_a_protocol(make_folder, picture, tmp_path):
    data = make_folder("data", {f"p{i}.png": picture(i, noise=2) for i in range(2)})
    own = tmp_path / "grain.toml"
    own.write_text('[[steps]]\noperator = "gaussian-noise"\nsigma = 0.1\n')
    found = run_protocol(str(own), BenchmarkOptions(data=data, workers=2))
    assert found.failed == ()
    frozen = run_protocol("gauss-0.1", BenchmarkOptions(data=data, workers=1))
    assert found.row("identity").scores == frozen.row("identity").scores
    assert found.protocol == "grain.toml"
    told = json.loads(json.dumps(to_json(found)))["settings"]["protocol"]
    assert told["recipe_text"] == own.read_text()
    assert told["recipe_sha256"] == hashlib.sha256(own.read_bytes()).hexdigest()
    own.write_text(own.read_text() + "sigm = 3\n")
    with pytest.raises(UsageError, match=r"grain.toml.*step 1 .*sigm"):
        run_protocol(str(own), BenchmarkOptions(data=data))


@pytest.mark.parametrize(
    ("head", "metrics", "region"),
    [
        ("", ("psnr", "ssim", "de2000"), "whole"),
        ('modalities = ["mri", "xray"]', ("psnr", "ssim", "ms-ssim", "mae"), "whole"),
        ('modalities = ["fundus"]\nframing = "fundus"', None, "fov"),
    ],
)
def test_what_is_measured_follows_the_kind_of_picture(tmp_path, head, metrics, region):
    own = tmp_path / "own.toml"
    own.write_text(f'{head}\n[[steps]]\noperator = "jpeg"\n')
    protocol = protocol_of(str(own))
    assert protocol.metrics == (metrics or ("psnr", "ssim", "de2000"))
    assert protocol.region == region
    assert (protocol.seed, protocol.severity, protocol.size) == (0, None, None)


def scores_again(found, kept):
    """Return what the kept pictures score, and what the protocol said of them."""
    (added,) = {row.name for row in found.rows} - {"identity"}
    names = [column.name for column in found.columns]
    again = medenh.evaluate(
        kept / added, kept / "reference", baselines=[kept / "degraded"], metrics=names
    )
    assert not again.failed
    pairs = zip(("enhanced", "degraded"), (added, "identity"), strict=True)
    return [
        (
            [*again.row(one).scores[name].values()],
            [*found.row(two).scores[name].values()],
        )
        for one, two in pairs
        for name in names
    ]


def test_kept_volumes_score_the_same_again(tmp_path):
    """What is white in them is found by the rules of NIfTI, not of arrays."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.random((24, 28, 5)), 2)
    voxels = np.where(field > 0.45, 3000 * (field - 0.4), 0).astype(np.int16)
    (tmp_path / "in").mkdir()
    nibabel.save(
        nibabel.Nifti1Image(voxels, np.diag([1, 1, 3, 1.0])), tmp_path / "in/a.nii"
    )
    kept = tmp_path / "kept"
    found = medenh.evaluate_protocol(
        "mri-rician", tmp_path / "in", models=["median"], output=kept
    )
    for again, before in scores_again(found, kept):
        assert again == pytest.approx(before, abs=1e-9)
    low = nibabel.load(kept / "degraded" / "a.nii.gz")
    np.testing.assert_array_equal(low.affine, np.diag([1, 1, 3, 1.0]))


def test_kept_dicom_scores_the_same_again_and_names_no_patient(tmp_path):
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.PatientName, dataset.WindowCenter, dataset.WindowWidth = "Nobody", -50, 900
    (tmp_path / "in").mkdir()
    dataset.save_as(tmp_path / "in" / "a.dcm")
    kept = tmp_path / "kept"
    found = medenh.evaluate_protocol(
        "ct-low-dose", tmp_path / "in", models=["median"], output=kept
    )
    assert "window" in found.data_range
    for again, before in scores_again(found, kept):
        assert again == pytest.approx(before, abs=1e-9)
    paths = list(kept.rglob("*.dcm"))
    assert len(paths) == 3
    assert not any(b"Nobody" in path.read_bytes() for path in paths)
