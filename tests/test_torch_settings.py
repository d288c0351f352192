"""What a program has set in torch for networks of its own is none of ours."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import torch

import medenh


@contextmanager
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_a_program_has_set_in_torch_changes_no_byte(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (48, 64, 3)).astype(np.uint8)
    medenh.write(pixels + 100, tmp_path / "good.png")
    guided = {"model": "hqg-fundus", "reference": tmp_path / "good.png"}

    def answers(cache):
        monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / cache))
        return [
            medenh.enhance(pixels, model="fast-general", engine="torch", device="cpu"),
            medenh.enhance(pixels, **guided, engine="torch", device="cpu"),
            medenh.enhance(pixels, model="denoise-mri", device="cpu"),  # is converted
            medenh.tasks.load("lesion-derm").predict(pixels / 255),
        ]

    expected = answers("plain")
    for name, setting in {
        "float64": float64_by_default(),
        "meta": torch.device("meta"),
        "autocast": torch.autocast("cpu", torch.bfloat16),
    }.items():
        with setting:
            given = answers(name)
        for one, other in zip(given, expected, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_network_first_used_in_inference_mode_learns_later():
    model = medenh.load_model("fast-general", device="cpu", engine="torch")
    batch = torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        expected = model.network(batch)
    network = model.network.requires_grad_(True)
    answer = network(batch)
    assert torch.equal(answer, expected)
    answer.mean().backward()
    assert all(p.grad is not None for p in network.parameters())
