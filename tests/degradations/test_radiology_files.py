"""Real CT, MR, CR and NIfTI files through degradation, writer and reader."""

from pathlib import Path

import numpy as np
import pytest

import medenh
from medenh.degradations import Record, degrade_image, find_recipe, replay_image

FILES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "formats"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not FILES.is_dir(), reason="shared/data is not here"),
]


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("ct_12bit_unsigned_rescale.dcm", "ct-ring"),
        ("ct_same_implicit.dcm", "ct-low-dose"),
        ("enhanced_ct_2frames.dcm", "ct-thick-slice"),
        ("mr_overlays.dcm", "mri-motion"),
        ("enhanced_mr_10frames.dcm", "mri-mixed"),
        ("cr_mono1_10bit.dcm", "xray-mixed"),
        ("nifti_4d_int16_oblique.nii.gz", "mri-thick-slice"),
        ("nifti_float32.nii.gz", "mri-bias"),
    ],
)
def test_degraded_files_keep_their_format(tmp_path, name, recipe):
    clean = medenh.read(FILES / name)
    pair = degrade_image(clean, find_recipe(recipe), name=name, severity=0.5)
    medenh.write(pair.low, tmp_path / name, like=FILES / name)
    back = medenh.read(tmp_path / name)
    expected = pair.low.pixels
    if name == "enhanced_ct_2frames.dcm":  # from 0 HU on its values stand for colours
        grey = ~clean.frozen[..., None]
        expected = np.where(grey, np.minimum(expected, -1), expected)
    np.testing.assert_array_equal(back.pixels, expected)
    assert (back.units, back.storage) == (clean.units, clean.storage)
    np.testing.assert_array_equal(back.geometry.spacing_mm, clean.geometry.spacing_mm)
    assert (back.pixels != clean.pixels).any()
    if clean.frozen is not None:
        kept = clean.frozen
        np.testing.assert_array_equal(back.pixels[kept], clean.pixels[kept])
    record = Record.from_json(pair.record.to_json())
    again = replay_image(clean, record).low.pixels
    np.testing.assert_array_equal(again, pair.low.pixels)


def test_times_of_a_4d_file_are_volumes_of_their_own():
    clean = medenh.read(FILES / "nifti_4d_int16_oblique.nii.gz")
    depth = clean.geometry.depth
    assert depth is not None
    assert 1 < depth < clean.frames


def test_padding_of_a_real_slice_is_kept():
    clean = medenh.read(FILES / "ct_same_jpegls_near.dcm")  # padding within 1 level
    pair = degrade_image(clean, find_recipe("ct-low-dose"), name="n", severity=0.5)
    padding = clean.pixels < -2000
    assert padding.any()
    np.testing.assert_array_equal(pair.low.pixels[padding], clean.pixels[padding])
