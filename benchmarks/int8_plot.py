"""Latency of every candidate over ours as a picture: bars, network by network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgerestore.files import write_beside
from edgerestore.measure.report.axes import Axis, axis_over, fitted, number
from edgerestore.measure.report.markup import Markup, joined, tag
from edgerestore.metrics import decibels

WIDTH, NAMES, VALUES, ROW, HEAD, FOOT = 900, 300, 270, 20, 44, 30
LONGEST = 10.0
"""Where the axis ends; longer bars are cut, and their figure says how long they are."""
EQUAL_DB = 199.0
"""What equal outputs have, as no number of JSON is infinite."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c2733 }
.faint { paint-order: stroke; stroke: #fff; stroke-width: 3px }
.title { font-weight: 700 } .ours { font-weight: 700 }
.faint { fill: #5b6b7b } .bar { fill: #9fb0c0 } .grid { stroke: #d5dde5 } .one { stroke: #1c2733 }
rect.ours { fill: #2f6fb0 } .faster { fill: #b5544d }
@media (prefers-color-scheme: dark) {
  svg { background: #10161d } text { fill: #e6edf3 } .faint { stroke: #10161d }
  .faint { fill: #93a4b5 } .bar { fill: #51616f } .grid { stroke: #2b3742 } .one { stroke: #e6edf3 }
  rect.ours { fill: #6ea8e0 } .faster { fill: #e08a80 }
}
"""


def write_plot(path: Path, measured: Mapping[str, Any]) -> None:
    """Draws the document of ``int8.py``: for each network the candidates in its order.

    Bars that end left of 1 are faster than ours and stand in another colour.
    """
    panels, top = [], 8.0
    for model, results in measured.items():
        panels.append(_panel(model, results, top))
        top += HEAD + ROW * len(results["bundles"]) + FOOT
    drawing = tag(
        "svg",
        tag("title", "Latency over that of edgerestore's INT8; left of 1 is faster than ours"),
        tag("style", STYLE),
        *panels,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {top:g}",
        width=WIDTH,
        height=f"{top:g}",
        role="img",
    )
    write_beside(path, drawing.encode() + b"\n")


def drops(mean_db: float, worst_db: float) -> str:
    """Mean and worst, such as "0.012/0.034"."""
    return f"{decibels(mean_db)}/{decibels(worst_db)}"


def _panel(model: str, results: Mapping[str, Any], top: float) -> Markup:
    rows = results["bundles"]
    factors = {ratio["name"]: ratio["median"] for ratio in results["ratios"]}
    accuracy = results.get("accuracy", {})
    near = "dB lost on real pictures, mean and worst" if accuracy else "dB to FP32"
    axis = axis_over(0.0, min(LONGEST, max([1.0, *factors.values()])), NAMES, WIDTH - VALUES)
    begin, end = top + HEAD, top + HEAD + ROW * len(rows)
    drawn = [
        _text(12, top + 18, model, "title"),
        _text(12, top + 36, f"time over ours; {near}, size, peak memory", "faint"),
    ]
    for tick in axis.ticks(8):
        drawn.append(_vertical(axis.at(tick), begin, end, "one" if tick == 1 else "grid"))
        drawn.append(_text(axis.at(tick), end + 16, number(tick), "faint", "middle"))
    for place, row in enumerate(rows):
        name, at = row["name"], begin + ROW * place
        drawn.append(_row(row, accuracy.get(name), place == 0, factors.get(name), axis, at))
    if 1 not in axis.ticks(8):
        drawn.append(_vertical(axis.at(1), begin, end, "one"))
    return tag("g", *drawn)


def _row(
    row: Mapping[str, Any],
    lost: Mapping[str, Any] | None,
    ours: bool,
    factor: float | None,
    axis: Axis,
    top: float,
) -> Markup:
    name = fitted(row["name"], NAMES - 20)
    label = _text(NAMES - 8, top + 14, name, "ours" if ours else "name", "end")
    if row["latency_ms"] is None:
        reason = fitted(f"none: {row['reason']}", WIDTH - NAMES - 16)
        return joined([label, _text(NAMES + 6, top + 14, reason, "faint")])
    ratio = 1.0 if factor is None else factor
    kind = "bar ours" if ours else "bar faster" if ratio < 1 else "bar"
    long = round(axis.at(ratio) - NAMES, 1)
    size = f"{row['file_bytes'] / 1e6:.1f} MB, " if row["file_bytes"] else ""
    said = f"{ratio:.2f}: {_near(row, lost)}, {size}{row['peak_host_mib']:.0f} MiB"
    bar = tag("rect", x=NAMES, y=top + 3, width=long, height=ROW - 6, class_=kind)
    return joined([label, bar, _text(axis.at(ratio) + 6, top + 14, said, "faint")])


def _near(row: Mapping[str, Any], lost: Mapping[str, Any] | None) -> str:
    if lost:
        return f"{drops(lost['mean_drop_db'], lost['worst_drop_db'])} dB"
    psnr = row["parity_psnr_db"]
    return "equal" if psnr >= EQUAL_DB else f"{psnr:.0f} dB"


def _vertical(x: float, begin: float, end: float, class_: str) -> Markup:
    return tag("line", x1=x, x2=x, y1=begin, y2=end, class_=class_)


def _text(x: float, y: float, content: str, class_: str, anchor: str = "start") -> Markup:
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)
