"""Networks converted for OpenVINO: made from torch once, proved, kept on disk.

OpenVINO's telemetry package is kept from loading: nothing is sent anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medenh.errors import UsageError, WeightsError, is_out_of_memory, spelled
from medenh.hashing import sha256_file
from medenh.scratch import scratch_folder
from medenh.types import FloatArray

if TYPE_CHECKING:
    import torch

    from medenh.zoo.manifest import ModelCard

__all__ = [
    "UnconvertibleError",
    "cache_folder",
    "cache_key",
    "goes_whole",
    "import_openvino",
    "joined",
    "load_parts",
    "pad_to_multiple",
    "pooled_for",
    "read_folders",
]

_log = logging.getLogger(__name__)
_importing = threading.Lock()
# torch's tracer and Python's list of warning filters are one for all threads
_converting = threading.Lock()

_TOLERANCE = 1e-3  # between torch and the converted network, in [0, 1]
_EXAMPLE = (96, 128)
_MOST_KEPT = 32  # some 10 MB each
_ROOM = ".medenh-"
_LONGEST = ["medenh", "longest_whole"]  # where a part says to what side it is exact
# other sizes: what tracing froze shows here, and padding unlike ours
_PROOFS = ((160, 64), (75, 101))


class UnconvertibleError(Exception):
    """OpenVINO cannot convert the network, or converts it wrongly."""


def import_openvino() -> Any:
    """Return the openvino module, imported without its telemetry package.

    Raises
    ------
    UsageError
        It is installed, and cannot be loaded.

    Notes
    -----
    OpenVINO 2026.4 hung once where two threads were the first to look at a tensor's
    numbers at the same time: its link to NumPy is made then, under a lock that one
    thread waits for while it keeps the interpreter from the other. One looks here.
    """
    with _importing:
        # None makes the import fail, and openvino then takes its own empty stand-in
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        try:
            import openvino

            _ = openvino.Tensor(np.zeros(1, np.float32)).data
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UsageError(
                f"OpenVINO is installed, but cannot be loaded: {error}",
                hint=f"install it again, or use {spelled(engine='torch')}",
            ) from error
    return openvino


def cache_key(card: ModelCard) -> str:
    """Return a name for a converted model: anything that could change it enters."""
    digest = hashlib.sha256()
    sha256 = card.weights.sha256 if card.weights is not None else ""
    contract = [card.architecture, card.preset, card.options, card.input.multiple_of]
    digest.update(json.dumps([sha256, *contract], sort_keys=True).encode())
    digest.update(_openvino_version().encode())
    digest.update(_network_code())
    return f"{sha256[:12]}-{digest.hexdigest()[:12]}"


def _openvino_version() -> str:
    from importlib.metadata import version

    return version("openvino")


@cache
def _network_code() -> bytes:
    """Return a hash of the source of networks and conversion: other, other model."""
    from importlib.util import find_spec

    spec = find_spec("medenh.models")
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


def cache_folder() -> Path | None:
    """Return where converted models are kept, or None where nothing can be."""
    from medenh.zoo.cache import writable_cache

    try:
        return writable_cache() / "openvino"
    except WeightsError:
        return None


def read_folders() -> list[Path]:
    """Return where converted models may lie, those that cannot be written among them.

    A cache that was filled in advance may be for reading only.
    """
    from medenh.zoo.cache import cache_folders

    return [folder / "openvino" for folder in cache_folders()]


@cache
def _tell_once() -> None:
    _log.warning(
        "no cache folder can be written: models are converted anew in every process; "
        "set MEDENH_CACHE to a folder of yours"
    )


def load_parts(
    folder: Path | None,
    key: str,
    network: Callable[[], torch.nn.Module],
    *,
    multiple_of: int = 1,
    others: Sequence[Path] = (),
) -> dict[str, Any]:
    """Return a network's converted parts, from the folder or made and put there.

    Threads that want a network for the first time wait for the one that converts it.

    Parameters
    ----------
    folder : path or None
        Cache; None keeps nothing.
    key : str
        Name of the network in it.
    network : callable
        Gives the network; called only where the cache has nothing sound.
    multiple_of : int
        Images are padded to it before they enter the network.
    others : sequence of path
        Folders that are read too.

    Raises
    ------
    UnconvertibleError
        OpenVINO cannot convert it, or what it makes differs.
    """
    places = list(dict.fromkeys([*([] if folder is None else [folder]), *others]))
    if (found := _find_parts(places, key)) is not None:
        return found
    with _converting:
        if (found := _find_parts(places, key)) is not None:  # while this one waited
            return found
        if folder is None:
            _tell_once()
        parts = _convert(network(), multiple_of)
        return _through_files(folder, key, parts) or parts


def _find_parts(folders: Sequence[Path], key: str) -> dict[str, Any] | None:
    found = (_read_parts(folder, key) for folder in folders)
    return next((parts for parts in found if parts is not None), None)


def _read_parts(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the kept parts if every file is as it was written."""
    try:
        index = json.loads((folder / f"{key}.json").read_text("utf-8"))
        for name, sha256 in index["files"].items():
            if sha256_file(folder / name) != sha256:
                return None
        core = import_openvino().Core()
        parts = {
            part: core.read_model(folder / f"{key}-{part}.xml")
            for part in index["parts"]
        }
        _note_use(folder / f"{key}.json")
        return parts
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever a damaged file provokes: make it anew
        _log.info("kept model %s is damaged (%s) and made anew", key, error)
        return None


def _through_files(
    folder: Path | None, key: str, parts: dict[str, Any]
) -> dict[str, Any] | None:
    """Return converted parts as the next run will read them; None if nothing is kept.

    OpenVINO rounds what was never written in another way than what it has read: the
    first run of a model would differ from all others in its last digits.
    """
    try:
        if folder is not None:
            _keep_parts(folder, key, parts)
            return _read_parts(folder, key)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            _keep_parts(Path(scratch), key, parts)
            return _read_parts(Path(scratch), key)
    except (OSError, RuntimeError) as error:  # OpenVINO's own of a full disk
        _log.info("converted model is not kept: %s", error)
        return None


def _keep_parts(folder: Path, key: str, parts: dict[str, Any]) -> None:
    openvino = import_openvino()
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    with scratch_folder(folder, _ROOM) as scratch:
        made = scratch / "made"
        made.mkdir()
        for part, model in parts.items():
            openvino.save_model(
                model, made / f"{key}-{part}.xml", compress_to_fp16=False
            )
        index = scratch / f"{key}.json"
        for path in sorted(made.iterdir()):
            files[path.name] = sha256_file(path)
        for name in files:
            (made / name).replace(folder / name)
        # the index comes last: without it the rest does not count
        index.write_text(json.dumps({"parts": sorted(parts), "files": files}), "utf-8")
        index.replace(folder / index.name)
    _prune(folder)


def _note_use(index: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that others own may be read
        index.touch()


def _prune(folder: Path) -> None:
    """Delete what was used longest ago: other versions' models, other references'."""
    with contextlib.suppress(OSError):
        used = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for index in used[:-_MOST_KEPT]:
            names = _files_of(index)
            # without its index a model does not count; who wants it makes it anew
            index.unlink(missing_ok=True)
            for name in names:
                (folder / name).unlink(missing_ok=True)


def _files_of(index: Path) -> list[str]:
    """Return the names of a kept model's files; none that leads elsewhere."""
    try:
        names = json.loads(index.read_text("utf-8"))["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    if not isinstance(names, dict):
        return []
    return [name for name in names if Path(name).name == name]


def _convert(network: torch.nn.Module, multiple_of: int) -> dict[str, Any]:
    """Convert a network and prove the result against torch at other sizes."""
    import torch

    from medenh.models.inference import for_inference, undisturbed

    network = network.eval()
    with undisturbed():
        channels = _channels(network)
        running = for_inference(network)
        example = _noise(channels, _EXAMPLE, seed=0)
        with torch.no_grad(), warnings.catch_warnings():
            # the tracer warns of branches on the size; the proof below covers them.
            # For seconds all threads are silent; filters of our own that stayed would
            # be the caller's for good
            warnings.simplefilter("ignore")
            parts = _trace(running, example)
        _prove(network, parts, channels, multiple_of)
    return parts


def _of_fixed_shapes(parts: dict[str, Any], channels: int) -> dict[str, Any]:
    """Tell the parts all that stays of their inputs' shapes: OpenVINO runs faster.

    Pictures come one by one. A part that pools its picture first, and sees that alone,
    begins with the thumbnail, see `pooled_for`: all after it is of one size then, and
    OpenVINO's own pooling is slow.

    Notes
    -----
    [measured] `fast-general` 6 at 512x512 on a core: 17.4 ms before, 16.0 with this.
    """
    shape = [1, channels, -1, -1]
    if "whole" in parts:
        parts["whole"].reshape(shape)
    if "condition" not in parts:
        return parts
    condition, local = parts["condition"], parts["local"]
    condition.reshape([*shape[:2], *_left_out_pooling(condition)])
    picture, found = local.inputs
    known = condition.output(0).partial_shape
    local.reshape({picture: shape, found: known})
    return parts


def _left_out_pooling(part: Any) -> list[int]:
    """Take the pooling away with which a part begins; the size that it takes then."""
    picture = part.input(0).get_node()
    takers = [taker.get_node() for taker in picture.output(0).get_target_inputs()]
    if [taker.get_type_name() for taker in takers] == ["AdaptiveAvgPool"]:
        size = takers[0].input_value(1).get_node()
        if size.get_type_name() == "Constant":
            takers[0].output(0).replace(picture.output(0))
            return [int(length) for length in size.data]
    return [-1, -1]


def _prove(
    network: torch.nn.Module, parts: dict[str, Any], channels: int, multiple_of: int
) -> None:
    """Compare converted parts with the network at other sizes."""
    import torch

    # smaller pictures than twice the multiple never come: a card's least size
    least = 2 * multiple_of
    tiled = getattr(network, "receptive_field", None) is not None
    sizes = [[n if n >= least else n + least for n in size] for size in _PROOFS]
    for seed, size in enumerate(sizes, start=1):
        proof = _noise(channels, size, seed=seed)
        with torch.inference_mode():
            expected = network(proof).numpy()
        try:
            answers = _run(parts, proof.numpy(), multiple_of, tiled=tiled)
        except RuntimeError as error:
            raise UnconvertibleError("it does not run at another size") from error
        difference = float(max(np.abs(one - expected).max() for one in answers))
        if not difference <= _TOLERANCE:
            raise UnconvertibleError(f"it differs by {difference:.2g} once converted")


def _noise(channels: int, size: Sequence[int], *, seed: int) -> torch.Tensor:
    """Return a float32 picture of noise, whatever torch's default type is."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shape = (1, channels, *size)
    return torch.rand(shape, generator=generator, dtype=torch.float32)


def _run(
    parts: dict[str, Any], x: FloatArray, multiple_of: int, *, tiled: bool
) -> list[FloatArray]:
    """Run the parts once each way, in float32, as `OpenVinoRunner` does."""
    core = import_openvino().Core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    call = {name: core.compile_model(part, "CPU", hint) for name, part in parts.items()}
    height, width = x.shape[2:]
    padded = pad_to_multiple(x, multiple_of)
    answers = []
    if "condition" in call:
        seen = pooled_for(parts["condition"], x if tiled else padded)
        answers.append(call["local"]([padded, call["condition"]([seen])[0]])[0])
    if not answers or goes_whole(parts, height, width):
        answers.append(call["whole"]([padded])[0])
    return [np.asarray(one, np.float32)[:, :, :height, :width] for one in answers]


def pad_to_multiple(x: FloatArray, multiple: int) -> FloatArray:
    """Mirror the bottom and right edge of (B, C, H, W) up to a multiple."""
    bottom, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    if not (bottom or right):
        return x
    fits = bottom < x.shape[2] and right < x.shape[3]
    widths = ((0, 0), (0, 0), (0, bottom), (0, right))
    return np.pad(x, widths, mode="reflect" if fits else "edge")


def goes_whole(parts: dict[str, Any], height: int, width: int) -> bool:
    """Tell whether one pass does for a picture where a condition is to be had, too.

    A network with the attribute ``statistics_side`` has the part "whole" beside
    "condition" and "local", for pictures up to that side: half of their work.
    """
    whole = parts.get("whole")
    return whole is not None and max(height, width) <= int(
        whole.get_rt_info(_LONGEST).value
    )


def joined(parts: dict[str, Any]) -> Any:
    """Return the parts "condition" and "local" as one model, for whole pictures.

    Its inputs are the picture and what `pooled_for` makes of it for the condition.

    Notes
    -----
    Each inference is handed to a thread of OpenVINO's and back, and of two models each
    has threads of its own: as one, no core waits in between. [measured] `fast-general`
    7 at 512x512 on two cores, two pictures at a time: 99 images/s before.
    """
    from openvino import Model

    condition, local = (parts[name].clone() for name in ("condition", "local"))
    picture, found = (port.get_node() for port in local.inputs)
    answer = condition.output(0).get_node().input_value(0)
    found.output(0).replace(answer)
    return Model(local.get_results(), [picture, condition.input(0).get_node()])


def pooled_for(part: Any, x: FloatArray) -> FloatArray:
    """Return the picture as a part takes it: pooled, where that has a fixed size.

    Parameters
    ----------
    part : openvino.Model
    x : float32 array, shape (B, C, H, W)

    Returns
    -------
    float32 array, shape (B, C, h, w)
        Each value the mean of its part of the picture, as torch's adaptive pooling has
        it: where sizes are no multiples, such parts overlap by a pixel.
    """
    height, width = part.input(0).partial_shape[2], part.input(0).partial_shape[3]
    if height.is_dynamic or width.is_dynamic:
        return x
    size = height.get_length(), width.get_length()
    if x.shape[2] % size[0] == 0 and x.shape[3] % size[1] == 0:
        return _block_means(x, size)
    rows = _mean_rows(x, size[0])
    columns = _mean_rows(rows.swapaxes(2, 3).copy(), size[1])
    return columns.swapaxes(2, 3)


def _block_means(x: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Return what `_mean_rows` finds each way, where blocks of pixels are whole."""
    from medenh.opencv import cv2

    planes = [
        cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)
        for plane in x.reshape(-1, *x.shape[2:])
    ]
    return np.stack(planes).reshape(*x.shape[:2], *size)


def _mean_rows(x: FloatArray, count: int) -> FloatArray:
    """Return (B, C, count, W): means of ``count`` bands of rows of (B, C, H, W)."""
    edges = np.arange(count + 1) * x.shape[2]
    first, last = edges[:-1] // count, -(-edges[1:] // count)
    out = np.empty((*x.shape[:2], count, x.shape[3]), np.float32)
    for index, (top, bottom) in enumerate(zip(first, last, strict=True)):
        np.add.reduce(x[:, :, top:bottom], axis=2, out=out[:, :, index])
    out /= (last - first).astype(np.float32)[:, None]
    return out


def _channels(network: torch.nn.Module) -> int:
    """Return how many channels the network takes, told from its weights."""
    import torch

    for channels in (3, 1):
        try:
            with torch.inference_mode():
                network(_noise(channels, _EXAMPLE, seed=0))
        except RuntimeError:
            continue
        return channels
    raise UnconvertibleError("it takes neither 1 nor 3 channels")


def _shuffles() -> list[Any]:
    """Return how torch's pixel shuffles are told: as the one operation that they are.

    As a reshape, a transposition and a reshape, which a model for every size keeps,
    they cost an eighth of `fast-general`'s time; the numbers are the same.
    """
    from openvino import opset13
    from openvino.frontend.pytorch import ConversionExtension

    def as_one(operation: Any) -> Any:
        def told(node: Any) -> Any:
            side = int(node.get_values_from_const_input(1))
            return operation(node.get_input(0), "depth_first", side).outputs()

        return told

    return [
        ConversionExtension("aten::pixel_shuffle", as_one(opset13.depth_to_space)),
        ConversionExtension("aten::pixel_unshuffle", as_one(opset13.space_to_depth)),
    ]


def _trace(network: torch.nn.Module, example: torch.Tensor) -> dict[str, Any]:
    import torch

    convert = partial(import_openvino().convert_model, extension=_shuffles())
    part: Any = network

    class Part(torch.nn.Module):
        def __init__(self, method: str) -> None:
            super().__init__()
            self.network = network
            self.method = method

        def forward(self, *inputs: torch.Tensor) -> Any:
            return getattr(self.network, self.method)(*inputs)

    try:
        if not (hasattr(network, "condition") and hasattr(network, "local")):
            whole = convert(network, example_input=example)
            return _of_fixed_shapes({"whole": whole}, example.shape[1])
        condition = part.condition(example)
        if not isinstance(condition, torch.Tensor):
            raise UnconvertibleError("its condition is not a single tensor")
        parts = {
            "condition": convert(Part("condition"), example_input=example),
            "local": convert(Part("local"), example_input=(example, condition)),
        }
        longest = getattr(network, "statistics_side", 0)
        if longest >= max(_EXAMPLE):  # then the tracer sees the path of one pass
            parts["whole"] = convert(network, example_input=example)
            parts["whole"].set_rt_info(longest, _LONGEST)
        return _of_fixed_shapes(parts, example.shape[1])
    except UnconvertibleError:
        raise
    except Exception as error:  # the converter raises anything
        raise UnconvertibleError(str(error).splitlines()[0][:200]) from error
