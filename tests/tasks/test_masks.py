"""Label masks stand as their pixels are stored, as pictures do."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from medenh.errors import InputError
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


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("colour", [False, True])
def test_what_jpeg_draws_around_edges_is_no_mask(tmp_path, quality, colour):
    rows, columns = np.indices((96, 120))
    where = (np.hypot(rows - 40, columns - 60) < 25) | (columns % 24 < 2)
    levels = where.astype(np.uint8) * np.uint8(255)
    picture = Image.fromarray(levels)
    if colour:
        picture = Image.merge("RGB", [picture, picture, picture])
    path = tmp_path / "a.jpg"
    picture.save(path, quality=quality)
    assert ((np.asarray(picture.convert("L")) > 0) == where).all()
    assert ((np.asarray(Image.open(path).convert("L")) > 0) != where).any()
    np.testing.assert_array_equal(read_mask(path) != 0, where)


@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (0, 85, 170, 255)])
def test_labels_of_several_classes_are_refused_as_jpeg(tmp_path, levels):
    labels = np.repeat(np.array(levels, np.uint8), 16)[None].repeat(32, 0)
    Image.fromarray(labels).save(tmp_path / "a.jpg", quality=95)
    with pytest.raises(InputError, match="it changes labels"):
        read_mask(tmp_path / "a.jpg")


@pytest.mark.parametrize("levels", [(0, 128, 255), (255, 128, 0), (0, 50, 250)])
def test_a_small_disc_and_its_cup_are_refused_as_jpeg(tmp_path, levels):
    # of the picture they are but a fiftieth, which hides no class of them
    distance = np.hypot(*(np.indices((256, 256)) - 128))
    labels = np.select([distance < 12, distance < 22], levels[:0:-1], levels[0])
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    with pytest.raises(InputError, match="it changes labels"):
        read_mask(tmp_path / "a.jpg")


@pytest.mark.parametrize("quality", [50, 75])
def test_a_jpeg_mask_of_a_few_pixels_is_kept(tmp_path, quality):
    where = np.zeros((64, 64), np.uint8)
    where[10, 10] = 255
    Image.fromarray(where).save(tmp_path / "a.jpg", quality=quality)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.jpg") != 0, where != 0)


def test_an_empty_jpeg_mask_stays_empty(tmp_path):
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.jpg")
    assert not read_mask(tmp_path / "a.jpg").any()
