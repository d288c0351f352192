import pickle
import re

import pytest

from medenh.degradations import RECIPES, recipe_text
from medenh.errors import UsageError
from medenh.models import create
from medenh.training.config import LOSSES
from medenh.training.config_file import load_config, named_config, named_configs
from medenh.zoo.manifest import load_manifest

_MAGE = ["network.architecture=mage", "teacher_share=0"]
_HQG = ["strategy=hq-guided", "network.architecture=hqg", "teacher_share=0",
        "data.real_qualities=['usable']"]  # fmt: skip


@pytest.mark.parametrize("name", named_configs())
def test_built_in_configurations_are_valid(name):
    assert load_config(name).name == name


def test_printed_configuration_can_be_read_back(tmp_path, monkeypatch):
    monkeypatch.delenv("MEDENH_DATA", raising=False)  # a file of one's own heeds none
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
        ("data.native_share=0.8", "more than 1 together"),
        ("steps", "not key=value"),
        ("name.x=1", "not a section"),
    ],
)
def test_impossible_settings_are_named(override, message):
    with pytest.raises(UsageError, match=message):
        load_config("dpe-general", [override])


def test_an_unknown_option_of_the_network_is_named_with_the_known_ones(tmp_path):
    changes = [*_MAGE, "network.options.blokcs=2"]
    wanted = (
        "network.options: mage takes no option 'blokcs' .*mean blocks.*one of .*step"
    )
    with pytest.raises(UsageError, match=wanted):
        load_config("dpe-general", changes)
    path = tmp_path / "mine.toml"
    table = "[network.options]\nwidth = 8\ndepth = 3\n"
    path.write_text(named_config("dpe-general") + table)
    with pytest.raises(
        UsageError, match=r"line \d+: network.options: .*'(width|depth)'"
    ):
        load_config(path)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"one of .*dpe-general"):
        load_config("nonsense")
    with pytest.raises(UsageError, match=r"did you mean fast-micro\?"):
        load_config("fast-mirco")


def test_broken_toml_is_a_usage_error(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("name = [")
    with pytest.raises(UsageError, match="not valid TOML"):
        load_config(path)
    with pytest.raises(UsageError, match="cannot read"):
        load_config(tmp_path / "absent.toml")
    path.write_text(f"# für\n{named_config('dpe')}", "utf-16")
    with pytest.raises(UsageError, match=r"not in UTF-8 \(save it in UTF-8\)"):
        load_config(path)


def test_a_configuration_may_begin_as_windows_begins_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(named_config("dpe"), "utf-8-sig")
    assert load_config(path).name == "dpe"


def test_a_tilde_in_a_path_is_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    recipe = tmp_path / "own.toml"
    recipe.write_text(recipe_text(RECIPES["dpe"]))
    changes = [
        "data.packs=[]",
        "data.high=~/good",
        'data.recipes={"~/own.toml"=1.0}',
        "network.start_from=~/a.safetensors",
    ]
    config = load_config("dpe-general", changes)
    assert config.data.high == f"{tmp_path}/good"
    assert list(config.data.recipes) == [f"{tmp_path}/own.toml"]
    assert config.network.start_from == f"{tmp_path}/a.safetensors"
    assert load_config("dpe-general", ["data.root="]).data.root == ""


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("name = 'a'\nbatchs = 3\n", "line 2: batchs: is not a setting", "batch"),
        ("name = 'a'\n\n[data]\nsizes = 3\n", "line 4: data.sizes", "size"),
        ("name = 'a'\ndata.size = 'x'\n", "line 2: data.size", ""),
        ("name = 'a'\nsteps = 0\n", "line 2: steps", ""),
        (
            "data.recipes = {dpee = 1}\n",
            "line 1: data.recipes.dpee: no .*'dpee'",
            "dpe",
        ),
        (
            "[data.recipes]\ndpe = 1\n'cofe-mi7' = 1\n",
            "line 3: data.recipes.cofe-mi7: no recipe",
            "cofe-mix7",
        ),
        ("[data]\nreal_recipes.dpee = 1\n", "line 2: data.real_recipes.dpee", "dpe"),
        (
            "data.recipes = { gauss-0.1 = 1.0 }\n",
            "line 1: data.recipes.gauss-0.1: a table stands where a number should",
            '{ "gauss-0.1" = 1.0 }',
        ),
        (
            "[data.datasets]\nMINE = 1.0\nv1.2.3 = 1.0\n",
            "line 3: data.datasets.v1.2.3: a table",
            '{ "v1.2.3" = 1.0 }',
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, message, hint):
    path = tmp_path / "mine.toml"
    path.write_text(text + "\n[network]\narchitecture = 'nafnet'\n")
    with pytest.raises(UsageError, match=message) as caught:
        load_config(path)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "message", "hint"),
    [
        ("network.preset=tinny", "network.preset: dpe-plus has no preset", "mean tiny"),
        ("network.preset=x", "network.preset: dpe-plus has no preset", "of default"),
        ("network.architecture=dpe-plu", "network.architecture: unknown", "dpe-plus?"),
        ("data.recipes={dpee=1.0}", "data.recipes.dpee: no recipe", "dpe"),
        ("data.real_recipes.dpee=1.0", "data.real_recipes.dpee: no recipe", "dpe"),
        ("data.real_recipes.gauss-0.1=1", "gauss-0.1: a table", '{ "gauss-0.1" ='),
        ("data.recipes={dpe={}}", "data.recipes.dpe: .* valid number", ""),
    ],
)
def test_unknown_names_are_told_with_their_setting_and_what_is_near(
    setting, message, hint
):
    with pytest.raises(UsageError, match=message) as caught:
        load_config("dpe-general", [setting])
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["strategy=hq-guided"], "hq-guided trains hqg"),
        (["strategy=mean-teacher"], "real low-quality images"),
        (["network.architecture=hqg"], "hqg wants the strategy hq-guided"),
        (["network.architecture=unet"], "recognises and cannot enhance"),
        (["data.recipes={}"], "learns from pairs"),
        (["data.recipes_with_air=['mri']"], "names mri, which recipes does not"),
        (["data.packs=[]", "data.high=folder", "data.low=folder"],
         r"no data.recipes: --set data.recipes=\{\} leaves them out"),
        ([*_HQG, "data.real=folder"],
         "not 2: --set data.real='' leaves data.real out; --set data.real_"),
        (["data.low=folder"], "go with a folder"),
        (["data.packs=[]"], "names no images: data.high"),
        ([*_HQG, "data.packs=[]", "data.high=folder", "data.low=low",
          "data.recipes={}"], "learns from no pairs here, so no data.low"),
        (["data.real=folder"], "learns from pairs alone"),
        (["data.packs=[]", "data.high=folder", "data.masks=masks"],
         "data.masks holds answers, and nothing here learns from them"),
        (["data.packs=[]", "data.high=folder", "data.labels=a.csv",
          "data.masks=masks", "promote.task=lesion-derm"],
         "data.labels holds answers"),
        (["data.packs=[]", "data.high=folder", "data.masks=masks",
          "promote.task=lesion-derm", "promote.loss=unsupervised"],
         "data.masks holds answers"),
        (["optimiser.lr=inf"], "finite"),
        (["data.recipes={dpe=0.0}"], "greater than 0"),
        (["network.architecture=nafnet"], "go with dpe-plus"),
        (["strategy=adversarial"], "go with dpe-plus"),
        (["data.pseudo_masks=vessels-fundus"], "for mage, which segments"),
        ([*_MAGE, "data.pseudo_masks=class-derm"], "none of vessels-fundus"),
        ([*_MAGE, "promote.task=lesion-derm", "data.pseudo_masks=vessels-fundus"],
         "would stand in for the masks"),
        (["loss.charbonnier=0", "loss.gradient=0", "loss.log_mse=0"],
         r"all weights of \[loss\] are 0"),
        ([*_HQG, *(f"guided.{name}=0" for name in LOSSES["guided"] if name != "kl")],
         r"all weights of \[guided\] are 0"),
        ([*_HQG, "promote.rule=sum", "promote.task=polyp-endo",
          "promote.loss=unsupervised"], "no clean partner"),
        ([*_HQG, "promote.rule=sum", "promote.task=polyp-endo"], "without answers"),
        (["promote.rule=sum", "promote.task=lesion-derm", "promote.train=true",
          "promote.bilevel=unrolled"], "precision fp32"),
        (["data.high=folder"], "packs, or a folder high"),
        (["task=lesion-derm"], "has no task"),
        (["promote.rule=hard"], "promote wants a task"),
        (["promote.rule=hard", "promote.task=lesion-derm", "promote.reference=ema"],
         "keeps the gate"),
        (["promote.train=true"], "wants a rule"),
        (["promote.task=class-derm", "promote.held_out=lesion-derm"], "the same task"),
        (["promote.held_out=class-derm"], "the same task"),
        (["promote.task=class-derm", "promote.held_out=class-derm",
          "promote.loss=unsupervised"], "promote.loss supervised"),
        (["promote.held_out=class-drem"], "promote.held_out: unknown task"),
        (["batch=6", "accumulate=4"], "does not part"),
        (["adversarial.features=discriminator", "adversarial.weight=0"],
         "features of the discriminator, and weight 0"),
    ],
)  # fmt: skip
def test_combinations_that_make_no_sense_are_refused_with_a_sentence(settings, message):
    with pytest.raises(UsageError, match=message):
        load_config("dpe-general", ["condition_batch=0", *settings])


def test_built_in_configurations_find_the_packs_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDENH_DATA", "/where/packs/are")
    assert load_config("vessels-fundus").data.root == "/where/packs/are"
    given = load_config("vessels-fundus", ["data.root=/elsewhere"])
    assert given.data.root == "/elsewhere"
    own = tmp_path / "own.toml"
    own.write_text(named_config("vessels-fundus"))
    assert load_config(own).data.root == "../shared/data"


@pytest.mark.parametrize(
    "card", [c for c in load_manifest().cards if c.training], ids=lambda c: c.full_id
)
def test_every_trained_model_can_be_tuned_as_it_was_trained(card, monkeypatch):
    monkeypatch.setenv("MEDENH_DATA", "/where/packs/are")
    config = load_config(None, ["steps=7"], tuned=card.id)
    assert config.network.start_from == card.full_id
    network = create(card.architecture, card.preset, **card.options)
    again = create(
        config.network.architecture, config.network.preset, **config.network.options
    )
    shapes = [{n: t.shape for n, t in x.state_dict().items()} for x in (network, again)]
    assert shapes[0] == shapes[1]
    assert config.precision != "bf16"  # which not every machine has
    assert config.steps == 7
    assert config.data.root == "/where/packs/are"


def test_a_named_configuration_keeps_all_but_the_network_of_a_tuned_model():
    plain = load_config("mage-fundus", ["network.trained=['rsp']"])
    tuned = load_config("mage-fundus", ["network.trained=['rsp']"], tuned="mage-fundus")
    assert tuned.network.preset == "small" != plain.network.preset
    assert tuned.network.options["thumbnail"] == 128
    assert tuned.network.trained == ["rsp"]
    assert tuned.model_copy(update={"network": plain.network}) == plain


def test_an_empty_file_is_no_configuration_of_a_tuned_model(tmp_path):
    (tmp_path / "empty.toml").touch()
    with pytest.raises(UsageError, match="name: Field required"):
        load_config(tmp_path / "empty.toml", tuned="fast-micro")


@pytest.mark.parametrize(
    ("model", "source", "message"),
    [
        ("nobody", None, "unknown model 'nobody'"),
        ("hqg", None, "names no model by itself"),
        ("nlm", None, "nlm has no weights: nothing to tune"),
        ("hqg-endo", "mage-fundus", "hqg wants the strategy hq-guided"),
    ],
)
def test_what_cannot_be_tuned_says_why(model, source, message):
    with pytest.raises(UsageError, match=message):
        load_config(source, tuned=model)


def test_a_recipe_of_a_file_is_read_with_the_configuration(tmp_path):
    own = tmp_path / "my.grain.toml"
    own.write_text('modalities = ["xray"]\n[[steps]]\noperator = "gaussian-noise"\n')
    name = own.as_posix()
    config = load_config("fast-xray", [f'data.recipes={{"{name}"=1.0}}'])
    assert list(config.data.recipes) == [name]
    own.unlink()  # read once: what changes later changes no run
    assert config.data.recipe(name).name == "my.grain.toml"
    assert list(config.data.own_recipes()) == [name]
    assert pickle.loads(pickle.dumps(config)).data.recipe(name).sha256
    with pytest.raises(UsageError, match=r"recipes.*cannot read the recipe: No such"):
        load_config("fast-xray", [f'data.recipes={{"{name}"=1.0}}'])


def test_two_recipes_of_one_name_are_refused(tmp_path):
    for folder, sigma in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        own = tmp_path / folder / "scope.toml"
        own.write_text(f'[[steps]]\noperator = "gaussian-blur"\nsigma = {sigma}\n')
    names = [(tmp_path / folder / "scope.toml").as_posix() for folder in "ab"]
    asked = ", ".join(f'"{name}" = 1.0' for name in names)
    with pytest.raises(UsageError, match=r"two recipes are named scope.toml"):
        load_config("fast-xray", [f"data.recipes={{ {asked} }}"])


def test_what_is_wrong_in_a_recipe_is_said_with_both_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grain.toml").write_text('[[steps]]\noperator = "gausian-noise"\n')
    path = tmp_path / "train.toml"
    text = re.sub("(?m)^recipes = .*$", "", named_config("fast-xray"))
    assert "[data]\n" in text
    path.write_text(
        text.replace("[data]\n", '[data]\nrecipes = { "grain.toml" = 1.0 }\n')
    )
    with pytest.raises(
        UsageError, match=r"line \d+: data.recipes.grain.toml: grain.toml: step 1"
    ) as caught:
        load_config(path)
    assert "gaussian-noise" in caught.value.hint
