"""What every recipe keeps: shape, range, replay, the seed, the field, monotony."""

import json
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from skimage import data

from medenh import degradations
from medenh.degradations import RECIPES, Record, Scene, framing
from medenh.degradations.engine import can_degrade_again, degrade_again
from medenh.degradations.operator import Seed, Share
from medenh.degradations.parameters import RangedOperator, Uniform
from medenh.degradations.recipe import follows_severity
from medenh.degradations.record import read_step, write_step
from medenh.degradations.registry import OPERATORS
from medenh.errors import UsageError
from medenh.formats.array import from_array
from medenh.metrics import psnr

NAMES = sorted(RECIPES)
DRAWN = json.loads(Path(__file__).with_name("draws.json").read_text("utf-8"))


def _picture(recipe, *, dtype=np.uint8, channels=3, side=96):
    """A picture of a kind the recipe is made for."""
    photo = data.retina()[200:1200, 200:1200]
    step = -(-photo.shape[0] // side)
    photo = photo[::step, ::step]
    grey = photo.mean(-1, keepdims=True) / 255.0
    if recipe.domain == "hu" and dtype != np.uint8:
        return (grey * 400 - 160).astype(np.float32)
    pixels = photo / 255.0 if channels == 3 and recipe.domain == "display" else grey
    if dtype == np.float32:
        return pixels.astype(np.float32)
    return np.rint(pixels * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_what_can_be_degraded_again_gets_the_same_noise_on_a_similar_picture(name):
    clean = _picture(RECIPES[name])
    low, record = degradations.degrade(clean, name, seed=3, name="a/b.png")
    if not can_degrade_again(record):
        return
    image = from_array(clean, modality=record.modality)
    view = framing.recall(image, record.framing, size=None, field=None, eight_bit=True)
    near = from_array(np.minimum(clean, 254) + np.uint8(1), modality=record.modality)
    again = degrade_again(near, record, view).pixels[0]
    assert psnr(again, low.reshape(again.shape), data_range=255) > 33  # 48 undegraded


def test_what_counts_photons_cannot_be_degraded_again():
    for name in ("ct-low-dose", "xray-low-dose", "micro-shot"):
        _, record = degradations.degrade(_picture(RECIPES[name]), name)
        assert not can_degrade_again(record)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_replay_gives_the_same_pixels(name, dtype):
    clean = _picture(RECIPES[name], dtype=dtype)
    before = clean.copy()
    low, record = degradations.degrade(clean, name, seed=3, name="a/b.png")
    again = degradations.apply(clean, record.to_json())
    np.testing.assert_array_equal(low, again)
    np.testing.assert_array_equal(clean, before)
    assert low.dtype == clean.dtype
    assert low.shape == clean.shape
    assert np.isfinite(low).all()
    assert Record.from_json(record.to_json()) == record
    json.loads(record.to_json())
    for step in Record.from_json(record.to_json()).steps:  # as a replay records it
        again = write_step(read_step(step, OPERATORS))
        assert again.model_dump_json() == step.model_dump_json()


@pytest.mark.parametrize("name", sorted(OPERATORS))
@pytest.mark.parametrize("severity", [None, 0.0, 1.0])
def test_an_operator_draws_all_of_its_parameters_within_their_bounds(name, severity):
    pixels = np.random.default_rng(0).random((40, 56, 3), np.float32)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        operator = OPERATORS[name].sample(rng, pixels, Scene(), severity)
        assert read_step(write_step(operator), OPERATORS) == operator


@dataclass(frozen=True, slots=True)
class _Forgetful(RangedOperator):
    strength: Share
    seed: Seed
    name: ClassVar[str] = "forgetful"
    parameters: ClassVar = {"strength": Uniform(0.0, 1.0)}

    def apply(self, pixels, scene):
        return pixels


def test_an_operator_that_tells_no_range_of_a_parameter_is_told_its_name():
    """It asked itself for the parameter until the stack was full."""
    pixels = np.zeros((8, 8, 3), np.float32)
    with pytest.raises(TypeError, match=r"_Forgetful.* draw seed; .*_seed"):
        _Forgetful.sample(np.random.default_rng(0), pixels, Scene(), None)


@pytest.mark.parametrize("name", NAMES)
def test_draws_depend_on_name_seed_and_copy_alone(name):
    clean = _picture(RECIPES[name])

    def steps(**where):
        return degradations.degrade(clean, name, **where)[1].steps

    assert steps(name="x") == steps(name="x")
    others = [steps(name="y"), steps(name="x", seed=1), steps(name="x", draw=1)]
    assert name in ("bicubic-x2", "bicubic-x4") or any(
        other != steps(name="x") for other in others
    )


def _told(value):
    """Return parameters as they are on every machine: floats of three digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items()}
    return [_told(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_draws_what_it_always_drew(name):
    """A new parameter of an operator moved all draws of recipes that did not give it.

    Figures of protocols, and pairs that a seed makes again, rest on them.
    """
    drawn = []
    for draw in range(4):
        _, record = degradations.degrade(_picture(RECIPES[name]), name, draw=draw)
        for step in json.loads(record.to_json())["steps"]:
            usual = {one.name: one.default for one in fields(OPERATORS[step["op"]])}
            params = step["params"].items()  # less what records of before lacked
            drawn.append({key: one for key, one in params if one != usual[key]})
    told = f"{zlib.crc32(json.dumps(_told(drawn)).encode()):08x}"
    assert DRAWN.get(name) == told, (
        f"{name} draws otherwise than draws.json has it: what must change gets a new "
        f'name; of a new recipe it lacks "{name}": "{told}"'
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 33])
@pytest.mark.filterwarnings("ignore:severity changes nothing")
def test_small_odd_grey_and_constant_pictures_pass(name, side):
    recipe = RECIPES[name]
    for clean in (
        _picture(recipe, side=side)[:, :-3],
        _picture(recipe, side=side, channels=1),
        np.full((side, side + 5), 90, np.uint8),
        np.zeros((side, side, 3), np.uint8),
    ):
        low, _ = degradations.degrade(clean, name, name="odd", severity=5)
        assert low.shape == clean.shape
        assert low.dtype == clean.dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:severity changes nothing")
def test_severity_lowers_the_score(name):
    if name == "ct-thick-slice":
        pytest.skip("acts between slices, see test_thick_slice.py")
    recipe = RECIPES[name]
    clean = _picture(recipe, side=128)

    def mean_psnr(level):
        scores = []
        for draw in range(6):
            _, record = degradations.degrade(clean, name, severity=level, draw=draw)
            scores.append(record.metrics["psnr_in"] or 60.0)
        return np.mean(scores)

    levels = [mean_psnr(level) for level in (1, 3, 5)]
    if not follows_severity(recipe):
        assert levels[0] == levels[1] == levels[2]
        return
    assert levels[0] > levels[2]
    assert levels[0] >= levels[1] - 0.5 >= levels[2] - 1.0


def test_recipes_that_follow_no_severity_are_those_with_the_strength_in_their_name():
    fixed = {name for name in NAMES if not follows_severity(RECIPES[name])}
    sigmas = {f"gauss-{sigma}" for sigma in ("0.03", "0.1", "0.2", "0.3")}
    assert fixed == sigmas | {"bicubic-x2", "bicubic-x4"}


def test_unknown_names_and_values_are_refused():
    clean = np.zeros((40, 40), np.uint8)
    for wrong in ({"recipe": "nope"}, {"severity": 6}, {"options": {"x": 1}}):
        with pytest.raises(UsageError):
            degradations.degrade(clean, **{"recipe": "dpe", **wrong})
    with pytest.raises(UsageError, match="do you mean cofe-111") as caught:
        degradations.degrade(clean, "Cofe111")
    assert len(str(caught.value)) < 200
    with pytest.raises(UsageError, match="not a degradation record"):
        degradations.apply(clean, "{}")
    record = degradations.degrade(clean, "dpe")[1].to_json()
    with pytest.raises(UsageError, match="unknown step"):
        degradations.apply(clean, record.replace('"op":"dpe"', '"op":"later"'))
    with pytest.raises(UsageError, match="has no"):
        degradations.apply(clean, record.replace('"sigma"', '"sigm"'))


def test_a_frame_that_stays_as_it_was_leaves_the_others_their_figure():
    volume = np.zeros((3, 32, 32), np.uint8)
    volume[::2] = data.camera()[::16, ::16]
    _, record = degradations.degrade(volume, "gaussian-blur")
    _, alone = degradations.degrade(volume[0], "gaussian-blur", draw=0)
    assert 70 > record.metrics["psnr_in"] > 100 / 3
    _, same = degradations.degrade(volume[1], "gaussian-blur")
    assert same.metrics["psnr_in"] is None
    assert alone.metrics["psnr_in"] < record.metrics["psnr_in"]


COFE = ["cofe-colour", "cofe-halo", "cofe-hole"]


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        (
            "mri-mixed",
            [
                ["mri-bias", "mri-anisotropy", "mri-noise"],
                ["mri-undersampling", "mri-noise"],
                ["mri-bias", "mri-motion", "mri-noise"],
                ["mri-bias", "mri-undersampling", "mri-noise"],
            ],
        ),
        (
            "train",
            [
                ["cofe-spots", "cofe-blur"],
                [*COFE, "cofe-blur"],
                [*COFE, "cofe-blur"],
                [*COFE, "cofe-spots", "cofe-blur"],
            ],
        ),
        (
            "micro-mixed",
            [
                ["vignette", "offset", "poisson-gaussian-noise", "jpeg"],
                ["defocus", "poisson-gaussian-noise"],
                ["defocus", "vignette", "offset", "poisson-gaussian-noise"],
                ["defocus", "vignette", "offset", "poisson-gaussian-noise"],
            ],
        ),
    ],
)
def test_a_seed_draws_the_steps_that_it_always_drew(name, drawn):
    """Figures of cards and protocols rest on these draws."""
    clean = _picture(RECIPES[name], side=64)
    found = [
        degradations.degrade(clean, name, seed=seed, name="b")[1].steps
        for seed in range(4)
    ]
    assert [[step.op for step in steps] for steps in found] == drawn
