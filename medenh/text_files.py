"""Text files that users write by hand or by a spreadsheet."""

from __future__ import annotations

from pathlib import Path

from medenh.errors import UsageError

__all__ = ["read_text"]


def read_text(path: Path, what: str, hint: str = "") -> str:
    """Return the text of a small file, without the mark that Windows begins UTF-8 with.

    Parameters
    ----------
    path : path
    what : str
        What it holds, for the message: "the labels".
    hint : str
        What to do where the file cannot be read.

    Raises
    ------
    UsageError
        It cannot be read, or is not in UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = f"cannot read {what}: {error.strerror or error}"
        raise UsageError(reason, path=path, hint=hint) from error
    except UnicodeDecodeError as error:
        reason = f"cannot read {what}: it is not in UTF-8"
        raise UsageError(reason, path=path, hint="save it in UTF-8") from error
