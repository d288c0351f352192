"""A run becomes a model: what its card says, and what is refused."""

import json
import os
import shlex
import shutil
import sys

import cv2
import numpy as np
import pytest
import torch
from labelled_pack import scene
from published_runs import pack_with_tests, run_of
from safetensors.torch import load_file, save_file

import medenh
from medenh.cli.main import main
from medenh.errors import UsageError, WeightsError
from medenh.evaluation.api import evaluate_protocol
from medenh.metrics import psnr
from medenh.metrics.fidelity import clipped_share, mean_shift, structure_correlation
from medenh.publishing import PublishOptions, enhancer, publish
from medenh.publishing.images import EnhancerImages, load_images
from medenh.publishing.limits import limits_on, usual_pictures
from medenh.publishing.publish import _largest_side
from medenh.publishing.record import data_sources, training_record
from medenh.publishing.run_folder import read_run
from medenh.publishing.words import Words
from medenh.training.config import TrainConfig
from medenh.training.config_file import load_config
from medenh.training.sampler import eight_bits, to_unit
from medenh.training.sources import load_sources
from medenh.zoo.card import Limits
from medenh.zoo.manifest import load_manifest
from medenh.zoo.transfer import import_model

_MINE = {"id": "mine"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One gentle step from the weights of dpe-general: it beats doing nothing."""
    folder = tmp_path_factory.mktemp("publish")
    return run_of(
        folder / "run",
        "dpe-general",
        pack_with_tests(folder / "data"),
        "network.start_from=dpe-general",
        "condition_batch=2",
        "condition_size=32",
        "optimiser.lr=1e-7",
        "data.validation_images=3",
    )


@pytest.fixture(scope="module")
def published(trained, tmp_path_factory):
    target = tmp_path_factory.mktemp("published") / "mine.zip"
    words = {"id": "mine", "version": "2.1", "licence": "CC-BY-4.0"}
    options = PublishOptions(target=target, limit=4, words=words)
    return target, publish(trained.folder, options)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def one_engine(monkeypatch):
    """Do without OpenVINO for limits and certificate, which takes seconds."""
    monkeypatch.setattr(enhancer, "_engines", lambda: ["torch"])


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained.folder, tmp_path / "copy")


@pytest.fixture
def worthless(copy):
    """The run with a head that makes every picture white."""
    path = copy / "best.safetensors"
    weights = load_file(path)
    save_file(weights | {"head.bias": weights["head.bias"] + 2}, path)
    return copy


def test_the_model_is_imported_and_enhances(published, trained, own_cache):
    target, card = published
    plain = trained.folder / "config.json"
    assert target.stat().st_mode == plain.stat().st_mode, "as the umask says"
    assert import_model(target).full_id == "mine@2.1"
    clean = scene(5)[0]
    dark = np.rint(clean * 0.3).astype(np.uint8)
    better = medenh.enhance(dark, model="mine", precision="fp32")
    assert better.dtype == np.uint8
    assert psnr(better, clean, data_range=255) > psnr(dark, clean, data_range=255) + 3
    found = load_manifest().get("mine")
    assert (found.results, found.limits) == (card.results, card.limits)


def test_the_card_tells_what_the_network_needs(published):
    _, card = published
    assert (card.architecture, card.preset) == ("dpe-plus", "default")
    assert (card.input.channels, card.input.multiple_of) == (3, 16)
    assert card.input.min_size >= 32
    assert (card.receptive_field, card.global_ops) == (38, True)
    assert card.modalities == ("dermoscopy",)
    assert (card.licence, card.task) == ("CC-BY-4.0", "enhance")
    if sys.platform == "linux":  # 8.3 GFLOPs at 256x256: no pixel does with so little
        assert set(card.bytes_per_pixel) == {"openvino", "torch"}
        assert all(100 < taken < 5000 for taken in card.bytes_per_pixel.values())
    assert "dpe-general" in card.notes  # what it began with


def test_the_figures_are_those_of_the_protocol(published, trained, own_cache):
    target, card = published
    (table,) = card.results
    assert (table.protocol, table.modality) == ("dpe", "dermoscopy")
    assert (table.split, table.n) == ("test", 4)
    assert {"identity", "mine", "clahe", "oracle-affine"} <= set(table.rows)
    import_model(target)
    again = evaluate_protocol("dpe", trained.root / "derm", models=["mine"], limit=4)
    for row in ("identity", "mine"):
        values = [again.row(row).scores["psnr"][file] for file in again.files]
        assert table.rows[row]["psnr"].mean == pytest.approx(np.mean(values), abs=2e-4)


def test_answers_that_limits_come_from_keep_them():
    picture, other = np.random.default_rng(0).random((2, 40, 40, 3), dtype=np.float32)
    stronger = {id(picture): 0.05, id(other): 0.2}

    def enhance(one):
        return 1.3 * one - stronger[id(one)] * one[::-1]

    found = limits_on([[picture], [other]], enhance)  # of two groups the loosest
    answer = eight_bits(np.clip(enhance(other), 0, 1))
    lost = 1.1 * (1 - structure_correlation(answer, other))
    assert lost <= 1 - found["min_structure_correlation"] < lost + 0.001
    outputs = [eight_bits(np.clip(enhance(one), 0, 1)) for one in (picture, other)]
    answers = list(zip(outputs, (picture, other), strict=True))
    clipped = 1.1 * max(clipped_share(*pair) for pair in answers)
    assert clipped <= found["max_clipped"] < clipped + 0.001
    shift = 1.1 * max(abs(mean_shift(*pair)) for pair in answers)
    assert shift <= found["max_mean_shift"] < shift + 0.001
    assert limits_on([[picture]], lambda one: one)["max_clipped"] > 0  # a pixel's worth
    near = limits_on([[picture]], lambda one: np.full_like(one, 0.999))
    assert near["max_clipped"] == 1  # as a file of 8 bits has it
    white = limits_on([[picture]], np.ones_like)
    assert max(white.values()) <= 1
    assert Limits(**white)


def test_limits_rest_on_every_recipe_as_much(trained):
    config = TrainConfig.model_validate_json(
        (trained.folder / "config.json").read_text()
    )
    recipes = {"dpe": 0.99, "gauss-0.3": 0.01}
    data = config.data.model_copy(update={"recipes": recipes})
    sources = load_sources(config)
    every = sources.learnt + sources.held
    dark, noisy = usual_pictures(config.model_copy(update={"data": data}), sources)
    assert len(dark) == len(noisy) == len(every)
    clean = {image.name: to_unit(image.pixels) for image in every}
    for group, grainy in ((dark, False), (noisy, True)):
        for image, picture in zip(group.images, group, strict=True):
            change = np.diff(picture - clean[image.name], axis=0).std()
            assert (change > 0.2) == grainy


def test_only_images_learnt_from_are_counted(published, trained):
    _, card = published
    config = TrainConfig.model_validate_json(
        (trained.folder / "config.json").read_text()
    )
    learnt = load_sources(config).learnt
    ours = {image.name for image in learnt}
    assert "derm/images/4.png" not in ours  # split test
    (source,) = card.data
    assert (source.name, source.terms) == ("SET", "terms of the pack")
    assert source.images == card.training.images == len(learnt)


def test_the_record_repeats_the_run_and_names_no_place(published, trained):
    _, card = published
    text = json.dumps(card.to_dict())
    assert str(trained.root) not in text
    assert card.training.command.startswith("medenh train dpe-general --set ")
    assert "condition_size=32" in card.training.command
    words = shlex.split(card.training.command)
    again = load_config(words[2], words[4::2])  # each after its --set
    assert again == TrainConfig.model_validate(card.training.config)


@pytest.mark.parametrize(("usual", "held"), [(49, 5), (50, 4)])
def test_few_pictures_give_no_limits_and_no_certificate(usual, held, one_engine):
    from medenh.device import cpu_has_bf16

    rng = np.random.default_rng(0)
    noise = [rng.random((32, 32, 3), dtype=np.float32) for _ in range(usual)]
    images = EnhancerImages(
        learnt=[], held=noise[:held], usual=[noise[:9], noise[9:]], seen=[], digests={}
    )
    said = []
    found = enhancer._fidelity("dpe-general", images, said.append)
    assert ("limits" in found) == (usual >= 50)
    assert any(s.startswith("no limits: 49 ") for s in said) == (usual < 50)
    assert any(s.startswith("bf16 uncertified: ") for s in said) == (held < 5)
    assert ("precision" in found) == (held >= 5 and cpu_has_bf16())
    for proof in found.get("precision", {}).values():
        assert proof["psnr_db"] > 30
        assert proof["max_levels"] == round(proof["max_levels"])
    if "limits" in found:
        assert Limits(**found["limits"])
        assert -1 <= found["limits"]["min_structure_correlation"] <= 1
        assert 0 < found["limits"]["max_clipped"] <= 1
        assert 0 <= found["limits"]["max_mean_shift"] <= 1


def test_a_tuned_model_sees_copies_as_large_as_the_one_it_began_with():
    tuned = load_config(None, tuned="fast-fundus")
    side = load_manifest().get("fast-fundus").input.largest_side
    assert _largest_side(Words(), tuned) == side
    assert side is not None
    assert _largest_side(Words(largest_side=900), tuned) == 900
    assert _largest_side(Words(largest_side=None), tuned) is None
    gone = tuned.network.model_copy(update={"start_from": "gone@1"})
    assert _largest_side(Words(), tuned.model_copy(update={"network": gone})) is None
    # another network knows nothing of it
    other = load_config("mage-fundus", ["network.start_from=fast-fundus"])
    assert _largest_side(Words(), other) is None
    assert _largest_side(Words(), load_config("mage-fundus")) is None


def test_a_model_of_few_pictures_has_neither(published):
    _, card = published  # whose run held back fewer than 5; it enhances, as above
    assert not card.limits.model_dump(exclude_none=True)
    assert not card.precision


def test_what_does_not_beat_doing_nothing_is_refused(
    worthless, tmp_path, own_cache, one_engine
):
    target = tmp_path / "bad.zip"
    with pytest.raises(UsageError, match="does not beat doing nothing: psnr"):
        publish(worthless, PublishOptions(target=target, limit=1, words=_MINE))
    assert not target.exists()
    assert os.environ["MEDENH_CACHE"] == str(tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("models/*"))
    draft = PublishOptions(target=target, limit=1, words=_MINE, draft=True)
    made = publish(worthless, draft)
    assert target.exists()
    assert made.notes.startswith("Draft: does not beat doing nothing: psnr ")
    assert "(dpe, derm, n = 1)" in made.notes


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "best.safetensors").unlink(), "no best.safetensors"),
        (lambda run: (run / "config.json").unlink(), "no config.json"),
        (lambda run: (run / "config.json").write_text("[1, 2"), "cannot be read"),
        (lambda run: (run / "config.json").write_text("[]"), "not the configuration"),
        (
            lambda run: (run / "config.json").write_text('{"model": "other"}'),
            "not the configuration of a run",
        ),
        (lambda run: (run / "log.csv").unlink(), "no duration"),
        (lambda run: (run / "log.csv").write_text("step\n1\n"), "no duration"),
        (shutil.rmtree, "no run folder"),
    ],
)
def test_a_broken_run_folder_is_a_usage_error(copy, tmp_path, break_it, message):
    break_it(copy)
    with pytest.raises(UsageError, match=message):
        publish(copy, PublishOptions(target=tmp_path / "a.zip"))


def test_settings_of_another_version_are_named(copy, tmp_path):
    path = copy / "config.json"
    stored = json.loads(path.read_text())
    stored["data"]["wide_share"] = 0.15
    path.write_text(json.dumps(stored))
    with pytest.raises(UsageError, match=r"data\.wide_share"):
        publish(copy, PublishOptions(target=tmp_path / "a.zip"))


def test_weights_that_are_none_or_of_another_network(copy, tmp_path):
    options = PublishOptions(target=tmp_path / "a.zip")
    save_file({"weight": torch.zeros(3)}, copy / "best.safetensors")
    with pytest.raises(UsageError, match="does not fit the network"):
        publish(copy, options)
    (copy / "best.safetensors").write_bytes(b"PK" * 40)
    with pytest.raises(WeightsError, match="safetensors"):
        publish(copy, options)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"target": None}, "name the file"),
        ({"checkout": "here"}, "two places"),
        ({"target": "a.safetensors"}, "zip"),
        ({"target": None, "checkout": "here"}, "no checkout"),
        ({"protocols": ("magic",)}, "no protocol named"),
        ({"words": {"id": "Not An Id"}}, "id:"),
        ({"words": {**_MINE, "licence": "as you like it"}}, "licence"),
        ({"card": "absent.json"}, "the words of the card: No such file or directory$"),
        ({"data": "absent"}, "no such folder"),
    ],
)
def test_what_is_asked_is_checked_before_the_work(trained, tmp_path, asked, message):
    paths = {
        key: tmp_path / value if isinstance(value, str) else value
        for key, value in {"target": "a.zip", "words": _MINE, **asked}.items()
    }
    with pytest.raises(UsageError, match=message):
        publish(trained.folder, PublishOptions(**paths))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"id": "dpe-general", "version": "2"}, r"dpe-general@\d+ is known here"),
        ({"id": "fast-fundus"}, r"fast-fundus@\d+ is known here"),  # an older version
        ({"id": "clahe", "version": "0.9"}, "clahe@1 is known here"),
        ({"id": "auto"}, "'auto' is taken"),
        ({"id": "x"}, r"id: .*lower-case words"),
        ({"id": "Not An Id"}, r"id: .*lower-case words"),
        ({"id": "mine", "version": "new"}, r"version: .*such as 2"),
    ],
)
def test_an_id_that_no_import_takes_is_refused_before_images_are_read(
    trained, tmp_path, words, message
):
    told = []
    options = PublishOptions(target=tmp_path / "a.zip", words=words, draft=True)
    with pytest.raises(UsageError, match=message):
        publish(trained.folder, options, on_step=told.append)
    assert not told


def test_unpaired_runs_count_both_sides_and_no_held_back_image(trained):
    config = load_config(
        "stillgan-fundus",
        [
            f"data.root='{trained.root.as_posix()}'",
            "data.packs=['derm']",
            "data.qualities=['high']",
            "data.holdout_share=0.3",
            "data.real_qualities=[]",
            "data.real_recipes={dpe=1.0}",
            "data.max_side=96",
        ],
    )
    sources = load_sources(config)
    found = load_images(config)
    names = [image.name for image in found.learnt]
    assert len(set(names)) == len(names)
    assert {image.name for image in sources.learnt} < set(names)
    assert not {image.name for image in sources.held} & set(names)
    assert len(names) + len(found.held) == len(sources.learnt) + len(sources.real)
    assert sum(one["images"] for one in data_sources(config, found.learnt)) == len(
        names
    )


def test_literature_of_no_protocol_is_refused(trained, tmp_path):
    words = tmp_path / "words.json"
    words.write_text(json.dumps({"literature": {"cofe-1111": "A: 30"}}))
    options = PublishOptions(
        target=tmp_path / "a.zip", limit=1, card=words, words=_MINE
    )
    with pytest.raises(UsageError, match="cofe-1111"):
        publish(trained.folder, options)


def test_nothing_is_overwritten(trained, tmp_path):
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        publish(trained.folder, PublishOptions(target=tmp_path / "a.zip"))


def _own_run(folder):
    pictures = folder / "pictures"
    pictures.mkdir()
    for index in range(6):
        cv2.imwrite(str(pictures / f"{index}.png"), scene(index)[0])
    run = run_of(
        folder / "run",
        "dpe-general",
        folder,
        "data.packs=[]",
        f"data.high='{pictures.as_posix()}'",
        "network.preset=tiny",
        "condition_batch=2",
        "condition_size=32",
    )
    return run, pictures


def test_pictures_are_those_that_the_run_learnt_from(tmp_path):
    run, pictures = _own_run(tmp_path)
    others = tmp_path / "others"
    others.mkdir()
    (pictures / "4.png").rename(others / "4.png")
    options = PublishOptions(target=tmp_path / "a.zip", data=others, words=_MINE)
    with pytest.raises(UsageError, match=r"that the run began with: 4\.png"):
        publish(run.folder, options)
    shutil.copy(others / "4.png", pictures)
    shutil.copy(others / "4.png", pictures / "late.png")
    with pytest.raises(UsageError, match=r"that the run began with: late\.png"):
        publish(run.folder, options)
    (pictures / "late.png").unlink()
    with pytest.raises(UsageError, match="seen 1 of these 1"):  # all as it was
        publish(run.folder, options)
    pictures.rename(tmp_path / "elsewhere")
    with pytest.raises(
        UsageError, match=r"data\.high of the run's config\.json is not"
    ):
        publish(run.folder, options)
    (tmp_path / "elsewhere").rename(pictures)
    (run.folder / "last.pt").unlink()
    with pytest.raises(UsageError, match=r"holds no last\.pt"):
        publish(run.folder, options)


@pytest.mark.parametrize("protocol", ["dpe", "gauss-0.1"])
def test_pictures_of_an_unknown_kind_are_refused_before_the_work(
    tmp_path, monkeypatch, protocol
):
    run, _ = _own_run(tmp_path)
    others = tmp_path / "others"
    others.mkdir()
    cv2.imwrite(str(others / "20.png"), scene(20)[0])
    monkeypatch.setattr(enhancer, "run_protocol", lambda *_: pytest.fail("measured"))
    options = PublishOptions(
        target=tmp_path / "a.zip", data=others, words=_MINE, protocols=(protocol,)
    )
    with pytest.raises(UsageError, match="what these pictures show is not known"):
        publish(run.folder, options)


def test_real_pictures_are_counted_under_their_own_folder(tmp_path):
    real = tmp_path / "everyday"
    real.mkdir()
    for index in range(20, 25):
        cv2.imwrite(str(real / f"{index}.png"), scene(index)[0] // 2)
    pictures = tmp_path / "good"
    pictures.mkdir()
    for index in range(6):
        cv2.imwrite(str(pictures / f"{index}.png"), scene(index)[0])
    config = load_config(
        "stillgan-fundus",
        [
            "data.packs=[]",
            f"data.high='{pictures.as_posix()}'",
            f"data.real='{real.as_posix()}'",
            "data.real_qualities=[]",
            "data.holdout_share=0.3",
            "data.max_side=96",
        ],
    )
    found = load_images(config)
    counts = {s["name"]: s["images"] for s in data_sources(config, found.learnt)}
    assert set(counts) == {"good", "everyday"}
    assert counts["everyday"] == 5 - len(found.held)
    assert sum(counts.values()) == len(found.learnt)


def test_a_folder_that_was_learnt_from_is_no_test(tmp_path):
    run, pictures = _own_run(tmp_path)
    config = TrainConfig.model_validate_json((run.folder / "config.json").read_text())
    learnt = load_images(config).learnt
    (source,) = data_sources(config, learnt)
    assert (source["name"], source["images"]) == ("pictures", len(learnt))
    target = tmp_path / "a.zip"
    with pytest.raises(UsageError, match="learnt from these pictures"):
        publish(run.folder, PublishOptions(target=target, data=pictures, words=_MINE))
    copies = tmp_path / "copies"
    copies.mkdir()
    for index in (4, 20):
        cv2.imwrite(str(copies / f"new-{index}.tif"), scene(index)[0])
    with pytest.raises(UsageError, match=r"seen 1 of these 2 .* new-4.tif is 4.png"):
        publish(run.folder, PublishOptions(target=target, data=copies, words=_MINE))


def test_the_verb(trained, tmp_path, capsys, one_engine):
    words = tmp_path / "words.json"
    told = {"title": "From a file", "notes": "Beware.", "literature": {"dpe": "A: 30"}}
    words.write_text(json.dumps(told))
    command = ["models", "publish", str(trained.folder), "--limit", "1", "--json"]
    command += ["-o", str(tmp_path / "a.zip")]
    command += ["--card", str(words), "--id", "verb-derm"]
    with pytest.raises(SystemExit, match="0"):
        main(command)
    card = json.loads(capsys.readouterr().out)
    assert (card["id"], card["title"]) == ("verb-derm", "From a file")
    assert card["notes"].startswith("Beware.")
    assert [table["literature"] for table in card["results"]] == ["A: 30"]
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "exists already" in capsys.readouterr().err
    target = tmp_path / "b c.zip"
    with pytest.raises(SystemExit, match="0"):
        main([word for word in command if word != "--json"] + ["-o", str(target)])
    last = capsys.readouterr().out.splitlines()[-1]
    use = f"medenh models import '{target}'; medenh enhance ... -m verb-derm"
    assert last == f"published as verb-derm@1: {use}"


def test_a_card_holds_recipes_of_ones_own_and_no_path_of_them(tmp_path):
    own = tmp_path / "deep" / "grain.toml"
    own.parent.mkdir()
    own.write_text('[[steps]]\noperator = "gaussian-noise"\nsigma = 0.1\n')
    asked = (f'data.recipes={{"{own.as_posix()}"=1.0}}', "network.preset=tiny")
    root = pack_with_tests(tmp_path / "data")
    folder = run_of(tmp_path / "run", "fast-derm", root, *asked).folder
    told = training_record(read_run(folder, None), 9)
    assert told["recipes"] == {"grain.toml": own.read_text()}
    assert told["config"]["data"]["recipes"] == {"grain.toml": 1.0}
    assert "deep" not in json.dumps(told)
    with pytest.raises(UsageError, match="not of recipes of your own"):
        publish(folder, PublishOptions(target=tmp_path / "a.zip", words=_MINE))
    (folder / "last.pt").unlink()
    with pytest.raises(UsageError, match=r"which tells what pictures and recipes"):
        read_run(folder, None).check_images({})
    own.unlink()
    with pytest.raises(UsageError, match=r"grain.toml: cannot read the recipe") as gone:
        read_run(folder, None)
    assert gone.value.path == folder / "config.json"
