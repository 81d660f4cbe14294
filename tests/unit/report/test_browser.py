"""The page in a real browser; left out where there is none."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.bench.results import Results
from edgerestore.report.html import write_report
from edgerestore.report.pictures import Picture
from edgerestore.report.verdicts import accuracies_of

MakeResults = Callable[..., Results]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=4000", "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip

PROBE = """
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const stage = page.querySelector(".stage");
  const range = page.querySelector("input[type=range]");
  range.value = 25;
  range.dispatchEvent(new Event("input"));
  page.querySelector("button[data-zoom='4']").click();
  const pick = page.querySelector(".pick-right");
  pick.value = 2;
  pick.dispatchEvent(new Event("change"));
  const shown = [...page.querySelectorAll("svg")].filter((s) => s.getBoundingClientRect().width);
  document.querySelector("#seen").textContent = JSON.stringify({
    live: page.querySelectorAll(".compare.live").length,
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    at: stage.style.getPropertyValue("--at"),
    zoom: stage.style.getPropertyValue("--zoom"),
    stage: stage.getBoundingClientRect().height > 50,
    right: page.querySelector(".layer.right figcaption").textContent,
    pressed: page.querySelector("button[aria-pressed=true]").dataset.zoom,
    labels: [...page.querySelectorAll("input, select")].every((e) => e.labels.length === 1),
    drawings: [...new Set(shown.map((s) => s.getAttribute("class")))],
    overlay: getComputedStyle(page.querySelector(".layer.left")).clipPath,
  });
});
"""


@pytest.fixture
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium here")


@pytest.mark.parametrize(("width", "drawing"), [(390, "narrow"), (1280, "wide")])
def test_the_page_works_from_disk_at_both_widths(
    browser: str, make_results: MakeResults, some_pictures: list[Picture], tmp_path: Path,
    width: int, drawing: str,
) -> None:  # fmt: skip
    results = make_results()
    path = tmp_path / "report.html"
    write_report(
        path, title="A report with a rather long title, for the phone", bench=results,
        accuracy=accuracies_of([results]), pictures=some_pictures,
    )  # fmt: skip
    inner = html.escape(path.read_text(encoding="utf-8"), quote=True)
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(
        f'<!doctype html><p id="seen"></p><iframe width="{width}" height="900" '
        f'srcdoc="{inner}"></iframe><script>{PROBE}</script>',
        encoding="utf-8",
    )
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000",
         wrapper.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    told = done.stdout.split('<p id="seen">', 1)[1].split("</p>", 1)[0]
    seen = json.loads(html.unescape(told))
    assert "75%" in seen.pop("overlay")
    assert seen == {
        "live": 1, "overflow": 0, "at": "25%", "zoom": "4", "stage": True,
        "right": "ground truth", "pressed": "4", "labels": True, "drawings": [drawing],
    }  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
