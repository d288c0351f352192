"""What every method promises, parametrised over the registry."""

import subprocess
import sys

import numpy as np
import pytest

from medenh.classical import INFO, METHODS
from medenh.errors import NonFiniteError, UsageError

SIZES = [(1, 1), (1, 7), (2, 2), (3, 5), (9, 1), (16, 16), (37, 53), (64, 41)]
NAMES = list(METHODS)

pytestmark = pytest.mark.filterwarnings("error")


def picture(height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 0.4 + 0.3 * np.sin(y / 5) * np.cos(x / 7)
    out = waves[..., None] * np.linspace(1.0, 0.5, channels)
    out += rng.normal(0, 0.03, (height, width, channels))
    return np.clip(out, 0, 1).astype(np.float32)


def double_pass(value):
    even = value / max(1 - 0.95 * (1 - value), 0.1)
    return max(0, 1 - (1 - even) / max(1 - 0.55 * even, 0.1) ** 2)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_shape_range_and_determinism_at_any_size(name, size, channels):
    pixels = picture(*size, channels)
    before = pixels.copy()

    out = METHODS[name](pixels)

    assert out.shape == pixels.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(METHODS[name](pixels), out)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_background_is_copied_and_never_counted(name, channels):
    pixels = picture(48, 57, channels)
    mask = np.hypot(*(np.mgrid[:48, :57] - np.array([24, 28])[:, None, None])) < 20
    bright, dark = pixels.copy(), pixels.copy()
    bright[~mask], dark[~mask] = 1.0, 0.0

    out = METHODS[name](bright, mask)

    np.testing.assert_array_equal(out[~mask], bright[~mask])
    inner = np.hypot(*(np.mgrid[:48, :57] - np.array([24, 28])[:, None, None])) < 6
    # these see neighbours, or measure the noise of the whole picture
    if name not in ("lime", "nlm", "nlm-rician", "wavelet", "unsharp"):
        other = METHODS[name](dark, mask)
        np.testing.assert_allclose(out[inner], other[inner], atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_all_true_mask_is_no_mask_and_all_false_changes_nothing(name):
    pixels = picture(40, 40, 3)

    np.testing.assert_array_equal(
        METHODS[name](pixels, np.ones((40, 40), bool)), METHODS[name](pixels)
    )
    np.testing.assert_array_equal(
        METHODS[name](pixels, np.zeros((40, 40), bool)), pixels
    )


@pytest.mark.parametrize("value", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_constant_pictures_stay_constant(name, channels, value):
    out = METHODS[name](np.full((33, 47, channels), value, np.float32))

    assert np.ptp(out) < 1e-3  # Lab leaves greys with a tint of a few 1e-4
    expected = {
        "ben-graham": 0.5,
        "gamma": value**0.67,
        "lime": value / max(value, 1e-3) ** 0.8,
        "dual": (value + value**0.4 + 1 - (1 - value) ** 0.4) / 3,
        "dcp-illum": value / max(value, 0.05),
        "dpfr": double_pass(value),
    }.get(name, value)
    np.testing.assert_allclose(out, expected, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_option_is_refused(name):
    with pytest.raises(UsageError, match="no option 'colour'"):
        METHODS[name](picture(8, 8, 1), colour=1)


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name in NAMES for option in INFO[name].options],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_options_are_range_checked_and_their_limits_work(name, option):
    pixels = picture(24, 24, 3)
    for value in (option.low - 1, option.high + 1, float("nan"), "many", True):
        with pytest.raises(UsageError, match=option.name):
            METHODS[name](pixels, **{option.name: value})
    for value in (option.low, option.high, option.default):
        out = METHODS[name](pixels, **{option.name: value})
        assert np.isfinite(out).all()
    if option.whole:
        with pytest.raises(UsageError, match="whole"):
            METHODS[name](pixels, **{option.name: option.low + 0.5})


@pytest.mark.parametrize("name", NAMES)
def test_unusable_pixels_are_refused(name):
    run = METHODS[name]
    for shape in ((8, 8), (8, 8, 2), (0, 8, 3), (1, 8, 8, 3)):
        with pytest.raises(UsageError, match="shape"):
            run(np.zeros(shape, np.float32))
    for value in (-0.1, 1.1, 255.0):
        with pytest.raises(UsageError, match="cannot be enhanced"):
            run(np.full((8, 8, 1), value, np.float32))
    assert run(np.full((8, 8, 1), 1 + 1e-6, np.float32)).max() <= 1
    with pytest.raises(UsageError, match="uint8"):
        run(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="mask"):
        run(np.zeros((8, 8, 3), np.float32), np.ones((8, 9), bool))
    with pytest.raises(NonFiniteError):
        run(np.full((8, 8, 1), np.nan, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_doubles_are_taken_and_floats_given(name):
    out = METHODS[name](picture(16, 16, 1).astype(np.float64))
    assert out.dtype == np.float32


def test_identity_gives_the_very_same_array():
    pixels = picture(5, 7, 3)
    assert METHODS["identity"](pixels) is pixels


@pytest.mark.parametrize("name", NAMES)
def test_info_is_complete(name):
    info = INFO[name]
    assert all(option.help for option in info.options)
    assert set(info.defaults) == {option.name for option in info.options}
    assert info.natural == (name not in ("ben-graham", "lcn"))


def test_listing_methods_imports_nothing_heavy():
    code = (
        "import sys, medenh.classical as c\n"
        "assert c.METHODS and c.INFO\n"
        "heavy = {'numpy', 'cv2', 'scipy', 'skimage', 'pywt', 'torch'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
