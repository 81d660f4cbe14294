"""Heat maps of how far one picture is from another, in grey levels of 8 bits."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import InputError
from edgerestore.measure.report.axes import line, number, svg, text
from edgerestore.measure.report.markup import Markup, joined, tag

LEVELS = (4, 8, 16, 32, 64, 128, 255)
"""Where the scale of a map may end; the first that holds nearly all of its pixels is taken."""
HELD_PERCENT = 99.9
ANCHORS = (
    (0.0, (0x0B, 0x0C, 0x1E)),
    (0.25, (0x4A, 0x1C, 0x72)),
    (0.5, (0xB2, 0x35, 0x5C)),
    (0.75, (0xF2, 0x84, 0x2B)),
    (1.0, (0xFC, 0xF6, 0xC0)),
)
"""Colours from nothing to the end of the scale, ever lighter, so that grey print keeps order."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Difference:
    """What lies between two pictures of one size."""

    picture: str
    """What was compared: "INT8"."""
    reference: str
    """With what: "FP32", "ground truth"."""
    levels: Pixels
    """H x W: of the three channels, the largest absolute difference."""
    group: str = ""
    """The photograph."""

    @property
    def end(self) -> int:
        """Where the scale of its map ends."""
        held = float(np.percentile(self.levels, HELD_PERCENT))
        return next(level for level in LEVELS if level >= held)


def difference(
    picture: str, pixels: Pixels, reference: str, others: Pixels, group: str = ""
) -> Difference:
    """The difference of two H x W x 3 pictures. Raises InputError where sizes differ."""
    if pixels.shape != others.shape:
        raise InputError(
            f"'{picture}' is {pixels.shape[1]} x {pixels.shape[0]}, but '{reference}' "
            f"{others.shape[1]} x {others.shape[0]}: no difference can be shown"
        )
    gap = np.abs(pixels.astype(np.int16) - others.astype(np.int16)).max(axis=-1)
    return Difference(picture, reference, gap.astype(np.uint8), group)


def heat_maps(differences: Sequence[Difference]) -> Markup:
    """A map with its legend for each, beside each other where there is room."""
    return tag("div", *(_figure(item) for item in differences), class_="maps")


def _figure(item: Difference) -> Markup:
    end, levels = item.end, item.levels
    beyond = float((levels > end).mean())
    said = (
        f"{item.picture} against {item.reference}: {float(levels.mean()):.2f} grey levels of 255 "
        f"in the mean, {int(levels.max())} at most"
    )
    note = f"; {100 * beyond:.2g} % of the pixels lie beyond the scale" if beyond else ""
    caption = f"{said}. Full colour is {end} levels, amplified {255 / end:.3g} times{note}."
    height, width = levels.shape
    picture = tag(
        "img",
        src=f"data:image/png;base64,{_encoded(levels, end)}",
        alt=f"{f'{item.group}: ' if item.group else ''}difference map, {said}",
        width=width,
        height=height,
    )
    return tag("figure", picture, _legend(end), tag("figcaption", caption), class_="map")


def _encoded(levels: Pixels, end: int) -> str:
    from PIL import Image

    shown = np.minimum(levels.astype(np.int32) * 255 // end, 255).astype(np.uint8)
    image = Image.fromarray(shown, mode="L")
    image.putpalette(_palette().tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _palette() -> Pixels:
    """256 colours, 256 x 3."""
    at = [255 * share for share, _ in ANCHORS]
    channels = [
        np.interp(np.arange(256), at, [colour[channel] for _, colour in ANCHORS])
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _legend(end: int) -> Markup:
    """A strip of the colours with the grey levels that they stand for."""
    width, left, steps = 300, 4, 64
    colours = _palette()
    wide = (width - 2 * left) / steps
    strip = joined(
        tag(
            "rect",
            x=round(left + wide * step, 2),
            y=2,
            width=round(wide + 0.4, 2),
            height=10,
            fill="#" + bytes(colours[round(255 * (step + 0.5) / steps)]).hex(),
        )
        for step in range(steps)
    )
    marks = []
    for quarter in range(5):
        x = left + (width - 2 * left) * quarter / 4
        anchor = "start" if quarter == 0 else "end" if quarter == 4 else "middle"
        marks += [
            line(x, 12, x, 16, "one"),
            text(x, 27, number(round(end * quarter / 4, 2)), "t small", anchor),
        ]
    return svg(width, 30, f"Colours from 0 to {end} grey levels of 8 bits", strip, *marks)
