"""Where the time goes: bars for each bundle's operators, and how near it comes to the peaks."""

from __future__ import annotations

from collections.abc import Sequence

from edgerestore.measure.bench.profile import Profile
from edgerestore.measure.bench.profile.groups import Group
from edgerestore.measure.bench.roofline import Roofline
from edgerestore.measure.report.axes import MARGIN, Axis, axis_over, both_widths, row_heads, svg
from edgerestore.measure.report.axes import vertical_grid as vertical
from edgerestore.measure.report.markup import Content, Markup, behind, breakable, joined, tag
from edgerestore.measure.report.roofline import roofline_part

MOST = 10
"""Groups drawn for each bundle; the others are one bar, and all are in the table."""
ROW = 36
MOVES = ("layout copy", "conversion")


def operators_section(profiles: Sequence[Profile], rooflines: Sequence[Roofline]) -> Markup | None:
    """Bars, sentences and a table for each profile, then the rooflines; None without any."""
    if not profiles and not rooflines:
        return None
    longest = max((us for p in profiles for us in _drawn_us(p)), default=1.0)
    return joined(
        [
            *(_profile(profile, longest / 1e3) for profile in profiles),
            *(roofline_part(roofline) for roofline in rooflines),
        ]
    )


def _drawn_us(profile: Profile) -> list[float]:
    rest = sum(group.us for group in profile.groups[MOST:])
    return [*(group.us for group in profile.groups[:MOST]), rest]


def _profile(profile: Profile, longest_ms: float) -> Markup:
    where = (
        f"{profile.total_us / 1e3:.2f} ms in {len(profile.operators)} operators of "
        f"{profile.runtime}, median of {profile.runs} runs under its own profiler."
    )
    every = behind(
        f"Operators of {profile.name}",
        ("Operator", "Kind", "Ran in", "Calls", "ms", "%", "Kernels"),
        (_row(group) for group in profile.groups),
    )
    caption = (
        "Solid bars ran in INT8, framed ones in 16 bits, grey ones in FP32 or another type. "
        "All bundles have one scale."
    )
    return joined(
        [
            tag("h3", breakable(profile.name)),
            tag("p", where, class_="note"),
            both_widths(lambda width: _bars(width, profile, longest_ms), caption, every),
            *(tag("p", sentence) for sentence in profile.summary),
        ]
    )


def _row(group: Group) -> list[Content]:
    return [
        breakable(group.type),
        group.kind,
        group.precision,
        str(group.calls),
        f"{group.us / 1e3:.3f}",
        f"{100 * group.share:.1f}",
        breakable(", ".join(group.kernels[:3])),
    ]


def _bars(width: int, profile: Profile, longest_ms: float) -> Markup:
    groups, rest = profile.groups[:MOST], profile.groups[MOST:]
    axis = axis_over(0.0, longest_ms, MARGIN, width - MARGIN)
    drawn: list[Markup] = []
    for number, group in enumerate(groups):
        note = f" ({group.kind})" if group.kind in MOVES else ""
        name = f"{group.type}, {group.precision.upper()}{note}"
        drawn += _bar(axis, ROW * number, name, group.us, group.share, _class(group.precision))
    if rest:
        us, share = sum(group.us for group in rest), sum(group.share for group in rest)
        drawn += _bar(axis, ROW * len(groups), f"{len(rest)} further", us, share, "rest")
    height = ROW * (len(groups) + bool(rest)) + 8
    title = f"Operators of {profile.name}: " + "; ".join(
        f"{group.type} in {group.precision} {100 * group.share:.0f} %" for group in groups
    )
    return svg(
        width, height + 34, title, *vertical(axis, 0, height, "ms of one run", width), *drawn
    )


def _bar(axis: Axis, top: float, name: str, us: float, share: float, class_: str) -> list[Markup]:
    long = round(max(1.0, axis.at(us / 1e3) - axis.begin), 1)
    said = f"{us / 1e3:.2f} ms, {100 * share:.0f} %"
    return [
        *row_heads(axis, top + 16, name, said),
        tag("rect", x=axis.begin, y=top + 22, width=long, height=10, class_=f"share {class_}"),
    ]


def _class(precision: str) -> str:
    return {"int8": "int8", "bf16": "half", "fp16": "half"}.get(precision, "wide-type")
