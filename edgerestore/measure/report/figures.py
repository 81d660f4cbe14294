"""Latency as figures: ratios against the first bundle, and single runs."""

from __future__ import annotations

import numpy as np

from edgerestore.measure.bench.results import Ratio, Result, Results
from edgerestore.measure.report.axes import (
    MARGIN,
    Axis,
    axis_over,
    both_widths,
    line,
    row_heads,
    svg,
    vertical_grid,
)
from edgerestore.measure.report.markup import Markup, behind, decimal, tag
from edgerestore.measure.report.verdicts import Verdicts
from edgerestore.measure.report.work import per_pixel, time_unit, work_of

ROW = 62
DOTS = 240
"""Samples drawn per row; more would only thicken the smear."""
GOLDEN = 0.618034


def ratio_figure(verdicts: Verdicts, session: Results) -> Markup | None:
    """Each bundle's time over the first's, with its interval; None without ratios."""
    ratios = verdicts.ratios(session)
    if not ratios:
        return None
    reference = verdicts.label(ratios[0].against)
    each = " per pixel" if per_pixel(session) else ""
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
        grid = vertical_grid(axis, 0, height - 34, f"times the latency{each} of {reference}", width)
        title = f"Latency ratios{each}: " + "; ".join(
            f"{verdicts.label(r.name)} {r.median:.2f}" for r in ratios
        )
        return svg(width, height, title, *grid, *rows)

    return both_widths(
        draw,
        f"Time{each} over that of {reference}, median of paired turns with 95 % interval. "
        "Left of 1 is faster.",
        behind(
            f"Times{each} over that of {reference}",
            ("Bundle", "Median ratio", "From", "To", "Rounds"),
            (
                [
                    verdicts.label(r.name),
                    *(decimal(x, 3) for x in (r.median, r.low, r.high)),
                    str(r.rounds),
                ]
                for r in ratios
            ),
        ),
    )


def latency_figure(verdicts: Verdicts, session: Results) -> Markup | None:
    """Raw samples of each bundle with quartiles and median; None without samples."""
    rows = [
        (verdicts.label(r.name), _samples_ms(r) / work_of(session, r))
        for r in verdicts.timed(session)
    ]
    rows = [(label, samples) for label, samples in rows if samples.size]
    if not rows:
        return None
    high = max(_end_of_bulk(samples) for _, samples in rows)
    unit, of = time_unit(session)

    def draw(width: int) -> Markup:
        height = ROW * len(rows) + 34
        axis = axis_over(0.0, high, MARGIN, width - MARGIN)
        drawn = [
            part
            for i, (label, samples) in enumerate(rows)
            for part in _strip_row(label, samples, unit, axis, ROW * i)
        ]
        grid = vertical_grid(axis, 0, height - 34, f"ms for {of}", width)
        title = "Latency samples: " + "; ".join(
            f"{label} median {np.median(samples):.2f} {unit}" for label, samples in rows
        )
        return svg(width, height, title, *grid, *drawn)

    return both_widths(
        draw,
        "Single runs (dots), the middle half of them (box) and the median (bar). "
        "Absolute times are of this machine at that hour.",
        behind(
            f"Single runs, {unit}",
            ("Bundle", "Least", "25 %", "Median", "75 %", "Most", "Runs"),
            (
                [
                    label,
                    *(f"{q:.2f}" for q in np.percentile(samples, [0, 25, 50, 75, 100])),
                    str(samples.size),
                ]
                for label, samples in rows
            ),
        ),
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


def _strip_row(label: str, samples: np.ndarray, unit: str, axis: Axis, top: float) -> list[Markup]:
    middle = top + 38
    quartiles = [float(q) for q in np.percentile(samples, [25, 50, 75])]
    beyond = int((samples > axis.high).sum())
    said = f"{quartiles[1]:.2f} {unit}" + (f" (+{beyond} off scale)" if beyond else "")
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


def _samples_ms(result: Result) -> np.ndarray:
    return np.array([ns for turn in result.turns_ns for ns in turn], dtype=np.float64) / 1e6


def _end_of_bulk(samples: np.ndarray) -> float:
    """Where the axis may end, so that a few disturbed runs do not squeeze all others."""
    first, third = np.percentile(samples, [25, 75])
    fence = third + 3 * (third - first) + 0.05 * float(np.median(samples))
    return float(samples[samples <= fence].max())
