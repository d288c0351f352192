"""Seeds that depend on a file's relative name, never on order or workers."""

from __future__ import annotations

import hashlib

import numpy as np

from medenh.errors import UsageError

__all__ = ["rng_for"]


def rng_for(name: str, *, seed: int = 0, draw: int = 0) -> np.random.Generator:
    """Return a generator that depends on a relative file name, not on order.

    Parameters
    ----------
    name : str
        Relative name of the file, "/" between folders.
    seed, draw : int
        The user's seed and the number of the copy; at least 0.

    Raises
    ------
    UsageError
        One is negative, or no whole number.
    """
    for word, number in (("seed", seed), ("draw", draw)):
        if not isinstance(number, int | np.integer) or number < 0:
            raise UsageError(
                f"{word}={number} is not taken", hint="whole numbers from 0 on"
            )
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "big") for i in (0, 4)]
    return np.random.default_rng(np.random.SeedSequence([seed, *words, draw]))
