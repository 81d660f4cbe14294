"""The page in a real browser; left out where there is none."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerestore.measure.bench.results import Results
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.html import report_html
from edgerestore.measure.report.pictures import Picture

MakeResults = Callable[..., Results]
REQUIRED = "EDGERESTORE_REQUIRE_CHROMIUM"
"""Set where the absence of Chromium is to fail the tests that else are skipped."""
TAB_KEY, RIGHT_KEY = ("Tab", 9), ("ArrowRight", 39)

TEXTS = """[...document.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().width)
  .map((s) => [...s.querySelectorAll("text")].map((t) => {
    const b = t.getBoundingClientRect();
    return [t.textContent, b.left, b.top, b.right, b.bottom];
  }))"""
"""Of each drawing that is shown: its texts and where they stand."""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = f"none of {', '.join(names)} is on the path"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, but {reason}", pytrace=False)
        pytest.skip(reason)
    spec = importlib.util.spec_from_file_location("chromium", Path(__file__).parent / "chromium.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened = module.Tab(found, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(
    make_results: MakeResults, some_pictures: list[Picture], some_further: Further, tmp_path: Path
) -> Path:
    results = make_results()
    path = tmp_path / "report.html"
    html = report_html(
        title="A report with a rather long title, for the phone", bench=results,
        pictures=some_pictures, further=some_further,
    )  # fmt: skip
    path.write_text(html, encoding="utf-8")
    return path


def test_a_real_click_moves_the_divider_and_magnifies(tab: Any, page: Path) -> None:
    tab.show(page, width=1280)
    tab.value("document.querySelector('.stage').scrollIntoView({behavior: 'instant'})")
    box = "JSON.parse(JSON.stringify(document.querySelector('{}').getBoundingClientRect()))"
    stage = tab.value(box.format(".stage"))
    tab.click(stage["x"] + stage["width"] / 4, stage["y"] + 40)
    assert tab.value("document.querySelector('input[type=range]').value") == "25"
    assert tab.value("getComputedStyle(document.querySelector('.left')).clipPath").count("75%")
    tab.value("document.querySelector('[data-zoom=\"4\"]').scrollIntoView({behavior: 'instant'})")
    button = tab.value(box.format('[data-zoom="4"]'))
    tab.click(button["x"] + 5, button["y"] + 5)
    assert tab.value("document.querySelector('[aria-pressed=true]').dataset.zoom") == "4"
    assert tab.value("document.querySelector('.stage').style.getPropertyValue('--zoom')") == "4"


def test_keys_alone_reach_and_move_the_divider(tab: Any, page: Path) -> None:
    tab.show(page, width=1280)
    visited = []
    for _ in range(40):
        tab.press(*TAB_KEY)
        visited.append(tab.value("document.activeElement.id || document.activeElement.className"))
        outline = tab.value("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", visited[-1]
        if visited[-1].startswith("divider"):
            break
    assert visited[0] == "skip"
    assert visited[-1] == "divider-1"
    tab.press(*RIGHT_KEY)
    assert float(tab.value("document.activeElement.value")) > 50
    assert "% bicubic" in tab.value("document.activeElement.getAttribute('aria-valuetext')")


@pytest.mark.parametrize(("width", "drawing"), [(390, "narrow"), (1280, "wide")])
def test_nothing_scrolls_sideways_and_no_labels_meet(
    tab: Any, page: Path, width: int, drawing: str
) -> None:
    tab.show(page, width=width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    kinds = "[...document.querySelectorAll('.plot svg')].filter((s) => s.clientWidth)"
    shown = tab.value(f"{kinds}.map((s) => s.getAttribute('class'))")
    assert len(shown) >= 6
    assert set(shown) == {drawing}
    for texts in tab.value(TEXTS):
        for i, (one, *a) in enumerate(texts):
            assert a[2] <= width, one
            for other, *b in texts[:i]:
                apart = a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] - 2 or b[1] >= a[3] - 2
                assert apart, f"{one!r} and {other!r}"


def test_dark_and_light_are_dark_and_light_and_can_be_read(tab: Any, page: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        tab.show(page, width=390, scheme=scheme)
        grey = np.asarray(tab.screenshot().convert("L"), dtype=np.float64)
        seen[scheme] = float(np.median(grey))
        assert np.abs(grey - seen[scheme]).max() > 150, "text stands out from the page"
    assert seen["light"] > 230
    assert seen["dark"] < 40


def test_nothing_is_fetched_and_nothing_is_complained_of(tab: Any, page: Path) -> None:
    tab.show(page, width=1280)
    tab.value("1")
    asked = [
        event["params"]["request"]["url"]
        for event in tab.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert asked
    complaints = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    assert [event for event in tab.events if event.get("method") in complaints] == []


def test_a_screen_reader_finds_headings_names_and_tables(tab: Any, page: Path) -> None:
    tab.show(page, width=1280)
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    known = [node for node in nodes if not node.get("ignored")]

    def named(role: str) -> list[str]:
        return [
            str(node.get("name", {}).get("value", ""))
            for node in known
            if node["role"]["value"] == role
        ]

    assert len(named("heading")) > 8
    assert named("main")
    assert named("navigation") == ["Sections"]
    for role in ("heading", "image", "slider", "combobox", "button", "table", "region"):
        assert named(role), role
        assert all(named(role)), role
