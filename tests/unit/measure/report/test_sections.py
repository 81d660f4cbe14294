"""Figures and tables of evaluations, profiles and verdicts, and the Pareto front."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest

from edgerestore.bundle import Accuracy
from edgerestore.measure.bench.results import Results
from edgerestore.measure.bench.roofline import Roofline
from edgerestore.measure.report.drops import ROWS, drop_figure, image_tables, worst_images
from edgerestore.measure.report.evaluations import evaluations_section
from edgerestore.measure.report.further import Further
from edgerestore.measure.report.gates import gates_section
from edgerestore.measure.report.operators import operators_section
from edgerestore.measure.report.plane import Point, pareto_front
from edgerestore.measure.report.sections import cost_section
from edgerestore.measure.report.shapes import mark
from edgerestore.measure.report.verdicts import Verdicts

MakeResults = Callable[..., Results]


def point(label: str, ms: float, drop: float) -> Point:
    accuracy = Accuracy(
        data="x", protocol="x", images=(), mean_drop_db=drop, worst_drop_db=drop,
        allowed_mean_drop_db=1.0, allowed_worst_drop_db=1.0,
    )  # fmt: skip
    return Point(label, ms, accuracy)


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    points = [
        point("fp32", 30.0, 0.0), point("slow", 40.0, 0.0), point("int8", 10.0, 0.03),
        point("worse", 12.0, 0.05), point("bf16", 20.0, 0.01), point("gains", 35.0, -0.01),
    ]  # fmt: skip
    assert [p.label for p in pareto_front(points)] == ["int8", "bf16", "fp32", "gains"]


def test_images_stand_worst_first_in_figure_and_table(some_further: Further) -> None:
    series = [("a", {"x": 0.1, "y": 0.3}), ("b", {"x": 0.2, "z": 0.25})]
    assert worst_images(series) == ["y", "z", "x"]
    drawn = re.findall(r">(x|y|z)</text>", drop_figure(series) or "")
    assert drawn == 2 * ["y", "z", "x"]
    section = evaluations_section(some_further.evaluations) or ""
    rows = section[section.index("worst image first") :]
    shown = re.findall(r'<th scope="row">(\w+)</th>', rows)
    drops = {i.name: i.drop_db or 0.0 for i in list(some_further.evaluations)[1].images}
    assert shown == sorted(drops, key=lambda name: -drops[name])


def test_sizes_of_one_name_stand_apart_by_session(make_results: MakeResults) -> None:
    results = make_results()
    larger = [msgspec.structs.replace(row, file_bytes=7_000_000) for row in results.bundles]
    other = msgspec.structs.replace(results, bundles=larger, protocol={"model": "larger_x2"})
    page = cost_section(Verdicts([results, other], [])) or ""
    assert re.findall("<h3>(.*?)</h3>", page) == ["esrt_s_x2", "larger_x2"]
    assert page.count('<th scope="row">') == 2 * len(results.bundles)
    first, second = page.split("larger_x2")
    assert [part.count("7 MB") for part in (first, second)] == [0, len(larger)]


def test_weights_stand_beside_the_file_that_holds_them(make_results: MakeResults) -> None:
    results = make_results()
    row = msgspec.structs.replace(results.bundles[0], weight_bytes=326_000, file_bytes=1_800_000)
    page = cost_section(Verdicts([msgspec.structs.replace(results, bundles=[row])], [])) or ""
    assert re.findall("<th scope=.col.>(.*?)</th>", page)[-2:] == ["Weights", "File"]
    assert re.findall("<td>(.*?)</td>", page)[-2:] == ["326 kB", "1.8 MB"]


def test_many_images_unfold_below_those_that_lose_most() -> None:
    rows = [[f"image{number}", "30"] for number in range(ROWS + 2)]
    made = image_tables("PSNR", ["Image", "a"], rows, [["Mean", "30"]])
    shown, rest = made.split("<details>")
    assert [part.count('<th scope="row">') for part in (shown, rest)] == [1 + ROWS, 2]
    assert "2 further images" in rest
    assert "<details>" not in image_tables("PSNR", ["Image", "a"], rows[:ROWS])


def test_where_nothing_is_lost_there_is_no_figure() -> None:
    assert drop_figure([("a", {"x": 0.0, "y": 0.001})]) is None
    assert drop_figure([]) is None


def test_twelve_bundles_have_marks_that_differ() -> None:
    assert len({mark(number, 0, 0) for number in range(12)}) == 12


def test_bars_say_what_each_operator_ran_in_and_are_as_long_as_it_took(
    some_further: Further,
) -> None:
    section = operators_section(some_further.profiles[1:], []) or ""
    assert "Attention, INT8" in section
    assert "(layout copy)" in section
    narrow = section[section.index('class="narrow"') :]
    longs = [float(w) for w in re.findall(r'width="([\d.]+)" height="10"', narrow)]
    took = [group.us for group in list(some_further.profiles)[1].groups]
    assert longs == pytest.approx([longs[0] * us / took[0] for us in took], abs=0.2)


def test_what_was_reached_lies_under_its_roof(some_further: Further) -> None:
    section = operators_section([], some_further.rooflines) or ""
    assert "Roofline: esrt_s_x2-fp32-cpu 31.0 GMAC/s; esrt_s_x2-int8-cpu 44.0 GMAC/s" in section
    wide = section[: section.index('class="narrow"')]
    roofs = re.findall(r'<line [^>]*y1="([\d.]+)"[^>]*y2="\1" class="one">', wide)
    points = re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)" r="5" class="point">', wide)
    assert len(roofs) == 2
    assert len(points) == 2
    assert all(float(point) > min(map(float, roofs)) for point in points), "down is less"
    assert "52 %" in section


def test_a_peak_of_nothing_is_not_drawn(some_further: Further) -> None:
    (known,) = some_further.rooflines
    section = operators_section([], [msgspec.structs.replace(known, gb_per_s=0.0)]) or ""
    assert "<svg" not in section
    assert "Multiplications in a second" in section


def test_the_latest_verdict_is_in_full_and_all_are_in_the_history(some_further: Further) -> None:
    section = gates_section(some_further.verdicts) or ""
    assert section.count("<h3>") == 1
    assert 'class="pill bad">regressed: v2:bundles/new' in section
    table = section[section.index("Verdicts, the oldest first") :]
    assert table.index("1.002") < table.index("1.080")
    assert section.count('class="mark bad"') == 2, "once for a desk and once for a phone"


def test_the_history_names_commits(some_further: Further) -> None:
    one, other = (
        msgspec.structs.replace(
            verdict, candidate=msgspec.structs.replace(verdict.candidate, revision=revision)
        )
        for verdict, revision in zip(some_further.verdicts, ("feed" * 10, None), strict=True)
    )
    section = gates_section([one, other]) or ""
    assert "2026-03-01 feedfeedfe" in section
    assert "feedfeedfe 1.002 pass; 1.080 regressed" in section
    assert "<td>feedfeedfe</td>" in section


def test_the_band_lies_around_the_ratio_that_was_expected(some_further: Further) -> None:
    plain, second = some_further.verdicts
    timed = msgspec.structs.replace(second.latency, expected=1.1)
    section = gates_section([plain, msgspec.structs.replace(second, latency=timed)]) or ""
    wide = section[: section.index("</svg>")]
    bands = re.findall(r'<rect y="([\d.]+)" height="([\d.]+)" class="band"', wide)
    marks = re.findall(r"translate\([\d.]+ ([\d.]+)\)", wide)
    assert len(bands) == len(marks) == 2
    for (top, height), y in zip(bands, marks, strict=True):
        assert float(top) < float(y) < float(top) + float(height)


def test_a_verdict_without_latency_has_a_row_and_no_mark(some_further: Further) -> None:
    bare = msgspec.structs.replace(
        next(iter(some_further.verdicts)), latency=None, latency_reason="not asked for"
    )
    section = gates_section([bare]) or ""
    assert "not compared: not asked for" in section
    assert "<svg" not in section


def test_without_anything_there_is_no_section() -> None:
    assert evaluations_section([]) is None
    assert gates_section([]) is None
    assert operators_section([], list[Roofline]()) is None
