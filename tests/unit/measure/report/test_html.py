from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from edgerestore.bundle import Accuracy, ImageScore
from edgerestore.cli import main
from edgerestore.errors import InputError
from edgerestore.measure.bench.results import Result, Results, write_results
from edgerestore.measure.report.conditions import conditions
from edgerestore.measure.report.html import report_html
from edgerestore.measure.report.pictures import Picture
from edgerestore.measure.report.verdicts import BundleAccuracy, Verdicts

MakeResults = Callable[..., Results]

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>${title}\u202e\x00&"


class Page(HTMLParser):
    """Everything that a page would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def sources(self) -> list[str]:
        return [value or "" for name, value in self.attributes if name in ("src", "href")]


def full(results: Results, pictures: list[Picture]) -> str:
    return report_html(
        title="A report", model={"name": "esrt_s_x2", "params": 676_432}, bench=results,
        pictures=pictures, notes=["Weights are young."],
    )  # fmt: skip


def test_one_file_that_fetches_nothing(
    make_results: MakeResults, some_pictures: list[Picture]
) -> None:
    page = Page(full(make_results(), some_pictures))
    assert page.sources
    assert all(source.startswith(("#", "data:image/")) for source in page.sources)
    assert "link" not in page.tags
    assert (page.tags.count("script"), page.tags.count("style")) == (1, 1)
    assert not {"style"} & {name for name, _ in page.attributes}


def test_the_policy_admits_only_our_own_script_and_style() -> None:
    text = report_html(title="x")
    for kind in ("script", "style"):
        inner = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.S)
        assert inner
        digest = base64.b64encode(hashlib.sha256(inner[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_all_sections_are_there_and_linked(
    make_results: MakeResults, some_pictures: list[Picture]
) -> None:
    text = full(make_results(), some_pictures)
    for key in ("summary", "pictures", "accuracy", "speed", "size", "conditions"):
        assert f'id="{key}"' in text
        assert f'href="#{key}"' in text


def test_what_is_absent_has_no_section() -> None:
    page = Page(report_html(title="Nothing yet"))
    assert "section" not in page.tags
    assert "Nothing yet" in page.text


def test_hostile_text_stays_text(make_results: MakeResults, some_pictures: list[Picture]) -> None:
    results = make_results()
    row = msgspec.structs.replace(
        results.bundles[0], name=HOSTILE, bundle=HOSTILE, status="failed", reason=HOSTILE,
        model=HOSTILE, target=HOSTILE, macs_not_counted={HOSTILE: 1},
    )  # fmt: skip
    score = ImageScore(name=HOSTILE, fp32_psnr_y_db=30.0, psnr_y_db=29.0)
    accuracy = Accuracy(
        data=HOSTILE, protocol=HOSTILE, images=(score,), mean_drop_db=0.0, worst_drop_db=0.0,
        allowed_mean_drop_db=1.0, allowed_worst_drop_db=1.0,
    )  # fmt: skip
    hostile = msgspec.structs.replace(
        results,
        bundles=[row, *results.bundles[1:]],
        environment=msgspec.structs.replace(results.environment, cpu=HOSTILE, taken_at=HOSTILE),
        protocol={HOSTILE: HOSTILE},
        warnings=[HOSTILE],
    )
    text = report_html(
        title=HOSTILE, model={HOSTILE: HOSTILE}, bench=hostile, notes=[HOSTILE],
        accuracy=[BundleAccuracy(HOSTILE, accuracy)],
        pictures=[Picture(HOSTILE, p.data, HOSTILE) for p in some_pictures],
    )  # fmt: skip
    page = Page(text)
    assert page.tags.count("script") == 1
    assert all(source.startswith(("#", "data:image/")) for source in page.sources)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "${title}" in page.text
    assert "\x00" not in text
    assert "\u202e" not in text


def latencies(text: str) -> str:
    """The part of the page that shows times."""
    return text[text.index('id="summary"') : text.index('id="size"')]


def test_below_its_gate_a_bundle_has_no_latency(make_results: MakeResults) -> None:
    results = make_results()
    bad = next(r for r in results.bundles if r.target == "ort-cpu")
    assert bad.latency_ms
    assert bad.accuracy
    shown = f"{bad.latency_ms.p50:.2f}"
    assert shown in latencies(report_html(title="x", bench=results))
    missed = msgspec.structs.replace(bad.accuracy, allowed_worst_drop_db=0.001)
    text = report_html(title="x", bench=results, accuracy=[BundleAccuracy(bad.name, missed)])
    assert shown not in latencies(text)
    assert "below accuracy gate" in text


@pytest.mark.parametrize("status", ["failed parity", "failed"])
def test_unverified_a_bundle_has_no_latency_even_if_results_hold_one(
    make_results: MakeResults, status: str
) -> None:
    results = make_results()
    bad = msgspec.structs.replace(results.bundles[2], status=status, reason="12 dB")
    assert bad.latency_ms
    changed = [*results.bundles[:2], bad, *results.bundles[3:]]
    text = report_html(title="x", bench=msgspec.structs.replace(results, bundles=changed))
    assert f"{bad.latency_ms.p50:.2f}" not in latencies(text)
    assert "12 dB" in text


def test_conditions_hold_all_that_the_machine_tells(make_results: MakeResults) -> None:
    results = make_results()
    told = msgspec.structs.replace(
        results.environment, cpu_units=["BF16", "INT8 by AMX"], npus=["intel_vpu 8086:7d1d"],
        drivers={"nvidia": "550.54"}, power_mode="MAXN (0)", boost=False,
        clock_limits_mhz=(800.0, 3500.0), clock_mhz=3411.7, gpu_clocks_mhz=[1980.0, 345.0],
    )  # fmt: skip
    known = conditions(Verdicts([msgspec.structs.replace(results, environment=told)], []), [])
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", known or ""))
    added = {
        "CPU units": "BF16, INT8 by AMX",
        "NPUs": "intel_vpu 8086:7d1d",
        "Drivers": "nvidia 550.54",
        "Power mode": "MAXN (0)",
        "Boost": "off",
        "CPU clock limits": "800 to 3500 MHz",
        "CPU clock, last run done": "3412 MHz",
        "GPU clocks, last run done": "1980, 345 MHz",
    }
    assert added.items() <= facts.items()
    unknown = conditions(Verdicts([results], []), []) or ""
    assert not [name for name in added if f"<dt>{name}</dt>" in unknown]


def test_several_sessions_stand_apart(make_results: MakeResults) -> None:
    text = report_html(title="x", bench=[make_results(), make_results()])
    assert text.count("Time, measured</span>") == 2


def test_every_table_is_captioned_and_every_picture_described(
    make_results: MakeResults, some_pictures: list[Picture]
) -> None:
    text = full(make_results(), some_pictures)
    assert text.count("<table>") == text.count("<caption>")
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img [^>]*>", text))
    assert all("aria-label=" in drawing for drawing in re.findall(r"<svg [^>]*>", text))
    assert '<th scope="col">' in text
    assert '<th scope="row">' in text
    for made in re.findall(r'<(?:input|select)[^>]* id="([^"]+)"', text):
        assert f'for="{made}"' in text


def test_ids_are_unique(make_results: MakeResults, some_pictures: list[Picture]) -> None:
    two = [*some_pictures, *(Picture(p.label, p.data, "again") for p in some_pictures)]
    ids = re.findall(r' id="([^"]+)"', full(make_results(), two))
    assert len(ids) == len(set(ids))


def test_pictures_of_unlike_size_are_refused(some_pictures: list[Picture], tmp_path: Path) -> None:
    Image.new("RGB", (7, 9)).save(tmp_path / "other.png")
    other = Picture("other", (tmp_path / "other.png").read_bytes())
    with pytest.raises(InputError, match="cannot be compared"):
        report_html(title="x", pictures=[*some_pictures, other])


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(InputError, match="'x' is no PNG, JPEG or WebP"):
        report_html(title="x", pictures=[Picture("x", b"<svg onload=alert(1)>")])


def test_one_picture_alone_needs_no_divider(some_pictures: list[Picture]) -> None:
    page = Page(report_html(title="x", pictures=some_pictures[:1]))
    assert "input" not in page.tags


def test_nothing_is_left_where_it_cannot_be_written(
    make_results: MakeResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "r.json", make_results())
    out = tmp_path / "r.json" / "report.html"
    assert main(["report", str(tmp_path / "r.json"), "--out", str(out)]) == 3
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert said.count("\n") == 1


def test_the_verb_reads_results_and_writes_the_page(
    make_results: MakeResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "r.json", make_results())
    out = tmp_path / "sub" / "report.html"
    assert main(["report", str(tmp_path / "r.json"), "--out", str(out)]) == 0
    assert "Accuracy on Set5 x2" in out.read_text(encoding="utf-8")
    assert str(out) in capsys.readouterr().out


def test_the_verb_refuses_another_file_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text('{"bundles": []}')
    assert main(["report", str(tmp_path / "r.json"), "--out", str(tmp_path / "o.html")]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "o.html").exists()


def test_results_without_any_bundle_make_a_page(make_results: MakeResults) -> None:
    empty = msgspec.structs.replace(make_results(), bundles=[], ratios=[])
    assert "Conditions" in report_html(title="x", bench=empty)


def test_a_candidate_that_is_no_bundle_has_a_row(make_results: MakeResults) -> None:
    results = make_results()
    peer = Result(bundle="torch", name="torch eager", status="failed", reason="out of memory")
    mixed = msgspec.structs.replace(results, bundles=[*results.bundles, peer])
    assert "torch eager" in Page(report_html(title="x", bench=mixed)).text
