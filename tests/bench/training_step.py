"""Training steps: bf16 against plain fp32, and packs against a fixed batch.

    python tests/bench/training_step.py --data ../shared/data [--threads 2]

Prints the ratio of DPE's whole training step (discriminator, features, network) in
bf16 and channels_last to the same step in fp32 and NCHW, and how much longer a step
takes when its batch comes from packs, degraded on the fly. Pairs of rounds in turn,
medians of the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from medenh.training import loop
from medenh.training.batches import batches_ahead
from medenh.training.config_file import load_config
from medenh.training.distributed import World
from medenh.training.strategies import STRATEGIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--config", default="dpe")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    root = Path(arguments.data).as_posix()
    settings = [f"data.root='{root}'", f"batch={arguments.batch}", "accumulate=1",
                "data.packs=['derm']", "data.validation_images=1"]  # fmt: skip
    if arguments.config != "dpe":
        settings = [s for s in settings if "packs" not in s]
    fast = load_config(arguments.config, [*settings, "precision=bf16"])
    plain = load_config(arguments.config, [*settings, "precision=fp32"])
    strategy = STRATEGIES[fast.strategy](fast)
    reference = STRATEGIES[plain.strategy](plain)
    fixed = strategy.draw(0, range(fast.batch))

    bf16 = _stepper(fast, strategy, channels_last=True)
    fp32 = _stepper(plain, reference, channels_last=False)
    ratios = []
    for _ in range(arguments.rounds):
        ratios.append(_timed(fp32, fixed) / _timed(bf16, fixed))
    _say("bf16 channels_last against fp32 NCHW, times faster", ratios)

    ratios = []
    for number in range(arguments.rounds):
        alone = sum(_timed(bf16, fixed) for _ in range(4))
        steps = range(4 * number, 4 * number + 4)
        start = time.perf_counter()
        for batches in batches_ahead(strategy, steps, [range(fast.batch)]):
            bf16(batches[0])
        ratios.append((time.perf_counter() - start) / alone)
    _say("step time with packs and degradation against a fixed batch", ratios)


def _stepper(config, strategy, *, channels_last):
    update = loop._build(config, strategy, World(), anew=True)
    if not channels_last:
        for network in update.networks.values():
            network.to(memory_format=torch.contiguous_format)
    for name in update.optimisers:
        update.networks[name].train()

    def step(batch):
        tensors = {
            k: torch.from_numpy(v).contiguous(
                memory_format=torch.channels_last
                if channels_last and v.ndim == 4
                else torch.contiguous_format
            )
            for k, v in batch.items()
        }
        strategy.take_step(0, [tensors], update)

    return step


def _timed(step, batch):
    start = time.perf_counter()
    step(batch)
    return time.perf_counter() - start


def _say(what, ratios):
    values = " ".join(f"{r:.2f}" for r in ratios)
    sys.stdout.write(f"{what}: median {statistics.median(ratios):.2f} ({values})\n")


if __name__ == "__main__":
    main()
