"""Marks that are told apart by their shape, not by colour alone, and the key to them."""

from __future__ import annotations

from collections.abc import Sequence

from edgerestore.measure.report.axes import BOLD, CHARACTER, fitted, text
from edgerestore.measure.report.markup import Markup, tag

LINE = 18
_PATHS = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5.5L5.5 0L0 5.5L-5.5 0Z",
    "M0 -5L5 4.5H-5Z",
    "M0 5L5 -4.5H-5Z",
    "M-4.5 -2H-2V-4.5H2V-2H4.5V2H2V4.5H-2V2H-4.5Z",
)
"""Disc, square, diamond, triangles and cross around their middle; then again, hollow."""


def mark(number: int, x: float, y: float, class_: str = "") -> Markup:
    """The mark of a series; twelve differ."""
    hollow = number // len(_PATHS) % 2
    kind = " ".join(filter(None, ("mark", "hollow" if hollow else "", class_)))
    path = _PATHS[number % len(_PATHS)]
    return tag("path", d=path, transform=f"translate({x:g} {y:g})", class_=kind)


def key(names: Sequence[str], width: float) -> tuple[list[Markup], float]:
    """Marks with names in lines of ``width``, and the height that these take."""
    drawn: list[Markup] = []
    x, y = 8.0, 10.0
    for number, name in enumerate(names):
        short = fitted(name, (width - 34) / BOLD)
        needs = 18 + len(short) * CHARACTER * BOLD + 16
        if x > 8 and x + needs > width:
            x, y = 8.0, y + LINE
        drawn.append(mark(number, x + 6, y))
        drawn.append(text(x + 18, y + 4, short))
        x += needs
    return drawn, y + LINE
