"""The contract of every metric in the table, and of the table itself."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from skimage import data

import medenh.metrics
from medenh.errors import NonFiniteError, UsageError
from medenh.formats.array import from_array
from medenh.metrics import METRICS, resolve_metrics
from medenh.types import Modality

PAIRED = [m for m in METRICS.values() if m.needs_reference]
ALONE = [m for m in METRICS.values() if not m.needs_reference]


@pytest.fixture(scope="module")
def photograph():
    return data.retina()[300:812, 300:820]


def _id(metric):
    return metric.name


def _masked(metric, shape):
    """What a metric wants beside pictures: those of structures, a mask of them."""
    if not metric.of_structures:
        return {}
    return {"mask": np.indices(shape[:2]).sum(0) % 9 < 3}  # slanted lines


def test_every_entry_is_complete():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title
        assert set(metric.modalities) <= set(Modality)
        assert callable(metric.function)


@pytest.mark.parametrize("metric", METRICS.values(), ids=_id)
def test_pictures_with_a_meaning_are_refused_with_what_to_give(metric, photograph):
    array = photograph[:64, :64]
    for picture, word in (
        (from_array(array), r"to_unit\(\)"),
        (PIL.Image.fromarray(array), "data_range=255"),
    ):
        with pytest.raises(UsageError, match=word):
            metric(picture, picture)
        if metric.needs_reference:
            with pytest.raises(UsageError, match=word):
                metric(array, picture, data_range=255)


def test_exported_names_exist():
    for name in medenh.metrics.__all__:
        assert getattr(medenh.metrics, name) is not None
    with pytest.raises(AttributeError):
        _ = medenh.metrics.nothing


def test_listing_metrics_loads_nothing_heavy_and_measuring_no_torch():
    code = """
import sys
from medenh.metrics import METRICS
print([m for m in ("numpy", "scipy", "skimage", "cv2", "torch") if m in sys.modules])
import numpy as np
picture = np.random.default_rng(0).random((80, 80, 3))
for metric in METRICS.values():
    mask = np.eye(80, dtype=bool) if metric.of_structures else None
    metric(picture, picture, mask=mask)
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'snr'.*psnr.*invented-edges"):
        resolve_metrics(["psnr", "snr"])
    with pytest.raises(UsageError, match="known"):
        resolve_metrics([" ", ""])
    names = [metric.name for metric in resolve_metrics(["ssim", " psnr", "ssim"])]
    assert names == ["ssim", "psnr"]


@pytest.mark.parametrize("metric", PAIRED, ids=_id)
def test_equal_images_are_perfect(metric, photograph):
    figure = metric(photograph, photograph, data_range=255)
    similar = {"ssim": 1.0, "ms-ssim": 1.0, "structure": 1.0}
    similar |= dict.fromkeys(("psnr", "consistency"), float("inf"))
    assert figure == pytest.approx(similar.get(metric.name, 0.0), abs=1e-6)
    with pytest.raises(UsageError, match="two images"):
        metric(photograph, data_range=255)


@pytest.mark.parametrize("metric", METRICS.values(), ids=_id)
def test_bit_depth_does_not_matter(metric, photograph):
    rough = np.clip(photograph * 0.8 + 20, 0, 255).astype(np.uint8)
    figures = []
    for white, dtype in ((255, np.uint8), (65535, np.uint16), (1.0, np.float32)):
        pair = ((p * (white / 255)).astype(dtype) for p in (rough, photograph))
        masked = _masked(metric, photograph.shape)
        figures.append(metric(*pair, data_range=white, **masked))
    assert figures[1:] == pytest.approx([figures[0]] * 2, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("metric", METRICS.values(), ids=_id)
def test_range_is_that_of_the_type_where_none_is_given(metric, photograph):
    rough = np.clip(photograph * 0.8 + 20, 0, 255).astype(np.uint8)
    masked = _masked(metric, photograph.shape)
    for white, dtype in ((255, np.uint8), (65535, np.uint16), (1.0, np.float32)):
        pair = [(p * (white / 255)).astype(dtype) for p in (rough, photograph)]
        assert metric(*pair, **masked) == metric(*pair, data_range=white, **masked)
    pair = [p > 100 for p in (rough, photograph)]
    wanted = metric(*(p.astype(float) for p in pair), **masked)
    assert metric(*pair, **masked) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize(
    "metric", [m for m in METRICS.values() if m.name != "structure"], ids=_id
)
def test_range_that_nothing_tells_is_refused(metric, photograph):
    grey = photograph[..., 1]
    for strange in (grey.astype(np.float32), grey.astype(np.int16), -(grey / 255)):
        with pytest.raises(UsageError, match="give data_range="):
            metric(strange, strange)
    if metric.needs_reference:
        with pytest.raises(UsageError, match="in common"):
            metric(grey, grey / 255)


@pytest.mark.parametrize("metric", METRICS.values(), ids=_id)
def test_every_size_and_kind_of_content_has_an_answer(metric):
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 70), (7, 5, 3), (65, 130, 1), (97, 64, 3)):
        for picture in (rng.random(shape), np.zeros(shape), np.ones(shape)):
            other, masked = rng.random(shape), _masked(metric, shape)
            assert isinstance(metric(picture, other, **masked), float)
            assert isinstance(metric(other, picture, **masked), float)


@pytest.mark.parametrize("metric", METRICS.values(), ids=_id)
def test_unusable_input_is_refused(metric):
    grey = np.random.default_rng(0).random((70, 70))
    with pytest.raises(NonFiniteError):
        metric(np.where(grey > 0.99, np.nan, grey), grey)
    for mask in (np.zeros((70, 70), bool), np.ones((70, 69), bool)):
        with pytest.raises(UsageError, match="mask"):
            metric(grey, grey, mask=mask)
    for data_range in (0, np.nan):
        with pytest.raises(UsageError, match="data_range"):
            metric(grey, grey, data_range=data_range)
    with pytest.raises(UsageError, match="measured"):
        metric(np.zeros((8, 8, 2)), np.zeros((8, 8, 2)))


@pytest.mark.parametrize("metric", METRICS.values(), ids=_id)
def test_only_the_region_counts(metric, photograph):
    reference = photograph.astype(np.float64) / 255
    image = np.clip(reference * 0.9 + 0.02, 0, 1)
    mask = np.zeros(image.shape[:2], bool)
    mask[:250, :400] = True
    image_elsewhere, reference_elsewhere = image.copy(), reference.copy()
    image_elsewhere[370:] = image_elsewhere[370:] ** 2
    reference_elsewhere[370:, ::2] *= 0.5
    here = metric(image, reference, mask=mask)
    there = metric(image_elsewhere, reference_elsewhere, mask=mask)
    # shares of contrast, and resampling, reach a little over the edge
    loose = metric.name in (
        *("structure", "invented-edges", "lost-edges", "fundus-quality"),
        "flat-bias",
    )
    assert there == pytest.approx(here, rel=0.05 if loose else 1e-9, abs=2e-3)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand((20, 24), requires_grad=True),
        torch.rand((20, 24)).bfloat16(),
        torch.rand((20, 24), device="meta"),
    ],
    ids=["gradient", "bfloat16", "elsewhere"],
)
def test_tensors_that_numpy_does_not_take_are_told_how_to_turn(tensor):
    plain = np.zeros((20, 24), np.float32)
    with pytest.raises(UsageError, match=r"detach\(\)\.cpu\(\)\.float\(\)"):
        medenh.metrics.psnr(plain, tensor)


def test_plain_tensors_are_measured_as_arrays(photograph):
    clean = photograph / 255.0
    noisy = np.clip(clean + 0.1, 0, 1)
    assert medenh.metrics.ssim(
        torch.from_numpy(noisy), torch.from_numpy(clean)
    ) == medenh.metrics.ssim(noisy, clean)


def test_a_batch_is_measured_one_picture_at_a_time():
    batch = np.zeros((2, 20, 24, 3), np.float32)
    with pytest.raises(UsageError, match="each picture by itself"):
        medenh.metrics.psnr(batch, batch)
