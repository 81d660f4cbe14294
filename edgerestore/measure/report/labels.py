"""Labels beside points, so placed that none covers another or a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgerestore.measure.report.axes import BOLD, CHARACTER, fitted, line, text
from edgerestore.measure.report.markup import Markup

HEIGHT = 14.0
GAP = 11.0
STEPS = (0, 1, -1, 2, -2, 3, -3, 4, 5, 6, 7, 8)
"""Lines away from the point that are tried in turn."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the figure."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: Box) -> bool:
        """Whether all of this lies in ``other``."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


def labelled(points: Sequence[tuple[str, float, float]], frame: Box) -> list[Markup]:
    """Text for each (name, x, y), with a leader where it had to stand apart."""
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for _, x, y in points]
    drawn: list[Markup] = []
    for name, x, y in points:
        short = fitted(name, (frame.right - frame.left) / 2 / BOLD)
        anchor, box = _place(short, x, y, frame, taken)
        taken.append(box)
        edge, middle = (box.left if anchor == "start" else box.right), box.top + HEIGHT / 2
        if abs(middle - y) > 1:
            drawn.append(line(x, y, round(edge, 1), round(middle, 1), "leader"))
        at = box.left + 2 if anchor == "start" else box.right - 2
        drawn.append(text(round(at, 1), round(middle + 4, 1), short, "t strong halo", anchor))
    return drawn


def _place(name: str, x: float, y: float, frame: Box, taken: Sequence[Box]) -> tuple[str, Box]:
    width = len(name) * CHARACTER * BOLD + 4
    tried = []
    for step in STEPS:
        top = y + step * (HEIGHT + 1) - HEIGHT / 2
        for anchor, left in (("start", x + GAP), ("end", x - GAP - width)):
            box = Box(left, top, left + width, top + HEIGHT)
            if box.within(frame):
                tried.append((anchor, box))
                if not any(box.overlaps(other) for other in taken):
                    return anchor, box
    if tried:
        return tried[-1]
    return "start", Box(frame.left, y - HEIGHT / 2, frame.left + width, y + HEIGHT / 2)
