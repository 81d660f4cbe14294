"""Named bars as a picture file that stands alone: one SVG, dark and light."""

from __future__ import annotations

from collections.abc import Sequence

from edgerestore.measure.report.axes import axis_over, fitted, number
from edgerestore.measure.report.markup import Markup, tag

WIDTH, ROW, TOP, NAMES, VALUES = 760, 20, 56, 300, 100
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1c2733 }
.title { font-weight: 700 }
.faint { fill: #5b6b7b } .bar { fill: #2f6fb0 } .grid { stroke: #d5dde5 }
@media (prefers-color-scheme: dark) {
  svg { background: #10161d } text { fill: #e6edf3 }
  .faint { fill: #93a4b5 } .bar { fill: #6ea8e0 } .grid { stroke: #2b3742 }
}
"""


def bars_svg(title: str, said: str, rows: Sequence[tuple[str, float]], unit: str) -> Markup:
    """A bar for each name, all from one zero; ``said`` is the line below the title."""
    longest = max((value for _, value in rows), default=1.0)
    axis = axis_over(0.0, max(longest, 1e-9), NAMES, WIDTH - VALUES)
    height = TOP + ROW * len(rows) + 24
    grid = []
    for tick in axis.ticks():
        x = axis.at(tick)
        grid.append(tag("line", x1=x, x2=x, y1=TOP - 6, y2=height - 20, class_="grid"))
        grid.append(_text(x, height - 6, number(tick), "faint", "middle"))
    bars = []
    for i, (name, value) in enumerate(rows):
        y, end = TOP + ROW * i, axis.at(value)
        width = round(end - NAMES, 1)
        bars.append(_text(NAMES - 8, y + 14, fitted(name, NAMES - 12), "name", "end"))
        bars.append(tag("rect", x=NAMES, y=y + 3, width=width, height=ROW - 6, class_="bar"))
        bars.append(_text(end + 6, y + 14, f"{value:.3g} {unit}", "faint", "start"))
    return tag(
        "svg",
        tag("title", f"{title}. {said}"),
        tag("style", STYLE),
        tag("text", title, x=12, y=22, class_="title"),
        tag("text", said, x=12, y=42, class_="faint"),
        *grid,
        *bars,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
    )


def _text(x: float, y: float, content: str, class_: str, anchor: str) -> Markup:
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)
