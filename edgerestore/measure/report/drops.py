"""What each image loses in each bundle, the worst image first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgerestore.measure.report.axes import (
    MARGIN,
    axis_over,
    both_widths,
    fitted,
    line,
    svg,
    text,
    vertical_grid,
)
from edgerestore.measure.report.markup import Content, Markup, folded, joined, table
from edgerestore.measure.report.shapes import key, mark
from edgerestore.measure.report.verdicts import UNSEEN_DB, signed

MOST = 16
"""Images drawn; the table has them all."""
ROW = 24
ROWS = 40
"""Images that a table shows at once; the others unfold."""

Drops = Mapping[str, float]
"""PSNR-Y lost against FP32 in dB, by image."""


def worst_images(series: Sequence[tuple[str, Drops]]) -> list[str]:
    """Names of all images, the one that loses most in any bundle first."""
    most: dict[str, float] = {}
    for _, drops in series:
        for name, drop in drops.items():
            most[name] = max(drop, most.get(name, drop))
    return sorted(most, key=lambda name: (-most[name], name))


def image_tables(
    caption: str,
    head: Sequence[Content],
    rows: Sequence[Sequence[Content]],
    totals: Sequence[Sequence[Content]] = (),
) -> Markup:
    """A row for each image, the worst first, below ``totals``; many images unfold."""
    shown, rest = rows[:ROWS], rows[ROWS:]
    first = table(f"{caption}, worst image first", head, [*totals, *shown])
    if not rest:
        return first
    others = table(f"{caption}, the other images", head, rest)
    return joined([first, folded(f"{len(rest)} further images", others)])


def drop_figure(series: Sequence[tuple[str, Drops]]) -> Markup | None:
    """A row for each image with a mark for each bundle; None where nothing is lost."""
    names = worst_images(series)
    every = [drop for _, drops in series for drop in drops.values()]
    if not names or max(map(abs, every)) < UNSEEN_DB:
        return None
    caption = (
        "PSNR-Y lost against FP32, the worst image on top; each mark is a bundle. "
        "Left of 0 is a gain."
    )
    if len(names) > MOST:
        caption += f" The {MOST} worst of {len(names)} images."
    return both_widths(lambda width: _rows(width, series, names), caption)


def _rows(width: int, series: Sequence[tuple[str, Drops]], names: Sequence[str]) -> Markup:
    shown = names[:MOST]
    drawn, top = key([label for label, _ in series], width)
    drops = [drops[name] for _, drops in series for name in shown if name in drops]
    room = 210 if width > 500 else 112
    axis = axis_over(min(0.0, *drops, 0.0), max(0.0, *drops, 0.0), room, width - MARGIN - 4)
    bottom = top + ROW * len(shown)
    grid = vertical_grid(axis, top, bottom, "dB lost", width)
    drawn.append(line(axis.at(0), top, axis.at(0), bottom, "one"))
    for row, name in enumerate(shown):
        y = top + ROW * (row + 0.5)
        drawn.append(text(room - 12, y + 4, fitted(name, room - 14), "t", "end"))
        ends = [drops[name] for _, drops in series if name in drops]
        drawn.append(line(axis.at(min(0.0, *ends, 0.0)), y, axis.at(max(0.0, *ends)), y, "thread"))
        drawn += [
            mark(number, axis.at(drops[name]), y)
            for number, (_, drops) in enumerate(series)
            if name in drops
        ]
    most = {name: max(drops[name] for _, drops in series if name in drops) for name in shown}
    title = "dB lost in the bundle that loses most: " + "; ".join(
        f"{name} {signed(most[name])}" for name in shown
    )
    return svg(width, bottom + 36, title, *grid, *drawn)
