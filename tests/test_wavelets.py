import warnings

import numpy as np
import pytest
import pywt
import torch

from medenh.wavelets import dwt2, wavedec2


def _oracle(image, wavelet, level):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small pictures have "too many levels"
        return pywt.wavedec2(
            image.numpy(), wavelet, mode="symmetric", level=level, axes=(-2, -1)
        )


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym5", "coif2"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 5), (6, 31), (41, 40)])
def test_equals_pywavelets(wavelet, size):
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    low, details = wavedec2(image, wavelet, level=2)
    wanted_low, *wanted = _oracle(image, wavelet, 2)
    np.testing.assert_allclose(low, wanted_low, atol=1e-12)
    assert len(details) == len(wanted) == 2
    for bands, wanted_bands in zip(details, wanted, strict=True):
        for band, wanted_band in zip(bands, wanted_bands, strict=True):
            np.testing.assert_allclose(band, wanted_band, atol=1e-12)


def test_float32_stays_within_the_bar():
    image = torch.rand(1, 3, 301, 407)
    low, _ = wavedec2(image, level=2)
    np.testing.assert_allclose(low, _oracle(image, "haar", 2)[0], atol=1e-5)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_gradients(wavelet):
    torch.manual_seed(0)
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)

    def bands(x):
        low, details = wavedec2(x, wavelet, level=2)
        return (low, *details[0], *details[1])

    assert torch.autograd.gradcheck(bands, (image,))


def test_autocast_does_not_blunt_it():
    image = torch.rand(1, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        low, _ = dwt2(image)
    assert low.dtype == torch.float32


def test_biorthogonal_wavelets_are_refused():
    with pytest.raises(ValueError, match="not an orthogonal"):
        dwt2(torch.rand(1, 1, 8, 8), "bior2.2")
