"""Foreign checkpoints: whole ones, damaged ones, ones that would run code."""

from __future__ import annotations

import json
import os
import re
import struct

import numpy as np
import PIL.Image
import pytest
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

import medenh
from medenh import models
from medenh.cli import main as main_module
from medenh.errors import UsageError, WeightsError
from medenh.zoo import convert as convert_module
from medenh.zoo import unpickle
from medenh.zoo.convert import FOREIGN, convert
from medenh.zoo.layouts import dpe_layout, hqg_legacy_layout, remap
from medenh.zoo.load import load_network, read_weights
from medenh.zoo.manifest import load_manifest
from medenh.zoo.transfer import import_model

HQG_KEY = "GNet.G_en.blocks.2.0.downsample.0.weight"
DPE_DEAD = ("FM0", "FM9", "gate5")


def _meta_state(layout):
    entries = layout.entries.items()
    return {key: torch.empty(shape, device="meta") for key, (shape, _) in entries}


def _dpe_state():
    """A random state dict with the released network's keys; small on disk."""
    torch.manual_seed(0)
    entries = dpe_layout().entries.items()
    return {
        key: torch.randn((), dtype=torch.float16).expand(s) for key, (s, _) in entries
    }


class TestHQGLegacy:
    def test_layout_counts(self):
        keys = list(hqg_legacy_layout().entries)
        first = [key.split(".")[0] for key in keys]
        assert len(keys) == 484
        assert first.count("GNet") == 379
        assert first.count("styleNet") == 69
        assert first.count("DNet") == 33

    @pytest.mark.parametrize("side", [256, 384, 512])
    def test_whole_file_fills_the_whole_network(self, side):
        layout = hqg_legacy_layout(side)
        kept, ignored = remap(_meta_state(layout), layout)
        with torch.device("meta"):
            network = models.create("hqg-legacy", **layout.options)
        missing, unexpected = network.load_state_dict(kept, strict=False, assign=True)
        assert missing == ["default_code"]
        assert unexpected == []
        assert len(kept) + len(ignored) == len(layout.entries)
        dead = [key for key in ignored if key.startswith("GNet")]
        assert len(dead) == 4
        assert all("adaRes" in key and "conv1x1" in key for key in dead)
        assert sum(layout.entries[k][0][0] * layout.entries[k][0][1] for k in dead) == (
            180_224
        )

    def test_missing_key_is_named(self):
        layout = hqg_legacy_layout()
        state = _meta_state(layout)
        del state[HQG_KEY]
        with pytest.raises(WeightsError, match=f"no {HQG_KEY}"):
            remap(state, layout)

    @pytest.mark.parametrize("key", [HQG_KEY, "DNet.main.10.weight"])
    def test_wrong_shape_is_named_even_where_the_tensor_is_left_out(self, key):
        layout = hqg_legacy_layout()
        state = _meta_state(layout)
        state[key] = torch.empty(2, 3, device="meta")
        with pytest.raises(WeightsError, match=rf"{key} has shape \(2, 3\)"):
            remap(state, layout)

    def test_strange_key_is_named(self):
        layout = hqg_legacy_layout()
        state = _meta_state(layout) | {"GNet.extra.weight": torch.empty(1)}
        with pytest.raises(WeightsError, match=r"unknown key GNet\.extra\.weight"):
            remap(state, layout)

    @pytest.mark.parametrize("side", [256, 384, 512])
    def test_training_size_is_told_by_the_last_kernel(self, side):
        state = _meta_state(hqg_legacy_layout(side))
        assert FOREIGN["hqg-legacy"].layout(state).options == {"side": side}

    def test_reference_becomes_the_stored_code(self, tmp_path, monkeypatch):
        """With all weights zero a code is the bias of its head."""
        zero, entries = torch.zeros(()), hqg_legacy_layout(256).entries.items()
        state = {key: zero.expand(shape) for key, (shape, _) in entries}
        state["styleNet.style_en_part2.1.bias"] = torch.arange(64.0)
        monkeypatch.setattr(convert_module, "_load", lambda *args: state)
        saved = {}
        monkeypatch.setattr(
            convert_module, "_save", lambda net, *args: saved.update(net.state_dict())
        )
        target = tmp_path / "out.safetensors"
        convert("x.ckpt", target, "hqg-legacy")
        assert saved["default_code"].abs().max() == 0
        reference = torch.rand(1, 3, 40, 50).numpy()
        done = convert("x.ckpt", target, "hqg-legacy", reference=reference)
        assert torch.equal(saved["default_code"], torch.arange(64.0)[None])
        assert done.options == {"side": 256}
        assert "non-commercial" in done.licence


class TestDPE:
    @pytest.mark.parametrize("dead", [True, False])
    def test_whole_file_with_or_without_dead_modules(self, dead):
        layout, state = dpe_layout(), _dpe_state()
        assert len(state) == 90
        if not dead:
            state = {k: v for k, v in state.items() if k.split(".")[0] not in DPE_DEAD}
        kept, ignored = remap(state, layout)
        with torch.device("meta"):
            network = models.create("dpe")
        network.load_state_dict(kept, strict=True, assign=True)
        assert {key.split(".")[0] for key in ignored} == (
            set(DPE_DEAD) if dead else set()
        )

    def test_tensors_land_where_the_released_forward_uses_them(self):
        """Its forward, written from its description with its own names."""
        torch.manual_seed(0)
        entries = dpe_layout().entries.items()
        state = {key: 0.05 * torch.randn(shape) for key, (shape, _) in entries}
        kept, _ = remap(state, dpe_layout())
        network = models.create("dpe").eval()
        network.load_state_dict(kept, strict=True)

        def conv(x, name, **options):
            return F.conv2d(
                x, state[f"{name}.weight"], state[f"{name}.bias"], **options
            )

        def residual(x, name):
            y = conv(x, f"{name}.conv_block.0", padding=1)
            y = F.prelu(y, state[f"{name}.conv_block.1.weight"])
            return x + conv(y, f"{name}.conv_block.2", padding=1)

        def gate(x, name):
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            mask = torch.sigmoid(conv(x, f"{name}.mask_conv2d"))
            return F.leaky_relu(conv(x, f"{name}.conv2d") * mask, 0.2)

        def up(x, name):
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            return F.relu(F.conv_transpose2d(x, weight, bias, stride=2))

        image = torch.rand(1, 3, 32, 32)
        x = image * 2 - 1
        e = conv(x, "inConv", padding=1)
        skips = []
        for level in range(1, 5):
            e = residual(e, f"FM{level}")
            skips.append(gate(e, f"gate{level}"))
            e = F.relu(conv(e, f"down{level}", stride=2, padding=1))
        e = residual(e, "FM5")
        for level in range(1, 5):
            e = up(e, f"up{level}") + skips.pop()
            if level < 4:
                e = residual(e, f"FM{level + 5}")
        expected = torch.tanh(conv(e, "outc") + x) / 2 + 0.5
        with torch.no_grad():
            torch.testing.assert_close(network(image), expected)

    def test_command_line_converts_a_checkpoint(self, tmp_path, capsys):
        state = {f"module.{key}": value for key, value in _dpe_state().items()}
        source, target = tmp_path / "a.pth", tmp_path / "new" / "a.safetensors"
        torch.save({"step": 5, "stateDictEG": state, "schedulerLR": None}, source)
        words = [str(source), "--architecture", "dpe", "-o", str(target), "--json"]
        with pytest.raises(SystemExit) as ended:
            main_module.main(["models", "convert", *words])
        out, err = capsys.readouterr()
        assert ended.value.code == 0
        assert err.startswith("licence: ")
        answer = json.loads(out)
        assert answer["tensors"] == 90 - 5 - 5 - 4
        assert {key.split(".")[0] for key in answer["ignored"]} == set(DPE_DEAD)
        network = models.create(answer["architecture"], **answer["options"])
        network.load_state_dict(read_weights(target), strict=True)
        bias = state["module.outc.bias"].float()
        assert torch.equal(network.head.bias, bias)
        with safetensors.safe_open(target, "pt") as file:
            assert file.metadata()["architecture"] == "dpe"
        assert [p.name for p in target.parent.iterdir()] == ["a.safetensors"]
        assert target.stat().st_mode == source.stat().st_mode, "as the umask says"

    def test_zip_is_a_model_that_can_be_imported(self, tmp_path, monkeypatch):
        state = {key: value.float().clone() for key, value in _dpe_state().items()}
        state = {key: value.contiguous() for key, value in state.items()}
        monkeypatch.setattr(convert_module, "_load", lambda *args: state)
        (tmp_path / "a.pth").write_bytes(b"stands in for the checkpoint")
        left = tmp_path / ".convert-0123456789ab"  # of a run that was killed
        left.mkdir()
        (left / "lock").touch()
        (left / "plain.safetensors").touch()
        convert(tmp_path / "a.pth", tmp_path / "dpe-mine.zip", "dpe")
        assert not list(tmp_path.glob(".*"))
        card = import_model(tmp_path / "dpe-mine.zip")
        assert card.full_id == "dpe-mine@1"
        assert "LicenseRef" in card.licence
        network = load_network(load_manifest().get("dpe-mine"), offline=True)
        assert torch.equal(network.stem.bias, state["inConv.bias"])

    @pytest.mark.parametrize("name", ["My Model", "a", "a" * 65, "auto", "a\n"])
    def test_a_name_that_no_model_can_have_is_refused_first(
        self, tmp_path, monkeypatch, name
    ):
        monkeypatch.setattr(convert_module, "_load", lambda *args: pytest.fail("read"))
        with pytest.raises(UsageError, match="cannot be the id"):
            convert(tmp_path / "a.pth", tmp_path / f"{name}.zip", "dpe")


ENHANCERS = sorted(set(models.ARCHITECTURES) - models.NO_ENHANCERS)


def made(architecture, preset=None, **options):
    """Return a network that differs from a new one, a preset and a small picture."""
    if preset is None:
        known = models.ARCHITECTURES[architecture][1]
        preset = "tiny" if "tiny" in known else "default"
    torch.manual_seed(1)
    network = models.create(architecture, preset, **options).eval()
    side = 2 * network.multiple_of
    return network, preset, torch.rand(1, 3, side, side)


class TestOwn:
    @pytest.mark.parametrize("name", [n for n in ENHANCERS if n != "hqg-legacy"])
    def test_a_state_dict_becomes_the_same_network(self, tmp_path, name):
        network, preset, picture = made(name)
        source = tmp_path / "mine.safetensors"
        safetensors.torch.save_file(network.state_dict(), source)
        target = tmp_path / f"{name}-own.zip"
        done = convert(source, target, name, preset=preset, modality="endoscopy")
        assert done.ignored == ()
        card = import_model(target)
        assert (card.architecture, card.preset) == (name, preset)
        assert card.modalities == ("endoscopy",)
        assert "not measured" in card.description
        assert card.results == ()
        again = load_network(load_manifest().get(f"{name}-own"), offline=True)
        with torch.no_grad():
            expected = network(picture)
            assert expected.shape == picture.shape, "it enhances"
            assert torch.equal(again(picture), expected)

    def test_command_line_takes_a_checkpoint_of_a_loop(self, tmp_path, capsys):
        network, _, _ = made("nafnet", "tiny", width=8)
        optimiser = torch.optim.AdamW(network.parameters())
        compiled = {f"_orig_mod.{k}": v for k, v in network.state_dict().items()}
        checkpoint = {"model": compiled, "optimiser": optimiser.state_dict(), "step": 3}
        torch.save(checkpoint, tmp_path / "last.pt")
        target = tmp_path / "denoise-own.zip"
        words = ["--architecture", "nafnet", "--preset", "tiny", "--option", "width=8"]
        words += ["--task", "denoise", "-o", str(target), "--json"]
        with pytest.raises(SystemExit) as ended:
            main_module.main(["models", "convert", str(tmp_path / "last.pt"), *words])
        out, _ = capsys.readouterr()
        assert ended.value.code == 0
        answer = json.loads(out)
        assert (answer["preset"], answer["options"]) == ("tiny", {"width": 8})
        card = import_model(target)
        assert (card.task, card.options) == ("denoise", {"width": 8})
        grey = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
        better = medenh.enhance(grey, model="denoise-own", engine="torch")
        assert better.shape == grey.shape

    def test_the_first_tensor_that_does_not_fit_is_named(self, tmp_path):
        network, preset, _ = made("nafnet")
        state, source = network.state_dict(), tmp_path / "a.safetensors"
        first = next(iter(state))

        def said(tensors, **changes):
            safetensors.torch.save_file(tensors, source)
            options = {"preset": preset, **changes}
            with pytest.raises(WeightsError) as caught:
                convert(source, tmp_path / "own.zip", "nafnet", **options)
            assert caught.value.path == source
            assert "preset and options" in caught.value.hint
            return caught.value.what

        missing = {key: value for key, value in state.items() if key != first}
        assert said(missing) == f"not a checkpoint of nafnet: no {first}"
        assert said(state | {"head.x": torch.ones(1)}).endswith("unknown key head.x")
        shape = tuple(state[first].shape)
        assert f"{first} has shape {shape}, not" in said(state, options={"width": 8})
        assert list(tmp_path.iterdir()) == [source]

    def test_what_no_model_can_be_made_of(self, tmp_path):
        source = tmp_path / "a.safetensors"
        network, _, _ = made("srresnet", "tiny", scale=2, from_enlarged=False)
        safetensors.torch.save_file(network.state_dict(), source)
        for word, name, options in (
            ("unknown architecture", "nafnett", {}),
            ("no preset", "nafnet", {"preset": "huge"}),
            ("no option", "nafnet", {"options": {"widht": 8}}),
            ("cannot be made so", "nafnet", {"options": {"width": -1}}),
            ("enhances nothing", "unet", {}),
            ("unknown modality", "nafnet", {"modality": "eye"}),
            ("cannot be a task", "nafnet", {"task": "Make it better"}),
            (
                "larger pictures",
                "srresnet",
                {
                    "preset": "tiny",
                    "options": {"scale": 2, "from_enlarged": False},
                },
            ),
        ):
            with pytest.raises(UsageError, match=word):
                convert(source, tmp_path / "own.zip", name, **options)
        assert list(tmp_path.iterdir()) == [source]

    def test_a_preset_says_that_weights_are_of_our_own_network(self, tmp_path):
        network, _, _ = made("dpe")
        torch.save(network.state_dict(), tmp_path / "a.pt")
        with pytest.raises(WeightsError, match="not a checkpoint of dpe"):
            convert(tmp_path / "a.pt", tmp_path / "own.zip", "dpe")
        convert(tmp_path / "a.pt", tmp_path / "own.zip", "dpe", preset="default")

    def test_a_code_that_was_learnt_stays(self, tmp_path):
        network, preset, _ = made("hqg")
        network.default_code = torch.arange(64.0)[None]
        safetensors.torch.save_file(network.state_dict(), tmp_path / "a.safetensors")
        target = tmp_path / "b.safetensors"
        convert(tmp_path / "a.safetensors", target, "hqg", preset=preset)
        assert torch.equal(read_weights(target)["default_code"], network.default_code)


def test_licence_is_shown_for_hqg(tmp_path, monkeypatch, capsys):
    zero, entries = torch.zeros(()), hqg_legacy_layout().entries.items()
    state = {key: zero.expand(shape) for key, (shape, _) in entries}
    monkeypatch.setattr(convert_module, "_load", lambda *args: state)
    monkeypatch.setattr(convert_module, "_save", lambda *args: None)
    words = ["--architecture", "hqg-legacy", "-o", str(tmp_path / "o.safetensors")]
    with pytest.raises(SystemExit) as ended:
        main_module.main(["models", "convert", "x.ckpt", *words])
    err = capsys.readouterr().err
    assert ended.value.code == 0
    assert "licence: " in err
    assert "no redistribution" in err
    assert "DNet.main" in err


class _Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_what_is_no_checkpoint_is_not_said_to_hold_code(tmp_path):
    source = tmp_path / "eye.png"
    PIL.Image.new("RGB", (8, 8)).save(source)
    with pytest.raises(WeightsError, match="is no checkpoint of PyTorch"):
        convert(source, tmp_path / "out.safetensors", "hqg-legacy")


def test_pickle_with_code_in_it_is_refused_and_runs_nothing(tmp_path):
    marker, source = tmp_path / "it-ran", tmp_path / "bad.ckpt"
    torch.save({"state_dict": {"x": torch.zeros(2)}, "hook": _Bomb(marker)}, source)
    with pytest.raises(WeightsError, match="could run code") as caught:
        convert(source, tmp_path / "out.safetensors", "hqg-legacy")
    assert caught.value.path == source
    assert not marker.exists()
    assert list(tmp_path.iterdir()) == [source]


def _unpickle(found, tmp_path, *keys):
    """Save, read back in this process; return the complaint and the tensors."""
    source, target = tmp_path / "in.pth", tmp_path / "out.safetensors"
    torch.save(found, source)
    complaint = unpickle.main(str(source), str(target), list(keys))
    return complaint, None if complaint else read_weights(target)


def test_state_dict_is_found_at_its_place_or_bare(tmp_path):
    state = {"a": torch.arange(3.0), "b": torch.tensor(7)}
    for found in (state, {"epoch": 1, "state_dict": state}):
        complaint, tensors = _unpickle(found, tmp_path, "state_dict")
        assert complaint == ""
        assert tensors.keys() == state.keys()
        assert tensors["a"].tolist() == [0, 1, 2]
        assert tensors["b"].item() == 7


def test_tensors_that_share_memory_are_taken_apart(tmp_path):
    base = torch.arange(6.0)
    complaint, tensors = _unpickle({"a": base[:4], "b": base.view(2, 3).T}, tmp_path)
    assert complaint == ""
    assert tensors["a"].tolist() == [0, 1, 2, 3]
    assert tensors["b"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([torch.zeros(2)], "no state dict"),
        ({}, "no state dict"),
        ({"state_dict": 3}, "no state dict"),
        ({"a": torch.zeros(2), "lr": 0.1}, "lr is no tensor"),
        ({"a": torch.eye(3).to_sparse()}, "a is no plain tensor"),
        ({"a": torch.zeros(()).expand(2**17, 2**15)}, r"beyond 2\^31"),
    ],
)
def test_what_is_no_state_dict_is_said(found, complaint, tmp_path):
    said, _ = _unpickle(found, tmp_path, "state_dict")
    assert re.search(complaint, said)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04" + bytes(50), b"<html>", struct.pack("<Q", 9) + bytes(90)],
)
def test_damaged_files_are_refused(content, tmp_path):
    source = tmp_path / "bad.ckpt"
    source.write_bytes(content)
    assert unpickle.main(str(source), str(tmp_path / "o"), []) != ""
    assert not (tmp_path / "o").exists()


def test_wrong_requests(tmp_path):
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"x")
    with pytest.raises(UsageError, match="exists already"):
        convert(tmp_path / "a.pth", there, "dpe")
    with pytest.raises(UsageError, match="no checkpoints of 'unet'"):
        convert(tmp_path / "a.pth", tmp_path / "b", "unet")
    with pytest.raises(WeightsError, match="no such file"):
        convert(tmp_path / "a.pth", tmp_path / "b", "dpe")
    assert there.read_bytes() == b"x"


def test_reference_for_a_network_that_follows_none(tmp_path, monkeypatch):
    monkeypatch.setattr(convert_module, "_load", lambda *args: _dpe_state())
    reference = torch.rand(1, 3, 8, 8).numpy()
    with pytest.raises(UsageError, match="does not use a reference"):
        convert("a.pth", tmp_path / "b", "dpe", reference=reference)
