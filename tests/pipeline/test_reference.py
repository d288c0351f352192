"""`enhance --reference`: a picture guides a network of HQG-Net, or colours."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import torch
from fakes_pipeline import put_into_zoo

from medenh import models
from medenh.cli.main import main
from medenh.colour import rgb_to_lab


@pytest.fixture
def guided(tmp_path, monkeypatch):
    """Put a small HQG-Net with weights of its own into a user's manifest."""
    torch.manual_seed(0)
    network = models.create("hqg", preset="tiny").eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.08)
    put_into_zoo(
        tmp_path,
        monkeypatch,
        network.state_dict(),
        id="hqg-tiny",
        architecture="hqg",
        input={"channels": 3, "multiple_of": 16, "min_size": 32},
    )
    rng = np.random.default_rng(0)
    for name, low, high in (("eye", 30, 120), ("good", 60, 250), ("other", 0, 60)):
        pixels = rng.integers(low, high, (64, 80, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    return network


def _enhance(tmp_path, *more):
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = ["enhance", str(tmp_path / "eye.png"), "-o", str(out / "eye.png"), "-q"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--precision", "fp32", *more])
    written = cv2.imread(str(out / "eye.png"))
    return ended.value.code, None if written is None else written[..., ::-1]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_reference_guides_the_network(guided, tmp_path, engine):
    if engine == "openvino":
        pytest.importorskip("openvino")
    model = ["-m", "hqg-tiny", "--engine", engine]
    answers = {
        name: _enhance(tmp_path, *model, "--reference", str(tmp_path / f"{name}.png"))
        for name in ("good", "other", "good")
    }
    _, plain = _enhance(tmp_path, *model)
    low, good = (
        torch.from_numpy(cv2.imread(str(tmp_path / f"{n}.png"))[..., ::-1] / 255.0)
        .float()
        .permute(2, 0, 1)[None]
        for n in ("eye", "good")
    )
    with torch.inference_mode():
        expected = guided(low, guided.code(good))[0].permute(1, 2, 0).numpy() * 255
    code, followed = answers["good"]
    assert code == 0
    assert np.abs(followed - expected).max() <= 1
    assert not np.array_equal(followed, plain)
    assert not np.array_equal(followed, answers["other"][1])


def test_another_reference_is_another_request(guided, tmp_path):
    """A rerun with a new reference writes again, with the same one it does not."""
    out, good = tmp_path / "folder", tmp_path / "good.png"
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(tmp_path / "eye.png", source)
    command = ["enhance", str(source), "-o", str(out), "-m", "hqg-tiny", "--json"]
    command += ["--engine", "torch", "--on-exists", "overwrite", "--reference"]

    def run(reference):
        with pytest.raises(SystemExit, match="0"):
            main([*command, str(reference)])
        return (out / "eye.png").read_bytes()

    first = run(good)
    assert run(tmp_path / "other.png") != first
    assert run(good) == first


@pytest.mark.parametrize("model", ["ref-color", "flat-field-ref-color"])
def test_a_weight_free_method_follows_it_but_for_what_is_set(tmp_path, model):
    """What `--set` says comes before the picture, the picture before defaults."""
    y, x = np.mgrid[:96, :96]
    wave = 0.5 + 0.2 * np.sin(x / 7) * np.cos(y / 9)
    tints = {"eye": (0.3, 0.5, 0.9), "good": (0.8, 0.6, 0.5)}  # BGR
    for name, tint in tints.items():
        pixels = np.rint(255 * wave[..., None] * tint)
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels.astype(np.uint8))
    good = (tmp_path / "good.png").read_bytes()
    command = ("-m", model, "--reference", str(tmp_path / "good.png"))

    def colours(*more):
        code, written = _enhance(tmp_path, *command, *more)
        assert code == 0
        return rgb_to_lab(written / np.float32(255)).mean(axis=(0, 1))

    wanted = cv2.imread(str(tmp_path / "good.png"))[..., ::-1]
    wanted = rgb_to_lab(wanted / np.float32(255)).mean(axis=(0, 1))
    assert colours() == pytest.approx(wanted, abs=1.0)
    wanted[0] = 70
    assert colours("--set", "lightness=70") == pytest.approx(wanted, abs=1.0)
    assert (tmp_path / "good.png").read_bytes() == good


@pytest.mark.parametrize(
    ("model", "reference", "message"),
    [
        ("clahe", "good.png", "does not use a reference"),
        ("dpe-general", "good.png", "does not use a reference"),
        ("clahe", "none.png", "cannot read the reference"),
        ("hqg-fundus", "empty.png", "cannot read the reference"),
    ],
)
def test_what_cannot_be_followed_is_a_usage_error(
    tmp_path, capsys, model, reference, message
):
    rng = np.random.default_rng(0)
    for name in ("eye", "good"):
        pixels = rng.integers(0, 255, (64, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    (tmp_path / "empty.png").touch()
    code, written = _enhance(
        tmp_path, "-m", model, "--reference", str(tmp_path / reference)
    )
    assert code == 2
    assert written is None
    assert message in capsys.readouterr().err
