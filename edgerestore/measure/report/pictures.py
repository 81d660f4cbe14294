"""Pictures to compare: two layers with a divider, and a plain list without scripts."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from edgerestore.errors import InputError
from edgerestore.measure.report.markup import Markup, joined, tag

MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
ZOOMS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded image; those of one group are compared and have one size."""

    label: str
    """What it is: "bicubic", "INT8", "ground truth"."""
    data: bytes
    """PNG, JPEG or WebP."""
    group: str = ""
    """The photograph it shows, where there are several."""


def comparisons(pictures: Sequence[Picture]) -> Markup:
    """One comparison per group, in order; the first picture is on the left.

    Raises InputError for bytes that are no picture and for sizes that differ in a group.
    """
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.group, []).append(picture)
    numbers = itertools.count(1)
    return joined(_comparison(name, group, next(numbers)) for name, group in groups.items())


def _comparison(name: str, group: Sequence[Picture], number: int) -> Markup:
    width, height = _common_size(name, group)
    layers = (
        tag(
            "figure",
            _image(picture, name, width, height),
            tag("figcaption", picture.label),
            class_="layer",
        )
        for picture in group
    )
    stage = tag("div", *layers, tag("div", class_="divider"), class_="stage", role="group",
                aria_label=f"Comparison{f' of {name}' if name else ''}")  # fmt: skip
    heading = tag("h3", name) if name else ""
    controls = _controls(group, number) if len(group) > 1 else ""
    return tag(
        "div", heading, stage, controls, class_="compare", data_width=width, data_height=height
    )


def _controls(group: Sequence[Picture], number: int) -> Markup:
    range_id = f"divider-{number}"
    slider = tag(
        "div",
        tag("label", "Divider", for_=range_id),
        tag("input", type="range", id=range_id, min=0, max=100, step=0.5, value=50),
        class_="slide",
    )
    buttons = (
        tag("button", "Fit" if zoom == 1 else f"{zoom}\N{MULTIPLICATION SIGN}", type="button",
            data_zoom=zoom, aria_pressed="true" if zoom == 1 else "false")
        for zoom in ZOOMS
    )  # fmt: skip
    return tag(
        "div",
        slider,
        tag(
            "div",
            _select("Left", group, 0, f"left-{number}"),
            _select("Right", group, min(1, len(group) - 1), f"right-{number}"),
            tag("div", *buttons, class_="zoom", role="group", aria_label="Magnification"),
            class_="choices",
        ),
        class_="controls",
        hidden="",
    )


def _select(side: str, group: Sequence[Picture], chosen: int, select_id: str) -> Markup:
    options = (
        tag("option", picture.label, value=i, selected="" if i == chosen else None)
        for i, picture in enumerate(group)
    )
    return tag(
        "div",
        tag("label", side, for_=select_id),
        tag("select", *options, id=select_id, class_=f"pick-{side.lower()}"),
        class_="pick",
    )


def _image(picture: Picture, name: str, width: int, height: int) -> Markup:
    mime = MIME[_opened(picture)[0]]
    data = base64.b64encode(picture.data).decode("ascii")
    return tag(
        "img",
        src=f"data:{mime};base64,{data}",
        alt=f"{name}: {picture.label}" if name else picture.label,
        width=width,
        height=height,
        draggable="false",
    )


def _common_size(name: str, group: Sequence[Picture]) -> tuple[int, int]:
    sizes = {_opened(picture)[1] for picture in group}
    if len(sizes) != 1:
        listed = ", ".join(f"{w} x {h}" for w, h in sorted(sizes))
        raise InputError(f"pictures of '{name}' cannot be compared: sizes {listed}")
    return sizes.pop()


def _opened(picture: Picture) -> tuple[str, tuple[int, int]]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture.data), formats=tuple(MIME)) as image:
            return str(image.format), image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"picture '{picture.label}' is no PNG, JPEG or WebP") from error
