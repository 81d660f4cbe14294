"""The crops that a training step sees, drawn from the sources of a recipe."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgerestore.errors import InputError
from edgerestore.networks import ModelSpec, find_model
from edgerestore.recipe.pictures import Bicubic, Degradation, Noise, Rain, RainLayers, Snow, Source
from edgerestore.train.data.degradations.bicubic import matlab_bicubic
from edgerestore.train.data.degradations.layers import lay_over, rain_layer
from edgerestore.train.data.degradations.noise import add_noise
from edgerestore.train.data.degradations.rain import add_rain
from edgerestore.train.data.degradations.snow import add_snow
from edgerestore.train.data.pictures import Picture, Pixels, read_pictures
from edgerestore.train.data.shards import Shards

REACH = 3
"""Pixels of a reduced picture that a pixel beside a crop can still change."""

Degrade = Callable[[Pixels, np.random.Generator], Pixels]
"""Degrades a crop, H x W x 3, anew at each call."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees, in [0, 1]."""

    low: Tensor
    """N x 3 x H x W."""
    high: Tensor
    """N x 3 x sH x sW, s the task's scale."""
    task: int | None
    """Which task of a network of several, counted as the network counts them."""


@dataclass(frozen=True, slots=True)
class SourcePictures:
    """One source of a recipe in memory."""

    pictures: Sequence[Picture]
    shards: Shards | None
    """Shards that pictures come from instead."""
    degrade: Degrade | None
    """None where each picture's degraded form is kept, or made by reduction."""
    rain: Sequence[Picture]
    """Clean pictures of the pairs whose rain ``degrade`` lays over."""
    scale: int
    patch: int
    turn: bool
    probability: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Probability of each picture: in proportion to its area, so that no pixel is favoured."""

    def draw(self, seed: int, step: int, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        """A random crop with flips and rotations: input of ``patch`` pixels a side, and target."""
        if self.shards is not None:
            picture = self.shards.pick(seed, step, rng)
        else:
            picture = self.pictures[int(rng.choice(len(self.pictures), p=self.probability))]
        p, s = self.patch, self.scale
        height, width = (side // s for side in picture.high.shape[:2])
        top, left = (int(rng.integers(side - p + 1)) for side in (height, width))
        high = picture.high[s * top : s * (top + p), s * left : s * (left + p)]
        if picture.low is not None:
            low = picture.low[top : top + p, left : left + p]
        elif self.degrade is not None:
            low = self.degrade(high, rng)
        else:
            low = _reduced(picture.high, s, top, left, p)
        if self.turn:
            turns = int(rng.integers(4))
            low, high = np.rot90(low, turns), np.rot90(high, turns)
        return (low[:, ::-1], high[:, ::-1]) if rng.integers(2) else (low, high)


class TrainingData:
    """All sources of a recipe, read once and kept in memory.

    A step's batch is a function of (seed, step) alone, and each of its crops one of (seed,
    step, place), so that a resumed run, or several processes that share a batch, see the
    same crops as one uninterrupted process.
    """

    def __init__(self, root: Path, sources: Sequence[Source], spec: ModelSpec, patch: int) -> None:
        self.tasks: list[int | None] = []
        self._by_task: dict[int | None, list[SourcePictures]] = {}
        self._weights: dict[int | None, list[float]] = {}
        digest = hashlib.sha256(f"{patch}\n".encode())
        self.count = 0
        for source in sources:
            task, scale = task_of(source.task, spec)
            read = _read(root, source, scale, patch)
            if task not in self._by_task:
                self.tasks.append(task)
            self._by_task.setdefault(task, []).append(read)
            self._weights.setdefault(task, []).append(source.weight)
            self.count += len(read.pictures)
            for picture in read.pictures:
                _add_to(digest, picture, scale)
            if read.shards is not None:
                read.shards.add_to(digest)
        self.digest = digest.hexdigest()
        """SHA-256 over names and pixels, of shards over names and sizes: equal digests mean
        equal training data."""

    def pictures(self) -> Iterator[Picture]:
        """Every picture in memory that crops are drawn from, and those whose rain is used."""
        for source in itertools.chain(*self._by_task.values()):
            yield from source.pictures
            yield from source.rain

    def shards(self) -> list[Shards]:
        """Shards that crops are drawn from besides."""
        sources = itertools.chain(*self._by_task.values())
        return [source.shards for source in sources if source.shards is not None]

    def batch(self, seed: int, step: int, places: range) -> Batch:
        """The crops at ``places`` of the step's batch."""
        rng = np.random.default_rng([seed, step])
        task = self.tasks[int(rng.integers(len(self.tasks)))]
        crops = [self._crop(task, seed, step, i) for i in places]
        low, high = (np.stack(side) for side in zip(*crops, strict=True))
        return Batch(_as_tensor(low), _as_tensor(high), task)

    def _crop(self, task: int | None, seed: int, step: int, place: int) -> tuple[Pixels, Pixels]:
        rng = np.random.default_rng([seed, step, place])
        weights = np.array(self._weights[task])
        chosen = int(rng.choice(len(weights), p=weights / weights.sum()))
        return self._by_task[task][chosen].draw(seed, step, rng)


def task_of(name: str | None, spec: ModelSpec) -> tuple[int | None, int]:
    """A task's number in the network, and its scale. Raises InputError for another's task."""
    if not spec.tasks and name is None:
        return None, spec.scale
    if name not in spec.tasks:
        known = f"one of {', '.join(spec.tasks)}" if spec.tasks else "no task: it has only one"
        raise InputError(f"task '{name}': '{spec.name}' wants {known}")
    return spec.tasks.index(name), find_model(name).scale


def rain_pairs(root: Path, degradation: Degradation | None) -> list[Picture]:
    """The pairs that a degradation takes its rain from. Raises InputError where none is left."""
    if not isinstance(degradation, RainLayers):
        return []
    pairs = list(read_pictures(root, degradation.source(), 1))
    if not pairs:
        raise InputError(f"{root / degradation.pairs}: no pair is left to take rain from")
    return pairs


def degrader(degradation: Degradation | None, rain: Sequence[Picture]) -> Degrade | None:
    """What degrades crops anew each time; None for a reduction, made once of whole pictures.

    ``rain`` are the degradation's :func:`rain_pairs`.
    """
    match degradation:
        case Bicubic() | None:
            return None
        case Noise(sigma=sigma):
            return lambda image, rng: add_noise(image, sigma, rng)
        case RainLayers():
            layers = [rain_layer(p.low, p.high) for p in rain if p.low is not None]
            gain = degradation.gain
            return lambda image, rng: lay_over(image, layers, gain, rng)
        case Rain():
            return lambda image, rng: add_rain(image, degradation, rng)
        case Snow():
            return lambda image, rng: add_snow(image, degradation, rng)


def _read(root: Path, source: Source, scale: int, patch: int) -> SourcePictures:
    if isinstance(source.degradation, Bicubic) == (scale == 1) and source.degradation is not None:
        raise InputError(
            f"{source.title}: degraded by "
            f"{type(source.degradation).__name__.lower()}, but the task's scale is {scale}"
        )
    rainy = rain_pairs(root, source.degradation)
    degrade = degrader(source.degradation, rainy)
    rain = [Picture(pair.name, pair.high) for pair in rainy]
    if source.shards is not None:
        shards = Shards(root, source.shards, source.steps_per_shard, scale * patch)
        return SourcePictures([], shards, degrade, rain, scale, patch, source.turn, np.ones(0))
    pictures = []
    for picture in read_pictures(root, source, scale):
        if min(picture.high.shape[:2]) < scale * patch:
            continue
        if isinstance(source.degradation, Bicubic):
            pictures.append(picture.reduced(scale))
        else:
            pictures.append(picture)
    if not pictures:
        wanted = f"no picture of at least {scale * patch} pixels a side"
        raise InputError(f"{root}: {wanted} in {source.title}")
    areas = np.array([item.high.shape[0] * item.high.shape[1] for item in pictures], float)
    return SourcePictures(
        pictures, None, degrade, rain, scale, patch, source.turn, areas / areas.sum()
    )


def _reduced(high: Pixels, scale: int, top: int, left: int, side: int) -> Pixels:
    """The crop that a reduction of the whole picture would have there, to the bit."""
    height, width = (length // scale for length in high.shape[:2])
    # The kernel reaches two pixels of the result to each side, and one more by rounding.
    above, before = max(0, top - REACH), max(0, left - REACH)
    below, behind = min(height, top + side + REACH), min(width, left + side + REACH)
    part = high[scale * above : scale * below, scale * before : scale * behind]
    small = matlab_bicubic(part, scale)
    return small[top - above : top - above + side, left - before : left - before + side]


def _add_to(digest: hashlib._Hash, picture: Picture, scale: int) -> None:
    digest.update(f"{picture.name} {scale} {picture.high.shape}\n".encode())
    for pixels in (picture.high, picture.low):
        if pixels is not None:
            digest.update(np.ascontiguousarray(pixels).tobytes())


def _as_tensor(images: Pixels) -> Tensor:
    # Channels last in memory, which the CPU's convolutions want.
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
