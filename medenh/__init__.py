"""Make low-quality medical images better, and keep every pixel's meaning.

Importing medenh is cheap: torch, OpenCV, pydicom and nibabel are loaded by the
functions that need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "EnhanceOptions",
    "Image",
    "MedenhError",
    "Modality",
    "Model",
    "Summary",
    "__version__",
    "degrade",
    "enhance",
    "evaluate",
    "evaluate_protocol",
    "list_models",
    "load_model",
    "read",
    "write",
]

if TYPE_CHECKING:
    from medenh import classical as classical
    from medenh import degradations as degradations
    from medenh import errors as errors
    from medenh import evaluation as evaluation
    from medenh import formats as formats
    from medenh import losses as losses
    from medenh import metrics as metrics
    from medenh import modality as modality
    from medenh import models as models
    from medenh import publishing as publishing
    from medenh import tasks as tasks
    from medenh import training as training
    from medenh import types as types
    from medenh import zoo as zoo
    from medenh.degradations import degrade
    from medenh.errors import MedenhError
    from medenh.evaluation.api import evaluate, evaluate_protocol
    from medenh.formats import read, write
    from medenh.pipeline.enhance import enhance
    from medenh.pipeline.model import Model, list_models, load_model
    from medenh.pipeline.options import EnhanceOptions
    from medenh.pipeline.results import Summary
    from medenh.types import Image, Modality

_HOMES = {
    "EnhanceOptions": "medenh.pipeline.options",
    "Image": "medenh.types",
    "MedenhError": "medenh.errors",
    "Modality": "medenh.types",
    "Model": "medenh.pipeline.model",
    "Summary": "medenh.pipeline.results",
    "degrade": "medenh.degradations",
    "enhance": "medenh.pipeline.enhance",
    "evaluate": "medenh.evaluation.api",
    "evaluate_protocol": "medenh.evaluation.api",
    "list_models": "medenh.pipeline.model",
    "load_model": "medenh.pipeline.model",
    "read": "medenh.formats",
    "write": "medenh.formats",
}
_ROOMS = (
    "classical",
    "degradations",
    "errors",
    "evaluation",
    "formats",
    "losses",
    "metrics",
    "modality",
    "models",
    "publishing",
    "tasks",
    "training",
    "types",
    "zoo",
)


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f"medenh.{name}")
    raise AttributeError(f"module 'medenh' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
