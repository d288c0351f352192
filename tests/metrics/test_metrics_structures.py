import cv2
import numpy as np
import pytest

from medenh.errors import UsageError
from medenh.evaluation.api import evaluate, evaluate_protocol
from medenh.metrics import METRICS, cnr, ring_cnr, snr_ccm, snr_ccm_legacy


@pytest.fixture
def nerve():
    """A picture of one bright, slanted line in noise, 8 bits, and its mask."""
    rng = np.random.default_rng(5)
    mask = np.zeros((96, 120), np.uint8)
    cv2.line(mask, (10, 80), (110, 15), 255, 3)
    noisy = rng.normal(60, 6, mask.shape) + (mask > 0) * 80
    return noisy.round().clip(0, 255).astype(np.uint8), mask


def _ring(mask):
    """The ring as the released script finds it."""
    cross = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    return cv2.dilate(mask, cross) - mask


def test_signal_is_the_brightest_pixel_and_noise_that_of_the_ring(nerve):
    image, mask = nerve
    ring = _ring(mask) > 0
    wanted = 20 * np.log10(image[mask > 0].max() / image[ring].std())
    assert snr_ccm(image, mask=mask > 0) == pytest.approx(wanted, abs=1e-3)
    assert snr_ccm(image / 255, mask=mask > 0) == pytest.approx(wanted, abs=1e-3)
    assert ring_cnr(image, mask=mask > 0) == pytest.approx(
        cnr(image, mask > 0, ring), rel=1e-4
    )


def test_the_legacy_noise_is_that_of_an_image_set_to_zero(nerve):
    image, mask = nerve
    _, packed = cv2.imencode(".jpg", mask)
    again = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    _, again = cv2.threshold(again, 127, 255, cv2.THRESH_BINARY)
    left = cv2.bitwise_and(image, image, mask=_ring(again))
    wanted = 20 * np.log10(image[again > 0].max() / left.std())
    legacy = snr_ccm_legacy(image, mask=mask > 0)
    assert legacy == pytest.approx(wanted, abs=1e-3)
    # a darker ring of the same noise is "less noise" to it, and not to the other
    ring = _ring(mask) > 0
    darker = np.where(ring, image - 30, image)
    assert snr_ccm_legacy(darker, mask=mask > 0) > legacy + 3
    assert snr_ccm(darker, mask=mask > 0) == pytest.approx(
        snr_ccm(image, mask=mask > 0), abs=1e-3
    )


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if m.of_structures])
def test_masks_that_leave_nothing_to_measure(name, nerve):
    image, mask = nerve
    with pytest.raises(UsageError, match="no mask of structures"):
        METRICS[name](image)
    with pytest.raises(UsageError, match="empty"):
        METRICS[name](image, mask=mask > 255)
    assert np.isnan(METRICS[name](image, mask=np.ones(mask.shape, bool)))
    black = METRICS[name](np.zeros_like(image), mask=mask > 0)
    assert np.isnan(black)


def test_files_are_measured_by_the_masks_of_their_names(tmp_path, nerve):
    image, mask = nerve
    for folder, pixels in (("images", image), ("masks", mask)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "nerve.png"), pixels)
    measured = evaluate(
        tmp_path / "images",
        metrics=["snr-ccm", "ring-cnr"],
        masks=tmp_path / "masks",
        region="mask",
    )
    scores = measured.row("enhanced").scores
    for name in ("snr-ccm", "ring-cnr"):
        wanted = METRICS[name](image, mask=mask > 0)
        assert scores[name] == {"nerve.png": pytest.approx(wanted, abs=1e-3)}
    with pytest.raises(UsageError, match="no masks show them"):
        evaluate(tmp_path / "images", metrics=["snr-ccm"])
    with pytest.raises(UsageError, match="protocols have none"):
        evaluate_protocol(
            "dpe", data=tmp_path / "images", models=["stretch"], metrics=["snr-ccm"]
        )
