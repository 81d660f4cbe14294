from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest

from edgerestore.measure.bench.results import Results
from edgerestore.measure.report.axes import axis_over, fitted, number
from edgerestore.measure.report.figures import latency_figure, ratio_figure
from edgerestore.measure.report.labels import HEIGHT, Box, _place, labelled
from edgerestore.measure.report.plane import plane_figure
from edgerestore.measure.report.verdicts import Verdicts

MakeResults = Callable[..., Results]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 97.3), (0, 0.0031), (-0.02, 0.09), (5, 5), (0, 0), (0.99, 1.01), (0, 1e9)]
)
def test_ticks_are_few_round_and_on_the_axis(low: float, high: float) -> None:
    axis = axis_over(low, high, 10, 300)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert axis.low <= low <= high <= axis.high
    assert all(10 <= axis.at(tick) <= 300 for tick in ticks)
    assert all(len(number(tick)) <= 8 for tick in ticks)


def test_what_lies_outside_is_drawn_at_the_edge() -> None:
    axis = axis_over(0, 10, 0, 100)
    assert (axis.at(-5), axis.at(50)) == (0, 100)


def test_long_names_are_cut() -> None:
    assert fitted("short", 100) == "short"
    assert fitted("a" * 50, 64) == "a" * 9 + "\N{HORIZONTAL ELLIPSIS}"


def test_figures_are_drawn_for_desk_and_phone(make_results: MakeResults) -> None:
    results = make_results()
    verdicts = Verdicts([results], [])
    for draw in (ratio_figure, latency_figure, plane_figure):
        figure = draw(verdicts, results)
        assert figure
        assert figure.count("<svg") == 2
        assert 'class="wide"' in figure
        assert 'class="narrow"' in figure
        assert "nan" not in figure


def test_unequal_work_is_drawn_per_pixel_and_equal_work_per_run(make_results: MakeResults) -> None:
    results = make_results()
    row = results.bundles[1]
    assert row.latency_ms
    assert row.megapixels_per_s
    four = msgspec.structs.replace(row, megapixels_per_s=4 * row.megapixels_per_s)
    ratio = msgspec.structs.replace(results.ratios[0], per_pixel=True)
    unlike = msgspec.structs.replace(
        results, bundles=[results.bundles[0], four, *results.bundles[2:]],
        ratios=[ratio, *results.ratios[1:]],
    )  # fmt: skip
    name, ms = "BF16 openvino-cpu", row.latency_ms.p50
    # A run gives 96 x 96 pixels, or four times as many.
    per_megapixel = ms / (4 * 96 * 96 / 1e6)
    for session, said in ((results, f"{ms:.2f} ms,"), (unlike, f"{per_megapixel:.2f} ms/MP,")):
        verdicts, divided = Verdicts([session], []), session is unlike
        figures = [draw(verdicts, session) or "" for draw in (ratio_figure, latency_figure)]
        assert ["per pixel" in figures[0], "ms/MP" in figures[1]] == [divided, divided]
        assert f"{name} {said}" in (plane_figure(verdicts, session) or "")


def test_without_data_there_is_no_figure(make_results: MakeResults) -> None:
    empty = msgspec.structs.replace(make_results(), bundles=[], ratios=[])
    verdicts = Verdicts([empty], [])
    for draw in (ratio_figure, latency_figure, plane_figure):
        assert draw(verdicts, empty) is None


def test_one_sample_can_be_drawn(make_results: MakeResults) -> None:
    results = make_results()
    single = msgspec.structs.replace(results.bundles[0], turns_ns=[[1_000_000]])
    alone = msgspec.structs.replace(results, bundles=[single], ratios=[])
    assert "1.00 ms" in (latency_figure(Verdicts([alone], []), alone) or "")


def test_samples_off_the_scale_are_counted_not_hidden(make_results: MakeResults) -> None:
    results = make_results()
    slow = msgspec.structs.replace(
        results.bundles[0], turns_ns=[[1_000_000 + i for i in range(50)], [90_000_000] * 2]
    )
    alone = msgspec.structs.replace(results, bundles=[slow], ratios=[])
    assert "(+2 off scale)" in (latency_figure(Verdicts([alone], []), alone) or "")


def test_labels_of_points_in_one_place_do_not_overlap() -> None:
    frame = Box(0, 0, 300, 200)
    taken = [Box(94, 94, 106, 106)]
    for name in ("FP32 openvino", "BF16 openvino", "INT8 openvino", "INT8 ort", "FP16 ort"):
        _, box = _place(name, 100, 100, frame, taken)
        assert box.within(frame)
        assert not any(box.overlaps(other) for other in taken)
        assert box.bottom - box.top == HEIGHT
        taken.append(box)


def test_a_label_without_room_is_still_drawn() -> None:
    drawn = "".join(labelled([("a name far too long for this", 5, 5)], Box(0, 0, 20, 12)))
    assert re.search(r"<text[^>]*>", drawn)
