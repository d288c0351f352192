"""Whether each network learns eight pairs of 128 px by heart: above 30 dB on them.

python tests/bench/overfit.py --data ../shared/data [--minutes 3] [NETWORK/PRESET...]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from medenh import models
from medenh.training.config_file import load_config
from medenh.training.objectives import answer
from medenh.training.strategies import STRATEGIES

_ALL = ("fieldnet/default", "nafnet/width16", "mage/half", "srresnet/x1", "dpe/default",
        "dpe-plus/default")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("networks", nargs="*", default=_ALL)
    arguments = parser.parse_args()
    root = Path(arguments.data).as_posix()
    config = load_config(
        "fast-fundus",
        [f"data.root='{root}'", "data.size=128", "data.max_side=192",
         "data.identity_share=0", "data.recipes={cofe-111=1.0}", "data.whole_share=1.0",
         "data.datasets={DRIVE=1.0, STARE=1.0}", "data.validation_images=1",
            "data.holdout_share=0.2"],
    )  # fmt: skip
    batch = STRATEGIES["supervised"](config).draw(0, range(8))
    low, high = (torch.from_numpy(batch[k]) for k in ("low", "high"))
    before = _psnr(low, high)
    for name in arguments.networks:
        architecture, _, preset = name.partition("/")
        torch.manual_seed(0)
        network = models.create(architecture, preset or "default").train()
        network.to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(network.parameters(), arguments.lr)
        start, steps, best = time.monotonic(), 0, 0.0
        while time.monotonic() - start < 60 * arguments.minutes and best <= 30:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16):
                images = answer(network, low).images
            loss = sum((image - high).abs().mean() for image in images)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            steps += 1
            best = max(best, _psnr(images[-1].detach(), high))
        seconds = time.monotonic() - start
        sys.stdout.write(
            f"{name}: {before:.1f} to {best:.1f} dB in {steps} steps, {seconds:.0f} s\n"
        )
        sys.stdout.flush()


def _psnr(image, reference):
    error = (image.clamp(0, 1) - reference).square().mean((1, 2, 3))
    return float((-10 * torch.log10(error)).mean())


if __name__ == "__main__":
    main()
