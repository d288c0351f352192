"""The demo: four real images, made worse on purpose, enhanced, scored, shown.

The images lie inside packages that medenh needs anyway, so nothing is fetched. Each is
given a fault of its kind, and the trained model that was made for it stands beside
methods without weights. Every figure compares with the untouched original, and the row
of doing nothing is always there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medenh import __version__
from medenh.errors import UsageError
from medenh.reports.html import Case, Table, Value, unit_view, write_report
from medenh.reports.samples import SAMPLES, Sample
from medenh.types import FloatArray, Image, Provenance

__all__ = ["METRICS", "MODELS", "DemoResult", "run_demo"]

TRAINED = "trained"  # the row of each sample's own model
MODELS = ("identity", "stretch", "clahe", "nlm", TRAINED)
METRICS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "delta_e2000": "CIEDE2000"}
PAGE = "index.html"


Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured.

    Attributes
    ----------
    seed : int
        Seed of the degradation.
    output, page : path
        The folder of files, and the page in it.
    scores : mapping
        Model -> image -> metric -> value.
    model_seconds : mapping of str to float
        Time each model took for all images, files and metrics left out.
    trained : mapping
        Image -> the model behind the row `TRAINED`.
    records : mapping
        Image -> the degradation, replayable.
    seconds : float
        The whole demo.
    """

    seed: int
    output: Path
    page: Path
    scores: Mapping[str, Mapping[str, Scores]]
    model_seconds: Mapping[str, float]
    trained: Mapping[str, str]
    records: Mapping[str, dict[str, Any]]
    seconds: float

    def mean(self, model: str, metric: str) -> float:
        """Return the mean of a metric over the images."""
        return float(np.mean([one[metric] for one in self.scores[model].values()]))

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``--json`` prints."""
        return {
            "seed": self.seed,
            "output": str(self.output),
            "page": str(self.page),
            "images": list(self.records),
            "degradation": dict(self.records),
            "trained": dict(self.trained),
            "rows": {model: self._row(model) for model in self.scores},
            "seconds": round(self.seconds, 3),
        }

    def _row(self, model: str) -> dict[str, Any]:
        per_image = self.scores[model]
        row: dict[str, Any] = {
            metric: {
                "mean": self.mean(model, metric),
                "per_image": {name: one[metric] for name, one in per_image.items()},
            }
            for metric in METRICS
        }
        return row | {"seconds": round(self.model_seconds[model], 3)}


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A sample, what it was and what became of it."""

    sample: Sample
    original: Image
    degraded: Image
    record: dict[str, Any]


def run_demo(
    output: str | Path,
    *,
    seed: int = 0,
    models: Sequence[str] = MODELS,
    samples: Sequence[Sample] = SAMPLES,
    say: Callable[[str], None] = lambda _: None,
) -> DemoResult:
    """Degrade the samples, enhance them with each model, score, write the page.

    Parameters
    ----------
    output : path
        Folder for the files; made where missing. What an earlier demo wrote there is
        replaced, all else is left alone.
    seed : int
        Seed of the degradation.
    models : sequence of str
        Rows to compare: models, or `TRAINED`; the last one is shown on the page.
    samples : sequence of Sample
        Images to use.
    say : callable
        Told in a few words what happens next.

    Raises
    ------
    WeightsError
        The weights of a model are missing or not as hashed.
    OutputError
        The folder cannot be written.
    UsageError
        The seed is negative, or a model is unknown.
    """
    import medenh

    if seed < 0:
        raise UsageError(f"the seed must not be negative, it is {seed}")
    started = time.perf_counter()
    folder = Path(output)
    # models first: missing weights must not surface after half a minute of work
    names = {row: _models_of(row, samples) for row in models}
    loaded = {}
    for name in dict.fromkeys(name for row in names.values() for name in row.values()):
        say(f"loading {name}")
        loaded[name] = medenh.load_model(name)
    pairs = [_degrade(sample, folder, seed=seed, say=say) for sample in samples]
    scores: dict[str, dict[str, Scores]] = {}
    shown: list[Image] = []
    model_seconds: dict[str, float] = {}
    for row, by_image in names.items():
        scores[row], model_seconds[row], shown = {}, 0.0, []
        for pair in pairs:
            name = by_image[pair.sample.key]
            say(f"{name}: {pair.sample.title}")
            begun = time.perf_counter()
            enhanced = loaded[name].enhance(pair.degraded)
            model_seconds[row] += time.perf_counter() - begun
            _write(enhanced, folder / "enhanced" / row, pair.sample)
            scores[row][pair.sample.key] = _score(enhanced, pair.original)
            shown.append(enhanced)
    result = DemoResult(
        seed=seed,
        output=folder,
        page=folder / PAGE,
        scores=scores,
        model_seconds=model_seconds,
        trained=names.get(TRAINED, {}),
        records={pair.sample.key: pair.record for pair in pairs},
        seconds=time.perf_counter() - started,
    )
    say("writing the page")
    _write_page(result, pairs, shown, {n: _made_by(m) for n, m in loaded.items()})
    return replace(result, seconds=time.perf_counter() - started)


def _models_of(row: str, samples: Sequence[Sample]) -> dict[str, str]:
    """Return the model behind a row, for each image."""
    return {one.key: one.model if row == TRAINED else row for one in samples}


def _degrade(
    sample: Sample, folder: Path, *, seed: int, say: Callable[[str], None]
) -> _Pair:
    """Make a sample worse, by way of a file in its own format."""
    from medenh import formats
    from medenh.degradations import degrade_image, find_recipe

    say(f"degrading {sample.title}")
    original = formats.read(sample.path)
    recipe = find_recipe(sample.recipe)
    pair = degrade_image(original, recipe, name=sample.output, seed=seed)
    path = _write(pair.low, folder / "degraded", sample)
    # a darker file would get a darker range; the scanner's range has not changed
    degraded = replace(formats.read(path), unit_range=original.unit_range)
    return _Pair(sample, original, degraded, pair.record.model_dump(by_alias=True))


def _write(image: Image, folder: Path, sample: Sample) -> Path:
    from medenh import formats

    path = folder / sample.output
    formats.write(image, path)
    return path


def _made_by(model: Any) -> Provenance:
    """Return a model's identity as the page names it."""
    card = model.card
    digest = card.weights.sha256 if card.weights is not None else ""
    return Provenance(card.id, card.version, digest)


def _in_range_of(image: Image, original: Image) -> FloatArray:
    """Return the first frame as (H, W, C) in the unit range of the original."""
    return unit_view(replace(image, unit_range=original.unit_range), 0)


def _score(enhanced: Image, original: Image) -> Scores:
    """Return all metrics of a result against the original, in the latter's range."""
    from medenh import metrics

    image, reference = _in_range_of(enhanced, original), unit_view(original, 0)
    return {
        "psnr": float(metrics.psnr(image, reference, data_range=1.0)),
        "ssim": float(metrics.ssim(image, reference, data_range=1.0)),
        "delta_e2000": float(metrics.delta_e2000(image, reference, data_range=1.0)),
    }


def _standing(result: DemoResult, shown: str) -> str:
    """Say which row has the best PSNR, and where the one that is shown stands."""
    best = max(result.scores, key=lambda model: result.mean(model, "psnr"))
    ours = f"{result.mean(shown, 'psnr'):.1f} dB"
    if best == shown:
        return f"What is shown has the best mean PSNR here, {ours}."
    ahead = sum(
        figures["psnr"] > result.scores[best][image]["psnr"]
        for image, figures in result.scores[shown].items()
    )
    return (
        f"What is shown is not the best here: {best} has "
        f"{result.mean(best, 'psnr'):.1f} dB on average, {shown} {ours}, and the "
        f"higher figure on {ahead} of {len(result.records)} images."
    )


def _write_page(
    result: DemoResult,
    pairs: Sequence[_Pair],
    shown: Sequence[Image],
    makers: Mapping[str, Provenance],
) -> None:
    """Write the page: all rows in the tables, the last one in the pictures."""
    first, last = next(iter(result.scores)), list(result.scores)[-1]
    cases = [
        Case(
            pair.sample.title,
            _in_range_of(pair.degraded, pair.original),
            _in_range_of(enhanced, pair.original),
            unit_view(pair.original, 0),
            _figures(result, pair, first, last),
        )
        for pair, enhanced in zip(pairs, shown, strict=True)
    ]
    write_report(
        result.page,
        title="medenh demo",
        note=(
            "Real images that ship with medenh's dependencies, each given a fault of "
            "its kind by a seeded recipe, then enhanced. The pictures show "
            f"{_shown(last)}. Every figure compares with the untouched original. "
            f"{_standing(result, last)} So few images show how it works, "
            "not how good it is: for that, see the model cards."
        ),
        cases=cases,
        tables=[_mean_table(result), *_image_tables(result)],
        settings=_settings(result, pairs, makers),
    )


def _shown(row: str) -> str:
    return "the trained models made for these faults" if row == TRAINED else row


def _figures(result: DemoResult, pair: _Pair, first: str, last: str) -> dict[str, str]:
    """Return "before -> after" of each metric, and what was done to the image."""
    before = result.scores[first][pair.sample.key]
    after = result.scores[last][pair.sample.key]
    digits = {"psnr": 2, "ssim": 3, "delta_e2000": 2}
    figures = {
        label: f"{before[metric]:.{digits[metric]}f} → "
        f"{after[metric]:.{digits[metric]}f}"
        for metric, label in METRICS.items()
    }
    figures["Fault"] = f"{pair.sample.fault} (recipe {pair.sample.recipe})"
    figures["Enhanced by"] = _models_of(last, [pair.sample])[pair.sample.key]
    return figures


def _mean_table(result: DemoResult) -> Table:
    rows: list[list[Value]] = [
        [
            _row_name(model),
            *(result.mean(model, metric) for metric in METRICS),
            result.model_seconds[model],
        ]
        for model in result.scores
    ]
    return Table(
        "Results",
        ["Model", *METRICS.values(), "Seconds"],
        rows,
        f"Mean over {len(result.records)} images against the originals. Higher is "
        "better for PSNR and SSIM, lower for CIEDE2000 and seconds.",
    )


def _image_tables(result: DemoResult) -> list[Table]:
    return [
        Table(
            f"{label}, each image",
            ["Model", *result.records],
            [
                [_row_name(model), *(one[metric] for one in by_image.values())]
                for model, by_image in result.scores.items()
            ],
        )
        for metric, label in METRICS.items()
    ]


def _row_name(model: str) -> str:
    return "identity (does nothing)" if model == "identity" else model


def _settings(
    result: DemoResult, pairs: Sequence[_Pair], makers: Mapping[str, Provenance]
) -> dict[str, str]:
    """Return what a reader needs to get the same numbers."""
    import platform
    from importlib.metadata import version

    from medenh.formats.files import sha256_file

    settings = {
        "command": f"medenh demo --seed {result.seed}",
        "medenh": __version__,
        "Python": platform.python_version(),
    }
    for package in ("numpy", "torch", "scikit-image", "pydicom"):
        settings[package] = version(package)
    settings["values"] = "in the unit range of the original"
    for pair in pairs:
        settings[f"recipe of {pair.sample.key}"] = pair.sample.recipe
        settings[f"SHA-256 of {pair.sample.path.name}"] = sha256_file(pair.sample.path)
    for name, maker in makers.items():
        weights = f", weights SHA-256 {maker.weights_sha256}"
        settings[f"model {name}"] = f"version {maker.version}" + (
            weights if maker.weights_sha256 else ", no weights"
        )
    return settings
