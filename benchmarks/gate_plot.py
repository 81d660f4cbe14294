"""The study of the gate as a picture: bars of how often each method says "regressed"."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from edgerestore.files import write_beside

if TYPE_CHECKING:
    from gate_study import Rates

WIDTH, LABEL, BAR, GAP, MARGIN = 1000, 330, 20, 26, 24
COLOURS = ("#1b6ca8", "#c98a2b", "#b5544d", "#7d6b91")
"""The gate first, then the habits."""
INK, FAINT, PAPER = "#222222", "#d8d8d8", "#ffffff"


def write_plot(path: Path, rows: Sequence[Rates]) -> None:
    """Draws the rows of ``gate_study.rates``, machine by machine, and writes a PNG."""
    methods = list(rows[0].regressed)
    height = 2 * MARGIN + 40 + len(rows) * (GAP + BAR * len(methods) + 14)
    image = Image.new("RGB", (WIDTH, height), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    y = MARGIN
    draw.text((MARGIN, y), 'Share of runs called "regressed"', INK, ImageFont.load_default(19))
    y += 40
    for row in rows:
        truth = f"{row.slowdown:.0%} slower" if row.slowdown else "the same program"
        head = f"{row.machine}, {truth}, {row.runs} runs"
        draw.text((MARGIN, y), head, INK, font)
        y += GAP
        for colour, method in zip(COLOURS, methods, strict=True):
            _bar(draw, font, y, method, row.regressed[method], colour)
            y += BAR
        y += 14
    encoded = io.BytesIO()
    image.quantize(64).save(encoded, "PNG", optimize=True)
    write_beside(path, encoded.getvalue())


def _bar(
    draw: ImageDraw.ImageDraw, font: Any, y: int, method: str, share: float, colour: str
) -> None:
    left, right = LABEL, WIDTH - MARGIN - 60
    draw.text((MARGIN + 12, y), method, INK, font)
    draw.rectangle((left, y + 3, right, y + BAR - 3), FAINT)
    end = left + share * (right - left)
    if share:
        draw.rectangle((left, y + 3, end, y + BAR - 3), colour)
    draw.text((right + 8, y), f"{share:.1%}", INK, font)
