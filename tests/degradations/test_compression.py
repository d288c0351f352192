"""JPEG against Pillow."""

import io

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage import data

from medenh.degradations.compression import Jpeg
from medenh.degradations.operator import Scene
from medenh.errors import UsageError


def _levels():
    return np.ascontiguousarray(data.retina()[300:431, 400:553])


def _pillow(levels, quality):
    file = io.BytesIO()
    PillowImage.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=2)
    return np.asarray(PillowImage.open(file))


@pytest.mark.parametrize("quality", [90, 25, 7])
def test_equals_pillow_at_the_quality(quality):
    levels = _levels()
    x = levels.astype(np.float32) / 255
    ours = Jpeg(quality).apply(x, Scene(eight_bit=True)) * 255
    difference = np.abs(ours - _pillow(levels, quality))
    assert np.median(difference) < 1e-3
    assert np.percentile(difference, 99) <= 2
    grey = Jpeg(quality).apply(x[..., 1:2], Scene(eight_bit=True))[..., 0] * 255
    np.testing.assert_allclose(grey, _pillow(levels[..., 1], quality), atol=1.001)


def test_deep_pictures_keep_their_fine_steps():
    x = _levels().astype(np.float32)[..., :1] / 255
    fine = x + np.linspace(-0.4, 0.4, x.size, dtype=np.float32).reshape(x.shape) / 255
    shallow = Jpeg(20).apply(x, Scene(eight_bit=True))
    deep = Jpeg(20).apply(fine, Scene())
    np.testing.assert_allclose(deep - fine, shallow - x, atol=1e-5)


def test_a_side_that_jpeg_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="65500"):
        Jpeg(50).apply(np.zeros((1, 65501, 1), np.float32), Scene())
