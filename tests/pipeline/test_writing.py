"""Whether an image fits its output is known before the model runs, and told once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile

import medenh
from medenh import formats
from medenh.errors import UnsupportedError
from medenh.formats.array import from_array
from medenh.pipeline import writing
from medenh.pipeline.writing import check_fits


def refusal_of(work, *words, **more):
    try:
        work(*words, **more)
    except UnsupportedError as error:
        return error
    return None


@pytest.fixture
def veiled(tmp_path):
    """Return a grey picture with opacity."""
    path = tmp_path / "in" / "veiled.tif"
    path.parent.mkdir()
    both = np.zeros((40, 40, 2), np.uint8)
    tifffile.imwrite(path, both, photometric="minisblack", extrasamples=["unassalpha"])
    return path


@pytest.fixture
def inverted(tmp_path):
    path = tmp_path / "inverted.tif"
    tifffile.imwrite(path, np.eye(40, dtype=np.uint8), photometric="miniswhite")
    return path


def test_grey_with_opacity_is_refused_as_nifti_before_the_model_runs(veiled, tmp_path):
    image = formats.read(veiled)
    with pytest.raises(UnsupportedError, match="NIfTI has no grey with opacity"):
        check_fits(image, [tmp_path / "a.nii.gz"], "nifti")
    foreseen = medenh.enhance([veiled.parent], tmp_path / "out", format="nifti")
    (failure,) = foreseen.failed
    assert failure.reason.startswith("NIfTI has no grey with opacity")


def test_what_does_not_fit_is_known_beforehand(veiled, inverted, tmp_path):
    """Whatever a writer refuses is refused before."""
    images = [formats.read(path) for path in (veiled, inverted)]
    for shape, dtype in itertools.product(
        [(40, 40), (40, 40, 3), (40, 40, 4)], ["u1", "u2", "f4"]
    ):
        images.append(from_array(np.zeros(shape, dtype)))
    images.append(from_array(np.zeros((3, 40, 40), np.uint8)))
    for image, kind in itertools.product(images, ("nifti", "npy", "tiff", "png")):
        path = tmp_path / f"a.{kind}"
        written = refusal_of(formats.writers.write, image, [path], format=kind)
        foreseen = refusal_of(check_fits, image, [path], kind)
        for part in ("what", "hint"):
            assert getattr(foreseen, part, "") == getattr(written, part, "")
        assert getattr(foreseen, "path", None) == (written and image.source)


@pytest.mark.parametrize("foreseen", [True, False])
def test_an_error_about_an_image_names_its_input_alone(
    inverted, tmp_path, monkeypatch, foreseen
):
    if not foreseen:
        monkeypatch.setattr(writing, "_misfit", lambda *_: ("", ""))
    out = tmp_path / "out"
    made = medenh.enhance([inverted], out, model="identity", format="npy")
    (failure,) = made.failed
    assert failure.path == inverted
    assert failure.reason.startswith("NPY cannot say that larger values are darker (")
    assert failure.to_json()["code"] == "unsupported"
    assert not list(out.glob("*.npy"))
