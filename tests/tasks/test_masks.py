"""Label masks stand as their pixels are stored, as pictures do."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from medenh.tasks.masks import mask_orientation, read_mask, read_mask_pages


@pytest.mark.parametrize("way", [1, 3, 6, 8])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_stands_as_stored_whatever_it_tells_of_up(
    tmp_path, way, compression, order
):
    """Pillow turns it, and scrambles the rows of what is not compressed."""
    labels = np.random.default_rng(0).integers(0, 4, (2, 9, 14)).astype(np.uint8)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=order) as tiff:
        for page in labels:
            tiff.write(
                page,
                compression=compression,
                metadata=None,
                extratags=[(274, 3, 1, way, True)],
            )
    np.testing.assert_array_equal(read_mask_pages(path), labels)
    assert mask_orientation(path) == way
    Image.fromarray(labels[0]).save(path, tiffinfo={274: way})
    np.testing.assert_array_equal(read_mask(path), labels[0])
    np.testing.assert_array_equal(read_mask(path.read_bytes()), labels[0])
