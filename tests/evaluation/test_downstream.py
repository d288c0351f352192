from __future__ import annotations

import numpy as np
import pytest

import medenh
from medenh.errors import UsageError
from medenh.evaluation.degrading import _moved_planes
from medenh.evaluation.output import summarise
from medenh.evaluation.pairs import evaluate_pairs
from medenh.evaluation.planning import PairOptions
from medenh.tasks import Recogniser, get_task


class Bright:
    """Finds what is bright; stands in for a trained network."""

    thresholds = (0.5,)

    def __init__(self, name):
        self.task = get_task(name)

    def predict(self, unit, *, field=None):
        plane = unit.mean(-1)
        if self.task.kind == "classification":
            level = float(plane.mean())
            return np.array([1 - level, level], np.float32)
        return (plane * 1.0)[..., None].astype(np.float32)


@pytest.fixture(autouse=True)
def recognisers(monkeypatch):
    monkeypatch.setattr("medenh.evaluation.downstream.load", Bright)


@pytest.fixture
def scene(make_folder):
    """Bright squares: the clean ones whole, the degraded ones half dark."""
    clean, low, enhanced, masks = {}, {}, {}, {}
    for index in range(4):
        mask = np.zeros((32, 32), bool)
        mask[4 : 20 + index, 4:20] = True
        dark, some = mask.copy(), mask.copy()
        dark[:12] = False
        some[:8] = False
        name = f"p{index}.png"
        for target, found in ((clean, mask), (low, dark), (enhanced, some)):
            target[name] = np.where(found, 230, 20).astype(np.uint8)
        masks[name] = mask.astype(np.uint8)
    return {
        name: make_folder(name, pictures)
        for name, pictures in (
            ("clean", clean),
            ("low", low),
            ("enhanced", enhanced),
            ("masks", masks),
        )
    }


def test_recogniser_stub_has_the_real_ones_fields():
    assert {"task", "thresholds", "predict"} <= set(dir(Recogniser))


def test_share_of_the_lost_score_that_comes_back(scene):
    found = medenh.evaluate(
        scene["enhanced"], scene["clean"], baselines=[scene["low"]],
        tasks=["vessels-fundus"], masks=scene["masks"],
    )  # fmt: skip
    assert [row.name for row in found.rows] == ["enhanced", "low", "reference"]
    means = {row.name: summarise(row, "vessels-fundus.iou").mean for row in found.rows}
    assert means["reference"] == 1.0
    share = {s.name: s for s in found.rows[0].set_scores}[
        "vessels-fundus.iou.recovered"
    ]
    expected = (means["enhanced"] - means["low"]) / (1.0 - means["low"])
    assert share.value == pytest.approx(expected)
    assert share.ci95[0] <= share.value <= share.ci95[1]
    assert found.rows[1].set_scores == ()
    assert found.tests["low"]["vessels-fundus.iou"].difference > 0
    assert "reference" not in found.tests


def test_recognisers_see_pictures_on_the_range_of_their_figures(make_folder):
    """A dark picture of 16 bits is dark to them, not one of fewer bits."""
    mask = np.zeros((32, 32), np.uint8)
    mask[4:20, 4:20] = 1
    clean = np.where(mask, 60000, 2000).astype(np.uint16)
    folders = [
        make_folder(name, {"a.png": pixels})
        for name, pixels in (("dark", clean // 5), ("clean", clean), ("masks", mask))
    ]
    dark, reference, masks = folders
    found = medenh.evaluate(dark, reference, tasks=["vessels-fundus"], masks=masks)
    scores = {row.name: row.scores["vessels-fundus.iou"] for row in found.rows}
    assert scores == {"enhanced": {"a.png": 0.0}, "reference": {"a.png": 1.0}}


def test_mask_of_another_size_fails_that_file(scene):
    from medenh import formats

    formats.write(np.ones((8, 8), np.uint8), scene["masks"] / "p1.png")
    found = medenh.evaluate(
        scene["enhanced"], scene["clean"], tasks=["vessels-fundus"],
        masks=scene["masks"],
    )  # fmt: skip
    assert "mask is 8 x 8" in found.failed[0]["error"]
    assert found.rows[0].scores["vessels-fundus.iou"].keys() == {
        "p0.png", "p2.png", "p3.png"
    }  # fmt: skip


def test_classification_from_a_csv(make_folder, tmp_path):
    levels = {"a": 40, "b": 90, "c": 160, "d": 210}
    pictures = {
        f"{name}.png": np.full((8, 8), level, np.uint8)
        for name, level in levels.items()
    }
    folder = make_folder("pictures", pictures)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\na.tif,benign\nb.png,0\nc,malignant\nd.png,1\n")
    found = medenh.evaluate(folder, folder, tasks=["class-derm"], labels=labels)
    scores = {s.name: s.value for s in found.rows[0].set_scores}
    assert scores["class-derm.auc"] == scores["class-derm.accuracy"] == 1.0
    right = found.rows[0].scores["class-derm.right"]
    assert right["a.png"] == pytest.approx(1 - 40 / 255)


def test_protocol_moves_masks_and_keeps_overlays(scene):
    from medenh.evaluation.benchmark import BenchmarkOptions, run_protocol

    found = run_protocol(
        "gauss-0.1",
        BenchmarkOptions(
            data=scene["clean"], masks=scene["masks"], tasks=("lesion-derm",),
            models=("nlm",), pictures=True,
        ),
    )  # fmt: skip
    assert [row.name for row in found.rows] == ["identity", "nlm", "reference"]
    assert [row.is_bound for row in found.rows] == [False, False, True]
    assert found.row("reference").scores["lesion-derm.iou"]["p0.png"] == 1.0
    truth = found.pictures.overlay("p0.png", "mask", "lesion-derm")
    assert truth.sum() == 16 * 16
    assert found.pictures.overlay("p0.png", "nlm", "lesion-derm").shape == (32, 32)
    found.pictures.close()


def test_wrong_labels_are_known_before_anything_is_measured(scene, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,label\np0,cat\n")
    done = []
    with pytest.raises(UsageError, match="'cat' is no label"):
        evaluate_pairs(
            scene["enhanced"], scene["clean"], [],
            PairOptions(tasks=("class-derm",), labels=path),
            on_done=lambda *count: done.append(count),
        )  # fmt: skip
    assert done == []


def test_pictures_without_answers_and_answers_without_pictures_are_told(scene):
    (scene["masks"] / "p3.png").rename(scene["masks"] / "other.png")
    found = medenh.evaluate(
        scene["enhanced"], scene["clean"], baselines=[scene["low"]],
        tasks=["vessels-fundus"], masks=scene["masks"],
    )  # fmt: skip
    assert found.unmatched == {"not in masks": ("p3.png",), "masks": ("other.png",)}
    share = found.rows[0].set_scores[0]
    assert share.n == 3
    assert "Retinal vessels" in share.title


def test_no_answer_at_all_is_refused(scene, make_folder):
    other = make_folder("others", {"x.png": np.ones((32, 32), np.uint8)})
    with pytest.raises(UsageError, match="no picture has an answer"):
        medenh.evaluate(
            scene["enhanced"], scene["clean"], tasks=["vessels-fundus"], masks=other
        )


def test_region_fov_holds_for_tasks_too(make_folder):
    y, x = np.mgrid[:96, :96]
    disc = np.hypot(y - 48, x - 48) < 40
    truth = disc & (x < 48)
    clean = np.where(disc, np.where(truth, 230, 100), 0).astype(np.uint8)
    bright = np.where(disc, clean, 200).astype(np.uint8)  # wrong outside the disc only
    folders = [
        make_folder(name, {"a.png": pixels})
        for name, pixels in (("enhanced", bright), ("clean", clean), ("masks", truth))
    ]
    scores = [
        medenh.evaluate(
            *folders[:2], masks=folders[2], tasks=["vessels-fundus"], region=region
        ).rows[0].scores["vessels-fundus.iou"]["a.png"]
        for region in ("whole", "fov")
    ]  # fmt: skip
    assert scores[1] == 1.0
    assert scores[0] < 0.6


def test_tasks_that_no_picture_answers_have_no_columns(scene):
    found = medenh.evaluate_protocol("gauss-0.1", scene["clean"])
    assert [column.name for column in found.columns] == ["psnr", "ssim", "de2000"]
    assert found.tasks == ()
    assert [row.name for row in found.rows] == ["identity"]


def test_masks_answer_one_task_of_a_protocol(scene):
    masks = scene["masks"]
    found = medenh.evaluate_protocol("cofe-111", scene["clean"], masks=masks)
    assert found.tasks == ("vessels-fundus",)  # and not lesions, whose numbers differ
    lungs = medenh.evaluate_protocol(
        "dpe", scene["clean"], masks=masks, modality="xray", limit=1
    )
    assert lungs.tasks == ("lung-xray",)
    with pytest.raises(UsageError, match="may be for lesion-derm or nuclei-micro"):
        medenh.evaluate_protocol("dpe", scene["clean"], masks=masks)
    with pytest.raises(UsageError, match="no task that could use masks"):
        medenh.evaluate_protocol("mri-rician", scene["clean"], masks=masks)
    with pytest.raises(UsageError, match="unknown task 'no'"):
        medenh.evaluate_protocol("dpe", scene["clean"], tasks=["no"])


def test_every_class_of_a_mask_is_cropped_and_resized_as_the_picture():
    y, x = np.mgrid[:60, :80]
    eye = np.zeros((60, 80, 3), np.uint8)
    eye[np.hypot(y - 30, x - 40) < 28] = (170, 90, 50)
    _, record = medenh.degrade(eye, "cofe-111", size=32, modality="fundus")
    planes = np.stack([x < 40, y < 30, np.hypot(y - 30, x - 40) < 9], -1)
    moved = _moved_planes(planes, record, None)
    assert moved.shape == (32, 32, 3)
    for index in range(3):
        alone = _moved_planes(planes[..., index : index + 1], record, None)
        np.testing.assert_array_equal(moved[..., index], alone[..., 0])
    assert 0.2 < moved[..., 0].mean() < 0.6
    assert moved[16, 16, 2]
    assert not moved[2, 16, 2]
