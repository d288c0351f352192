"""Resizing against Pillow and torch."""

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from skimage import data

from medenh.degradations.operator import Scene
from medenh.degradations.resampling import BicubicReduction, Pixelate, resize


def _picture(height=224, width=160):
    photo = data.retina()[300 : 300 + height, 400 : 400 + width, :2]
    return np.ascontiguousarray(photo).astype(np.float32) / 255


@pytest.mark.parametrize("shape", [(56, 40), (57, 41), (112, 300), (448, 320), (1, 7)])
@pytest.mark.parametrize(
    ("method", "filter_"),
    [
        ("bicubic", PillowImage.Resampling.BICUBIC),
        ("box", PillowImage.Resampling.BOX),
    ],
)
def test_equals_pillow(shape, method, filter_):
    x = _picture()
    ours = resize(x, shape, method=method)
    for channel in range(2):
        plane = PillowImage.fromarray(x[..., channel])
        theirs = np.asarray(plane.resize(shape[::-1], filter_))
        np.testing.assert_allclose(ours[..., channel], theirs, atol=2e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_reduction_equals_torch(factor):
    x = _picture()
    batch = torch.from_numpy(x).permute(2, 0, 1)[None]

    def torch_resize(batch, size):
        return torch.nn.functional.interpolate(
            batch, size=size, mode="bicubic", antialias=True, align_corners=False
        )

    small = torch_resize(batch, (224 // factor, 160 // factor))
    back = torch_resize(small, (224, 160))[0].permute(1, 2, 0).numpy()
    ours = BicubicReduction(float(factor)).apply(x, Scene())
    np.testing.assert_allclose(ours, back, atol=2e-5)


def test_pixelate_makes_flat_blocks_of_equal_mean():
    x = _picture(224, 224)
    out = Pixelate(0.25).apply(x, Scene())
    blocks = out.reshape(56, 4, 56, 4, 2)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    np.testing.assert_allclose(
        blocks[:, 0, :, 0], x.reshape(56, 4, 56, 4, 2).mean((1, 3)), atol=1e-5
    )
    tiny = np.full((1, 3, 1), 0.3, np.float32)
    np.testing.assert_allclose(Pixelate(0.25).apply(tiny, Scene()), tiny, atol=1e-6)
