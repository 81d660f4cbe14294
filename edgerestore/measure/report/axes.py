"""A linear axis, and the small pieces of SVG that all figures share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edgerestore.measure.report.markup import Content, Markup, joined, tag

WIDTHS = (760, 350)
"""SVG units are pixels at these widths; the style sheet shows the one that fits."""

MARGIN = 8

CHARACTER = 6.4
"""Width of a character of figure text in SVG units; generous, so labels never touch."""

BOLD = 1.1
"""How much wider bold characters are."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values from ``low`` to ``high`` onto ``begin`` to ``end``."""

    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """Position of a value, rounded to a tenth; values outside go to the nearer end."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / ((self.high - self.low) or 1.0)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self, most: int = 6) -> list[float]:
        """At most ``most`` round values on the axis."""
        step = _round_step((self.high - self.low) / max(1, most - 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 10) for i in range(first, last + 1)]


def axis_over(low: float, high: float, begin: float, end: float) -> Axis:
    """An axis that ends on round values outside ``low`` and ``high``."""
    if not high > low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    step = _round_step((high - low) / 5)
    return Axis(
        math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, begin, end
    )


def number(value: float) -> str:
    """A tick's text, without needless zeros."""
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def text(x: float, y: float, content: Content, class_: str = "t", anchor: str = "start") -> Markup:
    """A line of text."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def fitted(content: str, room: float) -> str:
    """A text cut to the room that it has, in SVG units."""
    most = max(4, int(room / CHARACTER))
    return content if len(content) <= most else content[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def row_heads(axis: Axis, y: float, name: str, said: str) -> list[Markup]:
    """What a row is called, on the left, and what it says, on the right."""
    room = axis.end - axis.begin - len(said) * CHARACTER - 12
    return [
        text(axis.begin, y, fitted(name, room / BOLD), "t strong halo"),
        text(axis.end, y, said, "t halo", "end"),
    ]


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def svg(width: int, height: float, title: str, *contents: Content) -> Markup:
    """A figure of one width that assistive technology reads as ``title``."""
    return tag(
        "svg",
        tag("title", title),
        *contents,
        viewBox=f"0 0 {width} {height:g}",
        role="img",
        aria_label=title,
        class_="wide" if width > 500 else "narrow",
    )


def both_widths(draw: Callable[[int], Markup], caption: str, figures: Content = None) -> Markup:
    """A figure drawn for a desk and for a phone with its caption; ``figures`` is its table."""
    drawn = (draw(width) for width in WIDTHS)
    plot = tag("figure", *drawn, tag("figcaption", caption), class_="plot")
    return joined([plot, figures])


def vertical_grid(axis: Axis, top: float, bottom: float, unit: str, width: int) -> list[Markup]:
    """Lines at an axis's ticks, their values below and the unit below those."""
    parts = []
    for tick in axis.ticks(8 if width > 500 else 5):
        x = axis.at(tick)
        anchor = "start" if x < axis.begin + 6 else "end" if x > axis.end - 6 else "middle"
        parts.append(line(x, top, x, bottom, "grid"))
        parts.append(text(x, bottom + 15, number(tick), "t small", anchor))
    parts.append(text(axis.end, bottom + 31, unit, "t small", "end"))
    return parts


def horizontal_grid(axis: Axis, left: float, right: float) -> list[Markup]:
    """Lines at an upright axis's ticks with their values on the left."""
    parts = []
    for tick in axis.ticks():
        y = axis.at(tick)
        parts.append(line(left, y, right, y, "grid"))
        parts.append(text(left - 8, y + 4, number(tick), "t", "end"))
    return parts


def _round_step(least: float) -> float:
    if not least > 0 or not math.isfinite(least):
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= least * (1 - 1e-9))
