"""`medenh doctor`: what this machine has, and whether medenh can work on it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from typing import Literal

import typer

from medenh import __version__
from medenh.cli import console, options
from medenh.device import cpu_flags, cpu_has_bf16, usable_cores

__all__ = ["Finding", "examine", "register"]

# import name -> distribution, what for; all are declared dependencies
_CODECS = {
    "pylibjpeg": ("pylibjpeg", "compressed DICOM"),
    "openjpeg": ("pylibjpeg-openjpeg", "JPEG 2000 in DICOM"),
    "jpeg_ls": ("pyjpegls", "JPEG-LS in DICOM"),
    "imagecodecs": ("imagecodecs", "JPEG Lossless, TIFF codecs"),
    "isal": ("isal", "compressed NIfTI"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes
    ----------
    name : str
        What was looked at.
    state : "ok", "absent" or "broken"
        "absent" is something medenh does without; "broken" is not.
    detail : str
        What was found.
    """

    name: str
    state: Literal["ok", "absent", "broken"]
    detail: str


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("doctor")(doctor)


def doctor(json: options.Json = False) -> None:
    """Check this machine: versions, devices, codecs, cache and weights.

    Exits with 1 if something that medenh needs is broken.
    """
    findings = list(examine())
    healthy = all(finding.state != "broken" for finding in findings)
    if json:
        checks = [asdict(finding) for finding in findings]
        console.write_json({"healthy": healthy, "checks": checks})
    else:
        rows = [(f.name, f.state, f.detail) for f in findings]
        console.write_table(("what", "state", "found"), rows)
    if not healthy:
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yield the findings; a check that fails itself is a finding, not an end."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _processor,
        _torch,
        _openvino,
        _codecs,
        _cache,
        _models,
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            name = check.__name__.strip("_")
            yield Finding(name, "broken", f"{type(error).__name__}: {error}")


def _python() -> Iterator[Finding]:
    yield Finding("medenh", "ok", __version__)
    recent = sys.version_info >= (3, 11)
    yield Finding("python", "ok" if recent else "broken", platform.python_version())


def _processor() -> Iterator[Finding]:
    yield Finding("cores", "ok", f"{usable_cores()} usable of {os.cpu_count()}")
    flags = cpu_flags()
    if flags is None:
        yield Finding("bf16 on the CPU", "absent", f"not known on {sys.platform}")
        return
    found = [name for name in ("avx2", "avx512_bf16", "amx_bf16") if name in flags]
    yield Finding(
        "bf16 on the CPU",
        "ok" if cpu_has_bf16() else "absent",
        ", ".join(found) or "no vector extensions known",
    )


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding(
        "torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads"
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            memory = console.human_size(about.total_memory)
            yield Finding(f"cuda:{index}", "ok", f"{about.name}, {memory}")
    elif torch.backends.mps.is_available():
        yield Finding("mps", "ok", "Apple GPU, untested: used with --device mps alone")
    else:
        yield Finding("GPU", "absent", "the CPU will be used")


def _openvino() -> Iterator[Finding]:
    if util.find_spec("openvino") is None:
        hint = "pip install 'medenh[openvino]' makes the CPU faster"
        yield Finding("openvino", "absent", hint)
        return
    from medenh.errors import UsageError
    from medenh.pipeline.openvino_cache import import_openvino

    try:
        import_openvino()
    except UsageError as error:
        yield Finding("openvino", "broken", str(error))
    else:
        yield Finding("openvino", "ok", metadata.version("openvino"))


def _codecs() -> Iterator[Finding]:
    for module, (distribution, purpose) in _CODECS.items():
        if util.find_spec(module) is None:
            yield Finding(distribution, "broken", f"missing; needed for {purpose}")
        else:
            version = metadata.version(distribution)
            yield Finding(distribution, "ok", f"{version}, {purpose}")


def _cache() -> Iterator[Finding]:
    from medenh.errors import WeightsError
    from medenh.zoo.cache import cache_folders, writable_cache
    from medenh.zoo.fetch import is_offline

    try:
        folder = writable_cache()
    except WeightsError as error:
        yield Finding("cache", "broken", str(error))
    else:
        note = (
            "" if folder == cache_folders()[0] else " (the usual one is not writable)"
        )
        yield Finding("cache", "ok", f"{folder}{note}")
    off = is_offline()
    yield Finding("network", "absent" if off else "ok", "switched off" if off else "on")


def _models() -> Iterator[Finding]:
    from medenh.zoo.cache import find_weights, is_intact
    from medenh.zoo.manifest import load_manifest

    cards = load_manifest().cards
    here, damaged, missing = 0, [], []
    for card in cards:
        if card.weights is None:
            continue
        paths = list(find_weights(card))
        here += bool(paths)
        weights = card.weights
        damaged += [str(p) for p in paths if not is_intact(p, weights, force=True)]
        if weights.bundled and not paths:
            missing.append(card.id)
    yield Finding("models", "ok", f"{len(cards)} listed, weights of {here} here")
    if damaged:
        yield Finding("weights", "broken", f"not as hashed: {', '.join(damaged)}")
    elif missing:
        yield Finding("weights", "broken", f"not bundled: {', '.join(missing)}")
    else:
        yield Finding("weights", "ok", "all present files are as hashed")
