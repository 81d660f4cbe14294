"""Where pictures come from, and what degrades them: tables of a recipe."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgerestore.recipe.kinds import Kind
from edgerestore.recipe.scalars import Positive, Range, Rate, require_range

MOST_LAYERS = 5
"""Depths of rain or snow; a sixth would be a fog of specks below a pixel."""


class Bicubic(Kind, frozen=True, kw_only=True, tag="bicubic"):
    """Shrinks by the scale of the network, or of its task, as MATLAB's ``imresize`` does."""


class Noise(Kind, frozen=True, kw_only=True, tag="noise"):
    """Adds white Gaussian noise, clipped and rounded to 8 bits as a file would hold it."""

    sigma: Range
    """Standard deviation on the 0-255 scale; equal ends for a fixed one."""

    def __post_init__(self) -> None:
        require_range("sigma", self.sigma, 0, 255)


class Rain(Kind, frozen=True, kw_only=True, tag="rain"):
    """Adds bright streaks, drawn anew for each crop; each range is drawn from once a crop.

    The defaults look and measure like Rain100L: see ``train/data/degradations/rain.py``.
    """

    density: Range = (0.001, 0.0032)
    """Streaks of the nearest layer, to a pixel."""
    length: Range = (10.0, 45.0)
    """Length of a streak of the nearest layer, in pixels: how far a drop falls while the shutter
    is open. Within a crop, lengths vary about this."""
    angle: Range = (-35.0, 35.0)
    """Degrees from the vertical, downwards to the right where positive."""
    width: Range = (0.5, 1.0)
    """Width across a streak of the nearest layer, in pixels (standard deviation)."""
    brightness: Range = (0.2, 0.7)
    """Brightness of the brightest streak, where 1 is white."""
    layers: tuple[Positive, Positive] = (1, 2)
    """Fewest and most depths; streaks of a farther layer are shorter, thinner, fainter and
    denser."""
    blend: Literal["add", "screen"] = "add"
    """``screen`` adds the less, the brighter the picture is."""

    def __post_init__(self) -> None:
        require_range("density", self.density, 0, 0.1)
        require_range("length", self.length, 1, 400)
        require_range("angle", self.angle, -60, 60)
        require_range("width", self.width, 0.1, 10)
        require_range("brightness", self.brightness, 0, 1)
        require_range("layers", self.layers, 1, MOST_LAYERS)


class Snow(Kind, frozen=True, kw_only=True, tag="snow"):
    """Adds a veil, and flakes drawn anew for each crop; each range is drawn from once a crop."""

    density: Range = (0.0005, 0.004)
    """Flakes of the nearest layer, to a pixel."""
    size: Range = (0.8, 3.5)
    """Radius of a flake in the nearest layer, in pixels. Within a crop, radii vary about this."""
    length: Range = (0.0, 8.0)
    """How far a flake of the nearest layer falls while the shutter is open, in pixels."""
    angle: Range = (-40.0, 40.0)
    """Degrees from the vertical, downwards to the right where positive."""
    opacity: Range = (0.5, 1.0)
    """Opacity of a flake at its middle."""
    veil: Range = (0.0, 0.15)
    """Share of white that distant snow lays over the whole picture."""
    layers: tuple[Positive, Positive] = (2, 3)
    """Fewest and most depths; flakes of a farther layer are smaller and denser."""

    def __post_init__(self) -> None:
        require_range("density", self.density, 0, 0.1)
        require_range("size", self.size, 0.1, 50)
        require_range("length", self.length, 0, 200)
        require_range("angle", self.angle, -45, 45)
        require_range("opacity", self.opacity, 0, 1)
        require_range("veil", self.veil, 0, 1)
        require_range("layers", self.layers, 1, MOST_LAYERS)


class RainLayers(Kind, frozen=True, kw_only=True, tag="rain-layers"):
    """Lays the rain of pairs over other pictures: what a rainy picture has over its clean one."""

    pairs: str
    """Folder of pairs that the rain is taken from."""
    degraded: str | None = None
    leave_out: tuple[str, ...] = ()
    gain: Range = (1.0, 1.0)
    """Factor by which the rain is multiplied."""

    def __post_init__(self) -> None:
        require_range("gain", self.gain, 0, 10)

    def source(self) -> Pictures:
        """The pairs as a recipe would name them."""
        return Pictures(pairs=self.pairs, degraded=self.degraded, leave_out=self.leave_out)


Degradation = Bicubic | Noise | Rain | Snow | RainLayers


class Pictures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where pictures come from: a folder of pairs, or clean ones and what degrades them.

    Folders are relative to the one that ``--data`` names.
    """

    pairs: str | None = None
    """A folder of pairs in one of the layouts that ``edgerestore evaluate`` reads."""
    clean: tuple[str, ...] = ()
    """Folders of clean pictures, which ``degradation`` degrades."""
    degradation: Degradation | None = None
    degraded: str | None = None
    """The folder of degraded pictures inside ``pairs``, where there are several."""
    only: str | None = None
    """A text file with the names of the clean pictures to take, one a line; all where absent."""
    leave_out: tuple[str, ...] = ()
    """Names of clean pictures to leave out, or text files with one a line."""
    task: str | None = None
    """Task, of a network of several, that these pictures teach or measure."""

    @property
    def title(self) -> str:
        """What is read, for people."""
        return self.pairs or ", ".join(self.clean)

    def __post_init__(self) -> None:
        if (self.pairs is None) == (not self.clean):
            raise ValueError("give either pairs or clean")
        if bool(self.clean) != (self.degradation is not None):
            raise ValueError("clean pictures, and they alone, want a degradation")


class Source(Pictures, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pictures to learn from; besides pairs and clean folders, shards of clean pictures."""

    shards: str | None = None
    """Tar files of clean pictures, such as ``imagenet/train-{000000..000099}.tar``: for sets
    larger than memory. ``edgerestore data shards`` writes them."""
    steps_per_shard: Positive = 100
    """After which the oldest of the four open shards gives way to the next."""
    weight: Rate = 1.0
    """How often it is drawn, in comparison with the other sources of the same task."""
    turn: bool = True
    """Rotate crops by quarters; rain, which falls, is only mirrored."""

    def __post_init__(self) -> None:
        if self.shards is None:
            super().__post_init__()
        elif self.pairs or self.clean or self.only or self.leave_out or self.degraded:
            raise ValueError("shards come without pairs, clean folders and lists of names")
        elif self.degradation is None:
            raise ValueError("shards of clean pictures want a degradation")

    @property
    def title(self) -> str:
        """What is read, for people."""
        return self.shards or super().title
