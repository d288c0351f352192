"""`medenh demo`: see it work on images that are already on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medenh.cli.console import stderr_console, write, write_json, write_table
from medenh.cli.options import Json, Quiet, Seed, named_folder

if TYPE_CHECKING:
    from medenh.reports.demo import DemoResult

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("demo")(_demo)


def _demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the images and the page.",
            parser=named_folder,
            metavar="PATH",
        ),
    ] = Path("medenh-demo"),
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Degrade four real images, enhance them, score the results and write a page.

    The images are parts of installed packages; nothing is downloaded.
    """
    from medenh.reports.demo import run_demo

    console = stderr_console(quiet=quiet)
    with console.status("starting") as status:
        result = run_demo(output, seed=seed, say=status.update)
    if as_json:
        write_json(result.to_json())
        return
    _write_rows(result)
    if result.trained:  # what the last row stands for is data, too
        made_for = (f"{model} ({key})" for key, model in result.trained.items())
        write(f"trained: {', '.join(made_for)}")
    console.print(
        f"Means over {len(result.records)} images against the originals, then the "
        "PSNR of each. Not a medical device; for research.",
        soft_wrap=True,
    )
    write(f"Page: {result.page}")


def _write_rows(result: DemoResult) -> None:
    """Write one row a model: the means, then the PSNR of each image."""
    from medenh.reports.demo import METRICS

    headers = ["Model", *METRICS.values(), *result.records, "Seconds"]
    rows = [
        [
            model,
            f"{result.mean(model, 'psnr'):.2f}",
            f"{result.mean(model, 'ssim'):.3f}",
            f"{result.mean(model, 'delta_e2000'):.2f}",
            *(f"{scores['psnr']:.2f}" for scores in by_image.values()),
            f"{result.model_seconds[model]:.1f}",
        ]
        for model, by_image in result.scores.items()
    ]
    write_table(headers, rows)
