import pytest

from medenh.errors import UsageError
from medenh.training.config import load_config, named_config, named_configs


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
