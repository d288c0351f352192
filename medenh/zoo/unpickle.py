"""Turn a checkpoint into safetensors, in a process of its own; run as a script.

``python unpickle.py SOURCE TARGET [KEY]...`` takes the state dict under the first key
that is there, or the whole file. It answers on stdout: nothing, or what is wrong.
Nothing of medenh is imported, and nothing but tensors is built.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

_MAX_ELEMENTS = 2**31  # 8 GB in float32: a few bytes of file can promise any size


def _tensors(found: Any, keys: list[str]) -> dict[str, Any]:
    """Return the state dict of a checkpoint.

    Raises
    ------
    ValueError
        There is none, or it is too large; the message says what is wrong.
    """
    import torch

    if not isinstance(found, dict):
        raise ValueError("it holds no state dict")
    state = next((found[key] for key in keys if key in found), found)
    if not isinstance(state, dict) or not state:
        raise ValueError("it holds no state dict")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"{str(key)[:100]} is no tensor")
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"{key[:100]} is no plain tensor")
    if sum(value.numel() for value in state.values()) > _MAX_ELEMENTS:
        raise ValueError("its tensors are beyond 2^31 numbers")
    # safetensors refuses tensors that share memory
    return {k: v.detach().contiguous().clone() for k, v in state.items()}


def main(source: str, target: str, keys: list[str]) -> str:
    """Do it; return what is wrong, or an empty string."""
    import safetensors.torch
    import torch

    warnings.simplefilter("ignore")
    try:
        with Path(source).open("rb") as file:
            if not file.read(4).startswith((b"PK\x03\x04", b"\x80")):
                return "it is no checkpoint of PyTorch"
        found = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return "it holds more than tensors and is not opened: it could run code"
    except Exception as error:  # a damaged file raises anything
        return f"not readable as a checkpoint: {error}"
    try:
        safetensors.torch.save_file(_tensors(found, keys), target)
    except Exception as error:
        return str(error)
    return ""


if __name__ == "__main__":
    complaint = main(sys.argv[1], sys.argv[2], sys.argv[3:])
    sys.stdout.write(complaint)
    sys.exit(bool(complaint))
