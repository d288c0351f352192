"""A network run by OpenVINO: converted once, kept on disk, loaded without torch.

Numbers must not depend on the host: the precision is always given, one inference runs
on one thread wherever the sum of a whole image enters it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from medenh.device import Precision, cpu_has_bf16, num_threads
from medenh.errors import UsageError, spelled
from medenh.pipeline.openvino_cache import (
    cache_folder,
    cache_key,
    goes_whole,
    import_openvino,
    joined,
    load_parts,
    pad_to_multiple,
    pooled_for,
    read_folders,
)
from medenh.pipeline.reference import Reference, read_reference, reference_hash
from medenh.types import FloatArray

if TYPE_CHECKING:
    import torch

    from medenh.zoo.manifest import ModelCard

__all__ = ["OpenVinoRunner"]

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_UNANSWERED = 0x7FC0DEAD  # a NaN that no arithmetic gives
_SAMPLED = 256  # numbers between two that are looked at: four a page of memory
_ALONE_FROM = 1 << 20  # pixels; from here all threads share one image whatever else

# without room for its buffers OpenVINO may end in silence, the last answer in place
_SILENT = "OpenVINO gave no answer"
# kernels kept for sizes met before; OpenVINO's own 5,000 grow to 600 MB a network
_KEPT_KERNELS = 256
_MOST_SPOILT = 4  # they keep their memory; what fails oftener fails for good


class OpenVinoRunner:
    """A network, run by OpenVINO on the CPU.

    Parameters
    ----------
    parts : dict of str to openvino.Model
        "whole", or "condition" and "local", or all three, see `goes_whole`.
    precision : "fp32" or "bf16"
    multiple_of : int
        Frames are padded to it, as the network itself would.
    global_ops : bool
        True where the order of a sum over the image enters: threads would show.
    tiled : bool
        True where the part "local" takes tiles: then it has no such sum, and the
        condition is one of the picture without padding.
    """

    engine = "openvino"
    batches = False

    def __init__(
        self,
        parts: dict[str, Any],
        precision: Precision,
        *,
        multiple_of: int = 1,
        global_ops: bool = True,
        tiled: bool = True,
    ) -> None:
        if precision == "bf16" and not cpu_has_bf16():
            raise UsageError(
                "this CPU has no bf16, and OpenVINO does not emulate it",
                hint=f"use {spelled(precision='fp32', engine='torch')}",
            )
        self.precision = precision
        self.workers = num_threads()
        self.has_condition = "local" in parts
        self._parts = parts
        self._multiple = multiple_of
        self._tiled = self.has_condition and tiled
        self._global = global_ops and not self._tiled
        self._begin()
        _living.add(self)

    def _begin(self) -> None:
        """Make all that has to do with threads; nothing is compiled yet."""
        self._core: Any = None
        self._lock = threading.Lock()
        self._alone = threading.Lock()
        # each with its idle requests; a thread's own would be taken apart at its end,
        # in OpenVINO's code, and that aborts a process that ends at the same time
        self._compiled: dict[tuple[str, str, bool], tuple[Any, list[Any]]] = {}
        self._compiling: dict[tuple[str, str, bool], threading.Lock] = {}
        self._spoilt: list[Any] = []  # OpenVINO crashes when these are taken apart

    def begin_again(self) -> None:
        """In the child of a fork: compile anew, on threads that are there.

        OpenVINO is not asked for anything before the model is used: most children of
        a program have no use for it, and another thread's work may have locked it.
        What the parent compiled waits for the parent's threads when it is taken apart,
        for ever, and the end of the process takes apart what it can reach: one
        reference more than Python knows of keeps it.
        """
        _keep(vars(self).copy())
        self._begin()

    @classmethod
    def of_card(
        cls,
        card: ModelCard,
        precision: Precision,
        *,
        offline: bool = False,
        reference: Reference | None = None,
    ) -> OpenVinoRunner:
        """Return a runner of a model of the zoo, converted or from the cache.

        Parameters
        ----------
        card : ModelCard
        precision : "fp32" or "bf16"
        offline : bool
            Never open a connection.
        reference : Path, Image or array, optional
            Picture that guides the network; each has a converted model of its own.

        Raises
        ------
        WeightsError
            The weights cannot be had.
        UnconvertibleError
            OpenVINO cannot run this network.
        """
        from medenh.zoo.fetch import weights_path
        from medenh.zoo.load import follow_reference, load_network

        weights_path(card, offline=offline or None)
        key = cache_key(card)
        if reference is not None:
            key += f"-{reference_hash(reference)}"

        def load() -> torch.nn.Module:
            network = load_network(card, offline=offline or None)
            if reference is not None:
                follow_reference(network, read_reference(reference))
            return network

        parts = load_parts(
            cache_folder(),
            key,
            load,
            multiple_of=card.input.multiple_of,
            others=read_folders(),
        )
        return cls(
            parts,
            precision,
            multiple_of=card.input.multiple_of,
            global_ops=card.global_ops,
            tiled=card.receptive_field is not None,
        )

    def condition(self, batch: FloatArray) -> Any:
        """Return the network's statistics of whole images, or None; always float32."""
        if not self.has_condition:
            return None
        seen = self._seen(batch)
        conditions = [
            self._infer("condition", "fp32", [seen[index : index + 1]], alone=False)
            for index in range(seen.shape[0])
        ]
        return np.concatenate(conditions)

    def typical(self, conditions: Sequence[Any]) -> Any:
        """Return the median of conditions, element by element."""
        return np.median(np.stack(conditions), axis=0).astype(np.float32)

    def run(
        self, batch: FloatArray, condition: Any = None, *, alone: bool = False
    ) -> FloatArray:
        """Return the enhanced batch, one image after the other."""
        pixels = batch.shape[2] * batch.shape[3]
        if self._global:
            # the number of threads may follow from the image, never from the company
            alone = pixels >= _ALONE_FROM
        alone = alone and self.workers > 1
        answers = [
            self._one(batch[index : index + 1], condition, alone=alone)
            for index in range(batch.shape[0])
        ]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def _one(self, x: FloatArray, condition: Any, *, alone: bool) -> FloatArray:
        height, width = x.shape[2:]
        inputs = [pad_to_multiple(x, self._multiple)]
        name = "whole"
        if not self.has_condition:
            pass
        elif condition is None and goes_whole(self._parts, height, width):
            alone = False  # threads would change the order of its sums
        else:
            name = "joined"
            of_whole = x if self._tiled else inputs[0]
            # a condition is always one of float32, and of a single thread
            if condition is None and self.precision == "fp32" and not alone:
                inputs.append(self._seen(of_whole))
            else:
                name = "local"
                if condition is None:
                    self._compile_beside(name, alone=alone)
                    condition = self.condition(of_whole)
                inputs.append(condition)
        answer = self._infer(name, self.precision, inputs, alone=alone)
        if answer.shape != inputs[0].shape:
            raise MemoryError(_SILENT)
        return answer[:, :, :height, :width]

    def _seen(self, batch: FloatArray) -> FloatArray:
        """Return what the part "condition" takes of whole images."""
        return pooled_for(self._parts["condition"], batch)

    def _infer(
        self, name: str, precision: str, inputs: list[FloatArray], *, alone: bool
    ) -> FloatArray:
        if alone:
            with self._alone:
                return self._call(name, precision, True, inputs)
        return self._call(name, precision, False, inputs)

    def _call(
        self, name: str, precision: str, alone: bool, inputs: list[FloatArray]
    ) -> FloatArray:
        key = (name, precision, alone)
        arrays = [np.ascontiguousarray(array) for array in inputs]
        compiled = self._compiled.get(key) or self._compile(*key)
        network, idle = compiled
        try:
            request = idle.pop()
        except IndexError:
            request = network.create_infer_request()
        try:
            _numbers_of(request)[::_SAMPLED] = _UNANSWERED
            request.infer(
                dict(enumerate(arrays)), share_inputs=True, share_outputs=True
            )
            # the request's memory is used again by the next image
            answer = np.array(request.get_output_tensor(0).data, np.float32)
            sample = answer.reshape(-1).view(np.uint32)[::_SAMPLED]
            if not sample.size or (sample == _UNANSWERED).any():
                raise MemoryError(_SILENT)
        except BaseException:
            # it would give no answer any more, and others of what was compiled may
            # crash: all threads go on with what is compiled anew
            with self._lock:
                if len(self._spoilt) < _MOST_SPOILT:
                    self._spoilt.append((request, compiled))
                    if self._compiled.get(key) is compiled:
                        del self._compiled[key]
                else:
                    idle.append(request)
            raise
        if len(idle) < self.workers:  # each holds its last answer
            idle.append(request)
        return answer

    def _compile_beside(self, name: str, *, alone: bool) -> None:
        """Begin to compile a part while the one before it compiles and runs."""
        key = (name, self.precision, alone)
        with self._lock:
            if self.workers == 1 or key in self._compiling:
                return
            self._compiling[key] = threading.Lock()
        beside = ThreadPoolExecutor(1)
        # a failure is met again, and told, where the part is needed
        beside.submit(self._compile, *key)
        beside.shutdown(wait=False)

    def _compile(self, name: str, precision: str, alone: bool) -> tuple[Any, list[Any]]:
        key = (name, precision, alone)
        with self._lock:
            turn = self._compiling.setdefault(key, threading.Lock())
        with turn:
            made = self._compiled.get(key)
            if made is None:
                with self._lock:
                    self._core = core = self._core or _new_core()
                config = {
                    "INFERENCE_PRECISION_HINT": _HINTS[precision],
                    "NUM_STREAMS": 1 if alone else self.workers,
                    "INFERENCE_NUM_THREADS": self.workers,
                    # pinned threads of several processes would share the first cores,
                    # and a fork at the moment of pinning makes the child's end hang
                    "ENABLE_CPU_PINNING": False,
                }
                is_joined = name == "joined"
                part = joined(self._parts) if is_joined else self._parts[name]
                made = core.compile_model(part, "CPU", config), []
                self._compiled[key] = made
                _keep_first_of_child(made)
            return made

    def exact(self) -> OpenVinoRunner:
        """Return the same network in float32."""
        if self.precision == "fp32":
            return self
        return OpenVinoRunner(
            self._parts,
            "fp32",
            multiple_of=self._multiple,
            global_ops=self._global,
            tiled=self._tiled,
        )


def _new_core() -> Any:
    core = import_openvino().Core()
    with contextlib.suppress(RuntimeError):  # not one of its documented settings
        core.set_property("CPU", {"CPU_RUNTIME_CACHE_CAPACITY": _KEPT_KERNELS})
    return core


def _numbers_of(request: Any) -> Any:
    """Return the bits of the answer that a request holds; empty if it holds none."""
    tensor = request.get_output_tensor(0)
    numbers = np.empty(0, np.float32) if not tensor.size else tensor.data
    return numbers.reshape(-1).view(np.uint32)


_living: weakref.WeakSet[OpenVinoRunner] = weakref.WeakSet()
_nothing_kept_in_child = False


def _after_fork() -> None:
    global _nothing_kept_in_child
    _nothing_kept_in_child = True
    for runner in list(_living):
        runner.begin_again()


def _keep_first_of_child(compiled: object) -> None:
    """In the child of a fork: keep the first model that it compiles to its end.

    Without any, the end of the process takes TBB apart, whose threads are the parent's.
    """
    global _nothing_kept_in_child
    if _nothing_kept_in_child:
        _keep(compiled)
        _nothing_kept_in_child = False


def _keep(thing: object) -> None:
    """Let nothing take it apart, the end of the process included."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
