"""Native decoders in a process of their own: one that crashes costs its file only.

The process is started when first needed and kept; threads that decode at the same time
get one each. It is given a function's name, words and bytes; back come the numbers of
one array, and never an object: hostile bytes may have taken that process over.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medenh.device import environment_of_one_thread, interpreter
from medenh.errors import (
    InputError,
    MedenhError,
    OutOfMemoryError,
    UnreadableError,
    not_loaded,
)
from medenh.formats.limits import TOO_SLOW, read_seconds
from medenh.formats.patience import Patience, cpu_clock_of

__all__ = ["fill", "serve"]

_TRIES = 2  # the first may have been ended for the memory of others
_PIPE_BYTES = 1 << 20
_WORDS_BYTES = 1 << 16  # most that an error says
_DYING_S = 2.0
_REQUEST = struct.Struct("<QQ")
_ANSWER = struct.Struct("<cQ")
_NUMBERS, _ERROR, _END = b"n", b"e", b"."
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from medenh.formats.isolation import serve; serve(int(sys.argv[2]))"
)
Buffer: TypeAlias = bytes | memoryview


def fill(
    target: NDArray[Any], function: str, words: dict[str, Any], data: bytes, path: Path
) -> None:
    """Fill an array with what a function in another process gives.

    Parameters
    ----------
    target : array, C-contiguous
        Filled in order.
    function : str
        "module:name" of ``function(words, data)``, which yields arrays of the target's
        type.
    words : dict
        What JSON can say.
    data : bytes
    path : path
        The file they come from, for messages.

    Raises
    ------
    InputError
        As the function raised it; `UnreadableError` where it crashes twice, or takes
        longer than `read_seconds` allows.
    OutOfMemoryError
        No process can be started, or it has no memory left.
    """
    request = json.dumps({"function": function, "words": words}).encode()
    seconds = read_seconds(len(data))
    ended = ""
    for _ in range(_TRIES):
        child = _take(path)
        try:
            problem = child.answer(request, data, target, seconds)
        except (EOFError, OSError):
            ended = child.end(patience_s=_DYING_S)
            if child.timed_out:
                raise UnreadableError(
                    f"decoding it took more than {child.timed_out}",
                    path=path,
                    hint=TOO_SLOW,
                ) from None
            continue
        except BaseException:  # Ctrl-C between a question and its answer
            child.end()
            raise
        _give_back(child)
        if problem is not None:
            raise _error(problem, path)
        return
    raise UnreadableError(
        f"its decoder crashed ({ended}), twice",
        path=path,
        hint="the file is probably damaged, or memory ran out",
    )


class _Child:
    """The process, as its parent sees it.

    Raises
    ------
    OSError
        It cannot be started.
    """

    def __init__(self) -> None:
        self.timed_out = ""
        # nothing is sent here: its end tells the child that its parent is gone
        theirs, ours = os.pipe()
        self._lifeline = os.fdopen(ours, "wb", buffering=0)
        places = json.dumps([str(place) for place in sys.path])
        posix = os.name == "posix"
        try:
            self._process = subprocess.Popen(
                # -P: what lies in the present folder is no module of ours
                [interpreter(), "-P", "-c", _START, places, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders may quote a file's values
                pass_fds=(theirs,) if posix else (),
                process_group=0 if posix else None,  # Ctrl-C is for its parent
                pipesize=_PIPE_BYTES,
                env=environment_of_one_thread(),
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            os.close(theirs)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def answer(
        self, request: bytes, data: bytes, target: NDArray[Any], seconds: float
    ) -> bytes | None:
        """Fill an array; return what is wrong instead, or None.

        Raises
        ------
        EOFError, OSError
            The process is gone, also by its time, or talks nonsense.
        """
        answered = threading.Event()
        patience = Patience(seconds, cpu_clock_of(self._process.pid))
        threading.Thread(
            target=self._watch,
            args=(patience, answered),
            name="decode-limit",
            daemon=True,
        ).start()
        try:
            _send(_there(self._process.stdin), _REQUEST, request, data)
            return self._receive(_bytes_of(target))
        finally:
            answered.set()

    def _receive(self, room: memoryview) -> bytes | None:
        stream = _there(self._process.stdout)
        while True:
            kind, size = _ANSWER.unpack(_read(stream, _ANSWER.size))
            if kind == _NUMBERS and size <= len(room):
                _read_into(stream, room[:size])
                room = room[size:]
            elif kind == _ERROR and size <= _WORDS_BYTES:
                return _read(stream, size)
            elif kind == _END and not room:
                return None
            else:
                raise EOFError

    def _watch(self, patience: Patience, answered: threading.Event) -> None:
        """End the process where it takes too long."""
        while not answered.wait(patience.tick):
            if spent := patience.spent():
                self.timed_out = spent
                self._process.kill()
                return

    def end(self, *, patience_s: float = 0.0) -> str:
        """End it, where it has not within a time, and say what ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                _there(stream).close()
        self._lifeline.close()
        with _lock:
            _living.discard(self)
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"exit code {code}"


_lock = threading.Lock()
_idle: list[_Child] = []
_living: set[_Child] = set()


def _take(path: Path) -> _Child:
    while True:
        with _lock:
            child = _idle.pop() if _idle else None
        if child is None:
            break
        if child.is_alive:
            return child
        child.end()
    try:
        child = _Child()
    except OSError as error:
        raise OutOfMemoryError(
            f"no process can be started to decode it ({error.strerror})",
            path=path,
            hint="close other programs",
        ) from error
    with _lock:
        _living.add(child)
    return child


def _give_back(child: _Child) -> None:
    with _lock:
        _idle.append(child)


@atexit.register
def _end_all() -> None:
    with _lock:
        _idle.clear()
        living = list(_living)
    for child in living:
        child.end()


def _forget() -> None:
    """Leave the processes to the parent of a fork."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _error(text: bytes, path: Path) -> MedenhError:
    """Return the error that a child speaks of; words only, whatever it says."""
    known: list[type[MedenhError]] = [MedenhError, OutOfMemoryError]
    known += InputError.__subclasses__()
    kinds = {kind.code: kind for kind in known}
    try:
        code, what, hint = map(str, json.loads(text))
    except ValueError:
        code, what, hint = "", "its decoder talks nonsense", ""
    return kinds.get(code, UnreadableError)(what, path=path, hint=hint)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _there(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _send(stream: IO[bytes], head: struct.Struct, *parts: bytes) -> None:
    stream.write(head.pack(*map(len, parts)))
    for part in parts:
        stream.write(part)
    stream.flush()


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _read_into(stream: IO[bytes], room: memoryview) -> None:
    while room:
        count = stream.readinto(room)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        room = room[count:]


def serve(lifeline: int) -> None:
    """Answer requests until the parent is gone; runs in the child.

    Parameters
    ----------
    lifeline : int
        Descriptor of a pipe that only the parent's end closes.
    """
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints is no answer
    _die_with_parent(lifeline)
    with contextlib.suppress(EOFError, OSError):
        while True:
            size, length = _REQUEST.unpack(_read(questions, _REQUEST.size))
            asked = json.loads(_read(questions, size))
            for kind, part in _answers(asked, _read(questions, length)):
                answers.write(_ANSWER.pack(kind, len(part)))
                answers.write(part)
            answers.flush()


def _die_with_parent(lifeline: int) -> None:
    """Have the system end this process with its parent, whatever it is busy with.

    Elsewhere than on Linux it ends with its present frame.
    """
    if sys.platform != "linux":
        return
    import fcntl

    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
    signal.signal(signal.SIGIO, signal.SIG_DFL)


def _answers(asked: dict[str, Any], data: bytes) -> Iterator[tuple[bytes, Buffer]]:
    module, _, name = asked["function"].partition(":")
    try:
        for part in getattr(import_module(module), name)(asked["words"], data):
            yield _NUMBERS, _bytes_of(np.ascontiguousarray(part))
    except GeneratorExit:
        raise
    except InputError as error:
        yield _ERROR, _words(error.code, error.what, error.hint)
    except MemoryError:
        yield _ERROR, _words(OutOfMemoryError.code, "does not fit in memory", "")
    except ImportError as error:
        ours = not_loaded("what decodes it", error, Path())
        yield _ERROR, _words(ours.code, ours.what, ours.hint)
    except BaseException as error:  # a panic of native code too
        what = f"its decoder crashed ({type(error).__name__})"
        yield _ERROR, _words(UnreadableError.code, what, "")
    else:
        yield _END, b""


def _words(*words: str) -> bytes:
    return json.dumps(words).encode()[:_WORDS_BYTES]
