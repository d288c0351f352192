"""UIDs that follow from a hash."""

from __future__ import annotations

from pydicom.uid import UID

__all__ = ["uid_of_hash"]


def uid_of_hash(digest: bytes) -> UID:
    """Return a UID under 2.25 made of the first 122 bits of a hash.

    Notes
    -----
    PS3.5 B.2: a UUID as a decimal number; version 8 (RFC 9562).
    """
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return UID(f"2.25.{number}")
