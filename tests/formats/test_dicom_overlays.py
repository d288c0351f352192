"""Overlays in unused bits of the pixels, as files before 2004 have them."""

import numpy as np
import pydicom
import pytest
from dicom_maker import CT, ramp, save
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from medenh.formats import dicom

FIRST, SECOND = 0x6000, 0x6002


def overlay(dataset, group, shape, bit):
    rows, columns = shape
    for element, vr, value in (
        (0x0010, "US", rows),
        (0x0011, "US", columns),
        (0x0040, "CS", "G"),
        (0x0050, "SS", [1, 1]),
        (0x0100, "US", 16),
        (0x0102, "US", bit),
    ):
        dataset.add_new((group, element), vr, value)


def made(path, *, signed, frames, syntax=ExplicitVRLittleEndian):
    shape = (frames, 9, 7) if frames > 1 else (9, 7)
    rng = np.random.default_rng(3)
    values = ramp(shape, "i2", -2048, 2047) if signed else ramp(shape)
    bits = rng.integers(0, 2, (2, *shape)).astype(np.uint16)
    raw = (values.view(np.uint16) & 0xFFF) | bits[0] << 12 | bits[1] << 15

    def add(dataset):
        overlay(dataset, FIRST, (9, 7), 12)
        overlay(dataset, SECOND, (9, 7), 15)
        if syntax == RLELossless:
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.compress(RLELossless, generate_instance_uid=False)

    stored = raw.view(values.dtype)
    save(path, stored, bits=12, syntax=syntax, encode=add, sop_class=CT, modality="CT")
    return values, bits


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
def test_overlays_in_the_pixels_are_written_beside_them(
    tmp_path, signed, frames, syntax
):
    values, bits = made(
        tmp_path / "in.dcm", signed=signed, frames=frames, syntax=syntax
    )
    image = dicom.read([tmp_path / "in.dcm"])
    np.testing.assert_array_equal(image.pixels[..., 0].squeeze(), values)
    dicom.write(image, [tmp_path / "out.dcm"], provenance=None)
    out = pydicom.dcmread(tmp_path / "out.dcm")
    np.testing.assert_array_equal(out.pixel_array, values)
    np.testing.assert_array_equal(out.overlay_array(FIRST), bits[0])
    np.testing.assert_array_equal(out.overlay_array(SECOND), bits[1])
    assert out[FIRST, 0x0102].value == 0


def test_a_bit_that_the_pixels_use_is_no_overlay(tmp_path):
    def add(dataset):
        overlay(dataset, FIRST, (9, 7), 11)

    values = ramp((9, 7))
    path = save(tmp_path / "in.dcm", values, bits=12, encode=add)
    image = dicom.read([path])
    np.testing.assert_array_equal(image.pixels[0, ..., 0], values)
    dicom.write(image, [tmp_path / "out.dcm"], provenance=None)
    assert (FIRST, 0x3000) not in pydicom.dcmread(tmp_path / "out.dcm")
