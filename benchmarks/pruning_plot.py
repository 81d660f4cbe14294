"""The curves of pruning as a picture: decibels lost and latency left over MACs left."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgerestore.files import write_beside

if TYPE_CHECKING:
    from pruning import Curve, Point

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 480, 380, 70, 56, 24, 60
COLOURS = {"fp32": "#1b6ca8", "int8": "#b5544d"}
INK, FAINT, PAPER, SHADE = "#222222", "#d8d8d8", "#ffffff", "#7d6b91"
LEAST_SHARE, MOST_LATENCY, LOSS_STEP_DB = 0.4, 1.25, 0.25
"""Where axes end: MACs left, latency left, and decibels lost or won in whole steps."""
LATENCY_TICK, LOSS_TICK_DB = 0.25, 0.05

Places = list[tuple[float, float]]


def write_plot(path: Path, curves: Sequence[Curve]) -> None:
    """Two panels for each network, side by side: PSNR-Y lost, and latency, by MACs left."""
    image = Image.new("RGB", (2 * WIDTH, HEIGHT * len(curves)), PAPER)
    draw = ImageDraw.Draw(image)
    for row, curve in enumerate(curves):
        losses = [_loss(curve, point) for point in curve.points]
        most = LOSS_STEP_DB * max(1, math.ceil(max(losses) / LOSS_STEP_DB))
        least = LOSS_STEP_DB * min(0, math.floor(min(losses) / LOSS_STEP_DB + 0.1))
        title = f"{curve.model}: PSNR-Y lost, dB"
        panel = _Panel(draw, 0, row * HEIGHT, title, (least, most), LOSS_TICK_DB)
        panel.line(
            [(_share(curve, p), y) for p, y in zip(curve.points, losses, strict=True)], SHADE
        )
        title = f"{curve.model}: latency left"
        panel = _Panel(draw, WIDTH, row * HEIGHT, title, (0.0, MOST_LATENCY), LATENCY_TICK)
        panel.line([(LEAST_SHARE, LEAST_SHARE), (1.0, 1.0)], FAINT)
        for number, (precision, colour) in enumerate(COLOURS.items()):
            shares = [(_share(curve, p), p.latency[precision].ratio) for p in curve.points]
            panel.line(shares, colour)
            panel.label(f"OpenVINO {precision.upper()}", colour, number)
        panel.label("as the MACs", FAINT, len(COLOURS))
    encoded = io.BytesIO()
    image.quantize(32).save(encoded, "PNG", optimize=True)
    write_beside(path, encoded.getvalue())


class _Panel:
    """Axes with MACs left from all to little, and lines in them."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        x: int,
        y: int,
        title: str,
        ends: tuple[float, float],
        tick: float,
    ) -> None:
        low, high = ends
        self._draw, self._x, self._y, self._low, self._high = draw, x, y, low, high
        self._font = ImageFont.load_default(14)
        draw.text((x + LEFT, y + 18), title, INK, ImageFont.load_default(17))
        for value in np.arange(low, high + tick / 2, tick):
            left, height = self._at(1.0, value)
            right, _ = self._at(LEAST_SHARE, value)
            draw.line((left, height, right, height), FAINT)
            draw.text((left - 46, height - 8), f"{round(value, 2) + 0.0:.2f}", INK, self._font)
        for percent in range(100, round(100 * LEAST_SHARE) - 1, -20):
            place, base = self._at(percent / 100, low)
            draw.text((place - 14, base + 8), f"{percent} %", INK, self._font)
        middle, base = self._at((1 + LEAST_SHARE) / 2, low)
        draw.text((middle - 36, base + 28), "MACs left", INK, self._font)

    def line(self, places: Places, colour: str) -> None:
        """Joins points, each with a dot."""
        spots = [self._at(*place) for place in places]
        self._draw.line(spots, colour, width=2)
        for x, y in spots:
            self._draw.ellipse((x - 4, y - 4, x + 4, y + 4), colour)

    def label(self, text: str, colour: str, number: int) -> None:
        """Says whose line has a colour, at the bottom left."""
        x, y = self._at(1.0, self._low)
        y -= 24 + 20 * number
        self._draw.rectangle((x + 10, y + 4, x + 22, y + 12), colour)
        self._draw.text((x + 30, y), text, INK, self._font)

    def _at(self, share: float, value: float) -> tuple[float, float]:
        across = (1 - share) / (1 - LEAST_SHARE)
        up = (value - self._low) / (self._high - self._low)
        return (
            self._x + LEFT + across * (WIDTH - LEFT - RIGHT),
            self._y + HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )


def _share(curve: Curve, point: Point) -> float:
    return point.macs / curve.points[0].macs


def _loss(curve: Curve, point: Point) -> float:
    dense = curve.points[0].psnr_y_db
    return 0.0 if dense is None or point.psnr_y_db is None else dense - point.psnr_y_db
