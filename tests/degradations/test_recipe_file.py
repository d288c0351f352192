"""Recipes in files: all that come along, what a file may say, and what it may not."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

import medenh
from medenh.degradations import OPERATORS, RECIPES, Recipe, find_recipe, recipe_text
from medenh.degradations.api import degrade
from medenh.degradations.engine import degrade_image
from medenh.degradations.record import read_step
from medenh.degradations.training import degrade_crop
from medenh.errors import UsageError
from medenh.formats.array import from_array

PHOTO = data.retina()[200:1200, 200:1200]
GREY = data.camera()


def picture(recipe, dtype):
    """A small picture of the kind that a recipe is for."""
    photo = PHOTO[::16, ::16] / 255.0
    if recipe.domain != "display":
        photo = photo.mean(-1, keepdims=True)
    if recipe.domain == "hu":
        return (photo * 400 - 160).astype(np.float32)
    return np.rint(photo * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def own(tmp_path):
    """Write a recipe, and give its path."""

    def write(text, name="own.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def drawn(path, severity=None, seeds=range(40), side=64):
    """Return the parameters of the only step, by seed."""
    clean = np.full((side, side, 3), 128, np.uint8)
    records = [degrade(clean, path, seed=s, severity=severity)[1] for s in seeds]
    return [record.steps[0].params for record in records]


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.filterwarnings("ignore:severity changes nothing")
def test_a_recipe_that_is_written_and_read_gives_the_same_bytes(own, name, dtype):
    recipe = RECIPES[name]
    path = own(recipe_text(name), f"{name}.toml")
    clean = picture(recipe, dtype)
    for seed in range(2 if recipe.domain == "hu" else 6):
        for severity in (None, 4):
            asked = {"seed": seed, "severity": severity, "name": "a.png"}
            low, record = degrade(clean, name, **asked)
            again, told = degrade(clean, path, **asked)
            assert low.tobytes() == again.tobytes()
            assert record.steps == told.steps
            assert (record.framing, record.options) == (told.framing, told.options)
    read = find_recipe(path)
    assert (read.title, read.modalities) == (recipe.title, recipe.modalities)
    assert recipe_text(read) == path.read_text(encoding="utf-8")


def test_the_record_names_the_file_and_hashes_it(own):
    path = own('[[steps]]\noperator = "gaussian-noise"\nsigma = 0.1\n')
    clean = np.full((32, 32), 100, np.uint8)
    _, record = degrade(clean, str(path))
    assert record.preset == "own.toml"
    assert record.recipe_sha256 == medenh.hashing.sha256_file(path)
    assert record.recipe_sha256[:12] in record.provenance().options
    path.write_text(path.read_text() + "# a word more\n")
    assert degrade(clean, path)[1].recipe_sha256 != record.recipe_sha256
    assert degrade(clean, "dpe")[1].recipe_sha256 == ""


def test_severity_places_a_parameter_between_mild_and_strong(own):
    path = own('[[steps]]\noperator = "gamma"\nexponent = {mild = 1.2, strong = 2.0}')
    for severity, exponent in ((1, 1.2), (3, 1.6), (5, 2.0)):
        assert drawn(path, severity, [0])[0]["exponent"] == pytest.approx(exponent)
    free = [one["exponent"] for one in drawn(path)]
    assert 1.2 <= min(free) < 1.3 < 1.9 < max(free) <= 2.0


def test_a_logarithmic_range_has_its_geometric_mean_in_the_middle(own):
    path = own(
        '[[steps]]\noperator = "poisson-gaussian-noise"\n'
        "photons = { mild = 1000, strong = 10, log = true }\n"
    )
    assert drawn(path, 3, [0])[0]["photons"] == pytest.approx(100.0)


def test_one_of_two_sides_is_drawn(own):
    path = own(
        '[[steps]]\noperator = "contrast"\nfactor = {mild = 1.0, strong = [0.4, 1.6]}\n'
    )
    assert {one["factor"] for one in drawn(path, 5)} == {0.4, 1.6}


def test_lengths_grow_with_the_picture(own):
    path = own(
        '[[steps]]\noperator = "gaussian-blur"\nsigma = { value = 2.0, at_side = 64 }\n'
    )
    for side in (32, 64, 128):
        assert drawn(path, side=side)[0]["sigma"] == 2.0 * side / 64
    crop = np.full((32, 32, 3), 0.5, np.float32)
    rng = np.random.default_rng(0)
    assert degrade_crop(crop, find_recipe(path), rng=rng, whole_side=640).shape


def test_levels_choices_ranges_and_whole_numbers(own):
    path = own(
        '[[steps]]\noperator = "mri-noise"\nsigma = { levels = [0.0, 0.1, 0.8] }\n'
        "coils = { choices = [4, 8] }\nboost = 2.0\nright = { low = -0.3, high = 0.3 }"
        "\ndown = 0\n"
    )
    found = drawn(path, 3)
    assert {one["sigma"] for one in found} == {0.1}
    assert {one["coils"] for one in found} == {4, 8}
    assert len({one["right"] for one in found}) == len(found)  # whatever the severity
    assert len({one["noise_seed"] for one in found}) == len(found)
    path = own('[[steps]]\noperator = "jpeg"\nquality = { mild = 90, strong = 20 }\n')
    assert {type(one["quality"]) for one in drawn(path)} == {int}


def test_parameters_that_go_together_are_mild_or_strong_together(own):
    text = (
        '[[steps]]\noperator = "linear-ramp"\nangle_deg = 0.0\ntogether = true\n'
        "bright = { mild = 1.0, strong = 2.0 }\ndark = { mild = 1.0, strong = 0.0 }\n"
    )
    for one in drawn(own(text)):
        assert one["bright"] - 1.0 == pytest.approx(1.0 - one["dark"])
    apart = drawn(own(text.replace("together = true\n", "")))
    assert any(abs(one["bright"] - 2.0 + one["dark"]) > 0.1 for one in apart)


def test_what_a_step_leaves_out_the_operator_draws(own):
    path = own('[[steps]]\noperator = "bubbles"\nrim = -0.5\n')
    found = drawn(path)
    assert {one["rim"] for one in found} == {-0.5}
    assert all(0.3 <= one["bend"] <= 0.8 and one["circles"] for one in found)


def test_probabilities_and_alternatives(own):
    path = own(
        """
        [[steps]]
        operator = "gamma"
        probability = 0.25
        exponent = 2.0
        [[steps]]
        probability = 0.5
        one_of = [
            { operator = "contrast", factor = 0.5 },
            [{ operator = "offset", level = 0.1 }, { operator = "jpeg", quality = 50 }],
            [],
        ]
        """
    )
    clean = np.full((32, 32, 3), 128, np.uint8)
    records = [degrade(clean, path, seed=seed)[1] for seed in range(400)]
    kinds = [tuple(step.op for step in one.steps) for one in records]
    share = sum("gamma" in one for one in kinds) / 400
    assert share == pytest.approx(0.25, abs=0.07)
    for wanted in (("contrast",), ("offset", "jpeg")):
        found = sum(tuple(o for o in one if o != "gamma") == wanted for one in kinds)
        assert found / 400 == pytest.approx(1 / 6, abs=0.07)


def test_at_least_one_step_comes_up(own):
    text = '[[steps]]\noperator = "offset"\nlevel = 0.1\nprobability = {}\n'
    path = own("at_least_one = true\n" + text.format(0.05))
    assert all(one == {"level": 0.1} for one in drawn(path, seeds=range(20)))
    never = own("at_least_one = true\n" + text.format(0.0))
    with pytest.raises(UsageError, match="none was ever drawn"):
        drawn(never)


def test_a_file_with_a_byte_order_mark_and_windows_lines_is_read(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(b'\xef\xbb\xbf[[steps]]\r\noperator = "jpeg"\r\nquality = 9\r\n')
    assert drawn(path, seeds=[0]) == [{"quality": 9}]
    assert find_recipe(path).text.encode() == path.read_bytes()  # a copy is the same


STEP = '[[steps]]\noperator = "gaussian-blur"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "steps: a recipe needs at least one"),
        ("steps = 3", "steps: a recipe needs at least one"),
        ("a = ", "not valid TOML"),
        ("x = " + "[" * 9000, "not valid TOML"),
        ("titel = 'x'\n" + STEP, "titel: there is no such key .did you mean title"),
        ("title = 3\n" + STEP, "title: should be text"),
        ('title = "a\\nb"\n' + STEP, "title: should be one line"),
        ("domain = 'HU'\n" + STEP, "domain: 'HU' is unknown .one of display, hu"),
        ("framing = ['a']\n" + STEP, "framing: .* is unknown"),
        ("modalities = 'ct'\n" + STEP, "modalities: should be a list"),
        ("modalities = ['endoscop']\n" + STEP, "'endoscop' is unknown .*endoscopy"),
        ("options = { mode = [] }\n" + STEP, "options.mode: should be a list"),
        ("options = { mod = ['exact'] }\n" + STEP, "options.mod: .* mean mode"),
        ("at_least_one = 1\n" + STEP, "at_least_one: should be true or false"),
        ("[[steps]]\noperater = 'jpeg'", "step 1: should have .*operator for operater"),
        ("[[steps]]\noperator = 'gausian-blur'", "step 1, operator: .*gaussian-blur"),
        ("[[steps]]\noperator = 3", "operator: 3 is unknown .*--list-operators"),
        ("[[steps]]\noperator = 'jpeg'\none_of = []", "should have an operator or"),
        (STEP + "sima = 1.0", r"step 1 \(gaussian-blur\), sima: .* mean sigma"),
        (STEP + "sigma = nan", "sigma: should be a finite number, not nan"),
        (STEP + "sigma = -inf", "sigma: should be a finite number"),
        (STEP + "sigma = 1" + "0" * 400, "sigma: should be at most 1e.09, not 1000"),
        (STEP + "sigma = 1" + "0" * 5000, "not valid TOML: .*digits"),
        (STEP + "sigma = 0x" + "f" * 9000, "at most 1e.09, not a number of thous"),
        (STEP + "probability = 0x" + "f" * 9000, "in 0 to 1, not a number of thou"),
        (
            "modalities = [0x" + "f" * 9000 + "]\n" + STEP,
            "modalities: a number of thousands",
        ),
        ("k" * 99999 + " = 1", "k: there is no such key"),
        ("domain = 0x" + "f" * 9000, "domain: a number of thousands"),
        (STEP + "sigma = -1", "sigma: should be greater than or equal to 0, not -1"),
        (STEP + "sigma = 1e5", "sigma: should be at most 256 pixels"),
        (STEP + "sigma = '3'", "sigma: should be a valid number, not '3'"),
        (STEP + "sigma = true", "sigma: should be a valid number, not True"),
        (STEP + "sigma = 1979-05-27", "sigma: should be a number"),
        (STEP + "sigma = [1, 3]", "sigma: should be a value or a range.*mild = "),
        (STEP + "sigma = {}", "sigma: does not say how it is drawn"),
        (STEP + "sigma = { mild = 1 }", "sigma: lacks strong"),
        (STEP + "sigma = { mild = 1, srong = 2 }", "sigma.srong: .* mean strong"),
        (STEP + "sigma = { mild = 1, strong = inf }", "sigma.strong: .*finite"),
        (STEP + "sigma = { mild = 1, strong = [] }", "sigma.strong: should be 1 to 64"),
        (
            STEP + "sigma = { mild = [1, 2, 3], strong = [1, 2] }",
            "list equally many values",
        ),
        (STEP + "sigma = { mild = 0, strong = 1, log = true }", "none may be 0"),
        (STEP + "sigma = { mild = 1, strong = 2, log = 1 }", "sigma.log: should be tr"),
        (STEP + "sigma = { low = 1, high = [1, 2] }", "sigma.high: should be one num"),
        (STEP + "sigma = { low = 3, high = 1 }", "sigma: low is above high"),
        (STEP + "sigma = { levels = [1] }", "sigma.levels: should be a list of two"),
        (STEP + "sigma = { choices = 1 }", "sigma.choices: should be a list of two"),
        (STEP + "sigma = { value = 1 }", "sigma: value needs at_side"),
        (STEP + "sigma = { value = 65, at_side = 64 }", "value: .* 16, a quarter"),
        (STEP + "sigma = { value = 1, at_side = 0.5 }", "at_side: should be a whole"),
        (STEP + "probability = 1.5", "probability: should be in 0 to 1, not 1.5"),
        (STEP + "probability = nan", "probability: should be in 0 to 1"),
        (STEP + "probability = true", "probability: should be in 0 to 1"),
        (STEP + "together = 'yes'", "together: should be true or false"),
        (STEP + "together = true\nsigma = 1", "together: no parameter here follows"),
        ("[[steps]]\noperator = 'jpeg'\nquality = 0", "greater than or equal to 1"),
        ("[[steps]]\noperator = 'jpeg'\nquality = 50.5", "quality: .*integer"),
        (
            "[[steps]]\noperator = 'jpeg'\nquality = { mild = 9, strong = 2, "
            "at_side = 512 }",
            "at_side: is only for lengths",
        ),
        ("[[steps]]\noperator = 'xray-grid'\naxis = 'rows'", "axis: .*'row'"),
        ("[[steps]]\noperator = 'vignette'\ncentre = [0.5]", "centre: .*2 numbers"),
        (
            "[[steps]]\noperator = 'vignette'\ncentre = [0.5, nan]",
            r"centre\[1\]: .*fin",
        ),
        ("[[steps]]\noperator = 'highlights'\nellipses = []", "ellipses: there is no"),
        ("[[steps]]\noperator = 'cofe-halo'\nweight = 1.0", "drawn as a whole"),
        ("[[steps]]\noperator = 'ct-ring'", 'Hounsfield units .write domain = "hu"'),
        ("domain = 'hu'\n[[steps]]\noperator = 'jpeg'", "does not work on Hounsfield"),
        (
            "[[steps]]\noperator = 'mri-undersampling'\nacceleration = 4",
            "acceleration: centre should be given too",
        ),
        ("[[steps]]\none_of = [3]", "step 1, alternative 1: should be a step, or a l"),
        ("[[steps]]\none_of = []", "one_of: should be a list of alternatives"),
        (
            "[[steps]]\none_of = [[{ operator = 'jpeg' }, { operator = 'jpg' }]]",
            "step 1, alternative 1, step 2, operator: 'jpg' .*jpeg",
        ),
        ("[[steps]]\none_of = " + "[[{one_of = " * 5 + "[]" + "}]]" * 5, "too deeply"),
        (STEP * 201, "more than 200 steps"),
        ("# " + "x" * (1 << 18), "at most 256 KiB"),
    ],
)
def test_what_is_wrong_is_said_with_file_step_and_key(own, text, words):
    path = own(text)
    with pytest.raises(UsageError, match=words) as caught:
        find_recipe(path)
    assert caught.value.path == path
    assert "Traceback" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read the recipe: No such file"):
        find_recipe(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match="is no file"):
        find_recipe(tmp_path / "folder.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not valid TOML"):
        find_recipe(tmp_path / "bytes.toml")


def test_a_plan_that_is_a_function_works_in_python_and_no_file_can_hold_it():
    steps = find_recipe("dpe").plan
    mine = Recipe(name="mine", title="t", source="s", plan=lambda rng: steps(rng))
    clean = np.full((32, 32), 100, np.uint8)
    low, _ = degrade(clean, mine, seed=1)
    assert (low == degrade(clean, "dpe", seed=1)[0]).all()
    with pytest.raises(UsageError, match="no file can hold it"):
        recipe_text(mine)


def test_hounsfield_units_are_kept(own):
    path = own(
        'domain = "hu"\nmodalities = ["ct"]\n'
        '[[steps]]\noperator = "gaussian-noise"\nsigma = 20\n'
    )
    clean = np.full((64, 64), -500.0, np.float32)
    low, _ = degrade(clean, path)
    assert np.std(low - clean) == pytest.approx(20, rel=0.1)


def test_sixteen_bits_stay_sixteen_bits(own):
    path = own('[[steps]]\noperator = "exposure"\ngain = 0.5\n')
    clean = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    low, _ = degrade(clean, path)
    assert np.abs(low.astype(int) - clean / 2).max() <= 1
    assert len(np.unique(low)) > 2000


@pytest.mark.parametrize("what", [5, None, b"own.toml", ["dpe"]])
def test_what_is_no_name_is_a_usage_error(what):
    with pytest.raises(UsageError, match="recipe"):
        find_recipe(what)


def test_parts_of_a_parameter_go_together_too(own):
    path = own(
        '[[steps]]\noperator = "low-light"\ntogether = true\n'
        "centre = [{ mild = 0.1, strong = 0.9 }, { mild = 0.2, strong = 1.0 }]\n"
    )
    for one in drawn(path):
        assert one["centre"][1] == pytest.approx(one["centre"][0] + 0.1)


def test_bounds_hold_for_records_too():
    _, record = degrade(np.full((32, 32), 9, np.uint8), "jpeg", seed=0)
    step = record.steps[0].model_copy(update={"params": {"quality": 5000}})
    with pytest.raises(UsageError, match="quality"):
        read_step(step, OPERATORS)


def test_an_image_that_was_read_is_degraded_by_a_file_too(own):
    path = own('[[steps]]\noperator = "offset"\nlevel = 0.25\n')
    image = from_array(GREY)
    low = degrade_image(image, find_recipe(path), name="x").low
    assert low.pixels.max() == 255


def test_the_example_of_the_documentation_is_read(own):
    page = Path(__file__).parents[2] / "docs" / "degrade.md"
    text = page.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    recipe = find_recipe(own(text, "scope.toml"))
    assert recipe.modalities == ("microscopy",)
    _, record = degrade(GREY, recipe, severity=3, seed=1)
    assert record.steps[-1].op == "poisson-gaussian-noise"
