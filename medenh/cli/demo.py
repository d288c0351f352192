"""`medenh demo`: see it work on images that are already on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from medenh.reports.demo import DemoResult

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command("demo")(demo)


def demo(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder for the files and the page."),
    ] = Path("medenh-demo"),
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the degradation.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")
    ] = False,
) -> None:
    """Degrade four real images, enhance them, score the result, draw a page.

    The images lie inside installed packages: nothing is fetched.
    """
    from rich.console import Console

    from medenh.reports.demo import run_demo

    progress = Console(stderr=True, quiet=quiet)
    with progress.status("starting") as status:
        result = run_demo(output, seed=seed, say=status.update)
    if as_json:
        import json

        typer.echo(json.dumps(result.to_json(), indent=2))
    elif not quiet:
        console = Console()
        console.print(_table(result))
        # a path must stay one piece, to be copied or clicked
        console.print("Page:", str(result.page), soft_wrap=True, markup=False)


def _table(result: DemoResult) -> Table:
    """Return one row a model: the means, then the PSNR of each image."""
    from rich import box
    from rich.table import Table

    from medenh.reports.demo import METRICS

    images = list(result.records)
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"Means over {len(images)} images against the originals, "
        "then the PSNR of each image. Not a medical device; for research.",
        caption_justify="left",
    )
    table.add_column("Model", no_wrap=True)
    for heading in (*METRICS.values(), *images, "Seconds"):
        table.add_column(heading, justify="right")
    best = max(result.scores, key=lambda model: result.mean(model, "psnr"))
    for model, by_image in result.scores.items():
        table.add_row(
            model,
            f"{result.mean(model, 'psnr'):.2f}",
            f"{result.mean(model, 'ssim'):.3f}",
            f"{result.mean(model, 'delta_e2000'):.2f}",
            *(f"{by_image[image]['psnr']:.2f}" for image in images),
            f"{result.model_seconds[model]:.1f}",
            style="bold" if model == best else None,
        )
    return table
