"""What type hints say of the library; `mypy` checks this file, and pytest runs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

import medenh
from medenh import degradations
from medenh.degradations import Record

Bytes = NDArray[np.uint8]


@pytest.fixture
def array() -> Bytes:
    return np.random.default_rng(0).integers(0, 200, (24, 32, 3), np.uint8)


@pytest.fixture
def path(array: Bytes, tmp_path: Path) -> Path:
    medenh.write(array, tmp_path / "a.png")
    return tmp_path / "a.png"


def test_what_goes_in_tells_what_comes_out(array: Bytes, path: Path) -> None:
    image, picture = medenh.read(path), PIL.Image.fromarray(array)
    assert_type(medenh.enhance(array, model="identity"), Bytes)
    assert_type(medenh.enhance(picture, model="identity"), NDArray[Any])
    assert_type(medenh.enhance(image, model="identity"), medenh.Image)
    assert_type(medenh.enhance(path, model="identity"), medenh.Image)
    assert_type(medenh.enhance(str(path), model="identity"), medenh.Image)
    enhanced, doubt = medenh.enhance(array, model="identity", uncertainty=True)
    assert_type(enhanced, Bytes)
    assert_type(doubt, NDArray[np.float32])
    both = medenh.enhance(image, model="identity", uncertainty=True)
    assert_type(both, tuple[medenh.Image, medenh.Image])


def test_with_an_output_it_is_a_path_and_of_several_a_summary(
    array: Bytes, path: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "b.png")
    assert_type(medenh.enhance(array, out, model="identity"), Path)
    one = medenh.enhance(path, tmp_path / "c.png", model="identity")
    assert_type(one, Path | medenh.Summary)
    several = medenh.enhance(tmp_path.glob("a.png"), tmp_path / "out", model="identity")
    assert_type(several, medenh.Summary)
    assert_type([failure.path for failure in several.failed], list[Path])
    entries = list(os.scandir(tmp_path / "out"))
    medenh.read(entry for entry in entries if entry.name == "a.png")


def test_a_loaded_model_gives_what_it_is_given(array: Bytes, path: Path) -> None:
    model = medenh.load_model("identity")
    picture = PIL.Image.fromarray(array)
    assert_type(model.enhance(array), Bytes)
    assert_type(model.enhance(picture), NDArray[Any])
    assert_type(model.enhance(path), medenh.Image)


def test_a_degraded_picture_is_of_the_kind_of_the_clean_one(
    array: Bytes, path: Path
) -> None:
    low, record = medenh.degrade(array, "gauss-0.1", seed=1)
    assert_type(low, Bytes)
    assert_type(record, Record)
    assert (degradations.apply(array, record) == low).all()
    image, _ = medenh.degrade(medenh.read(path), "dpe", severity=2)
    assert_type(image, medenh.Image)
    made, _ = medenh.degrade(PIL.Image.fromarray(array), "dpe")
    assert_type(made, NDArray[Any])
    assert_type(degradations.apply(medenh.read(path), record), medenh.Image)
    medenh.write(PIL.Image.fromarray(array), path.with_name("d.png"), like=str(path))


def test_rooms_and_errors_have_types_too() -> None:
    assert_type(medenh.metrics.summarise([1.0, 2.0]).mean, float)
    try:
        medenh.read("nothing.png")
    except medenh.errors.InputError as error:
        assert_type(error.what, str)
