"""What is no picture, path or option is refused in words that tell what is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

import medenh
from medenh import degradations, metrics, tasks
from medenh.device import pick_device
from medenh.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 200, (24, 32, 3)).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    medenh.write(PIXELS, tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType is no path"),
        (PIXELS, r"numpy\.ndarray is no path"),
        (b"x", "bytes is no path"),
        (PIL.Image.fromarray(PIXELS), r"PIL\.Image\.Image is no path"),
        ([3], "(int|list) is no path"),
        ("a\0b.png", "null character"),
    ],
)
def test_what_is_no_path_is_refused(given, words, path):
    for call in (
        lambda: medenh.read(given),
        lambda: medenh.write(PIXELS, given),
        lambda: medenh.evaluate(given, path),
        lambda: medenh.evaluate(path, baselines=given),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    if given is not None:
        for output in (PIXELS, path):
            with pytest.raises(UsageError, match="no path"):
                medenh.enhance(output, given, model="identity")
    with pytest.raises(UsageError):
        medenh.enhance(
            b"x" if isinstance(given, np.ndarray | PIL.Image.Image) else given
        )


def test_reading_needs_limits_and_recognising_an_array(path):
    with pytest.raises(UsageError, match="limits: NoneType"):
        medenh.read(path, limits=None)
    recogniser = tasks.load("lesion-derm")
    for given in (medenh.read(path), "a.png"):
        with pytest.raises(UsageError, match="cannot be recognised"):
            recogniser.predict(given)


def test_an_image_is_no_path_and_only_what_is_a_picture_is_an_image(path):
    image = medenh.read(path)
    with pytest.raises(UsageError, match="Image is no path"):
        medenh.read(image)
    for pixels in (image.pixels[0, ..., 0], image.pixels[..., :2], 0.5):
        with pytest.raises(UsageError, match=r"\(frames, height, width, channels\)"):
            replace(image, pixels=pixels)


def test_answers_of_another_shape_do_not_come_back_into_an_image(path):
    image = medenh.read(path)
    unit = image.to_unit()
    np.testing.assert_array_equal(image.from_unit(unit).pixels, image.pixels)
    for answer in (
        unit[:, :, 1:],
        np.moveaxis(unit, 1, -1),
        torch.from_numpy(unit),
        0.5,
        None,
    ):
        with pytest.raises(UsageError, match=r"array of shape \(1, 3, 24, 32\)"):
            image.from_unit(answer)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: medenh.load_model("identity", foo=1), "unknown option 'foo'"),
        (lambda: medenh.load_model(None), "model is a word"),
        (lambda: medenh.enhance("."), 'a folder.* need an output folder.*output="OUT"'),
        (lambda: medenh.evaluate_protocol("dpe", limit="2"), "limit must be a whole"),
        (lambda: medenh.evaluate_protocol("dpe", models=3), "models: int is no name"),
        (lambda: pick_device(0), "unknown device 0"),
        (lambda: medenh.evaluate("a", "b", workers=0), "workers must be a whole"),
        (lambda: medenh.evaluate("a", "b", workers=-1), "workers must be a whole"),
        (lambda: medenh.evaluate("a", "b", metrics=None), "metrics: NoneType"),
        (
            lambda: medenh.evaluate(PIXELS, PIXELS),
            r"numpy.ndarray is no path .*medenh\.metrics\.psnr\(enhanced, reference\)",
        ),
        (
            lambda: medenh.evaluate("a.png", torch.zeros(3, 4, 4)),
            r"reference: torch.Tensor is no path .*METRICS",
        ),
        (
            lambda: metrics.psnr(torch.zeros(3, 24, 32), torch.zeros(3, 24, 32)),
            r"32 channels cannot be measured \(1 or 3, last: .*permute\(1, 2, 0\)",
        ),
        (
            lambda: metrics.psnr(np.zeros((24, 32, 2)), np.zeros((24, 32, 2))),
            r"2 channels cannot be measured \(1 or 3\)$",
        ),
        (lambda: medenh.list_models(task="foo"), "unknown task 'foo'.*enhance"),
        (lambda: tasks.load("vessels-fundus", device="gpu"), "unknown device 'gpu'"),
        (lambda: tasks.load(None), "unknown task None"),
        (lambda: degradations.apply(PIXELS, None), "NoneType is no record"),
        (
            lambda: degradations.apply(PIXELS, {"a": object()}),
            "no.* degradation record",
        ),
        (lambda: medenh.degrade(PIXELS, None), "recipe"),
        (lambda: medenh.degrade(PIXELS, "dpe", severity="3"), "severity is a number"),
        (lambda: medenh.degrade(PIXELS, "dpe", size=9.5), "size is a whole number"),
        (lambda: medenh.degrade(PIXELS, "dpe", name=None), "name is text, not None"),
        (lambda: medenh.degrade(PIXELS, "dpe", options=3), "options is a mapping"),
        (lambda: medenh.models.create(None), "None"),
        (lambda: metrics.summarise(x for x in (1.0, 2.0)), "one list of figures"),
        (lambda: metrics.summarise(["a"]), "one list of figures"),
        (lambda: metrics.paired_tests(["a"], [1.0]), "one list of figures"),
        (lambda: metrics.bootstrap_ci([[1.0], [1.0, 2.0]]), "one list of figures"),
    ],
)
def test_calls_that_mean_nothing_are_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tile": "big"}, 'tile is "auto", "off" or an int, not \'big\''),
        ({"tile": "64"}, "or an int, not '64'"),
        ({"tile": 33.7}, "or an int, not 33.7"),
        ({"tile": None}, "or an int, not NoneType"),
        ({"batch": "many"}, 'batch is "auto" or an int'),
        ({"batch": 1.5}, "or an int, not 1.5"),
        ({"batch": True}, "or an int, not True"),
        ({"limits": None}, "Limits, not NoneType"),
        ({"offline": "yes"}, "offline is True or False, not 'yes'"),
        ({"uncertainty": "no"}, "uncertainty is True or False, not 'no'"),
        ({"strict": 1}, "strict is True or False, not 1"),
        ({"bits": "9"}, "bits is an int, not '9'"),
        ({"axis": 1.0}, "axis is an int"),
        ({"shard": "1/2"}, "shard is two ints"),
        ({"settings": "clip=3"}, "settings is numbers by name"),
        ({"settings": {"clip": "3"}}, "settings is numbers by name"),
        ({"reference": 3}, "reference: int is no path"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        medenh.enhance(PIXELS, model="identity", **options)
    with pytest.raises(UsageError, match=words):
        medenh.load_model("identity", **options)


def test_a_reference_may_be_any_picture(path):
    low = PIXELS // 2
    as_file = medenh.enhance(low, model="hqg-fundus", reference=path)
    assert not np.array_equal(as_file, medenh.enhance(low, model="hqg-fundus"))
    for reference in (
        str(path),
        medenh.read(path),
        PIXELS,
        PIL.Image.fromarray(PIXELS),
    ):
        same = medenh.enhance(low, model="hqg-fundus", reference=reference)
        np.testing.assert_array_equal(same, as_file)


@pytest.mark.parametrize("name", ["bare", "a.xyz", "folder/bare"])
def test_a_name_without_a_format_is_refused_alike_by_all_that_write(name, tmp_path):
    with pytest.raises(UsageError, match="no format has the extension") as by_write:
        medenh.write(PIXELS, tmp_path / name)
    with pytest.raises(UsageError) as by_enhance:
        medenh.enhance(PIXELS, tmp_path / name, model="identity")
    assert str(by_enhance.value) == str(by_write.value)


def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (70, 80, 3), np.uint8)
    counts = {"tile": np.int64(64), "batch": np.int32(2), "bits": np.uint8(8)}
    better = medenh.enhance(picture, model="clahe", **counts)
    np.testing.assert_array_equal(better, medenh.enhance(picture, model="clahe"))
    medenh.write(picture, tmp_path / "a.png")
    found = medenh.evaluate(tmp_path, tmp_path, metrics="mae", workers=np.int64(1))
    assert not found.failed
