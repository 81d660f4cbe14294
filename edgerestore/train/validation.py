"""PSNR of a network in training on the sets that its recipe holds back."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgerestore import metrics
from edgerestore.errors import InputError
from edgerestore.evaluation import ImagePair
from edgerestore.models import ModelSpec, find_model
from edgerestore.models.sizing import run_padded
from edgerestore.recipe.pictures import Bicubic, Pictures
from edgerestore.tiling import DEFAULT_OVERLAP, Pixels, restore_array
from edgerestore.train.data import degrader, task_of
from edgerestore.train.degradations.bicubic import crop_to_multiple, matlab_bicubic
from edgerestore.train.pictures import Picture, read_pictures


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Pairs of one task, made once."""

    name: str
    pairs: Sequence[ImagePair]
    task: int | None
    """Of a network of several tasks."""
    spec: ModelSpec
    """The entry that deploys the task: its border, scale and size rule."""

    @torch.inference_mode()
    def psnr_y_db(self, network: nn.Module) -> float:
        """Mean PSNR-Y in dB in float32, each image rounded to 8 bits.

        Whole images, or tiles where the network takes only one size.
        """
        network.eval()
        scores = []
        for pair in self.pairs:
            restored = metrics.to_uint8(self._restore(network, pair.low))
            scores.append(metrics.psnr_y_db(restored, pair.high, border=self.spec.border))
        return float(np.mean(scores))

    def protocol(self) -> str:
        """One sentence that says how the figure comes about."""
        whole = self.spec.size_rule.maximum is None
        tiles = f"tiles of {self.spec.tile} with {DEFAULT_OVERLAP} shared"
        return f"{'whole image' if whole else tiles}, float32, rounded to 8 bits, mean over images"

    def _restore(self, network: nn.Module, low: Pixels) -> NDArray[np.float32]:
        task = () if self.task is None else (self.task,)

        def run(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
            result: Tensor = network(torch.from_numpy(tiles), *task)
            return np.asarray(result)

        spec = self.spec
        if spec.size_rule.maximum is not None:
            return restore_array(
                low, run, tile=spec.tile, overlap=DEFAULT_OVERLAP, scale=spec.scale
            )
        image = torch.tensor(low).permute(2, 0, 1)[None].float() / 255
        result = run_padded(lambda x: network(x, *task), image, spec.size_rule, spec.scale)
        return np.asarray(result[0].permute(1, 2, 0))


def validation_set(root: Path, wanted: Pictures, spec: ModelSpec) -> ValidationSet:
    """Reads or makes the pairs; noise and rain are seeded by each picture's name."""
    task, scale = task_of(wanted.task, spec)
    degrade = degrader(root, wanted.degradation) if wanted.degradation else None
    pairs = []
    for picture in read_pictures(root, wanted, scale):
        if picture.low is not None:
            pairs.append(ImagePair(picture.name, picture.low, picture.high))
        elif isinstance(wanted.degradation, Bicubic):
            high = crop_to_multiple(picture.high, scale)
            pairs.append(ImagePair(picture.name, matlab_bicubic(high, scale), high))
        else:
            assert degrade is not None
            low = degrade(picture.high, np.random.default_rng(seed_of(picture)))
            pairs.append(ImagePair(picture.name, low, picture.high))
    named = wanted.pairs or ", ".join(wanted.clean)
    if not pairs:
        raise InputError(f"{root}: no picture to validate on in {named}")
    name = f"{wanted.task} on {named}" if wanted.task else named
    return ValidationSet(name, pairs, task, find_model(wanted.task) if wanted.task else spec)


def seed_of(picture: Picture) -> int:
    """One seed a name: a picture is degraded alike whatever else a set holds."""
    return zlib.crc32(picture.name.encode())
