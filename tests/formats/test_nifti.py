from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel import cifti2
from scipy import ndimage

from medenh import enhance, formats
from medenh.errors import (
    InputError,
    OverBudgetError,
    RefusedError,
    UnreadableError,
    UnsupportedError,
    UsageError,
)
from medenh.formats import nifti, nifti_data
from medenh.formats.array import from_array
from medenh.pipeline.options import EnhanceOptions
from medenh.types import Geometry, Modality

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "formats"
NIFTI = sorted(SHARED.glob("nifti_*.*")) if SHARED.is_dir() else []
AFFINE = np.array([[2.0, 0.1, 0, 5], [-0.1, 1.5, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def numbers(shape, dtype="i2", seed=3):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 50, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def save(path: Path, data, *, kind=nibabel.Nifti1Image, order="<", **fields) -> Path:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    picture = kind(data, AFFINE, header)
    picture.header["descrip"] = b"some scanner"
    for name, value in fields.items():
        picture.header[name] = value
    nibabel.save(picture, path)
    return path


def inflated(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def stored(path: Path):
    return np.asanyarray(nibabel.load(path).dataobj.get_unscaled())


@pytest.mark.parametrize(
    ("unit", "times", "seconds"),
    [("sec", 3, 2.5), ("msec", 3, 0.0025), ("hz", 3, np.nan), ("sec", 1, np.nan)],
)
def test_the_step_in_time_is_told_where_there_are_times(unit, times, seconds, tmp_path):
    picture = nibabel.Nifti1Image(np.zeros((6, 5, 4, times), "i2"), AFFINE)
    picture.header.set_xyzt_units("mm", unit)
    picture.header["pixdim"][4] = 2.5
    nibabel.save(picture, tmp_path / "a.nii")
    found = formats.read(tmp_path / "a.nii").geometry
    assert found.time_s == pytest.approx(seconds, nan_ok=True)
    assert found.depth == 4


@pytest.mark.parametrize("axis", [0, 2])
def test_the_range_holds_the_brightest_of_many_volumes(axis, tmp_path):
    data = np.random.default_rng(0).normal(400, 20, (30, 20, 6, 40)).astype("i2")
    data[..., 0] += 600
    image = formats.read(save(tmp_path / "dwi.nii", data), axis=axis)
    high = np.percentile(data[..., 0], 99.5)
    assert image.unit_range.high == pytest.approx(high)
    as_ct = nifti.told_as(image, Modality.CT)  # nothing in it is as low as fat
    assert nifti.told_as(as_ct, Modality.MRI).unit_range == image.unit_range


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip_is_byte_for_byte(tmp_path, dtype, order):
    source = save(tmp_path / "a.nii", numbers((5, 6, 7), dtype), order=order)
    target = tmp_path / "b.nii"
    image = formats.read(source)
    assert image.pixels.shape == (7, 6, 5, 1)
    expected = np.asanyarray(nibabel.load(source).dataobj).T[..., None]
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.pixels.dtype.isnative
    formats.write(image, target)
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6), (4, 5, 6, 3), (3, 4, 5, 2, 3)])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_round_trip_of_every_rank_and_axis(tmp_path, kind, shape, axis):
    source = save(tmp_path / "a.nii.gz", numbers(shape), kind=kind)
    image = formats.read(source, axis=axis)
    assert image.pixels.size == np.prod(shape)
    formats.write(image, tmp_path / "b.nii.gz")
    assert inflated(tmp_path / "b.nii.gz") == inflated(source)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_frames_are_the_slices_of_the_axis(tmp_path, axis):
    data = numbers((3, 4, 5, 2))
    image = formats.read(save(tmp_path / "a.nii", data), axis=axis)
    columns, rows = (other for other in range(3) if other != axis)
    for time_index in range(2):
        for place in range(data.shape[axis]):
            plane = np.take(data[..., time_index], place, axis)
            frame = image.pixels[time_index * data.shape[axis] + place, ..., 0]
            np.testing.assert_array_equal(frame, plane.T)
    spacing = nibabel.load(tmp_path / "a.nii").header.get_zooms()
    expected = (spacing[axis], spacing[rows], spacing[columns])
    assert image.geometry.spacing_mm == pytest.approx(expected)
    voxel = [0, 0, 0]
    voxel[columns], voxel[rows], voxel[axis] = 1, 2, 1
    there = image.geometry.affine @ [1, 2, 1, 1]
    np.testing.assert_allclose(there, AFFINE @ [*voxel, 1], rtol=1e-6)


def test_default_axis_is_the_coarsest_and_the_last_of_equals(tmp_path):
    def axis(pixdim, shape=(4, 5, 6)):
        path = tmp_path / "a.nii"
        picture = nibabel.Nifti1Image(numbers(shape), np.diag([*pixdim, 1]))
        nibabel.save(picture, path)
        return formats.read(path).header.axis

    assert axis((1, 1, 3)) == 2
    assert axis((5, 1, 1)) == 0
    assert axis((1, 4, 3)) == 1
    assert axis((1, 1, 1)) == 2
    assert axis((2, 2, 1)) == 1
    assert axis((1, 1, 5), (4, 1, 6)) == 1, "a single picture"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    dtype=st.sampled_from(["u1", "i2", "u2", "i4", "f4"]),
    slope=st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6),
    intercept=st.floats(-1e9, 1e9),
    seed=st.integers(0, 99),
)
def test_scaled_numbers_come_back_as_stored(tmp_path, dtype, slope, intercept, seed):
    source = save(tmp_path / "a.nii", numbers((4, 5, 6), dtype, seed))
    raw = bytearray(source.read_bytes())
    struct.pack_into("<ff", raw, 112, slope, intercept)
    source.write_bytes(raw)
    image = formats.read(source)
    expected = nibabel.load(source).get_fdata().T[..., None]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(image.pixels, expected, rtol=1e-6, atol=1e-6 * scale)
    formats.write(image, tmp_path / "b.nii")
    # through the network's range and back: nothing changed, nothing moves
    formats.write(image.from_unit(image.to_unit()), tmp_path / "c.nii")
    for written in (tmp_path / "b.nii", tmp_path / "c.nii"):
        if dtype == "f4":  # two numbers may stand for one value
            again = nibabel.load(written).get_fdata().T[..., None]
            np.testing.assert_allclose(again, expected, rtol=0, atol=1e-15 * scale)
            assert written.read_bytes()[:352] == bytes(raw[:352])
        else:
            assert written.read_bytes() == bytes(raw)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u8"])
@pytest.mark.parametrize(("slope", "intercept"), [(2, 5), (1, -1024), (0.1, 1e3)])
def test_values_are_real_ones_where_the_scale_does_not_lead_back(
    tmp_path, dtype, slope, intercept
):
    data = numbers((8, 9, 10), dtype)
    if dtype[0] == "f":
        data[0, 0, 0] = 1e-20  # lost in float64 beside the intercept
    else:
        data[0, 0, 0] = np.iinfo(dtype).max
    source = save(tmp_path / "a.nii", data)
    raw = bytearray(source.read_bytes())
    struct.pack_into("<ff", raw, 112, slope, intercept)
    source.write_bytes(raw)
    image = formats.read(source)
    expected = nibabel.load(source).get_fdata()
    np.testing.assert_array_equal(image.pixels[..., 0].T, expected)
    enhanced = image.from_unit(1 - image.to_unit())
    scale = np.abs(expected).max()
    for picture, rounding in ((image, 1e-15), (enhanced, 1e-7)):
        formats.write(picture, tmp_path / "b.nii")
        again = nibabel.load(tmp_path / "b.nii")
        np.testing.assert_allclose(
            again.get_fdata().T[..., None],
            picture.pixels,
            rtol=0,
            atol=rounding * scale,
        )
        assert (tmp_path / "b.nii").read_bytes()[:352] == bytes(raw[:352])
    assert np.ptp(enhanced.pixels - image.pixels) > 0.5 * np.ptp(expected)


@pytest.mark.parametrize("slope", [1e-60, 1e60])
def test_a_scale_beyond_float32_is_heeded(tmp_path, slope):
    data = numbers((4, 5, 6))
    source = save(tmp_path / "a.nii", data, kind=nibabel.Nifti2Image)
    raw = bytearray(source.read_bytes())
    struct.pack_into("<d", raw, 176, slope)
    source.write_bytes(raw)
    image = formats.read(source)
    np.testing.assert_array_equal(
        image.pixels[..., 0].T, nibabel.load(source).get_fdata()
    )
    formats.write(image, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == bytes(raw)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_an_unset_scale_leaves_the_stored_numbers(tmp_path, slope):
    source = save(tmp_path / "a.nii", numbers((4, 5, 6)))
    raw = bytearray(source.read_bytes())
    struct.pack_into("<ff", raw, 112, slope, 7.0)
    source.write_bytes(raw)
    image = formats.read(source)
    np.testing.assert_array_equal(image.pixels[..., 0], stored(source).T)
    formats.write(image, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == bytes(raw)


def test_extensions_and_intent_are_kept(tmp_path):
    picture = nibabel.Nifti1Image(numbers((4, 5, 6)), AFFINE)
    picture.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"hi"))
    picture.header.set_intent("z score", name="stat")
    picture.set_qform(AFFINE, code=1)
    picture.set_sform(AFFINE, code=4)
    nibabel.save(picture, tmp_path / "a.nii.gz")
    image = formats.read(tmp_path / "a.nii.gz")
    changed = replace(image, pixels=image.pixels // 2)
    formats.write(changed, tmp_path / "b.nii.gz")
    before, after = inflated(tmp_path / "a.nii.gz"), inflated(tmp_path / "b.nii.gz")
    offset = int(picture.header["vox_offset"]) or int(
        nibabel.load(tmp_path / "a.nii.gz").dataobj.offset
    )
    assert before[:offset] == after[:offset]
    again = nibabel.load(tmp_path / "b.nii.gz")
    assert again.header.extensions[0].get_content() == b"hi"
    np.testing.assert_array_equal(
        np.asanyarray(again.dataobj), np.asanyarray(picture.dataobj) // 2
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_colour(tmp_path, channels):
    names = ["R", "G", "B", "A"][:channels]
    dtype = np.dtype([(name, "u1") for name in names])
    flat = numbers((4, 5, 6, channels), "u1")
    data = flat.view(dtype)[..., 0]
    nibabel.save(nibabel.Nifti1Image(data, AFFINE), tmp_path / "a.nii")
    image = formats.read(tmp_path / "a.nii")
    assert image.channels == 3
    np.testing.assert_array_equal(
        image.pixels, np.moveaxis(flat[..., :3], (2, 1, 0), (0, 1, 2))
    )
    assert (image.alpha is not None) == (channels == 4)
    assert (image.unit_range.low, image.unit_range.high) == (0, 255)
    formats.write(image, tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == (tmp_path / "a.nii").read_bytes()


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_pairs_from_either_half(tmp_path, ending, kind):
    data = numbers((4, 5, 6))
    save(tmp_path / f"a.img{ending}", data, kind=kind)
    for half in (f"a.hdr{ending}", f"a.img{ending}"):
        assert formats.sniff(tmp_path / half) == "nifti"
        image = formats.read(tmp_path / half)
        np.testing.assert_array_equal(image.pixels[..., 0], data.T)
    formats.write(image, tmp_path / f"b.hdr{ending}")
    for half in ("hdr", "img"):
        assert inflated(tmp_path / f"b.{half}{ending}") == inflated(
            tmp_path / f"a.{half}{ending}"
        )


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_single_file_to_pair_and_back(tmp_path, kind):
    source = save(tmp_path / "a.nii", numbers((4, 5, 6)), kind=kind)
    formats.write(formats.read(source), tmp_path / "b.hdr.gz")
    formats.write(formats.read(tmp_path / "b.hdr.gz"), tmp_path / "c.nii")
    for name in ("b.img.gz", "c.nii"):
        np.testing.assert_array_equal(stored(tmp_path / name), stored(source))
        np.testing.assert_allclose(nibabel.load(tmp_path / name).affine, AFFINE)


def test_gzip_is_deterministic_and_without_a_name(tmp_path):
    image = formats.read(save(tmp_path / "a.nii", numbers((20, 20, 20))))
    formats.write(image, tmp_path / "b.nii.gz")
    formats.write(image, tmp_path / "c.nii.gz")
    data = (tmp_path / "b.nii.gz").read_bytes()
    assert data == (tmp_path / "c.nii.gz").read_bytes()
    assert data[3] == 0, "no name"
    assert data[4:8] == bytes(4), "no time"


def test_the_number_of_threads_changes_no_byte(tmp_path, monkeypatch):
    image = formats.read(save(tmp_path / "a.nii", numbers((100, 110, 160))))
    for threads in (1, 2, 5):
        monkeypatch.setattr(nifti_data, "num_threads", lambda n=threads: n)
        formats.write(image, tmp_path / f"{threads}.nii.gz")
    one, *others = [(tmp_path / f"{n}.nii.gz").read_bytes() for n in (1, 2, 5)]
    assert len(one) > 2 * nifti_data._PACKED_BLOCK, "more than one block"
    assert others == [one, one]
    np.testing.assert_array_equal(stored(tmp_path / "5.nii.gz"), stored(image.source))


def test_gzip_in_several_members_is_read_whole(tmp_path):
    data = numbers((30, 31, 32))
    raw = save(tmp_path / "a.nii", data).read_bytes() + b"more, which is kept"
    for cuts in ([], [352], [400, 30000], [len(raw) - 5]):
        parts = [raw[a:b] for a, b in pairwise([0, *cuts, len(raw)])]
        packed = tmp_path / "b.nii.gz"
        packed.write_bytes(b"".join(map(gzip.compress, parts)))
        image = formats.read(packed)
        np.testing.assert_array_equal(image.pixels[..., 0], data.T, str(cuts))
        assert image.header.tail == b"more, which is kept"


@pytest.mark.parametrize(
    "garbage", [b"x", b"\0\0\0", b"\0" * 600 + b"\1", b"\x1f", b"G" * 99]
)
def test_what_follows_a_gzip_file_is_passed_over(tmp_path, garbage):
    data = numbers((9, 8, 7))
    raw = save(tmp_path / "a.nii", data).read_bytes() + b"more, which is kept"
    whole, path = gzip.compress(raw), tmp_path / "b.nii.gz"
    for packed in (whole, gzip.compress(raw[:400]) + gzip.compress(raw[400:])):
        path.write_bytes(packed + garbage)
        image = formats.read(path)
        np.testing.assert_array_equal(image.pixels[..., 0], data.T)
        assert image.header.tail == b"more, which is kept"
        for damaged in (packed[:-6], packed[:-9], packed[:-8] + b"crc?" + packed[-4:]):
            path.write_bytes(damaged + garbage)
            with pytest.raises(UnreadableError, match="damaged or truncated"):
                formats.read(path)
    path.write_bytes(whole + b"\x1f\x8b" + garbage)  # a member that is none
    with pytest.raises(UnreadableError, match="damaged or truncated"):
        formats.read(path)


def test_a_gzip_file_that_lies_of_its_content_is_refused(tmp_path):
    data = bytearray(
        gzip.compress(save(tmp_path / "a.nii", numbers((9, 8, 7))).read_bytes())
    )
    for place in (-1, -4, -5, -8):  # length, check sum
        wrong = bytearray(data)
        wrong[place] ^= 1
        (tmp_path / "b.nii.gz").write_bytes(wrong)
        with pytest.raises(UnreadableError, match="damaged or truncated"):
            formats.read(tmp_path / "b.nii.gz")


class _FailingDisk(io.FileIO):
    """A file that cannot be read beyond its first bytes."""

    def readinto(self, into):
        if self.tell() >= 4096:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(memoryview(into)[:4096])

    def readall(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("name", ["b.nii", "b.nii.gz"])
def test_what_the_system_says_of_a_failing_disk_is_told(tmp_path, monkeypatch, name):
    raw = save(tmp_path / "a.nii", numbers((30, 31, 32))).read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    opened = Path.open

    def failing(self, mode="r", *more, **options):
        if self == path and mode == "rb":
            return io.BufferedReader(_FailingDisk(self), 512)
        return opened(self, mode, *more, **options)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(UnreadableError, match="Input/output error"):
        formats.read(path)


def test_nan_is_frozen_and_survives(tmp_path):
    data = numbers((4, 5, 6), "f4")
    data[1, 2, 3] = np.nan
    image = formats.read(save(tmp_path / "a.nii", data))
    assert image.frozen.sum() == 1
    assert image.frozen[3, 2, 1]
    formats.write(image.from_unit(1 - image.to_unit()), tmp_path / "b.nii")
    assert np.isnan(stored(tmp_path / "b.nii")[1, 2, 3])
    formats.write(image, tmp_path / "c.nii")
    assert (tmp_path / "c.nii").read_bytes() == (tmp_path / "a.nii").read_bytes()


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "f8"])
def test_hounsfield_units_are_told_by_air(tmp_path, dtype):
    data = np.full((8, 9, 10), 40, dtype)
    data[:3] = -1000
    image = formats.read(save(tmp_path / "a.nii", data))
    assert (image.modality, image.units) == (Modality.CT, "HU")
    image = formats.read(save(tmp_path / "b.nii", np.abs(data)))
    assert (image.modality, image.units) == (Modality.UNKNOWN, "")
    if data.dtype.kind == "f":  # cut out of a larger scan, or turned
        data[0, :4] = np.nan
        assert formats.read(save(tmp_path / "c.nii", data)).units == "HU"
        data[:] = np.nan
        assert formats.read(save(tmp_path / "d.nii", data)).units == ""


def test_ct_has_the_same_window_as_in_dicom_whatever_pads_its_corners(tmp_path):
    data = np.full((8, 9, 10), 40, "i2")
    data[:3] = -1000
    data[3] = 60
    for padding in (-1000, -2048, -3024, -8192, -32768):
        data[0] = padding
        image = formats.read(save(tmp_path / "a.nii", data))
        assert image.units == "HU", padding
        assert (image.unit_range.low, image.unit_range.high) == (-160, 240)
        assert image.unit_range.reason == "soft tissue"
        written = tmp_path / "b.nii"
        formats.write(image.from_unit(image.to_unit()), written)
        assert written.read_bytes() == (tmp_path / "a.nii").read_bytes()


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_a_field_of_mri_is_not_hounsfield_units(tmp_path, dtype):
    """It passes through the values of air on its way to others below."""
    field = np.linspace(-1500, 1500, 8 * 9 * 10).round().astype("i2").reshape(8, 9, 10)
    phase = np.round(field * 2.7).astype("i2")
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(64, 64, 20)), (8, 8, 4))
    smooth *= 1100 / -smooth.min()
    smooth = np.round(smooth).astype("i2")
    for data in (field, phase, -np.abs(phase) + 1, smooth):
        image = formats.read(save(tmp_path / "a.nii", data.astype(dtype)))
        assert (image.modality, image.units) == (Modality.UNKNOWN, "")
        assert image.unit_range.reason.startswith("percentiles")


def test_a_piece_of_lung_is_ct(tmp_path):
    """Air between -950 and -750, vessels, a rib; nothing around it."""
    rng = np.random.default_rng(0)
    data = rng.normal(-850, 40, (32, 32, 32))
    data[4:7] = rng.normal(40, 20, (3, 32, 32))
    data[20:22, :8] = rng.normal(900, 200, (2, 8, 32))
    image = formats.read(save(tmp_path / "a.nii", data.astype("i2")))
    assert (image.modality, image.units) == (Modality.CT, "HU")


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_what_the_user_says_decides_on_the_range(tmp_path, dtype):
    data = np.full((8, 9, 10), 40, dtype)
    data[:3], data[5:] = -1000, 90
    image = formats.read(save(tmp_path / "a.nii", data))
    ct = EnhanceOptions(modality="ct").told(image)
    assert (ct.modality, ct.units) == (Modality.CT, "HU")
    assert (ct.unit_range.low, ct.unit_range.high) == (-160, 240)
    mri = EnhanceOptions(modality="mri").told(image)
    assert (mri.modality, mri.units) == (Modality.MRI, "")
    assert mri.unit_range.low < -900


def test_numbers_that_are_no_hounsfield_units_keep_their_range(tmp_path):
    """CT whose air is 0, or of 8 bits, is no window of soft tissue."""
    for data in (numbers((8, 9, 10), "u1"), np.abs(numbers((8, 9, 10), "i2") // 16)):
        image = formats.read(save(tmp_path / "a.nii", data))
        told = EnhanceOptions(modality="ct").told(image)
        assert (told.modality, told.units) == (Modality.CT, "")
        assert told.unit_range == image.unit_range


def test_what_is_no_picture_by_its_intent_is_refused_under_strict(tmp_path):
    data = numbers((20, 21, 22), "i2")
    for name, kind in (("label", "labels"), ("vector", "vectors"), ("t test", "stat")):
        image = nibabel.Nifti1Image(data, np.eye(4))
        params = (5,) if name == "t test" else ()
        image.header.set_intent(name, params)
        nibabel.save(image, tmp_path / "a.nii")
        with pytest.raises(RefusedError, match=f"holds {kind}"):
            enhance(tmp_path / "a.nii", model="clahe", modality="mri", strict=True)
        with pytest.warns(UserWarning, match=f"holds {kind}"):
            enhance(tmp_path / "a.nii", tmp_path / f"{kind}.nii", model="clahe")
        same = enhance(tmp_path / "a.nii", model="identity", strict=True)
        own = formats.read(tmp_path / "a.nii")
        np.testing.assert_array_equal(same.pixels, own.pixels)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2002, "indices"),
        (2003, "colours"),
        (2004, "colours"),
        (2005, "shapes"),
        (2006, "displacements"),
        (2007, "coefficients"),
        (2008, "coefficients"),
        (2009, "coefficients"),
        (2016, "coefficients"),
        (2017, "coefficients"),
        (2018, "a map"),
    ],
)
def test_intents_of_gifti_and_fsl_are_no_pictures(tmp_path, code, kind):
    data = numbers((20, 21, 22, 1, 3), "f4")
    source = save(tmp_path / "a.nii", data, intent_code=code)
    with pytest.raises(RefusedError, match=f"holds {kind}"):
        enhance(source, model="clahe", modality="mri", strict=True)
    save(source, data, intent_code=2001)  # times: pictures one after another
    assert nifti.no_picture(formats.read(source)) == ""


def test_cifti_is_refused(tmp_path):
    """Its numbers lie in rows and columns of a matrix, not in space."""
    points = cifti2.BrainModelAxis.from_surface(np.arange(30), 40, "CORTEX_LEFT")
    times = cifti2.SeriesAxis(0, 1, 8)
    matrix = cifti2.Cifti2Image(np.ones((8, 30), "f4"), (times, points))
    path = tmp_path / "a.dtseries.nii"
    for intent in ("NIFTI_INTENT_CONNECTIVITY_DENSE_SERIES", "none"):
        matrix.nifti_header.set_intent(intent)
        matrix.to_filename(path)
        with pytest.raises(UnsupportedError, match="CIFTI") as caught:
            formats.read(path)
        assert "wb_command" in caught.value.hint
    save(tmp_path / "b.nii", numbers((5, 6, 7)), intent_code=3006)
    with pytest.raises(UnsupportedError, match="CIFTI"):
        formats.read(tmp_path / "b.nii")


def test_a_comment_before_the_extension_of_cifti_hides_nothing(tmp_path):
    picture = nibabel.Nifti2Image(numbers((4, 5, 6)), AFFINE, None)
    extension = nibabel.nifti1.Nifti1Extension
    picture.header.extensions.append(extension("comment", b"hi"))
    nibabel.save(picture, tmp_path / "a.nii")
    formats.read(tmp_path / "a.nii")
    picture.header.extensions.append(extension(32, b"<CIFTI/>"))
    nibabel.save(picture, tmp_path / "a.nii")
    with pytest.raises(UnsupportedError, match="CIFTI"):
        formats.read(tmp_path / "a.nii")


def test_numbers_of_the_full_16_bits_are_not_hounsfield_units(tmp_path):
    image = formats.read(save(tmp_path / "a.nii", numbers((8, 9, 10))))
    assert image.units == ""


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_is_refused(tmp_path, dtype):
    path = save(tmp_path / "a.nii", np.ones((4, 5, 6), dtype))
    with pytest.raises(UnsupportedError):
        formats.read(path)


def test_axis_must_exist(tmp_path):
    with pytest.raises(UsageError):
        formats.read(save(tmp_path / "a.nii", numbers((4, 5, 6))), axis=3)


def test_missing_half_is_said(tmp_path):
    save(tmp_path / "a.img", numbers((4, 5, 6)), kind=nibabel.Nifti1Pair)
    (tmp_path / "a.img").unlink()
    with pytest.raises(UnreadableError, match=r"\.img"):
        formats.read(tmp_path / "a.hdr")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_truncated_files_never_give_pixels(tmp_path, name):
    path = save(tmp_path / name, numbers((10, 11, 12)))
    data = path.read_bytes()
    for share in np.linspace(0.01, 0.999, 60):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError):
            formats.read(path)
    path.write_bytes(data[:-1])
    with pytest.raises(InputError):
        formats.read(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_mutated_files_raise_input_errors_only(tmp_path, name, capfd):
    kind = nibabel.Nifti1Pair if name == "a.hdr" else nibabel.Nifti1Image
    path = save(tmp_path / name, numbers((5, 6, 7)), kind=kind, scl_slope=2.0)
    data = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(500):
        mutant = bytearray(data)
        for place in rng.integers(0, min(len(data), 352), rng.integers(1, 8)):
            mutant[place] = rng.integers(256)
        path.write_bytes(mutant)
        try:
            image = formats.read(path)
        except InputError:
            continue
        assert image.pixels.ndim == 4
        assert image.unit_range.low < image.unit_range.high
    assert capfd.readouterr() == ("", "")


def test_a_header_that_lies_costs_nothing(tmp_path):
    path = save(tmp_path / "a.nii", numbers((5, 6, 7)))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<4h", raw, 40, 3, 1000, 1000, 250)
    for name in ("b.nii", "b.nii.gz"):
        lying = tmp_path / name
        lying.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
        start = time.process_time()
        with pytest.raises(InputError):
            formats.read(lying)
        assert time.process_time() - start < 1


def test_gzip_bomb_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((500, 500, 300), "f4"))
    with path.open("rb") as plain, gzip.open(tmp_path / "b.nii.gz", "wb", 9) as packed:
        packed.write(plain.read())
    start = time.process_time()
    with pytest.raises(OverBudgetError):
        formats.read(tmp_path / "b.nii.gz")
    assert time.process_time() - start < 1
    small = save(tmp_path / "c.nii", numbers((5, 6, 7))).read_bytes()
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(small + bytes(2**26)))
    with pytest.raises(OverBudgetError):
        formats.read(tmp_path / "c.nii.gz")


def test_new_header_for_an_array_with_a_place(tmp_path):
    stack = numbers((3, 4, 5), "u2")
    place = Geometry((4.0, 1.5, 2.0), AFFINE)
    image = from_array(stack, geometry=place)
    formats.write(image, tmp_path / "a.nii.gz")
    volume = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(volume.dataobj), stack.T)
    np.testing.assert_allclose(volume.affine, AFFINE)
    again = formats.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.pixels[..., 0], stack)
    colour = from_array(numbers((2, 4, 5, 3), "u1"))
    formats.write(colour, tmp_path / "c.nii")
    np.testing.assert_array_equal(
        formats.read(tmp_path / "c.nii").pixels, colour.pixels
    )
    with pytest.raises(UnsupportedError):
        formats.write(from_array(numbers((4, 5, 3), "u2")), tmp_path / "d.nii")


@pytest.mark.shared
@pytest.mark.skipif(not NIFTI, reason="the real files of shared/data are not here")
@pytest.mark.parametrize("path", NIFTI, ids=lambda path: path.name)
def test_real_files_round_trip(tmp_path, path, capfd):
    if "complex" in path.name:
        with pytest.raises(UnsupportedError):
            formats.read(path)
        return
    image = formats.read(path)
    assert capfd.readouterr() == ("", "")
    target = tmp_path / path.name
    formats.write(image, target)
    assert inflated(target) == inflated(path)
    if image.channels == 1:
        volume = nibabel.load(path)
        native = np.moveaxis(volume.get_fdata(), image.header.axis, 2)
        expected = native.reshape(*native.shape[:2], -1, order="F").T
        np.testing.assert_allclose(image.pixels[..., 0], expected, rtol=1e-5)
        np.testing.assert_array_equal(nibabel.load(target).affine, volume.affine)


@pytest.mark.parametrize(
    "name", ["example4d.nii.gz", "example_nifti2.nii.gz", "standard.nii.gz"]
)
def test_nibabels_own_files_round_trip(tmp_path, name):
    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    if not path.is_file():
        pytest.skip("this nibabel comes without its test data")
    formats.write(formats.read(path), tmp_path / name)
    assert inflated(tmp_path / name) == inflated(path)
