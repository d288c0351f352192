"""Python as it is on Windows, as far as medenh's own modules can tell.

Found first on PYTHONPATH it is imported before anything else, by every process. What
lies outside medenh sees the system as it is, but for one thing: a file that is open, or
mapped into memory, is not deleted or renamed, by whoever. Against that, and against
files opened as text or named as Windows allows none, medenh's word is taken down in the
file that WINDOWS_LIKE names.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import fcntl
import os
import signal
import stat
import sys
import time
import traceback
import types
import warnings
from pathlib import Path

O_BINARY = 1 << 29  # of no meaning on Linux
NO_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}
NO_NAMES = {
    "os": "O_ASYNC O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK ST_RDONLY chown fchmod "
    "fork geteuid getgid getpgid getuid killpg mkfifo nice posix_fadvise pread "
    "register_at_fork sched_getaffinity setsid statvfs sysconf uname",
    "signal": "SIGALRM SIGCHLD SIGHUP SIGIO SIGKILL SIGPIPE SIGQUIT SIGUSR1 alarm "
    "pthread_kill pthread_sigmask setitimer",
    "time": "clock_gettime pthread_getcpuclockid",
    "sys": "",
}
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{kind}{number}" for kind in ("com", "lpt") for number in "0123456789\xb9\xb2\xb3"
}
_open = os.open
_import = builtins.__import__


def _take_down(fault: str) -> None:
    ours = [f for f in traceback.extract_stack() if "/medenh/" in f.filename][-2:]
    handle = _open(os.environ["WINDOWS_LIKE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, "\n".join([fault, *map(str, ours), ""]).encode())
    os.close(handle)


def _open_on_windows(path, flags, mode=0o777, **more):
    if not flags & O_BINARY and path != os.devnull:
        _take_down(f"opened as text: {path}")
    return _open(path, flags & ~O_BINARY, mode, **more)


def _lock(handle, mode, count):
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


OTHER = {
    "os": {"name": "nt", "O_BINARY": O_BINARY, "open": _open_on_windows},
    "sys": {"platform": "win32"},
}


class _OnWindows(types.ModuleType):
    """A module without the names that Windows lacks."""

    def __init__(self, real):
        super().__init__(real.__name__)
        vars(self)["_real"] = real

    def __getattr__(self, name):
        module = self.__name__
        if name in OTHER.get(module, {}):
            return OTHER[module][name]
        if name in NO_NAMES[module].split():
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(vars(self)["_real"], name)

    def __setattr__(self, name, value):
        setattr(vars(self)["_real"], name, value)


_MODULES = {one.__name__: _OnWindows(one) for one in (os, signal, sys, time)}
_MODULES["msvcrt"] = types.ModuleType("msvcrt")
vars(_MODULES["msvcrt"]).update(LK_NBLCK=2, locking=_lock)


def _import_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    asker = (globals or {}).get("__name__") or ""
    if asker.partition(".")[0] == "medenh" and level == 0:
        if name in NO_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in _MODULES:
            return _MODULES[name]
    return _import(name, globals, locals, fromlist, level)


def _is_held(path: Path) -> bool:
    """Tell whether this process or its parent has a file open, or this one mapped."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return False
    for process in ("self", os.getppid()):
        with contextlib.suppress(OSError):
            for one in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.path.samestat(one.stat(), status):
                        return True
    end = b" " + os.fsencode(path.resolve())
    lines = Path("/proc/self/maps").read_bytes().splitlines()
    return any(line.endswith(end) for line in lines)


def _refuse_what_is_open(name: str) -> None:
    real = getattr(os, name)

    def guarded(*paths, dir_fd=None, **more):
        for path in paths:
            place = Path(os.fsdecode(path))
            if dir_fd is not None:
                place = Path(f"/proc/self/fd/{dir_fd}").readlink() / place
            with contextlib.suppress(FileNotFoundError):
                if _is_held(place):
                    _take_down(f"{name} of an open file: {place}")
                    raise PermissionError(errno.EACCES, "in use", str(place))
        if dir_fd is not None:
            more["dir_fd"] = dir_fd
        return real(*paths, **more)

    setattr(os, name, guarded)


def _check_name(event: str, words: tuple) -> None:
    if event not in ("open", "os.mkdir", "os.rename"):
        return
    path = words[1] if event == "os.rename" else words[0]
    writes = event != "open" or (words[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    if isinstance(path, int) or not writes:
        return
    for part in Path(os.fsdecode(path)).parts[1:]:
        device = part.partition(".")[0].lower() in DEVICES
        if device or set(part) & set('<>:"|?*\\') or part[-1] in ". ":
            _take_down(f"no name on Windows: {path}")


if "WINDOWS_LIKE" in os.environ:
    builtins.__import__ = _import_on_windows
    for _name in ("remove", "rename", "replace", "unlink"):
        _refuse_what_is_open(_name)
    sys.addaudithook(_check_name)
    # what names no encoding gets that of the country
    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"medenh\b")
