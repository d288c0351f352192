"""Edits that leave a file's frame whole and change what it says.

Random bits seldom hit what the readers think about: `edit` changes an element of DICOM,
a number in a binary header, or one that is written out.
"""

from __future__ import annotations

import copy
import gzip
import io
import random
import re
import struct
import warnings

import pydicom

WRITTEN = (b"0", b"-1", b"1", b"nan", b"inf", b"1e308", b"1e-320", b"99999999999", b"")
TEXT = ("", "0", "-1", "1e308", "nan", "1e-300", "2147483648", "A\\B", "\\", "ü" * 80)
FIELDS = tuple(
    struct.pack(form, number)
    for form, numbers in {
        "<h": (0, -1, 1, 32767, 7),
        "<i": (0, -1, 2**31 - 1, -(2**31)),
        "<f": (float("nan"), float("inf"), -1.0, 1e38, 1e-40),
        "<q": (-1, 2**63 - 1),
        "<d": (float("nan"), 1e308, -1.0),
    }.items()
    for number in numbers
)
HEADER = 1200  # bytes of a file in which most numbers about its pixels lie


def edit(content: bytes, rng: random.Random) -> bytes:
    """Change one to three things that a file says."""
    if content[:2] == b"\x1f\x8b":
        return gzip.compress(edit(gzip.decompress(content), rng), 1)
    how = [_number, _field]
    if content[128:132] == b"DICM":
        how = [_element, _element, _number]
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(how)(content, rng)
    return content


def _number(content: bytes, rng: random.Random) -> bytes:
    """Replace a number that is written out, in as many bytes."""
    found = list(re.finditer(rb"(?<=[\s\"'>\\=(:,])-?\d[\d.]*", content[:20000]))
    if not found:
        return _field(content, rng)
    place = rng.choice(found)
    length = place.end() - place.start()
    other = rng.choice(WRITTEN)[:length].rjust(length, b" 0"[rng.randrange(2) :][:1])
    return content[: place.start()] + other + content[place.end() :]


def _field(content: bytes, rng: random.Random) -> bytes:
    """Replace a binary number, in either order of bytes."""
    field = rng.choice(FIELDS)[:: rng.choice((1, 1, -1))]
    at = rng.randrange(0, max(1, min(HEADER, len(content) - len(field))), 2)
    if rng.random() < 0.3:  # headers that lie at the end, as TIFF's may
        at = max(0, len(content) - rng.randrange(2, HEADER, 2))
    return content[:at] + field + content[at + len(field) :]


def _element(content: bytes, rng: random.Random) -> bytes:
    """Remove, empty, double, swap or overwrite an element, nested ones too."""
    with warnings.catch_warnings(action="ignore"):  # what it writes is wrong
        try:
            made = pydicom.dcmread(io.BytesIO(content))
            places = list(_places(made))
            inside, tag = rng.choice(places)
            _change(inside, tag, places, rng)
            target = io.BytesIO()
            made.save_as(target, enforce_file_format=False)
        except Exception:  # what cannot be written: pydicom raises anything
            return _field(content, rng)
    return target.getvalue()


def _places(made: pydicom.Dataset):
    for element in made:
        yield made, element.tag
        if element.VR == "SQ":
            for item in element.value:
                yield from _places(item)


def _change(inside, tag, places, rng: random.Random) -> None:
    element = inside[tag]
    how = rng.choice(("remove", "empty", "list", "swap", "odd", "odd", "odd"))
    if how == "remove":
        del inside[tag]
    elif how == "empty":
        element.value = [] if element.VR == "SQ" else None
    elif how == "list":
        items = (
            element.value if element.VM > 1 or element.VR == "SQ" else [element.value]
        )
        items = copy.deepcopy(list(items))
        element.value = rng.choice((items + items, items[1:], items[::-1]))
    elif how == "swap":
        same = [
            other[key].value
            for other, key in places
            if key != tag and other[key].VR == element.VR
        ]
        element.value = copy.deepcopy(rng.choice(same))
    else:
        inside[tag] = pydicom.DataElement(tag, element.VR, _odd(element.VR, rng))


def _odd(vr: str, rng: random.Random):
    numbers = {"US": 65535, "SS": -32768, "UL": 2**32 - 1, "SL": -(2**31)}
    if vr in numbers:
        return rng.choice((0, 1, 2, 3, 7, numbers[vr]))
    if vr in ("FL", "FD"):
        return rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e30))
    if vr in ("OB", "OW", "UN"):
        return rng.choice((b"", b"\0\0", b"\xff" * 64))
    if vr == "SQ":
        return [pydicom.Dataset()] * rng.randint(0, 3)
    if vr == "AT":
        return rng.choice((0, 0x00540080, [0x00540080, 0x00540100], 0x7FE00010))
    return rng.choice(TEXT)
