from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from medenh.errors import OutputError
from medenh.training.checkpoint import writing
from medenh.training.plots import save_grid


def test_a_grid_is_read_back_as_it_was(tmp_path):
    grid = np.random.default_rng(0).random((6, 9, 3), np.float32)
    save_grid(tmp_path / "a.png", grid)
    found = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    np.testing.assert_array_equal(found, np.rint(grid * 255))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_called_full(tmp_path, capfd):
    (tmp_path / "a.png").symlink_to("/dev/full")
    with pytest.raises(OutputError) as told, writing(tmp_path):
        save_grid(tmp_path / "a.png", np.zeros((6, 9, 3), np.float32))
    assert told.value.what == "cannot be written: No space left on device"
    assert capfd.readouterr() == ("", "")
