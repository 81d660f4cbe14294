"""Clean pictures held in memory, and the crops that a training step sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgerestore.errors import InputError
from edgerestore.pictures import picture_files, read_rgb
from edgerestore.train.degradations import crop_to_multiple, matlab_bicubic


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and its degraded form, both H x W x 3 uint8."""

    name: str
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]


class SuperResolutionData:
    """Pairs of a picture and its MATLAB-bicubic reduction, made once and kept in memory.

    A step's batch is a function of (seed, step) alone, so that a resumed run sees the same
    crops as an uninterrupted one.
    """

    def __init__(self, root: Path, folders: tuple[str, ...], scale: int, patch: int) -> None:
        self.scale, self.patch = scale, patch
        self.pairs: list[Pair] = []
        for folder in folders:
            for path in picture_files(root / folder):
                high = crop_to_multiple(read_rgb(path), scale)
                if min(high.shape[:2]) >= scale * patch:
                    self.pairs.append(Pair(path.name, matlab_bicubic(high, scale), high))
        if not self.pairs:
            raise InputError(f"{root}: no picture of at least {scale * patch} pixels a side")
        areas = np.array([pair.low.shape[0] * pair.low.shape[1] for pair in self.pairs], float)
        self._probability = areas / areas.sum()

    def digest(self) -> str:
        """SHA-256 over names and pixels: equal digests mean equal training data."""
        digest = hashlib.sha256(f"{self.scale} {self.patch}\n".encode())
        for pair in self.pairs:
            digest.update(f"{pair.name} {pair.high.shape}\n".encode())
            digest.update(np.ascontiguousarray(pair.high).tobytes())
        return digest.hexdigest()

    def batch(self, seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Random crops with flips and rotations: inputs and targets in [0, 1], N x 3 x H x W."""
        rng = np.random.default_rng([seed, step])
        chosen = rng.choice(len(self.pairs), size=size, p=self._probability)
        crops = [self._crop(self.pairs[i], rng) for i in chosen]
        low, high = (np.stack(side) for side in zip(*crops, strict=True))
        return _as_tensor(low), _as_tensor(high)

    def _crop(
        self, pair: Pair, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        p, s = self.patch, self.scale
        top, left = (int(rng.integers(side - p + 1)) for side in pair.low.shape[:2])
        low = pair.low[top : top + p, left : left + p]
        high = pair.high[s * top : s * (top + p), s * left : s * (left + p)]
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        low, high = np.rot90(low, turns), np.rot90(high, turns)
        return (low[:, ::-1], high[:, ::-1]) if mirror else (low, high)


def _as_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255
