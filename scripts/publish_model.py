r"""Turn a training run into a bundled model with measured figures.

    python scripts/publish_model.py runs/dpe-general scripts/dpe-general.card.json \\
        --data ../shared/data

Scores the run's best weights under the `dpe` protocol on images it never saw, beside
identity, percentile stretch, CLAHE, LIME and the oracle affine bound; certifies bf16;
copies the weights into the package and writes the model's entry in
weights_manifest.json. Run it with --score-only to print the table and change nothing.

Protocol `dpe` (version 1): images of the split, at their stored size, 8 bits; one draw
of the recipe each, seeded by "pack/file" and seed 0; the degraded picture rounded to 8
bits; every row rounded to 8 bits; PSNR and SSIM over the whole picture, CIEDE2000 as
the mean over pixels; means over images with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLASSICAL = ("identity", "stretch", "clahe", "lime")
Enhance = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Score, print, and unless told otherwise publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("card", type=Path, help="the card's words, as JSON")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=40, help="images a modality")
    parser.add_argument("--score-only", action="store_true")
    parser.add_argument("--hours", type=float, default=0.0, help="training time")
    arguments = parser.parse_args()

    weights = arguments.run / "best.safetensors"
    config = json.loads((arguments.run / "config.json").read_text())
    jobs = [
        (weights, config, arguments.data / pack, arguments.limit, part)
        for pack in config["data"]["packs"]
        for part in range(2)
    ]
    with ProcessPoolExecutor(2) as pool:
        parts = list(pool.map(_score_pack, jobs))
    results = [
        _summarise(pack, [s for p in parts for s in p if s["pack"] == pack])
        for pack in config["data"]["packs"]
    ]
    everything = [score for part in parts for score in part]
    results.append(_summarise("all", everything))
    certificate = {
        "psnr_db": round(float(min(s["bf16"][0] for s in everything)), 2),
        "max_levels": int(max(s["bf16"][1] for s in everything)),
    }
    _print_table(results, certificate)
    limits = _limits(everything)
    sys.stdout.write(f"limits: {limits}\n")
    if not arguments.score_only:
        _publish(arguments, config, results, certificate, limits)


def _score_pack(
    job: tuple[Path, dict[str, Any], Path, int, int],
) -> list[dict[str, Any]]:
    """Score every second held-back image of one pack."""
    import cv2
    import torch

    from medenh.training.data import load_pack

    weights, config, folder, limit, part = job
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    qualities = config["data"]["qualities"]
    images = load_pack(folder, qualities, ("val", "test"), 10_000)
    order = np.random.default_rng(0).permutation(len(images))[:limit]
    network = _load(weights, config["network"])
    return [_score(images[i], folder.name, network) for i in order[part::2]]


def _load(weights: Path, settings: dict[str, Any]) -> Any:
    from safetensors.torch import load_file

    from medenh import models

    network = models.create(
        settings["architecture"], settings["preset"], **settings["options"]
    )
    network.load_state_dict({k: v.float() for k, v in load_file(weights).items()})
    return network.eval()


def _score(image: Any, pack: str, network: Any) -> dict[str, Any]:
    """Return the figures of one image under every method."""
    from medenh.classical import METHODS
    from medenh.degradations import dpe
    from medenh.metrics import fidelity

    clean = image.pixels.astype(np.float32) / 255
    parameters = dpe.sample(dpe.rng_for(image.name))
    low = _round(dpe.apply(clean, parameters))
    rows: dict[str, np.ndarray] = {name: METHODS[name](low) for name in CLASSICAL}
    rows["trained"] = _run(network, low, bf16=False)
    rows["oracle-affine"] = _oracle(low, clean)
    fast = _run(network, low, bf16=True)
    difference = np.abs(fast - rows["trained"])
    error = float(np.mean(np.square(difference), dtype=float))
    levels = np.abs(np.rint(fast * 255) - np.rint(rows["trained"] * 255)).max()
    return {
        "pack": pack,
        "modality": image.modality,
        "rows": {name: _figures(_round(out), clean) for name, out in rows.items()},
        "fidelity": (
            float(fidelity.structure_correlation(rows["trained"], low)),
            float(fidelity.clipped_share(rows["trained"], low)),
            abs(float(fidelity.mean_shift(rows["trained"], low))),
        ),
        "bf16": (-10 * np.log10(max(error, 1e-10)), float(levels)),
    }


def _round(pixels: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.float32) / np.float32(255)


def _run(network: Any, low: np.ndarray, *, bf16: bool) -> np.ndarray:
    import torch

    planes = np.broadcast_to(np.moveaxis(low, -1, 0)[None], (1, 3, *low.shape[:2]))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out = network(torch.from_numpy(np.array(planes, np.float32)))[0].float().numpy()
    pixels = np.moveaxis(out, 0, -1)
    return pixels.mean(-1, keepdims=True) if low.shape[-1] == 1 else pixels


def _oracle(low: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the best single gain and offset in hindsight: the bound of exposure."""
    x, y = (pixels.astype(np.float64) for pixels in (low, clean))
    gain = np.mean((x - x.mean()) * (y - y.mean())) / max(x.var(), 1e-12)
    offset = y.mean() - gain * x.mean()
    return low * np.float32(gain) + np.float32(offset)


def _figures(out: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    from medenh import metrics

    return {
        "psnr": float(metrics.psnr(out, clean)),
        "ssim": float(metrics.ssim(out, clean)),
        "delta_e2000": float(metrics.delta_e2000(out, clean)),
    }


def _summarise(pack: str, scores: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means and intervals of a list of scores, a row a method."""
    from medenh.metrics import bootstrap_ci

    rows: dict[str, Any] = {}
    for name in scores[0]["rows"]:
        rows[name] = {}
        for metric in scores[0]["rows"][name]:
            # an untouched picture has infinite PSNR; 100 dB keeps means finite
            values = np.array([min(s["rows"][name][metric], 100.0) for s in scores])
            low, high = bootstrap_ci(values)
            rows[name][metric] = {
                "mean": round(float(values.mean()), 3),
                "ci95": [round(float(low), 3), round(float(high), 3)],
                "n": len(scores),
            }
    modality = "all" if pack == "all" else scores[0]["modality"]
    return {
        "protocol": "dpe",
        "modality": modality,
        "split": "val+test",
        "n": len(scores),
        "rows": rows,
    }


def _print_table(results: list[dict[str, Any]], certificate: dict[str, float]) -> None:
    for result in results:
        sys.stdout.write(f"\n{result['modality']} (n = {result['n']})\n")
        for name, row in result["rows"].items():
            cells = "  ".join(f"{m} {v['mean']:7.3f}" for m, v in row.items())
            sys.stdout.write(f"  {name:14s} {cells}\n")
    sys.stdout.write(f"\nbf16 against fp32, worst image: {certificate}\n")


def _limits(scores: list[dict[str, Any]]) -> dict[str, float]:
    """Return bounds that 99 of 100 outputs of the protocol kept.

    The degradation is strong, so shifts of the mean are large by design; what the
    bounds catch is an answer beyond anything that undoing it takes.
    """
    structure, clipped, shift = np.array([s["fidelity"] for s in scores]).T
    return {
        "min_structure_correlation": round(float(np.percentile(structure, 1)), 3),
        "max_clipped": round(float(np.percentile(clipped, 99)), 3),
        "max_mean_shift": round(float(np.percentile(shift, 99)), 3),
    }


def _data_sources(config: dict[str, Any], root: Path) -> list[dict[str, Any]]:
    """Return the training sets with their terms, counted from the manifests."""
    from medenh.training.data import read_pack

    counts: dict[tuple[str, str], int] = {}
    for pack in config["data"]["packs"]:
        for row in read_pack(root / pack, config["data"]["qualities"]):
            if row["split"] == "train":
                terms = row.get("licence") or row.get("terms") or "see the data set"
                key = (row["source_dataset"], terms)
                counts[key] = counts.get(key, 0) + 1
    return [
        {"name": name, "terms": terms, "images": n}
        for (name, terms), n in counts.items()
    ]


def _publish(
    arguments: argparse.Namespace,
    config: dict[str, Any],
    results: list[dict[str, Any]],
    certificate: dict[str, float],
    limits: dict[str, float],
) -> None:
    card = json.loads(arguments.card.read_text())
    name = f"{card['id']}-{card['version']}.safetensors"
    target = ROOT / "medenh" / "zoo" / "bundled" / name
    shutil.copyfile(arguments.run / "best.safetensors", target)
    data = target.read_bytes()
    sources = _data_sources(config, arguments.data)
    for result in results:
        result["rows"][card["id"]] = result["rows"].pop("trained")
    card |= {
        "data": sources,
        "precision": {"bf16": certificate},
        "weights": {
            "file": name,
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bundled": True,
        },
        "training": {
            "seed": config["seed"],
            "command": f"medenh train {config['name']} --set steps={config['steps']}",
            "hours": arguments.hours,
            "images": sum(source["images"] for source in sources),
            "config": config,
        },
        "results": [r for r in results if r["modality"] != "all"],
        "limits": limits,
    }
    manifest_path = ROOT / "weights_manifest.json"
    manifest = json.loads(manifest_path.read_text())
    others = [m for m in manifest["models"] if m["id"] != card["id"]]
    manifest["models"] = [*others, card]
    manifest_path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
