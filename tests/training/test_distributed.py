"""Two processes on halves of a batch take the step of one process on the whole."""

import os
import socket
import subprocess
import sys

import pytest
import torch
from run_states import assert_same_state

from medenh.errors import UsageError
from medenh.training.config_file import load_config
from medenh.training.distributed import World
from medenh.training.loop import train

SETTINGS = [
    "network.architecture=nafnet", "network.preset=tiny", "condition_batch=0",
    "teacher_share=0", "batch=4", "steps=3", "validate_every=3", "loss.log_mse=0",
    "data.validation_images=2", "data.packs=['fundus']", "optimiser.weight_decay=0",
]  # fmt: skip


def _torchrun(processes, settings, folder, *more):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [part for item in settings for part in ("--set", item)]
    command = [
        sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}",
        "--master-addr=127.0.0.1", f"--master-port={port}", "-m", "medenh", "train",
        "dpe-general", *flags, "-o", str(folder), "-d", "cpu", *more,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "last.pt", weights_only=True)


def test_two_processes_equal_one_and_resume(tiny_settings, tmp_path):
    settings = [*tiny_settings, *SETTINGS]
    train(load_config("dpe-general", settings), tmp_path / "one")
    one = torch.load(tmp_path / "one" / "last.pt", weights_only=True)
    two = _torchrun(2, settings, tmp_path / "two")
    networks = [state["update"]["networks"]["network"] for state in (one, two)]
    for name, tensor in networks[0].items():
        torch.testing.assert_close(networks[1][name], tensor, rtol=1e-3, atol=2e-5)
    first = _torchrun(2, settings, tmp_path / "parts", "--max-minutes", "0")
    assert first["step"] == 1
    parts = _torchrun(2, settings, tmp_path / "parts", "--resume")
    assert_same_state(two["update"], parts["update"])


def test_a_batch_that_does_not_part_is_refused():
    with pytest.raises(UsageError, match="do not part over 2 processes"):
        World(0, 2).part(range(3))
    assert [World(rank, 2).part(range(4, 8)) for rank in (0, 1)] == [
        range(4, 6),
        range(6, 8),
    ]
