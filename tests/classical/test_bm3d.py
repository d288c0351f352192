"""Block matching and 3-D filtering: a plain version, and what it is for."""

import numpy as np
import pytest
import pywt
from scipy.fft import dctn, idctn

from medenh.classical import METHODS

pytest.importorskip("cv2")
BM3D = METHODS["bm3d"]


def psnr(image, reference):
    error = np.mean(np.square(image - reference, dtype=np.float64))
    return -10 * np.log10(max(error, 1e-12))


def stripes(height, width, channels=1):
    """A texture that is found again elsewhere, on a slope, with an edge."""
    y, x = np.mgrid[:height, :width]
    out = 0.4 + 0.15 * np.sign(np.sin((x + 2 * y) / 2.5)) + 0.1 * np.sin(y / 31)
    out += 0.2 * (np.hypot(y - height / 2, x - width / 2) < min(height, width) / 3)
    return (out[..., None] * np.linspace(1, 0.8, channels)).astype(np.float32)


def noisy(clean, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return (clean + noise).clip(0, 1).astype(np.float32)


class Plain:
    """The method block by block, in doubles, with the transforms of SciPy and pywt."""

    def __init__(self, seen, sigma, search):
        self.seen, self.sigma, self.search = seen, sigma, search
        self.last = [side - 8 for side in seen.shape]

    @staticmethod
    def blocks(plane, places):
        return np.stack([plane[y : y + 8, x : x + 8] for y, x in places])

    def like(self, guide, at, count):
        here = guide[at[0] : at[0] + 8, at[1] : at[1] + 8]
        near = [
            range(max(0, c - self.search), min(end, c + self.search) + 1)
            for c, end in zip(at, self.last, strict=True)
        ]
        places = [(y, x) for y in near[0] for x in near[1]]
        gaps = np.square(self.blocks(guide, places) - here).mean(axis=(1, 2))
        return [places[i] for i in np.argsort(gaps, kind="stable")[:count]]

    @staticmethod
    def along(stacks, transform):
        return np.apply_along_axis(transform, 0, stacks)

    @staticmethod
    def haar(values):
        return np.concatenate(pywt.wavedec(values, "haar", "periodization"))

    @staticmethod
    def unhaar(values):
        parts = np.split(values, [2**i for i in range(int(np.log2(len(values))) + 1)])
        return pywt.waverec([p for p in parts if len(p)], "haar", "periodization")

    @classmethod
    def wavelets(cls):
        def whole(values):
            details = []
            while len(values) > 1:
                values, detail = pywt.dwt(values, "bior1.5", "periodization")
                details.insert(0, detail)
            return np.concatenate([values, *details])

        matrix = np.stack([whole(row) for row in np.eye(8)], axis=1)
        return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

    def run(self, guide, count, shrink):
        total, weight = np.zeros(self.seen.shape), np.zeros(self.seen.shape)
        window = np.outer(np.kaiser(8, 2), np.kaiser(8, 2))
        for top in range(0, self.last[0] + 1, 3):
            for left in range(0, self.last[1] + 1, 3):
                places = self.like(guide, (top, left), count)
                clean, share = shrink(places)
                for (y, x), block in zip(places, clean, strict=True):
                    total[y : y + 8, x : x + 8] += share * window * block
                    weight[y : y + 8, x : x + 8] += share * window
        return total / weight

    def hard(self, places):
        matrix = self.wavelets()
        spectra = matrix @ self.blocks(self.seen, places) @ matrix.T
        spectra = self.along(spectra, self.haar)
        kept = np.abs(spectra) > 2.7 * self.sigma
        kept[0, 0, 0] = True
        back = np.linalg.inv(matrix)
        clean = self.along(spectra * kept, self.unhaar)
        return back @ clean @ back.T, 1 / kept.sum()

    def wiener(self, basic, places):
        def spectra(plane):
            cosines = dctn(self.blocks(plane, places), axes=(1, 2), norm="ortho")
            return self.along(cosines, self.haar)

        power = spectra(basic) ** 2
        factor = power / (power + self.sigma**2)
        clean = self.along(spectra(self.seen) * factor, self.unhaar)
        return idctn(clean, axes=(1, 2), norm="ortho"), 1 / np.square(factor).sum()

    def clean(self):
        basic = self.run(self.seen, 16, self.hard)
        return self.run(basic, 32, lambda places: self.wiener(basic, places))


def test_agrees_with_the_plain_method():
    seen = noisy(stripes(35, 41), 0.08)
    wanted = Plain(seen[..., 0].astype(np.float64), 0.08, 7).clean()
    out = BM3D(seen, sigma=0.08, search=7)
    np.testing.assert_allclose(out[..., 0], wanted.clip(0, 1), atol=2e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_beats_the_others_on_what_repeats(channels, sigma):
    clean = stripes(120, 130, channels)
    seen = noisy(clean, sigma)
    out = psnr(BM3D(seen), clean)
    for other in ("nlm", "wavelet", "tv"):
        assert out > psnr(METHODS[other](seen), clean) + 2


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8), (9, 10), (12, 7), (107, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_works_at_any_size(size, channels):
    clean = np.full((*size, channels), 0.5, np.float32)
    seen = noisy(clean, 0.1)
    out = BM3D(seen, sigma=0.1)
    assert out.shape == seen.shape
    assert psnr(out, clean) >= psnr(seen, clean)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_even_surround_stays_and_harms_nothing(value):
    clean = np.full((70, 80, 1), value, np.float32)
    clean[20:50, 20:60] = stripes(30, 40)
    seen = clean.copy()
    seen[20:50, 20:60] = noisy(clean[20:50, 20:60], 0.05)
    out = BM3D(seen, sigma=0.05)
    np.testing.assert_allclose(out[60:], value, atol=1e-5)
    inside, before = out[20:50, 20:60], seen[20:50, 20:60]
    assert psnr(inside, clean[20:50, 20:60]) > psnr(before, clean[20:50, 20:60]) + 3


def test_tiles_leave_no_seam():
    """A picture wider than a tile is as its part that lies in one."""
    seen = noisy(stripes(30, 150), 0.1)
    whole, part = (BM3D(p, sigma=0.1, search=5) for p in (seen, seen[:, 60:141]))
    np.testing.assert_allclose(whole[:, 90:110], part[:, 30:50], atol=1e-4)


def test_noise_is_measured_where_none_is_given():
    y, x = np.mgrid[:90, :100]
    slope = 0.5 + 0.2 * np.sin(y / 17) * np.cos(x / 23)
    seen = noisy(slope[..., None] * np.linspace(1, 0.8, 3), 0.05)
    np.testing.assert_allclose(BM3D(seen), BM3D(seen, sigma=0.05), atol=0.01)
    assert BM3D(seen, sigma=0) is seen


def test_grey_comes_out_alike_in_one_channel_and_in_three():
    grey = noisy(stripes(60, 70), 0.05)
    three = BM3D(grey.repeat(3, 2))
    np.testing.assert_allclose(three, BM3D(grey).repeat(3, 2), atol=1e-5)


def test_even_field_in_a_surround_of_noise_stays_even():
    mask = np.hypot(*(np.mgrid[:60, :60] - 30)) < 20
    surround = np.random.default_rng(0).random((60, 60))
    pixels = np.where(mask, 0.4, surround)[..., None].astype(np.float32)
    np.testing.assert_array_equal(BM3D(pixels, mask), pixels)
