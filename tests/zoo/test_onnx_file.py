"""ONNX files: what another program computes with them is what torch computes."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from medenh.cli.main import main
from medenh.errors import MedenhError, UsageError
from medenh.zoo import onnx_file
from medenh.zoo.load import load_network
from medenh.zoo.manifest import load_manifest
from medenh.zoo.onnx_file import export_onnx


@pytest.fixture
def folder(tmp_path):
    """An empty folder; beside it lies the cache of the tests."""
    folder = tmp_path / "exported"
    folder.mkdir()
    return folder


def _run(*words):
    with pytest.raises(SystemExit) as ended:
        main(["models", "export", *map(str, words)])
    return ended.value.code


def _answer(path, image):
    session = onnxruntime.InferenceSession(str(path))
    (output,) = session.get_outputs()
    return output.name, session.run(None, {"image": image})[0]


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("fast-general", "enhanced"),
        ("hqg-fundus", "enhanced"),
        ("mage-fundus", "enhanced"),
        ("denoise-ct", "enhanced"),
        ("lung-xray", "logits"),
    ],
)
def test_another_program_computes_what_torch_does(name, output, folder):
    path = folder / "model.onnx"
    card, difference = export_onnx(name, path, (128, 192))
    smooth = np.linspace(0, 1, 128 * 192, dtype=np.float32).reshape(128, 192)
    image = np.stack([smooth, smooth**2, 1 - smooth])[None]
    with torch.inference_mode():
        wanted = load_network(card)(torch.from_numpy(image)).numpy()
    found_name, found = _answer(path, image)
    assert found_name == output
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-4 * max(1, np.abs(wanted).max())
    assert difference < 1e-4
    onnx.checker.check_model(str(path), full_check=True)
    assert [p.name for p in folder.iterdir()] == ["model.onnx"]


def test_the_file_names_its_model_and_no_folder_of_this_machine(folder, capsys):
    path = folder / "model.onnx"
    assert _run("lung-xray", path, "--size", "96x64") == 0
    assert "lung-xray@1: " in capsys.readouterr().out
    model = onnx.load(str(path))
    told = {entry.key: entry.value for entry in model.metadata_props}
    card = load_manifest().get("lung-xray")
    assert told["medenh.model"] == card.full_id
    assert told["medenh.licence"] == card.licence
    assert told["medenh.weights_sha256"] == card.weights.sha256
    (image,) = model.graph.input
    sides = [side.dim_value for side in image.type.tensor_type.shape.dim]
    assert sides == [1, 3, 64, 96]
    assert b".py" not in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("nlm", (64, 64), "nlm has no network"),
        ("fast-fundus", (60, 64), "at least 16 and multiples of 8"),
        ("fast-fundus", (8, 64), "at least 16"),
        ("nobody", (64, 64), "unknown model"),
    ],
)
def test_what_cannot_be_exported_says_why(name, size, message, folder):
    with pytest.raises(UsageError, match=message):
        export_onnx(name, folder / "model.onnx", size)
    assert not list(folder.iterdir())


def test_a_file_that_is_there_stays(folder):
    path = folder / "model.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        export_onnx("lung-xray", path, (64, 64))
    assert path.read_bytes() == b"mine"


def test_without_the_packages_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"onnxruntime \(pip install 'medenh\[onnx\]'"):
        export_onnx("lung-xray", folder / "model.onnx", (64, 64))


def test_a_file_with_other_answers_is_not_kept(folder, monkeypatch):
    real = onnx_file.load_network
    networks = []

    def changing(card, **options):
        networks.append(real(card, **options))
        return networks[-1]

    write = onnx_file._write

    def write_and_change(*arguments):
        write(*arguments)
        with torch.no_grad():
            next(networks[-1].parameters()).mul_(1.5)

    monkeypatch.setattr(onnx_file, "load_network", changing)
    monkeypatch.setattr(onnx_file, "_write", write_and_change)
    with pytest.raises(MedenhError, match="from torch's: nothing is kept"):
        export_onnx("lung-xray", folder / "model.onnx", (64, 64))
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.onnx"], "an ONNX file is for images of one size"),
        (["model.zip", "--size", "64"], "only ONNX has a size"),
        (["model.onnx", "--size", "64x"], "'64x' is no size"),
        (["model.onnx", "--size", "1x2x3"], "is no size"),
    ],
)
def test_sizes_of_the_command_line(arguments, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert _run("lung-xray", *arguments) == 2
    assert message in capsys.readouterr().err
