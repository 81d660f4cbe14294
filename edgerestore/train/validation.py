"""How well a network in training does on the sets that its recipe holds back."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from edgerestore import metrics
from edgerestore.errors import InputError, MissingPartError
from edgerestore.evaluation import ImagePair
from edgerestore.networks import ModelSpec, find_model
from edgerestore.networks.recursion import recur
from edgerestore.networks.sizing import run_padded
from edgerestore.recipe.pictures import Bicubic, Pictures
from edgerestore.tiling import DEFAULT_OVERLAP, restore_array
from edgerestore.train.data.crops import degrader, rain_pairs, task_of
from edgerestore.train.data.pictures import Picture, Pixels, read_pictures

SHOWN_SIDE = 256
"""Largest side of what is shown of a picture, cut from its middle."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy, as a mean over images."""

    psnr_y_db: float
    psnr_rgb_db: float
    ssim_y: float | None
    """None where scikit-image is absent."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """How well a network does on a set, and what that looks like."""

    figures: Figures
    picture: Pixels
    """The first image, side by side: input, restored, truth. H x W x 3 uint8."""


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Pairs of one task, made once."""

    name: str
    pairs: Sequence[ImagePair]
    task: int | None
    """Which task of a network of several."""
    spec: ModelSpec
    """The entry that deploys the task: its border, scale and size rule."""
    input_psnr_y_db: float
    """Mean PSNR-Y of the degraded images, enlarged bicubically to the truth's size."""
    input_psnr_rgb_db: float
    """Mean PSNR over RGB of the same enlarged images."""
    recursions: int | None = None
    """How often the network recurs where it is measured; as it stands where None."""
    tiled: bool = False
    """Whether it is measured in tiles though it takes whole images: as bundles run."""
    int8: bool = False
    """Whether its products are to be rounded as in INT8 where it is measured."""

    @property
    def _in_tiles(self) -> bool:
        return self.tiled or self.spec.size_rule.maximum is not None

    @torch.inference_mode()
    def measure(self, network: nn.Module, device: torch.device) -> Measurement:
        """Restores every image in float32 and rounds it to 8 bits.

        Whole images, or tiles where the network takes only one size. The network is left in
        evaluation mode, and to recur as here.
        """
        network.eval()
        if self.recursions is not None:
            recur(network, self.recursions)
        restored = [
            metrics.to_uint8(self._restore(network, pair.low, device)) for pair in self.pairs
        ]
        figures = [
            _figures(image, pair.high, self.spec.border)
            for image, pair in zip(restored, self.pairs, strict=True)
        ]
        ssims = [item.ssim_y for item in figures if item.ssim_y is not None]
        mean = Figures(
            psnr_y_db=_mean(item.psnr_y_db for item in figures),
            psnr_rgb_db=_mean(item.psnr_rgb_db for item in figures),
            ssim_y=_mean(ssims) if ssims else None,
        )
        pair = self.pairs[0]
        return Measurement(mean, side_by_side(enlarged(pair), restored[0], pair.high))

    def protocol(self) -> str:
        """One sentence that says how the figure comes about."""
        tiles = f"tiles of {self.spec.tile} with {DEFAULT_OVERLAP} shared"
        where = tiles if self._in_tiles else "whole image"
        kind = "products of values rounded as in INT8" if self.int8 else "float32"
        return f"{where}, {kind}, rounded to 8 bits, mean over images"

    def _restore(
        self, network: nn.Module, low: Pixels, device: torch.device
    ) -> NDArray[np.float32]:
        task = () if self.task is None else (self.task,)

        def run(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
            result: Tensor = network(torch.from_numpy(tiles).to(device), *task)
            return np.asarray(result.cpu())

        spec = self.spec
        if self._in_tiles:
            return restore_array(
                low, run, tile=spec.tile, overlap=DEFAULT_OVERLAP, scale=spec.scale
            )
        image = torch.tensor(low, device=device).permute(2, 0, 1)[None].float() / 255
        result = run_padded(lambda x: network(x, *task), image, spec.size_rule, spec.scale)
        return np.asarray(result[0].permute(1, 2, 0).cpu())


def validation_set(root: Path, wanted: Pictures, spec: ModelSpec) -> ValidationSet:
    """Reads or makes the pairs; noise and rain are seeded by each picture's name."""
    task, scale = task_of(wanted.task, spec)
    degrade = degrader(wanted.degradation, rain_pairs(root, wanted.degradation))
    pairs = []
    for picture in read_pictures(root, wanted, scale):
        made = picture.reduced(scale) if isinstance(wanted.degradation, Bicubic) else picture
        low = made.low
        if low is None:
            assert degrade is not None
            low = degrade(made.high, np.random.default_rng(seed_of(made)))
        pairs.append(ImagePair(made.name, low, made.high))
    if not pairs:
        raise InputError(f"{root}: no picture to validate on in {wanted.title}")
    name = f"{wanted.task} on {wanted.title}" if wanted.task else wanted.title
    deployed = find_model(wanted.task) if wanted.task else spec
    border = deployed.border
    luma = _mean(metrics.psnr_y_db(enlarged(x), x.high, border=border) for x in pairs)
    rgb = _mean(metrics.psnr_rgb_db(enlarged(x), x.high, border=border) for x in pairs)
    return ValidationSet(name, pairs, task, deployed, luma, rgb)


def at_each_depth(
    sets: Sequence[ValidationSet], recursions: tuple[int, int] | None
) -> list[ValidationSet]:
    """The sets once for each number of recursions, from fewest to most; as they are for None."""
    if recursions is None:
        return list(sets)
    fewest, most = recursions
    return [
        replace(item, name=f"{item.name} r={times}", recursions=times)
        for item in sets
        for times in range(fewest, most + 1)
    ]


def in_int8_too(sets: Sequence[ValidationSet]) -> list[ValidationSet]:
    """Each set, then the same in tiles, and these with products rounded as in INT8.

    Tiles, as that is how bundles run, and as a whole image's attention could not be rounded:
    it would have to lie in memory.
    """
    found = []
    for item in sets:
        tiled = replace(item, name=f"{item.name} in tiles", tiled=True)
        found += [item, tiled, replace(tiled, name=f"{tiled.name}, INT8", int8=True)]
    return found


def enlarged(pair: ImagePair) -> Pixels:
    """The degraded image at the truth's size."""
    height, width = pair.high.shape[:2]
    image = Image.fromarray(pair.low).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def side_by_side(*images: Pixels) -> Pixels:
    """The middles of images of one size, from left to right."""
    top, left = (max(0, (side - SHOWN_SIDE) // 2) for side in images[0].shape[:2])
    return np.hstack([item[top : top + SHOWN_SIDE, left : left + SHOWN_SIDE] for item in images])


def seed_of(picture: Picture) -> int:
    """One seed a name: a picture is degraded alike whatever else a set holds."""
    return zlib.crc32(picture.name.encode())


def _figures(image: Pixels, truth: Pixels, border: int) -> Figures:
    try:
        ssim = metrics.ssim_y(image, truth, border=border)
    except MissingPartError:
        ssim = None
    return Figures(
        psnr_y_db=metrics.psnr_y_db(image, truth, border=border),
        psnr_rgb_db=metrics.psnr_rgb_db(image, truth, border=border),
        ssim_y=ssim,
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
