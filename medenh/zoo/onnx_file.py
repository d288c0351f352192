"""A model's network as an ONNX file of one size, compared with torch before it is kept.

The dynamic sizes of ONNX are not used: networks that look at the whole image compute
their statistics for the size of the export, and would be wrong at others in silence.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medenh.errors import MedenhError, OutputError, UsageError
from medenh.zoo.cache import publishing
from medenh.zoo.card import ModelCard
from medenh.zoo.load import load_network
from medenh.zoo.manifest import load_manifest

if TYPE_CHECKING:
    import torch

__all__ = ["export_onnx"]

_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_FARTHEST = 1e-4  # of the range; the bundled models are within 1e-5 [measured]


def export_onnx(
    name: str,
    path: str | Path,
    size: tuple[int, int],
    *,
    offline: bool | None = None,
) -> tuple[ModelCard, float]:
    """Write a model's network as ONNX for images of one size.

    Parameters
    ----------
    name : str
        Id or ``id@version``.
    path : path
        Name that ends in ``.onnx``. It must not exist yet.
    size : (int, int)
        Height and width in pixels.
    offline : bool, optional
        True opens no socket; taken from ``MEDENH_OFFLINE`` if not given.

    Returns
    -------
    card : ModelCard
        What was exported.
    difference : float
        Largest difference between ONNX Runtime's and torch's answer to noise, as a
        share of the range (of logits for a recogniser).

    Raises
    ------
    UsageError
        The model is unknown or has no network, the size is none it takes, the target
        is there already, or a package of the extra ``onnx`` is not installed.
    WeightsError
        Its weights cannot be had.
    MedenhError
        The network cannot be exported, or the file's answers differ from torch's.
    OutputError
        The target cannot be written.

    Notes
    -----
    The file holds one input, ``image``: float32 (1, 3, height, width) in [0, 1], RGB;
    and one output, ``enhanced``, of the same shape, or ``logits``. What else `enhance`
    does, units, copies of the largest side, black surrounds, is not in it. Its metadata
    name the model, version, licence and weights.
    """
    target = Path(path)
    card = load_manifest().resolve(name).card
    if card.weights is None:
        raise UsageError(f"{card.id} has no network to export")
    _check_size(card, size)
    if target.exists() or target.is_symlink():
        raise UsageError("exists already", path=target, hint="choose another name")
    missing = [package for package in _NEEDED if find_spec(package) is None]
    if missing:
        raise UsageError(
            f"ONNX needs {', '.join(missing)}", hint="pip install 'medenh[onnx]'"
        )
    network = load_network(card, offline=offline)
    output = "enhanced" if card.recognition is None else "logits"
    try:
        with publishing(target) as part:
            _write(network, size, part, output, _about(card, size))
            return card, _compared(network, size, part)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}", path=target
        ) from error


def _check_size(card: ModelCard, size: tuple[int, int]) -> None:
    takes = card.input
    step, least = takes.multiple_of, takes.min_size
    if min(size) >= least and not any(side % step for side in size):
        return
    least = -(-least // step) * step
    raise UsageError(
        f"{card.id} takes no {size[1]}x{size[0]} pixels: sides are at least {least}"
        + (f" and multiples of {step}" if step > 1 else "")
    )


def _about(card: ModelCard, size: tuple[int, int]) -> dict[str, str]:
    """Return what the file says of itself."""
    assert card.weights is not None
    return {
        "medenh.model": card.full_id,
        "medenh.licence": card.licence,
        "medenh.weights_sha256": card.weights.sha256,
        "medenh.input": json.dumps(
            {
                "layout": "NCHW, RGB",
                "range": [0, 1],
                "height": size[0],
                "width": size[1],
                "modalities": list(card.modalities),
            }
        ),
        "medenh.notice": "not a medical device",
    }


def _write(
    network: torch.nn.Module,
    size: tuple[int, int],
    path: Path,
    output: str,
    about: dict[str, str],
) -> None:
    import torch

    with _quiet(), torch.inference_mode():
        try:
            program = torch.onnx.export(
                network,
                (torch.rand(1, 3, *size),),
                input_names=["image"],
                output_names=[output],
                dynamo=True,
                verbose=False,
            )
        except OSError:
            raise
        except Exception as error:  # torch's own, of many kinds
            reason = " ".join(str(error).split())[:300]
            raise MedenhError(f"torch cannot export it to ONNX: {reason}") from error
    assert program is not None
    model = program.model
    for graph in (model.graph, *(f.graph for f in model.functions.values())):
        for node in graph.all_nodes():  # lines of source files, with their folders
            node.metadata_props.clear()
            node.doc_string = None
    model.metadata_props.clear()
    model.metadata_props.update(about)
    program.save(str(path))


def _compared(network: torch.nn.Module, size: tuple[int, int], path: Path) -> float:
    """Return the largest difference to torch; refuse a file that is another network."""
    import numpy as np
    import onnxruntime
    import torch

    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = network(image).numpy()
    session = onnxruntime.InferenceSession(
        path.read_bytes(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"image": image.numpy()})
    scale = max(1.0, float(np.abs(wanted).max()))
    difference = float(np.abs(found - wanted).max()) / scale
    if not difference <= _FARTHEST:  # NaN, too
        raise MedenhError(
            f"ONNX Runtime's answer is {difference:.2g} from torch's: nothing is kept"
        )
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on itself from the user."""
    log: Any = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
