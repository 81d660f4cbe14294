"""How near bundles come to what the machine can multiply and move."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgerestore.measure.bench.roofline import Achieved, Roofline
from edgerestore.measure.report.axes import MARGIN, Axis, both_widths, line, number, svg, text
from edgerestore.measure.report.labels import Box, labelled
from edgerestore.measure.report.markup import Content, Markup, breakable, joined, table, tag

HEIGHT, LEFT, TOP, BOTTOM = 320, 46, 28, 44


def roofline_part(found: Roofline) -> Markup:
    """The figure with the roofs, and a table of what was reached."""
    head = (
        "Bundle", "MAC/byte", "Bound by", "GMAC/s", "Of the roof",
        *(f"Of {peak.precision.upper()}'s peak" for peak in found.peaks),
    )  # fmt: skip
    rows: list[list[Content]] = [_row(bundle) for bundle in found.bundles]
    peaks = [f"{peak.gmacs_per_s:.1f}" for peak in found.peaks]
    rows.append(["Peak, GMAC/s", "", "", "", "", *peaks])
    return joined(
        [
            tag("h3", "How near to the peaks of this machine"),
            _figure(found),
            table("Multiplications in a second", head, rows),
            *(tag("p", f"Caution: {warning}.", class_="caution") for warning in found.warnings),
        ]
    )


def _row(bundle: Achieved) -> list[Content]:
    roof = bundle.roof
    return [
        breakable(bundle.name),
        f"{roof.macs_per_byte:.1f}",
        "memory" if roof.bound == "memory" else f"{roof.precision.upper()} products",
        f"{bundle.gmacs_per_s:.1f}",
        f"{100 * roof.median:.0f} %",
        *(f"{100 * fraction.median:.0f} %" for fraction in bundle.of_peak),
    ]


def _figure(found: Roofline) -> Markup:
    points = [(b.name, b.roof.macs_per_byte, b.gmacs_per_s) for b in found.bundles]
    places = [(x, y) for _, x, y in points if x > 0 and y > 0]
    peaks = [peak.gmacs_per_s for peak in found.peaks if peak.gmacs_per_s > 0]
    if not places or not peaks or not found.gb_per_s > 0:
        return Markup("")
    # Every roof's corner is in the picture, as left of it memory is what bounds.
    corners = [peak / found.gb_per_s for peak in peaks]
    xs = _decades([*corners, *(x for x, _ in places)])
    ys = _decades([*peaks, *(y for _, y in places)])
    caption = (
        f"Both axes are logarithmic. Level lines are products of large matrices, the slope is the "
        f"memory's {found.gb_per_s:.1f} GB/s, both of the same run; no bundle can lie above them "
        "unless caches hold its values."
    )
    return both_widths(lambda width: _drawn(width, found, points, xs, ys), caption)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.log10(min(values)), math.log10(max(values))
    return math.floor(low - 0.1), math.ceil(high + 0.1)


def _drawn(
    width: int,
    found: Roofline,
    points: Sequence[tuple[str, float, float]],
    xs: tuple[int, int],
    ys: tuple[int, int],
) -> Markup:
    across = Axis(xs[0], xs[1], LEFT, width - MARGIN)
    up = Axis(ys[0], ys[1], HEIGHT - BOTTOM, TOP)
    drawn = _grid(across, up, xs, ys)
    begin, named = 10.0 ** xs[0], []
    for peak in found.peaks:
        if peak.gmacs_per_s > 0:
            y = up.at(math.log10(peak.gmacs_per_s))
            corner = across.at(math.log10(peak.gmacs_per_s / found.gb_per_s))
            drawn.append(line(corner, y, across.end, y, "one"))
            drawn.append(text(across.end, y - 5, peak.precision.upper(), "t small halo", "end"))
    top = max(peak.gmacs_per_s for peak in found.peaks)
    foot = max(found.gb_per_s * begin, 10.0 ** ys[0])
    ends = [(foot / found.gb_per_s, foot), (top / found.gb_per_s, top)]
    (x1, y1), (x2, y2) = ((across.at(math.log10(x)), up.at(math.log10(y))) for x, y in ends)
    drawn.append(line(x1, y1, x2, y2, "one"))
    for name, intensity, rate in points:
        if intensity > 0 and rate > 0:
            x, y = across.at(math.log10(intensity)), up.at(math.log10(rate))
            drawn.append(tag("circle", cx=x, cy=y, r=5, class_="point"))
            named.append((name, x, y))
    drawn += labelled(named, Box(across.begin, TOP, across.end, up.begin))
    title = "Roofline: " + "; ".join(f"{name} {rate:.1f} GMAC/s" for name, _, rate in points)
    return svg(width, HEIGHT, title, *drawn)


def _grid(across: Axis, up: Axis, xs: tuple[int, int], ys: tuple[int, int]) -> list[Markup]:
    drawn = [text(0, 11, "GMAC/s", "t small")]
    for power in range(ys[0], ys[1] + 1):
        y = up.at(power)
        drawn.append(line(LEFT, y, across.end, y, "grid"))
        drawn.append(text(LEFT - 8, y + 4, number(10.0**power), "t", "end"))
    for power in range(xs[0], xs[1] + 1):
        x = across.at(power)
        anchor = "start" if power == xs[0] else "end" if power == xs[1] else "middle"
        drawn.append(line(x, TOP, x, HEIGHT - BOTTOM, "grid"))
        drawn.append(text(x, HEIGHT - BOTTOM + 15, number(10.0**power), "t small", anchor))
    drawn.append(
        text(across.end, HEIGHT - BOTTOM + 31, "MACs for each byte moved", "t small", "end")
    )
    return drawn
