"""What goes into which file, and what is refused or told."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_maker import ramp, save

import medenh
from medenh.errors import UsageError


@pytest.fixture
def slice_(tmp_path):
    return medenh.read(save(tmp_path / "a.dcm", ramp(), PixelSpacing=[0.39, 0.39]))


@pytest.mark.parametrize("name", ["d.gif", "d.webp", "d.jp2", "d.mha", "d.nrrd"])
def test_dicom_is_not_written_under_names_of_other_formats(slice_, tmp_path, name):
    with pytest.raises(UsageError, match="no format has the extension"):
        medenh.write(slice_, tmp_path / name)
    assert not (tmp_path / name).exists()
    medenh.write(slice_, tmp_path / name, format="dicom")


@pytest.mark.parametrize("name", ["d", "d.IMA", "d.dcm", "1.2.840.10008.77"])
def test_dicom_is_written_under_names_of_its_own(slice_, tmp_path, name):
    medenh.write(slice_, tmp_path / name)
    assert medenh.read(tmp_path / name).format == "dicom"
