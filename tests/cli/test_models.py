"""`medenh models` and `medenh doctor`, as processes and scripts see them."""

from __future__ import annotations

import hashlib
import json
import re
import sys

import pytest

from medenh.classical import INFO
from medenh.cli import doctor as doctor_module
from medenh.cli import main as main_module
from medenh.cli.console import one_line, to_json
from medenh.errors import InputError
from medenh.models import ARCHITECTURES
from medenh.zoo.card import TrainingRecord
from medenh.zoo.manifest import SCHEMA, load_manifest, resolve
from medenh.zoo.papers import papers_of


def _weights_file() -> bytes:
    body = bytes(range(200)) * 100
    header = {"w": {"dtype": "F16", "shape": [10000], "data_offsets": [0, 20000]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """One network in the manifest, its weights in a mirror folder."""
    content = _weights_file()
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "toy.safetensors").write_bytes(content)
    row = {"psnr": {"mean": 17.0, "ci95": [16.5, 17.5], "n": 20}}
    better = {"psnr": {"mean": 25.25, "ci95": None, "n": 20}}
    entry = {
        "id": "toy-fundus",
        "version": "1.2",
        "title": "Toy",
        "description": "A network for tests.",
        "task": "enhance",
        "architecture": "dpe",
        "aliases": ["toy"],
        "modalities": ["fundus"],
        "licence": "CC-BY-NC-SA-4.0",
        "data": [{"name": "SET", "terms": "research only", "images": 7}],
        "citation": "Somebody, 2020",
        "weights": {
            "file": "toy.safetensors",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        "results": [
            {
                "protocol": "cofe-111",
                "modality": "fundus",
                "split": "DRIVE test",
                "n": 20,
                "rows": {"toy-fundus": better, "identity": row},
            }
        ],
    }
    (tmp_path / "extra.json").write_text(
        json.dumps({"schema": SCHEMA, "models": [entry]})
    )
    monkeypatch.setenv("MEDENH_MANIFEST", str(tmp_path / "extra.json"))
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", mirror.as_uri())
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDENH_OFFLINE", raising=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main_module.main(list(words))
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def listed(run, *words):
    code, out, _ = run("models", "list", "--json", *words)
    assert code == 0
    return {entry["id"]: entry for entry in json.loads(out)}


def test_list_filters(zoo, run):
    everything = listed(run)
    assert everything["toy-fundus"]["where"] == "remote"
    assert everything["clahe"]["where"] == "built in"
    assert "toy-fundus" not in listed(run, "--modality", "ct")
    assert set(listed(run, "--licence", "cc-by-nc")) >= {"toy-fundus"}
    assert "clahe" not in listed(run, "--licence", "cc-by-nc")
    assert "clahe" not in listed(run, "--task", "denoise")


def test_list_in_a_pipe_is_plain_columns(zoo, run):
    code, out, err = run("models", "list")
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split() == ["id", "task", "for", "licence", "size", "where"]
    line = next(line for line in lines if line.startswith("toy-fundus "))
    assert line.split()[-1] == "remote"
    assert "20.1 kB" in line
    assert "\x1b" not in out


def test_show_has_results_with_the_do_nothing_row_first(zoo, run):
    code, out, err = run("models", "show", "toy")
    assert code == 0
    assert "note: " in err
    lines = out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("identity"))
    assert lines[at].split(maxsplit=1) == ["identity", "17 [16.5, 17.5]"]
    assert lines[at + 1].split() == ["toy-fundus", "25.25"]
    assert "SET: 7 images, research only" in out


def test_show_says_what_a_weight_free_method_takes(run):
    _, out, _ = run("models", "show", "unsharp")
    said = [line for line in out.splitlines() if line.startswith("option")]
    named = [line.split()[1] for line in said]
    assert named == [option.name for option in INFO["unsharp"].options]
    assert "(0.05, 0 to 1)" in said[-1]


def test_show_json_is_the_card(zoo, run):
    _, out, _ = run("models", "show", "toy-fundus@1.2", "--json")
    card = json.loads(out)
    assert card["results"][0]["rows"]["identity"]["psnr"]["mean"] == 17.0
    assert card["where"] == "remote"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "toy-fundas"),
        ("download", "toy-fundas"),
        ("verify", "toy-fundas"),
        ("export", "toy-fundas", "x.zip"),
        ("cite", "toy-fundas"),
    ],
)
def test_unknown_model_is_wrong_usage_and_close_names_are_given(zoo, run, words):
    code, out, err = run("models", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: unknown model 'toy-fundas' (did you mean toy-fundus")
    assert err.count("\n") == 1


def test_download_then_verify_then_damage(zoo, run):
    assert run("models", "verify", "toy-fundus")[0] == 4  # asked for, and missing
    assert run("models", "verify")[0] == 0
    code, out, _ = run("models", "download", "toy", "--json")
    assert code == 0
    path = json.loads(out)[0]["path"]
    assert listed(run)["toy-fundus"]["where"] == "cached"
    code, out, _ = run("models", "verify", "--json")
    assert code == 0
    states = {e["id"]: e["state"] for e in json.loads(out)}
    assert states["toy-fundus@1.2"] == "intact"
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(-1, 2)
        file.write(b"!")
    code, out, _ = run("models", "verify", "toy-fundus", "--json")
    assert code == 4
    assert json.loads(out)[0]["state"] == "damaged"


def test_download_all_takes_every_network(zoo, run):
    code, out, _ = run("models", "download", "--all", "--json")
    assert code == 0
    assert "toy-fundus" in [entry["id"] for entry in json.loads(out)]


@pytest.mark.parametrize("words", [(), ("toy", "--all")])
def test_download_wants_names_or_all(zoo, run, words):
    code, _, err = run("models", "download", *words)
    assert code == 2
    assert err == "error: name the models, or give --all\n"


def test_offline_download_says_what_to_do(zoo, run, monkeypatch):
    monkeypatch.delenv("MEDENH_WEIGHTS_URL")
    code, _, err = run("models", "download", "toy-fundus", "--offline")
    assert code == 4
    assert "models export toy-fundus" in err
    monkeypatch.setenv("MEDENH_OFFLINE", "1")
    assert run("models", "download", "toy-fundus")[0] == 4


def test_export_and_import(zoo, run, monkeypatch):
    bundle = zoo / "toy.zip"
    assert run("models", "export", "toy-fundus", str(bundle))[0] == 0
    assert run("models", "export", "toy-fundus", str(bundle))[0] == 2
    monkeypatch.setenv("MEDENH_CACHE", str(zoo / "other"))
    monkeypatch.delenv("MEDENH_MANIFEST")
    monkeypatch.delenv("MEDENH_WEIGHTS_URL")
    assert "toy-fundus" not in listed(run)
    assert run("models", "import", str(bundle))[0] == 0
    assert listed(run)["toy-fundus"]["where"] == "cached"
    (zoo / "bad.zip").write_bytes(bundle.read_bytes()[:-50])
    code, _, err = run("models", "import", str(zoo / "bad.zip"))
    assert code == 4
    assert err.count("\n") == 1


def test_import_says_what_the_id_means_and_remove_takes_it_back(zoo, run, monkeypatch):
    bundle = zoo / "toy.zip"
    document = json.loads((zoo / "extra.json").read_text())
    document["models"][0]["version"] = "1.10"
    (zoo / "newer.json").write_text(json.dumps(document))
    monkeypatch.setenv("MEDENH_MANIFEST", str(zoo / "newer.json"))
    assert run("models", "export", "toy-fundus", str(bundle))[0] == 0
    monkeypatch.setenv("MEDENH_MANIFEST", str(zoo / "extra.json"))
    code, out, err = run("models", "import", str(bundle))
    assert code == 0
    assert out == "toy-fundus@1.10: imported\n"
    assert "toy-fundus means toy-fundus@1.10 now" in err
    assert "there is toy-fundus@1.2" in err
    assert resolve("toy-fundus").card.version == "1.10"
    assert resolve("toy").card.version == "1.2"  # no other name changes
    code, out, err = run("models", "remove", "toy-fundus")
    assert code == 0
    assert out.startswith("toy-fundus@1.10: removed, ")
    assert "toy-fundus means toy-fundus@1.2 now" in err
    assert resolve("toy-fundus").card.version == "1.2"
    assert not list((zoo / "cache" / "models").iterdir())


def test_cite_tells_words_of_the_card_papers_and_images(zoo, run):
    out = run("models", "cite", "toy-fundus")[1]
    assert out.startswith("Somebody, 2020\n")
    assert "@article{sharif2022deep" in out
    assert out.endswith("SET: research only\n")


def test_cite_of_a_network_without_a_paper_does_not_call_it_a_method(zoo, run):
    document = json.loads((zoo / "extra.json").read_text())
    document["models"][0] |= {"architecture": "autoencoder", "citation": ""}
    (zoo / "extra.json").write_text(json.dumps(document))
    out = run("models", "cite", "toy-fundus")[1]
    assert out.startswith("nothing to cite: no paper of its network is known\n")


@pytest.mark.parametrize(
    ("architecture", "rule", "dois"),
    [
        ("mage", "sum", ["10.1109/TMI.2023.3247783"]),
        ("dpe", "hard", ["10.1109/TPAMI.2025.3525671", "10.1109/JBHI.2022.3168604"]),
        (
            "fieldnet",
            "off",
            ["10.1145/3072959.3073592", "10.1007/978-3-319-24574-4_28"],
        ),
    ],
)
def test_papers_follow_from_network_and_training(architecture, rule, dois):
    training = TrainingRecord(
        seed=0,
        command="medenh train x.toml",
        hours=0.0,
        images=1,
        config={"promote": {"rule": rule}},
    )
    card = resolve("mage-fundus").card.model_copy(
        update={"architecture": architecture, "training": training}
    )
    told = "".join(papers_of(card))
    assert re.findall(r"doi *= {(.*)}", told) == dois


def test_every_network_of_the_zoo_has_its_paper():
    own = {"autoencoder"}  # of this project
    card = resolve("mage-fundus").card
    lacking = [
        architecture
        for architecture in set(ARCHITECTURES) - own
        if not papers_of(card.model_copy(update={"architecture": architecture}))
    ]
    assert lacking == [], "medenh/zoo/papers.py has no paper of them; or they are `own`"


def test_every_method_with_an_author_has_its_paper():
    methods = [card for card in load_manifest().current() if card.is_classical]
    assert {card.id for card in methods if card.paper} == {
        card.id for card in methods if papers_of(card)
    }, "a `paper` in weights_manifest.json goes with one in medenh/zoo/papers.py"


def test_doctor_finds_this_machine_healthy(zoo, run):
    code, out, _ = run("doctor", "--json")
    report = json.loads(out)
    states = {check["name"]: check for check in report["checks"]}
    assert report["healthy"] is (code == 0)
    assert states["torch"]["state"] == "ok"
    assert states["imagecodecs"]["state"] == "ok"
    assert states["cache"]["detail"].startswith(str(zoo / "cache"))


def test_doctor_ends_badly_if_something_needed_is_broken(zoo, run, monkeypatch):
    (zoo / "file").write_text("")
    monkeypatch.setenv("MEDENH_CACHE", str(zoo / "file" / "cache"))
    code, out, _ = run("doctor", "--json")
    assert code == 1
    states = {c["name"]: c["state"] for c in json.loads(out)["checks"]}
    assert states["cache"] == "broken"
    assert states["python"] == "ok"


def test_doctor_tells_what_the_process_may_use(monkeypatch):
    monkeypatch.setattr(doctor_module, "usable_cores", lambda: 3)
    monkeypatch.setattr(doctor_module, "cpu_flags", lambda: None)
    found = {f.name: f for f in doctor_module.examine()}
    assert found["cores"].detail.startswith("3 usable of ")
    assert found["bf16 on the CPU"].detail.startswith("not known on ")


def test_doctor_survives_its_own_checks(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = {f.name: f.state for f in doctor_module.examine()}
    assert found["torch"] == "broken"
    assert found["models"] == "ok"


def test_json_is_strict():
    import numpy as np

    document = {"psnr": float("inf"), "n": np.int64(3), "x": np.float32("nan")}
    assert json.loads(to_json(document)) == {"psnr": None, "n": 3, "x": None}


def test_message_with_control_characters_stays_one_line():
    error = InputError("bad\nfile", path="a\x1b[31m\r\nb.png")
    assert one_line(error) == "a?[31m b.png: bad file"
