import pytest

from medenh.errors import UsageError
from medenh.training.config_file import load_config, named_config, named_configs


@pytest.mark.parametrize("name", named_configs())
def test_built_in_configurations_are_valid(name):
    assert load_config(name).name == name


def test_printed_configuration_can_be_read_back(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(named_config("dpe-general"))
    assert load_config(path) == load_config("dpe-general")


def test_overrides_reach_sections():
    config = load_config("dpe-general", ["optimiser.lr=0.5", "name=other"])
    assert config.optimiser.lr == 0.5
    assert config.name == "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=3", "stepz"),
        ("data.size='big'", "data.size"),
        ("steps=0", "steps"),
        ("data.whole_share=1.5", "whole_share"),
        ("steps", "not key=value"),
        ("name.x=1", "not a section"),
    ],
)
def test_impossible_settings_are_named(override, message):
    with pytest.raises(UsageError, match=message):
        load_config("dpe-general", [override])


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="dpe-general"):
        load_config("nonsense")


def test_broken_toml_is_a_usage_error(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("name = [")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_config(path)
    with pytest.raises(UsageError, match="cannot read"):
        load_config(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name = 'a'\nbatchs = 3\n", "line 2: batchs: is not a setting", "batch"),
        ("name = 'a'\n\n[data]\nsizes = 3\n", "line 4: data.sizes", "size"),
        ("name = 'a'\ndata.size = 'x'\n", "line 2: data.size", ""),
        ("name = 'a'\nsteps = 0\n", "line 2: steps", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message, hint):
    path = tmp_path / "mine.toml"
    path.write_text(text + "\n[network]\narchitecture = 'nafnet'\n")
    with pytest.raises(UsageError, match=message) as caught:
        load_config(path)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["strategy=hq-guided"], "hq-guided trains hqg"),
        (["strategy=mean-teacher"], "real low-quality images"),
        (["network.architecture=hqg"], "hqg wants the strategy hq-guided"),
        (["network.architecture=unet"], "recognises and cannot enhance"),
        (["data.recipes={}"], "learns from pairs"),
        (["data.low=folder"], "no data.recipes then"),
        (["data.high=folder"], "packs, or a folder high"),
        (["task=lesion-derm"], "has no task"),
        (["promote.rule=hard"], "promote wants a task"),
        (["promote.rule=hard", "promote.task=lesion-derm", "promote.reference=ema"],
         "keeps the gate"),
        (["promote.train=true"], "wants a rule"),
        (["batch=6", "accumulate=4"], "does not part"),
    ],
)  # fmt: skip
def test_combinations_that_make_no_sense_are_refused_with_a_sentence(settings, message):
    with pytest.raises(UsageError, match=message):
        load_config("dpe-general", ["condition_batch=0", *settings])
