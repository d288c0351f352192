"""Set the limits of fidelity of bundled enhancers anew, from their runs' pictures.

    python scripts/set_limits.py DATA [ID...]

DATA holds the data packs. What `medenh models publish` does for a new model is done for
those in the manifest: each card's configuration tells what its run learnt from. Those
that learnt from too few pictures are left as they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from medenh.pipeline.model import load_model
from medenh.publishing.images import load_images
from medenh.publishing.limits import FEWEST, limits_on
from medenh.publishing.run_folder import stored_config
from medenh.zoo.card import ModelCard
from medenh.zoo.manifest import load_manifest

MANIFEST = Path(__file__).resolve().parents[1] / "weights_manifest.json"


def limits_of(card: ModelCard, data: Path) -> dict[str, float]:
    """Return the limits of a model, or nothing where it learnt from too little."""
    if card.training is None or card.recognition is not None:
        return {}
    config = stored_config(card.training.config, data, MANIFEST)
    groups = load_images(config).usual
    if sum(map(len, groups)) < FEWEST:
        return {}
    return limits_on(groups, load_model(card.id, "cpu", "fp32").enhance)


def main() -> int:
    """Set all, or those named."""
    data, names = Path(sys.argv[1]), sys.argv[2:]
    for card in load_manifest().current():
        if names and card.id not in names:
            continue
        limits = limits_of(card, data)
        if not limits:
            continue
        sys.stdout.write(f"{card.id}: {limits}, was {card.limits.model_dump()}\n")
        sys.stdout.flush()
        document = json.loads(MANIFEST.read_text("utf-8"))
        (entry,) = [one for one in document["models"] if one["id"] == card.id]
        entry["limits"] = limits
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        MANIFEST.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
