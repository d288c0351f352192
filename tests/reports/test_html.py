from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from medenh.errors import OutputError, UsageError
from medenh.reports.html import MAX_SIDE, Case, Table, unit_view, write_report
from medenh.types import Image, Storage, UnitRange

HOSTILE = "<script>alert(1)</script>\" onerror='x' & </title>\udc80.png"


def gradient(height=48, width=64, channels=3):
    ramp = np.linspace(0, 1, height * width * channels, dtype=np.float32)
    return ramp.reshape(height, width, channels)


class Page(HTMLParser):
    """What a page holds: tags with attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(tmp_path, **parts):
    path = write_report(tmp_path / "page.html", **{"title": "A report", **parts})
    return Page(path.read_text(encoding="utf-8"))


def decode(source):
    from imagecodecs import webp_decode

    head, data = source.split(",", 1)
    assert head == "data:image/webp;base64"
    return webp_decode(base64.b64decode(data))


@pytest.fixture
def full(tmp_path):
    image = gradient()
    cases = [
        Case("one.png", image * 0.5, image, image, {"PSNR": "20.0 dB"}),
        Case("two.png", image[..., 0], image[..., 1]),
        Case(HOSTILE, image, image, image, {HOSTILE: HOSTILE}),
    ]
    rows = [["a", 9.5, None], ["b", 10.25, 3.0], ["c", -1.0, float("inf")]]
    table = Table("Results", ["Model", "PSNR", "CIEDE2000"], rows, "Means.")
    return write_report(
        tmp_path / "page.html",
        title=HOSTILE,
        note=HOSTILE,
        cases=cases,
        tables=[table, Table(HOSTILE, [HOSTILE], [[HOSTILE]])],
        settings={"medenh": "1.0", HOSTILE: HOSTILE},
    )


def test_page_loads_nothing_from_elsewhere(full):
    page = Page(full.read_text(encoding="utf-8"))
    sources = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "poster", "action")
    ]
    assert len(sources) > 8
    assert all(source.startswith("data:") for source in sources)
    style = re.search(r"<style>(.*?)</style>", full.read_text(), re.S).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_stay_text(full):
    page = Page(full.read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert any("<script>alert(1)</script>" in words for words in page.words)


def test_every_image_and_slider_is_labelled(full):
    page = Page(full.read_text(encoding="utf-8"))
    assert all(image["alt"].strip() for image in page.all("img"))
    sliders = page.all("input")
    assert len(sliders) == 3
    assert all(s["type"] == "range" and s["aria-label"] for s in sliders)
    assert "Not a medical device; for research" in page.words


def test_small_images_reach_the_page_unchanged(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    page = page_of(tmp_path, cases=[Case("x", image / 255, image / 255)])
    shown = decode(page.all("img")[0]["src"])
    np.testing.assert_array_equal(shown, image)


@pytest.mark.parametrize("size", [(769, 500), (3000, 1600), (1, 5000)])
def test_large_images_are_scaled_to_fit(tmp_path, size):
    height, width = size
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    image = np.broadcast_to(ramp, size)
    page = page_of(tmp_path, cases=[Case("x", image, image)])
    shown = decode(page.all("img")[0]["src"])
    scale = MAX_SIDE / max(size)
    expected = (max(1, round(height * scale)), max(1, round(width * scale)))
    assert shown.shape[:2] == expected
    positions = (np.arange(expected[1]) + 0.5) / expected[1]
    # a ramp stays the same ramp: nothing shifted, nothing cut off
    assert np.abs(shown[0, :, 0] / 255 - positions).max() < 0.01


def test_error_maps_share_a_scale_and_show_the_difference(tmp_path):
    reference = np.zeros((40, 40), np.float32)
    before, after = reference + 0.2, reference.copy()
    after[:, 20:] = 0.1
    page = page_of(tmp_path, cases=[Case("x", before, after, reference)])
    maps = [decode(i["src"]).astype(int) for i in page.all("img")[3:]]
    text = " ".join(page.words)
    assert len(maps) == 2
    assert "mean 20.00 %" in text
    assert "mean 5.00 %" in text
    brightness = [m.sum(axis=2) for m in maps]
    assert brightness[1][0, 0] < brightness[1][0, 30] < brightness[0][0, 0]
    assert "20 %" in page.words  # the end of the common scale


def test_without_reference_the_map_is_the_change(tmp_path):
    image = gradient()
    page = page_of(tmp_path, cases=[Case("x", image, image * 0.9)])
    assert len(page.all("img")) == 3
    assert "What changed" in page.words


def test_given_residual_is_shown(tmp_path):
    image = gradient()
    residual = np.full(image.shape[:2], -0.5, np.float32)
    page = page_of(tmp_path, cases=[Case("x", image, image, image, {}, residual)])
    assert len(page.all("img")) == 4
    assert "mean 50.00 %" in " ".join(page.words)


def test_numbers_of_a_column_have_one_form(tmp_path):
    rows = [["a", 9.5, 0.91234], ["b", 10.25, float("nan")], ["c", 7, None]]
    table = Table("T", ["Model", "PSNR", "SSIM"], rows)
    cells = [w for w in page_of(tmp_path, tables=[table]).words if w.strip()]
    assert {"9.50", "10.25", "7", "0.912", "\u2013"} <= set(cells)


@pytest.mark.parametrize(
    "case",
    [
        Case("x", np.zeros((4, 5)), np.zeros((5, 4))),
        Case("x", np.zeros((4, 5)), np.zeros((4, 5)), np.zeros((8, 10))),
        Case("x", np.zeros((4, 5, 4)), np.zeros((4, 5, 4))),
        Case("x", np.zeros((0, 5)), np.zeros((0, 5))),
        Case("x", np.zeros((4, 5)), np.zeros((4, 5)), residual=np.zeros((2, 2))),
    ],
)
def test_images_that_do_not_fit_are_refused(tmp_path, case):
    with pytest.raises(UsageError):
        page_of(tmp_path, cases=[case])
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UsageError, match="row of 1"):
        page_of(tmp_path, tables=[Table("T", ["a", "b"], [["x"]])])


def test_nan_pixels_do_not_break_a_page(tmp_path):
    image = gradient()
    image[0, 0] = np.nan
    assert len(page_of(tmp_path, cases=[Case("x", image, image)]).all("img")) == 3


def test_page_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_report(tmp_path / "file" / "page.html", title="x")


def test_unit_view_takes_the_middle_frame_in_unit_range():
    pixels = np.arange(3, dtype=np.int16).reshape(3, 1, 1, 1) * np.ones(
        (1, 2, 2, 1), np.int16
    )
    image = Image(
        pixels=pixels,
        unit_range=UnitRange(0.0, 2.0),
        storage=Storage(np.dtype(np.int16)),
    )
    assert unit_view(image).shape == (2, 2, 1)
    assert np.all(unit_view(image) == 0.5)
    assert np.all(unit_view(image, 2) == 1.0)


def test_page_opens_in_a_browser_without_complaint(browser, full):
    browser.open(full)
    assert browser.run("document.documentElement.className") == "js"
    loaded = "[...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    assert browser.run(loaded)
    remote = [u for u in browser.requests if not u.startswith(("data:", "file:"))]
    assert remote == []
    assert browser.complaints == []


def test_page_fits_a_phone(browser, full):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.send("Emulation.setDeviceMetricsOverride", **size)
    browser.open(full)
    overflow = browser.run("document.documentElement.scrollWidth")
    browser.send("Emulation.clearDeviceMetricsOverride")
    assert overflow <= 390


def test_slider_follows_pointer_and_keys(browser, full):
    browser.open(full)
    browser.run("document.querySelector('.stage').scrollIntoView({block: 'center'})")
    box = browser.run(
        "(() => { const b = document.querySelector('.stage').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    left, top, width, height = box
    split = "document.querySelector('.stage').style.getPropertyValue('--split')"
    assert browser.run(split) == "50%"
    middle = top + height / 2
    browser.mouse("mousePressed", left + 0.5 * width, middle)
    browser.mouse("mouseMoved", left + 0.2 * width, middle)
    browser.mouse("mouseReleased", left + 0.2 * width, middle)
    assert float(browser.run(split).rstrip("%")) == pytest.approx(20, abs=1)
    browser.run("document.querySelector('.compare input').focus()")
    browser.key("ArrowRight")
    assert float(browser.run(split).rstrip("%")) > 20.5
    browser.key("End")
    assert browser.run(split) == "100%"


def test_table_sorts_by_number_and_keeps_missing_last(browser, full):
    browser.open(full)
    order = (
        "[...document.querySelector('table').tBodies[0].rows]"
        ".map((r) => r.cells[0].innerText).join('')"
    )
    button = "document.querySelectorAll('table')[0].tHead.rows[0].cells[{}]{}"
    browser.run(button.format(1, ".querySelector('button').focus()"))
    browser.key("Enter")
    assert browser.run(order) == "bac"
    browser.key("Enter")
    assert browser.run(order) == "cab"
    assert browser.run(button.format(1, ".ariaSort")) == "ascending"
    browser.run(button.format(2, ".querySelector('button').click()"))
    assert browser.run(order) == "cba"


def test_long_names_leave_room_for_all_columns(browser, tmp_path):
    name = "a_folder_with_a_long_name/" * 5 + "picture.png"
    columns = ["file", "model", *(f"figure number{i}" for i in range(6)), "warnings"]
    row = [name, "gradprom-denoise-xray", *[0.123] * 6, "looks like another " * 9]
    page = write_report(
        tmp_path / "p.html", title="x", tables=[Table("t", columns, [row])]
    )
    size = {"width": 1200, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.send("Emulation.setDeviceMetricsOverride", **size)
    browser.open(page)
    hidden = browser.run(
        "(() => { const s = document.querySelector('.scroll');"
        " return s.scrollWidth - s.clientWidth; })()"
    )
    browser.send("Emulation.clearDeviceMetricsOverride")
    assert hidden == 0
