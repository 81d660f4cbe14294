"""The three figures, as inline SVG drawn once for a desk and once for a phone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgerestore.bench.results import Ratio, Result, Results
from edgerestore.bundle import Accuracy
from edgerestore.report.axes import Axis, axis_over, line, number, row_heads, svg, text
from edgerestore.report.labels import Box, labelled
from edgerestore.report.markup import Content, Markup, tag
from edgerestore.report.verdicts import Verdicts, signed

WIDTHS = (760, 350)
"""SVG units are pixels at these widths; the style sheet shows the one that fits."""
MARGIN = 8
ROW = 62
TOP = 28
DOTS = 240
"""Samples drawn per row; more would only thicken the smear."""
UNSEEN_DB = 0.005
GOLDEN = 0.618034


def both_widths(draw: Callable[[int], Markup], caption: str) -> Markup:
    """A figure with its caption, in both widths."""
    return tag(
        "figure", *(draw(width) for width in WIDTHS), tag("figcaption", caption), class_="plot"
    )


def ratio_figure(verdicts: Verdicts, session: Results) -> Markup | None:
    """Each bundle's time over the first's, with its interval; None without ratios."""
    ratios = verdicts.ratios(session)
    if not ratios:
        return None
    reference = verdicts.label(ratios[0].against)
    ends = [x for r in ratios for x in (r.low or r.median, r.high or r.median)]
    low, high = min([1.0, *ends]), max([1.0, *ends])
    low = 0.0 if low < 0.7 else low

    def draw(width: int) -> Markup:
        height = ROW * 0.8 * len(ratios) + 34
        axis = axis_over(low, high, MARGIN, width - MARGIN)
        rows = [
            part
            for i, ratio in enumerate(ratios)
            for part in _ratio_row(verdicts.label(ratio.name), ratio, axis, ROW * 0.8 * i)
        ]
        grid = _vertical_grid(axis, 0, height - 34, f"times the latency of {reference}", width)
        title = "Latency ratios: " + "; ".join(
            f"{verdicts.label(r.name)} {r.median:.2f}" for r in ratios
        )
        return svg(width, height, title, *grid, *rows)

    return both_widths(
        draw,
        f"Time over that of {reference}, median of paired turns with 95 % interval. "
        "Left of 1 is faster.",
    )


def latency_figure(verdicts: Verdicts, session: Results) -> Markup | None:
    """Raw samples of each bundle with quartiles and median; None without samples."""
    rows = [(verdicts.label(r.name), _samples_ms(r)) for r in verdicts.timed(session)]
    rows = [(label, samples) for label, samples in rows if samples.size]
    if not rows:
        return None
    high = max(_end_of_bulk(samples) for _, samples in rows)

    def draw(width: int) -> Markup:
        height = ROW * len(rows) + 34
        axis = axis_over(0.0, high, MARGIN, width - MARGIN)
        drawn = [
            part
            for i, (label, samples) in enumerate(rows)
            for part in _strip_row(label, samples, axis, ROW * i)
        ]
        grid = _vertical_grid(axis, 0, height - 34, "ms for one run", width)
        title = "Latency samples: " + "; ".join(
            f"{label} median {np.median(samples):.2f} ms" for label, samples in rows
        )
        return svg(width, height, title, *grid, *drawn)

    return both_widths(
        draw,
        "Single runs (dots), the middle half of them (box) and the median (bar). "
        "Absolute times are of this machine at that hour.",
    )


def plane_figure(verdicts: Verdicts, session: Results) -> Markup | None:
    """Accuracy lost against latency, one point per bundle; None without a pair."""
    points = []
    for result in verdicts.timed(session):
        accuracy, latency = verdicts.accuracy_of(result), verdicts.latency(result)
        if accuracy and latency:
            points.append((verdicts.label(result.name), latency.p50, accuracy))
    if not points:
        return None

    def draw(width: int) -> Markup:
        return _plane(width, points)

    return both_widths(
        draw,
        "Upper left is better. The dot is the mean loss against the FP32 network, its line ends "
        "at the worst image; dashed lines are the loosest gate.",
    )


def _ratio_row(label: str, ratio: Ratio, axis: Axis, top: float) -> list[Markup]:
    middle = top + 34
    said = f"{ratio.median:.2f}"
    if ratio.low is not None and ratio.high is not None:
        said += f" ({ratio.low:.2f} to {ratio.high:.2f})"
    one, median = axis.at(1), axis.at(ratio.median)
    parts = [
        *row_heads(axis, top + 16, label, said),
        line(one, middle, median, middle, "reach"),
        line(one, middle - 10, one, middle + 10, "one"),
    ]
    if ratio.low is not None and ratio.high is not None:
        parts.append(line(axis.at(ratio.low), middle, axis.at(ratio.high), middle, "interval"))
    return [*parts, tag("circle", cx=median, cy=middle, r=4.5, class_="point")]


def _strip_row(label: str, samples: np.ndarray, axis: Axis, top: float) -> list[Markup]:
    middle = top + 38
    quartiles = [float(q) for q in np.percentile(samples, [25, 50, 75])]
    beyond = int((samples > axis.high).sum())
    said = f"{quartiles[1]:.2f} ms" + (f" (+{beyond} off scale)" if beyond else "")
    shown = samples[samples <= axis.high]
    thinned = shown[:: max(1, -(-shown.size // DOTS))]
    dots = [
        tag("circle", cx=axis.at(x), cy=round(middle + 18 * ((i * GOLDEN) % 1 - 0.5), 1), r=1.7)
        for i, x in enumerate(map(float, thinned))
    ]
    first, median, third = (axis.at(q) for q in quartiles)
    box = tag(
        "rect", x=first, y=middle - 11, width=round(max(1.0, third - first), 1), height=22, rx=2,
        class_="box",
    )  # fmt: skip
    return [
        *row_heads(axis, top + 16, label, said),
        tag("g", *dots, class_="dots"),
        box,
        line(median, middle - 13, median, middle + 13, "median"),
    ]


def _plane(width: int, points: Sequence[tuple[str, float, Accuracy]]) -> Markup:
    height, left, bottom = 320, 46, 44
    gates = {
        "mean allowed": max(a.allowed_mean_drop_db for _, _, a in points),
        "worst allowed": max(a.allowed_worst_drop_db for _, _, a in points),
    }
    drops = [x for _, _, a in points for x in (a.mean_drop_db, a.worst_drop_db)]
    # Gains that nobody can see would only add an empty band above zero.
    drops = [0.0 if -UNSEEN_DB < drop < 0 else drop for drop in drops]
    across = axis_over(0.0, max(ms for _, ms, _ in points) * 1.1, left, width - MARGIN)
    down = axis_over(min([0.0, *drops]), max([*drops, *gates.values()]), TOP, height - bottom)
    grid: list[Content] = []
    for tick in down.ticks(6):
        grid.append(line(left, down.at(tick), width - MARGIN, down.at(tick), "grid"))
        grid.append(text(left - 8, down.at(tick) + 4, number(tick), "t", "end"))
    for name, value in gates.items():
        y = down.at(value)
        grid.append(line(left, y, width - MARGIN, y, "gate"))
        grid.append(text(left + 6, y - 5, name, "t small halo"))
    across_grid = _vertical_grid(across, TOP, height - bottom, "ms for one run (median)", width)
    grid.append(text(0, 11, "dB lost", "t small"))
    title = "Accuracy lost against latency: " + "; ".join(
        f"{label} {ms:.2f} ms, {signed(a.mean_drop_db)} dB" for label, ms, a in points
    )
    return svg(width, height, title, *across_grid, *grid, *_plane_points(points, across, down))


def _plane_points(
    points: Sequence[tuple[str, float, Accuracy]], across: Axis, down: Axis
) -> list[Markup]:
    marks, named = [], []
    for label, ms, accuracy in sorted(points, key=lambda p: p[2].mean_drop_db):
        x, y = across.at(ms), down.at(accuracy.mean_drop_db)
        marks.append(line(x, y, x, down.at(accuracy.worst_drop_db), "interval"))
        marks.append(tag("circle", cx=x, cy=y, r=5, class_="point"))
        named.append((label, x, y))
    frame = Box(across.begin, 0, across.end, down.end)
    return [*labelled(named, frame), *marks]


def _vertical_grid(axis: Axis, top: float, bottom: float, unit: str, width: int) -> list[Markup]:
    parts = []
    for tick in axis.ticks(8 if width > 500 else 5):
        x = axis.at(tick)
        anchor = "start" if x < axis.begin + 6 else "end" if x > axis.end - 6 else "middle"
        parts.append(line(x, top, x, bottom, "grid"))
        parts.append(text(x, bottom + 15, number(tick), "t small", anchor))
    parts.append(text(axis.end, bottom + 31, unit, "t small", "end"))
    return parts


def _samples_ms(result: Result) -> np.ndarray:
    return np.array([ns for turn in result.turns_ns for ns in turn], dtype=np.float64) / 1e6


def _end_of_bulk(samples: np.ndarray) -> float:
    """Where the axis may end, so that a few disturbed runs do not squeeze all others."""
    first, third = np.percentile(samples, [25, 75])
    fence = third + 3 * (third - first) + 0.05 * float(np.median(samples))
    return float(samples[samples <= fence].max())
