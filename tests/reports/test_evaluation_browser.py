"""The page of an evaluation in a real browser."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from synthetic_evaluation import COLUMNS, Gallery, make_evaluation

from medenh.reports.evaluation import write_evaluation_report

HOSTILE = [
    "<img src=x onerror=alert(1)>.png",
    "\u202egnp.elif\u05d0\u05d1.png",
    "long-" * 50 + ".png",
    "a b.png",
]
FIRST = "document.querySelector('.case')"
TABLE = "document.querySelector('table.files')"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluation") / "page.html"
    names = [*HOSTILE, *(f"site/file-{i}.png" for i in range(16))]
    evaluation = make_evaluation(names=names, pictures=Gallery(300, 400))
    write_evaluation_report(evaluation, path, max_cases=4)
    return path


@pytest.fixture
def page(browser, report):
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(report)
    yield browser
    browser.send("Emulation.clearDeviceMetricsOverride")
    browser.send("Emulation.setEmulatedMedia", features=[])
    browser.send("Emulation.setScriptExecutionDisabled", value=False)


def emulate(page, scheme, width):
    page.send(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=740,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    page.send("Emulation.setEmulatedMedia", features=[scheme_feature])


def order(page, column=0):
    cells = f"[...{TABLE}.tBodies[0].rows].map((r) => r.cells[{column}].innerText)"
    return page.run(cells)


def test_opens_without_complaint(page):
    loaded = "[...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    assert page.run(loaded)
    assert page.run("document.querySelectorAll('.slider .stage').length") == 4
    assert page.complaints == []
    assert all(url.startswith(("data:", "file:")) for url in page.requests)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_fits_every_screen_in_both_schemes(page, report, scheme, width):
    emulate(page, scheme, width)
    page.open(report)
    assert page.run("document.documentElement.scrollWidth") <= width
    data = page.send("Page.captureScreenshot", format="png")["data"]
    from imagecodecs import png_decode

    corner = png_decode(base64.b64decode(data))[2, 2, :3]
    assert (corner.mean() > 200) == (scheme == "light")


def test_long_titles_neither_widen_the_page_nor_hide_columns(browser, tmp_path):
    words = "Retinal vessels in colour fundus photographs"
    columns = [replace(one, title=f"{words}: {one.title}") for one in COLUMNS]
    note = "a note without blanks " + "x" * 120
    evaluation = make_evaluation(columns=tuple(columns), notes=(note,))
    write_evaluation_report(evaluation, tmp_path / "page.html")
    table = "document.querySelector('table').parentElement"
    for width in (360, 1200):
        emulate(browser, "light", width)
        browser.open(tmp_path / "page.html")
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(f"{table}.scrollWidth <= {table}.clientWidth")
    assert note in browser.run("document.body.innerText")
    browser.send("Emulation.clearDeviceMetricsOverride")


def test_slider_moves_by_pointer_and_keys(page):
    page.run(f"{FIRST}.querySelector('.stage').scrollIntoView({{block: 'center'}})")
    left, top, width, height = page.run(
        f"(() => {{ const b = {FIRST}.querySelector('.stage').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    split = f"{FIRST}.querySelector('.stage').style.getPropertyValue('--split')"
    assert page.run(split) == "50%"
    for kind, share in (("Pressed", 0.5), ("Moved", 0.2), ("Released", 0.2)):
        page.mouse(f"mouse{kind}", left + share * width, top + height / 2)
    assert float(page.run(split).rstrip("%")) == pytest.approx(20, abs=1)
    page.run(f"{FIRST}.querySelector('.compare input').focus()")
    page.key("End")
    assert page.run(split) == "100%"
    value = f"{FIRST}.querySelector('.compare input').getAttribute('aria-valuetext')"
    assert page.run(value) == "100 % Input (identity)"


def test_slider_follows_a_finger(page):
    emulate(page, "light", 360)
    page.send("Emulation.setTouchEmulationEnabled", enabled=True)
    page.run(f"{FIRST}.querySelector('.stage').scrollIntoView({{block: 'center'}})")
    left, top, width = page.run(
        f"(() => {{ const b = {FIRST}.querySelector('.stage').getBoundingClientRect();"
        " return [b.left, b.top + b.height / 2, b.width]; })()"
    )
    for kind, share in (("Start", 0.5), ("Move", 0.6), ("Move", 0.8)):
        points = [{"x": left + share * width, "y": top}]
        page.send("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)
    page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.send("Emulation.setTouchEmulationEnabled", enabled=False)
    split = f"{FIRST}.querySelector('.stage').style.getPropertyValue('--split')"
    assert float(page.run(split).rstrip("%")) == pytest.approx(80, abs=1)


def test_any_two_pictures_can_be_compared(page):
    names = f"[...{FIRST}.querySelectorAll('select')[1].options].map((o) => o.text)"
    shown = page.run(names)
    assert shown == ["Input (identity)", "clahe", "dpe", "oracle", "Reference"]
    page.run(
        f"(() => {{ const s = {FIRST}.querySelectorAll('select')[1]; s.value = 4;"
        " s.dispatchEvent(new Event('change')); })()"
    )
    after = f"{FIRST}.querySelector('.after')"
    assert page.run(f"{after}.innerText.trim()") == "Reference"
    last = f"{FIRST}.querySelectorAll('.gallery img')[4].src"
    assert page.run(f"{after}.querySelector('img').src === {last}")


def test_files_sort_by_any_column(page):
    button = f"{TABLE}.tHead.rows[1].cells[{{}}].querySelector('button')"
    page.run(button.format(0) + ".focus()")
    page.key("Enter")
    files = [name for name in order(page) if name.startswith("site")]
    assert files == [f"site/file-{i}.png" for i in range(16)]  # 2 before 10
    page.run(button.format(5) + ".click()")  # change of the first measure
    found = [float(text.replace("\N{MINUS SIGN}", "-")) for text in order(page, 5)]
    assert found == sorted(found, reverse=True)
    assert page.run(f"{TABLE}.tHead.rows[1].cells[5].ariaSort") == "descending"
    assert page.run(f"{TABLE}.querySelectorAll('[aria-sort]').length") == 1


def test_filter_and_measure_narrow_the_table(page):
    shown = f"[...{TABLE}.tBodies[0].rows].filter((r) => !r.hidden).length"
    assert page.run(shown) == 20
    page.run(
        "(() => { const f = document.querySelector('.filter'); f.value = 'FILE-1';"
        " f.dispatchEvent(new Event('input')); })()"
    )
    assert page.run(shown) == 7  # 1, 10 to 15
    assert page.run("document.querySelector('.found').innerText") == "7 of 20 files"
    visible = f"[...{TABLE}.tHead.rows[1].cells].filter((c) => !c.hidden).length"
    assert page.run(visible) == 6  # many columns: one measure at first
    page.run(
        "(() => { const m = document.querySelector('.measures'); m.value = '';"
        " m.dispatchEvent(new Event('change')); })()"
    )
    assert page.run(visible) == 16


def test_tables_and_pictures_stay_without_script(browser, report):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(report)
    tree = browser.send("DOM.getDocument", depth=1)["root"]["nodeId"]
    found = {
        selector: browser.send("DOM.querySelectorAll", nodeId=tree, selector=selector)
        for selector in (".gallery img", "table.files tbody tr", ".stage")
    }
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    counts = {selector: len(nodes["nodeIds"]) for selector, nodes in found.items()}
    assert counts == {".gallery img": 20, "table.files tbody tr": 20, ".stage": 0}


def test_two_thousand_files_sort(browser, tmp_path):
    path = tmp_path / "page.html"
    write_evaluation_report(make_evaluation(2000, pictures=None), path)
    browser.open(path)
    button = f"{TABLE}.tHead.rows[1].cells[5].querySelector('button')"
    browser.run(button + ".click()")
    assert order(browser)[0] in {f"file-{i}.png" for i in range(1980, 2000)}
    assert len(order(browser)) == 2000
