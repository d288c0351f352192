"""Contrast as WCAG 2.1 counts it (1.4.3, 1.4.11), of every pair of colours in use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import medenh.reports

STYLE = (Path(medenh.reports.__file__).parent / "templates" / "style.css").read_text()
TEXT = [
    (ink, on) for ink in ("text", "soft", "accent") for on in ("page", "card", "tint")
]
SHAPES = [
    ("edge", "card"),  # borders of fields
    ("soft", "box"),  # outline of boxes
    ("text", "box"),  # median in a box
    ("card", "accent"),  # median in the subject's box
    ("accent", "page"),  # focus
]


def schemes():
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    variables = [dict(re.findall(r"--(\w+): (#\w+);", block)) for block in blocks]
    light, dark, printed = variables
    return {"light": light, "dark": {**light, **dark}, "print": {**light, **printed}}


def luminance(colour):
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white_is_21():
    assert contrast("#000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_is_enough_to_read_by(scheme):
    colours = schemes()[scheme]
    ratios = {pair: contrast(*(colours[name] for name in pair)) for pair in TEXT}
    assert min(ratios.values()) >= 4.5, ratios
    shapes = {pair: contrast(*(colours[name] for name in pair)) for pair in SHAPES}
    assert min(shapes.values()) >= 3.0, shapes


def test_labels_on_pictures_can_be_read_on_white_and_black():
    alpha = float(re.search(r"background: rgb\(10 14 15 / ([\d.]+)\)", STYLE).group(1))
    for below in (0, 255):
        mixed = [round(alpha * part + (1 - alpha) * below) for part in (10, 14, 15)]
        assert contrast("#fff", "#" + "".join(f"{p:02x}" for p in mixed)) >= 4.5


def test_colours_are_said_once():
    rules = re.sub(r":root \{[^}]*\}", "", STYLE)
    found = set(re.findall(r"#[0-9a-fA-F]{3,8}\b", rules))
    assert found <= {"#fff", "#1d2426"}, "a colour outside the schemes"


def test_nothing_moves():
    assert not re.search(r"transition|animation|scroll-behavior", STYLE)
