"""What a stranger's network takes and gives, found by running it on small pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.errors import InputError
from edgerestore.evaluation import read_pairs
from edgerestore.metrics import psnr_db
from edgerestore.networks import SizeRule
from edgerestore.networks.user import UnitRange, first_line
from edgerestore.recipe import NetworkSettings
from edgerestore.shipped import evaluation_folder

SIDES = (64, 48, 96, 128, 56, 80, 72, 112, 120, 144, 160, 192, 224, 240, 256)
"""Tried in this order until one is taken."""

STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 30, 32, 40, 48, 56, 64, 128)
"""Multiples that a side may have to be of."""

STEPS_TAKEN = 3
"""So many sides in a row, each a step larger, make a step believable."""

RANGES = ((0.0, 1.0), (0.0, 255.0))

LOWEST_PSNR_DB = 15.0
"""Of a picture, below which a network restores in neither range: its weights are made up."""

MOST_PSNR_DB = 100.0
"""What one crop adds to a mean at most: a black one that is met exactly tells little."""

SMALLEST_LEAD_DB = 1.0
"""Of the better value range over the other."""

SHIPPED_SCALES = (2, 3, 4)
"""Of the evaluation pairs."""

PICTURES = slice(2, 8, 3)
"""Of the shipped pairs: a dog's face and a forest."""

CROP = 48


@dataclass(frozen=True, slots=True)
class Facts:
    """A network's facts, declared or found, and what is to be said of those found."""

    scale: int
    size_rule: SizeRule
    value_range: tuple[float, float]
    found: tuple[str, ...]
    """Names of the facts that were found by trying."""
    notes: tuple[str, ...]


def facts_of(network: nn.Module, name: str, declared: NetworkSettings) -> Facts:
    """Completes what was declared by trying the network out.

    Raises InputError, in one line, for a network that runs at no size, whose output is no
    fixed multiple of its input, or that does not do what was declared of it.
    """
    _check_channels(name, declared.channels)
    trials = _Trials(network, name)
    side = _first_side(trials, declared)
    scale = trials.scale
    if declared.scale not in (None, scale):
        raise InputError(
            f"{name}: --scale {declared.scale}, but {trials.says(side)}; that is scale {scale}"
        )
    rule = _size_rule(trials, side, declared)
    trials.check_batch(side)
    found = [key for key in ("scale", "minimum", "multiple_of") if getattr(declared, key) is None]
    notes = [f"scale {scale}"] if "scale" in found else []
    if "minimum" in found or "multiple_of" in found:
        notes.append(f"sides: {rule}")
    if notes:
        notes = [f"found by trying: {', '.join(notes)}"]
    if declared.value_range:
        return Facts(scale, rule, declared.value_range, tuple(found), tuple(notes))
    value_range, note = find_value_range(network, scale, rule)
    return Facts(scale, rule, value_range, (*found, "value_range"), (*notes, note))


def find_value_range(
    network: nn.Module, scale: int, rule: SizeRule
) -> tuple[tuple[float, float], str]:
    """The value range in which a network restores shipped pictures, and why it is that one.

    Against ground truth at scales that the shipped pairs have; else the output, reduced to
    the input's size, against the input.
    """
    shipped = scale if scale in SHIPPED_SCALES else SHIPPED_SCALES[0]
    pairs = read_pairs(evaluation_folder("photos"), shipped)[PICTURES]
    side = rule.fitting(max(CROP, rule.minimum))
    if min(min(pair.low.shape[:2]) for pair in pairs) < side:
        return RANGES[0], "value range 0 to 1 assumed: no shipped picture has the network's size"
    scores = []
    for low, high in RANGES:
        run = UnitRange(network, low, high)
        total = 0.0
        for pair in pairs:
            given = _to_network(pair.low[:side, :side])
            with torch.inference_mode():
                out = run(given)
            if scale == shipped:
                total += _nearness_db(out, _to_network(pair.high[: side * scale, : side * scale]))
            else:
                total += _nearness_db(F.avg_pool2d(out, scale), given)
        scores.append(total / len(pairs))
    best = int(np.argmax(scores))
    lead = scores[best] - scores[1 - best]
    low, high = RANGES[best]
    if max(scores) < LOWEST_PSNR_DB or lead < SMALLEST_LEAD_DB:
        return RANGES[0], (
            f"value range 0 to 1 assumed: on shipped pictures it gives {scores[0]:.1f} dB and "
            f"0 to 255 {scores[1]:.1f} dB, which tells nothing; --value-range declares it"
        )
    return RANGES[best], (
        f"found by trying: value range {low:g} to {high:g}, {scores[best]:.1f} dB on shipped "
        f"pictures, {lead:.1f} dB more than the other"
    )


@dataclass(slots=True)
class _Trials:
    """Square random inputs, each side run once."""

    network: nn.Module
    name: str
    scale: int = 0
    """Of the first side that was taken."""
    _taken: dict[int, bool] = field(default_factory=dict)
    _said: dict[int, str] = field(default_factory=dict)
    _raised: set[int] = field(default_factory=set)

    def takes(self, side: int) -> bool:
        if side not in self._taken:
            self._taken[side] = self._try(side)
        return self._taken[side]

    def says(self, side: int) -> str:
        """What came of a side, for people."""
        return self._said[side]

    def check_batch(self, side: int) -> None:
        """Accuracy is measured some tiles at once."""
        try:
            shape = tuple(self._run(2, 3, side).shape)
        except Exception as error:
            raise InputError(
                f"{self.name}: fails on two tiles at once: {first_line(error)}"
            ) from error
        if shape[0] != 2:
            raise InputError(f"{self.name}: two tiles at once came out as {shape}")

    def channels_taken(self, side: int) -> int | None:
        """Another number of channels that the network runs with, where it fails with 3."""
        if side not in self._raised:
            return None
        for channels in (1, 4):
            try:
                self._run(1, channels, side)
            except Exception:  # noqa: BLE001 - a stranger's network may raise anything
                continue
            return channels
        return None

    def _try(self, side: int) -> bool:
        at = f"{side} x {side}"
        try:
            out = self._run(1, 3, side)
        except Exception as error:  # noqa: BLE001 - a stranger's network may raise anything
            self._said[side] = f"{at} raised {first_line(error)}"
            self._raised.add(side)
            return False
        if not isinstance(out, Tensor):
            self._said[side] = f"{at} came out as a {type(out).__name__}, not a tensor"
            return False
        shape = tuple(out.shape)
        self._said[side] = f"{at} came out as {' x '.join(map(str, shape[2:] or shape))}"
        if len(shape) != 4 or shape[:2] != (1, 3):
            self._said[side] = f"{at} came out as {shape}, not as one RGB picture"
            return False
        if shape[2] != shape[3] or shape[2] % side or not shape[2]:
            return False
        scale = shape[2] // side
        if self.scale and scale != self.scale:
            first = next(other for other, taken in self._taken.items() if taken)
            raise InputError(
                f"{self.name}: its output is no fixed multiple of its input: "
                f"{self.says(first)}, {self.says(side)}"
            )
        self.scale = scale
        return True

    def _run(self, batch: int, channels: int, side: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        given = torch.rand(batch, channels, side, side, generator=generator)
        with torch.inference_mode():
            out: Tensor = self.network(given)
        return out


def _check_channels(name: str, channels: int | None) -> None:
    if channels not in (None, 3):
        raise InputError(
            f"{name}: takes {channels} channels; bundles hold RGB networks, with 3 channels in "
            "and out"
        )


def _first_side(trials: _Trials, declared: NetworkSettings) -> int:
    """The first side that the network takes, of those that what was declared allows."""
    if declared.tile:
        sides: tuple[int, ...] = (declared.tile,)
    else:
        rule = SizeRule(declared.minimum or 1, declared.multiple_of or 1)
        sides = tuple(dict.fromkeys(rule.fitting(side) for side in SIDES))
    if declared.multiple_of:
        sides = sides[:1]
    for side in sides:
        if trials.takes(side):
            return side
    tried = f"{sides[0]}" if len(sides) == 1 else f"{min(sides)} to {max(sides)}"
    channels = trials.channels_taken(sides[0])
    if channels:
        _check_channels(trials.name, channels)
    raise InputError(
        f"{trials.name}: no picture of side {tried} comes out enlarged by a whole number: "
        f"{trials.says(sides[0])}"
    )


def _size_rule(trials: _Trials, side: int, declared: NetworkSettings) -> SizeRule:
    if declared.minimum and declared.multiple_of:
        return SizeRule(declared.minimum, declared.multiple_of)
    step = declared.multiple_of or _step(trials, side)
    if step is None:
        return SizeRule(minimum=side, multiple_of=side, maximum=side)
    if declared.minimum:
        return SizeRule(declared.minimum, step)
    refused, taken = 0, -(-side // step)
    while taken - refused > 1:
        middle = (refused + taken) // 2
        if trials.takes(middle * step):
            taken = middle
        else:
            refused = middle
    return SizeRule(minimum=taken * step, multiple_of=step)


def _step(trials: _Trials, side: int) -> int | None:
    """The smallest step by which a side may grow; None where the size is fixed."""
    for step in STEPS:
        if side % step == 0 and all(
            trials.takes(side + step * times) for times in range(1, STEPS_TAKEN + 1)
        ):
            return step
    return None


def _to_network(pixels: np.ndarray) -> Tensor:
    values = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
    return torch.from_numpy(values) / 255


def _nearness_db(result: Tensor, truth: Tensor) -> float:
    return min(MOST_PSNR_DB, float(psnr_db(result.clamp(0, 1).numpy(), truth.numpy())))
