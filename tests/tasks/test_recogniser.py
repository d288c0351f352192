import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from medenh import models, tasks
from medenh.errors import (
    InputError,
    NonFiniteError,
    UnreadableError,
    UsageError,
    WeightsError,
)
from medenh.tasks.recogniser import to_working_size


@pytest.fixture
def segmenter():
    torch.manual_seed(0)
    network = models.create("unet", "tiny", classes=2).eval()
    return tasks.Recogniser(tasks.TASKS["lesions-fundus"], network, (0.5, 0.5))


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    network = models.create("classifier", "tiny", classes=2).eval()
    return tasks.Recogniser(tasks.TASKS["class-derm"], network, (0.5, 0.5))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 90, 3), (37, 51, 3), (600, 33, 1), (64, 64)]
)
def test_any_size_and_channels(segmenter, classifier, shape):
    unit = np.random.default_rng(0).random(shape).astype(np.float32)
    places = segmenter.predict(unit)
    assert places.shape == (*shape[:2], 2)
    assert places.dtype == np.float32
    assert places.min() >= 0
    assert places.max() <= 1
    answer = classifier.predict(unit)
    assert answer.shape == (2,)
    assert answer.sum() == pytest.approx(1)
    np.testing.assert_array_equal(places, segmenter.predict(unit))


def test_grey_is_grey_rgb(segmenter):
    grey = np.random.default_rng(0).random((40, 30, 1))
    np.testing.assert_array_equal(
        segmenter.predict(grey), segmenter.predict(np.repeat(grey, 3, -1))
    )


def test_the_answer_stays_where_the_thing_is():
    """A network that answers with brightness finds a square where it lies."""

    class Brightness(torch.nn.Module):
        def forward(self, image):
            return 20 * (image[:, :1] - 0.5)

    recogniser = tasks.Recogniser(tasks.TASKS["polyp-endo"], Brightness(), (0.5,))
    unit = np.zeros((300, 401, 3), np.float32)
    unit[90:200, 150:310] = 1
    found = recogniser.predict(unit)[..., 0] > 0.5
    scores = tasks.score_segmentation(found, unit[..., 0])
    assert scores["iou"] > 0.98


def test_field_of_view(segmenter, classifier):
    unit = np.random.default_rng(0).random((40, 30, 3))
    field = np.zeros((40, 30), bool)
    field[:, 10:] = True
    inside = segmenter.predict(unit, field=field)
    assert np.all(inside[:, :10] == 0)
    np.testing.assert_array_equal(inside[:, 10:], segmenter.predict(unit)[:, 10:])
    other = unit.copy()
    other[:, :10] = 0.3
    np.testing.assert_array_equal(
        classifier.predict(unit, field=field), classifier.predict(other, field=field)
    )


@pytest.mark.parametrize(
    ("unit", "field"),
    [
        (np.zeros((4, 4, 2)), None),
        (np.zeros(5), None),
        (np.zeros((0, 4, 3)), None),
        (np.zeros((4, 4, 3)), np.ones((4, 5), bool)),
    ],
)
def test_impossible_pictures_are_usage_errors(segmenter, unit, field):
    with pytest.raises(UsageError):
        segmenter.predict(unit, field=field)


def test_nan_is_refused(segmenter):
    with pytest.raises(NonFiniteError):
        segmenter.predict(np.full((4, 4, 1), np.nan))


@pytest.mark.parametrize("top", [2, 255, 65535, -1])
def test_other_ranges_are_refused_with_what_to_do(segmenter, top):
    unit = np.linspace(0, 1, 768).reshape(16, 16, 3)
    with pytest.raises(UsageError, match=r"divide.*255"):
        segmenter.predict(unit * top)
    with pytest.raises(UsageError, match=r"\[0, 1\]"):
        segmenter.predict((unit * 255).astype(np.uint8))


def test_the_overshoot_of_resampling_is_cut_off(segmenter):
    unit = np.linspace(0, 1, 768).reshape(16, 16, 3)
    over = 1.018 * (unit - 0.5) + 0.5
    np.testing.assert_array_equal(
        segmenter.predict(over), segmenter.predict(np.clip(over, 0, 1))
    )


def test_working_size_keeps_aspect_and_native_pixels():
    unit = np.random.default_rng(0).random((50, 100, 3)).astype(np.float32)
    assert to_working_size(unit, 30).shape == (15, 30, 3)
    assert to_working_size(unit[:1], 10).shape == (1, 10, 3)
    np.testing.assert_array_equal(to_working_size(unit, 100), unit)
    assert to_working_size(unit, 20).mean() == pytest.approx(unit.mean(), abs=1e-3)


@pytest.mark.parametrize("typed", ["vessel", "vesels-fundus", "Vessels"])
def test_unknown_tasks_are_named_with_the_near_ones(typed):
    with pytest.raises(UsageError, match=r"did you mean vessels-fundus\b.*lung-xray"):
        tasks.load(typed)
    with pytest.raises(UsageError, match=r"\(one of"):
        tasks.load("")


@pytest.mark.parametrize("name", tasks.TASKS)
def test_every_task_is_consistent(name):
    task = tasks.TASKS[name]
    assert task.name == name
    if task.kind == "segmentation":
        assert len(task.positive) == len(task.classes)
        assert "dice" in task.metrics
    else:
        assert set(task.labels.values()) == set(range(len(task.classes)))
        assert "balanced_accuracy" in task.metrics


def test_unknown_tasks_and_absent_weights(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="vessels-fundus"):
        tasks.load("vessels")
    empty = tmp_path / "weights_manifest.json"
    empty.write_text('{"schema": "medenh.manifest/1", "models": []}')
    monkeypatch.setattr("medenh.zoo.manifest.manifest_path", lambda: empty)
    with pytest.raises(WeightsError, match="no recogniser 'vessels-fundus'"):
        tasks.load("vessels-fundus")


def _png(numbers, mode):
    picture = Image.fromarray(numbers.astype(np.uint8), "L")
    if mode == "P":
        picture = Image.fromarray(numbers.astype(np.uint8), "P")
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9, 7, 7, 7, 200, 1, 1])
    elif mode == "1":
        picture = picture.point(lambda v: 255 * (v > 0)).convert("1")
    handle = io.BytesIO()
    picture.save(handle, "PNG")
    return handle.getvalue()


def test_masks_are_read_as_label_numbers(tmp_path):
    numbers = np.arange(24).reshape(4, 6) % 6
    np.testing.assert_array_equal(tasks.read_mask(_png(numbers, "P")), numbers)
    np.testing.assert_array_equal(tasks.read_mask(_png(numbers, "L")), numbers)
    np.testing.assert_array_equal(tasks.read_mask(_png(numbers, "1")), numbers > 0)
    for mode in ("LA", "RGBA"):  # opaque everywhere
        content = io.BytesIO()
        Image.fromarray(numbers.astype(np.uint8)).convert(mode).save(content, "PNG")
        np.testing.assert_array_equal(tasks.read_mask(content.getvalue()), numbers)
    handle = io.BytesIO()
    Image.fromarray((numbers + 300).astype(np.uint16)).save(handle, "PNG")
    (tmp_path / "m.png").write_bytes(handle.getvalue())
    np.testing.assert_array_equal(tasks.read_mask(tmp_path / "m.png"), numbers + 300)


@pytest.mark.parametrize("value", [0.7, np.nan, 3e9])
def test_probabilities_are_no_labels(tmp_path, value):
    numbers = np.zeros((4, 6), np.float32)
    numbers[1, 2] = 2
    Image.fromarray(numbers).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(tasks.read_mask(tmp_path / "m.tif"), numbers)
    numbers[1, 2] = value
    Image.fromarray(numbers).save(tmp_path / "m.tif")
    with pytest.raises(InputError, match="not whole"):
        tasks.read_mask(tmp_path / "m.tif")


def _saved(picture, kind="PNG"):
    handle = io.BytesIO()
    picture.save(handle, kind)
    return handle.getvalue()


def test_a_photograph_is_no_mask(tmp_path):
    path = tmp_path / "photo.png"
    noise = np.random.default_rng(0).normal(128, 9, (64, 64, 3))
    Image.fromarray(noise.astype(np.uint8)).save(path)
    with pytest.raises(InputError, match=r"photo\.png: a photograph, not a mask"):
        tasks.read_mask(path)


@pytest.mark.parametrize("on", [(255, 0, 0), (255, 255, 255), (250, 230, 20)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_coloured_masks_are_taken(on, kind):
    disc = np.hypot(*np.mgrid[-99:99, -99:99]) < 60
    picture = Image.fromarray(np.where(disc[..., None], on, (0, 0, 0)).astype(np.uint8))
    for soft in (picture, picture.filter(ImageFilter.GaussianBlur(1))):
        found = tasks.read_mask(_saved(soft, kind))
        assert ((found > 127) == disc).mean() > 0.98


def test_opacity_is_no_label():
    numbers = (np.arange(24).reshape(4, 6) % 6).astype(np.uint8)
    for mode in ("LA", "RGBA"):
        picture = Image.fromarray(numbers).convert(mode)
        np.testing.assert_array_equal(tasks.read_mask(_saved(picture)), numbers)


@pytest.mark.parametrize("content", [b"", b"nonsense", _png(np.ones((9, 9)), "P")[:60]])
def test_damaged_masks_are_unreadable(content):
    with pytest.raises(UnreadableError):
        tasks.read_mask(content)


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(UnreadableError, match=r"absent\.png"):
        tasks.read_mask(tmp_path / "absent.png")


def test_class_masks():
    numbers = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    lesions = tasks.class_masks(numbers, tasks.TASKS["lesions-fundus"])
    np.testing.assert_array_equal(lesions[..., 0], np.isin(numbers, [1, 2]))
    np.testing.assert_array_equal(lesions[..., 1], np.isin(numbers, [3, 4]))
    nuclei = tasks.class_masks(numbers, tasks.TASKS["nuclei-micro"])
    np.testing.assert_array_equal(nuclei[..., 0], numbers > 0)
