"""A decoder that crashes or hangs at pictures of certain heights, for tests.

Imported by the process that decodes, whose ``sys.path`` begins with a folder to log in.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from medenh.formats.dicom.frames import decode_encapsulated

ONCE = 37  # crashes at the first try only
FATES = {
    31: lambda: ctypes.string_at(0),
    32: os.abort,
    33: lambda: os.kill(os.getpid(), signal.SIGKILL),
    340: lambda: ctypes.PyDLL(None).sleep(600),  # keeps Python's lock
}


def decode(words, data):
    rows = words["rows"]
    log = Path(sys.path[0]) / f"{rows}.log"
    if rows in FATES or (rows == ONCE and not log.exists()):
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        FATES.get(rows, FATES[31])()
    yield from decode_encapsulated(words, data)
