from __future__ import annotations

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import medenh
from medenh import formats
from medenh.errors import (
    InputError,
    MedenhError,
    OverBudgetError,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from medenh.formats.array import from_array, to_array
from medenh.formats.limits import Limits
from medenh.types import Modality, UnitRange

DTYPES = [
    "?",
    "u1",
    "i1",
    "<u2",
    ">u2",
    "i2",
    "i4",
    "u4",
    "i8",
    "u8",
    "f2",
    ">f4",
    "f8",
]
SHAPES = [
    (4, 5),
    (4, 5, 1),
    (4, 5, 3),
    (4, 5, 4),
    (3, 4, 5),
    (2, 4, 5, 3),
    (2, 4, 5, 1),
]


def numbers(shape, dtype):
    rng = np.random.default_rng(1)
    return (rng.random(shape) * 100).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_npy_round_trip_is_byte_for_byte(tmp_path, shape, dtype):
    np.save(tmp_path / "a.npy", numbers(shape, dtype))
    image = formats.read(tmp_path / "a.npy")
    assert image.format == "npy"
    assert image.pixels.dtype.isnative
    formats.write(image, tmp_path / "b.npy")
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 5), (1, 4, 5, 1)),
        ((4, 5, 3), (1, 4, 5, 3)),
        ((4, 5, 1), (1, 4, 5, 1)),
        ((7, 4, 5), (7, 4, 5, 1)),
        ((7, 4, 5, 3), (7, 4, 5, 3)),
        ((7, 4, 5, 4), (7, 4, 5, 3)),
    ],
)
def test_the_rule_of_the_axes(shape, expected):
    assert from_array(numbers(shape, "u1")).pixels.shape == expected


@pytest.mark.parametrize("channels", [2, 5, 6, 7])
def test_what_looks_like_channels_is_not_taken_for_frames(channels, tmp_path):
    array = numbers((16, 20, channels), "u1")
    np.save(tmp_path / "a.npy", array)
    for door in (
        lambda: from_array(array),
        lambda: formats.read(tmp_path / "a.npy"),
        lambda: medenh.enhance(array, model="identity"),
        lambda: medenh.degrade(array, "dpe"),
    ):
        with pytest.raises(MedenhError, match=r"each channel alone"):
            door()
    frames = from_array(np.moveaxis(array, -1, 0))
    assert frames.pixels.shape == (channels, 16, 20, 1)
    narrow = from_array(array[..., None])
    assert narrow.pixels.shape == (16, 20, channels, 1)
    assert to_array(replace(narrow, header=None)).shape == (16, 20, channels, 1)
    assert from_array(array[:15]).pixels.shape == (15, 20, channels, 1)


@settings(max_examples=200, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["u1", "u2", "i2", "f4", "f8"]),
        arrays.array_shapes(min_dims=2, max_dims=3, max_side=9),
    )
)
def test_from_array_and_back(array):
    np.testing.assert_array_equal(to_array(from_array(array)), array)


def test_an_inverted_picture_does_not_lose_its_polarity_in_npy(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", numbers((4, 5), "u1"), photometric=0)
    image = formats.read(tmp_path / "a.tif")
    assert image.unit_range.inverted
    for name in ("b.npy", "b.nii"):
        with pytest.raises(UnsupportedError, match="larger values are darker"):
            formats.write(image, tmp_path / name)
        assert not (tmp_path / name).exists()


def test_fortran_order_keeps_its_values(tmp_path):
    array = np.asfortranarray(numbers((6, 4, 5), "i2"))
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(to_array(formats.read(tmp_path / "a.npy")), array)


def test_what_is_said_about_an_array_is_kept():
    image = from_array(
        numbers((4, 5), "f4"), data_range=(-10, 10), modality=Modality.CT
    )
    assert image.unit_range == UnitRange(-10, 10, reason="told")
    assert image.modality is Modality.CT


@pytest.mark.parametrize("wrong", [3, (1, 0), (0, np.nan), ("a", "b"), (0, 1, 2)])
def test_a_range_is_two_numbers_the_lower_one_first(wrong):
    with pytest.raises(UsageError, match="data_range must be two numbers"):
        from_array(numbers((4, 5), "f4"), data_range=wrong)


def test_the_array_is_shared_not_copied():
    array = numbers((6, 4, 5), "u2")
    assert np.shares_memory(from_array(array).pixels, array)


def test_values_whose_difference_is_no_number_are_refused(tmp_path):
    ends = np.where(np.arange(30).reshape(6, 5) % 2, 1.0, -1.0)
    np.save(tmp_path / "a.npy", ends * 8e307)
    assert formats.read(tmp_path / "a.npy").to_unit().max() == 1
    np.save(tmp_path / "a.npy", ends * 1.7e308)
    with pytest.raises(UnsupportedError, match=r"a\.npy: .*further apart than a float"):
        formats.read(tmp_path / "a.npy")
    for told in (None, (-1.7e308, 1.7e308)):
        with pytest.raises(UnsupportedError, match="further apart than a float"):
            from_array(ends * 1.7e308, data_range=told)


def test_nan_is_frozen():
    array = numbers((4, 5), "f4")
    array[1, 2] = np.inf
    image = from_array(array)
    assert image.frozen.sum() == 1
    assert image.frozen[0, 1, 2]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(4),
        np.zeros((2, 3, 4, 5, 1)),
        np.zeros((2, 3, 4, 5)),
        np.zeros((4, 5), complex),
        np.array([["a", "b"]]),
        np.array([[object()]]),
        np.zeros((4, 5), np.longdouble),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(UnsupportedError):
        from_array(array)


def test_an_array_without_pixels_is_refused():
    with pytest.raises(UnreadableError):
        from_array(np.zeros((0, 5)))


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[Trap()]], object), allow_pickle=True)
    with pytest.raises(InputError):
        formats.read(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError):
        formats.read(path)
    assert not Trap.sprung


def test_truncated_files_never_give_pixels(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, numbers((20, 30), "f4"))
    data = path.read_bytes()
    for length in range(0, len(data), 17):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            formats.read(path)


def test_mutated_headers_raise_input_errors_only(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, numbers((20, 30), "f4"))
    data = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(500):
        mutant = bytearray(data)
        for place in rng.integers(0, 128, rng.integers(1, 6)):
            mutant[place] = rng.integers(256)
        path.write_bytes(mutant)
        try:
            assert formats.read(path).pixels.ndim == 4
        except InputError:
            continue


def test_a_header_that_lies_or_exceeds_is_refused(tmp_path):
    stream = io.BytesIO()
    head = {"descr": "<f8", "fortran_order": False, "shape": (40_000, 40_000)}
    np.lib.format.write_array_header_1_0(stream, head)
    path = tmp_path / "a.npy"
    path.write_bytes(stream.getvalue() + bytes(64))
    with pytest.raises(OverBudgetError):
        formats.read(path)
    roomy = Limits(2**40, 2**40, 2**40, 2**40)
    with pytest.raises(UnreadableError):
        formats.read(path, limits=roomy)
