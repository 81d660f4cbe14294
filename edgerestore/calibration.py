"""Calibration sets: the degraded pictures that INT8 ranges are collected on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import InputError, RecipeError, UnknownNameError
from edgerestore.files import sha256_of
from edgerestore.pictures import picture_files, read_rgb
from edgerestore.recipe import read_toml
from edgerestore.shipped import toml_folder

MAX_PICTURES = 4096
CROPS_PER_PICTURE = 4


class SourceFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A photograph that pictures were cut from, and what its licence asks to state."""

    title: str
    author: str
    licence: str
    origin: str


class PictureFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One picture of a set."""

    file: str
    """A plain name below the set's folder."""
    source: str
    box: tuple[int, int, int, int]
    """Left, top, width and height in the degraded source, in pixels."""
    sha256: str


class CalibrationSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set's manifest, ``calibration/sets/<name>.toml``."""

    name: str
    task: str
    description: str
    folder: str
    """Where the pictures lie, relative to the manifest."""
    sha256: str
    """As :func:`digest_of` computes it from the pictures' own sums."""
    sources: dict[str, SourceFacts]
    pictures: tuple[PictureFacts, ...]


@dataclass(frozen=True, slots=True)
class CalibrationImages:
    """The pictures of a set, H x W x 3 uint8, and what identifies them."""

    name: str
    sha256: str
    images: list[NDArray[np.uint8]]


def read_set(name_or_path: str | Path) -> CalibrationImages:
    """Reads a shipped set by its name, a set's TOML file, or a folder of degraded pictures.

    A name without a slash is looked up among the shipped sets first. Every file's SHA-256
    is verified against the manifest; a plain folder has none and is only hashed. Raises
    InputError, which names the file, for damage, and UnknownNameError for an unknown name.
    """
    text = str(name_or_path)
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return _read_manifest(path)
    shipped = {file.stem: file for file in toml_folder("calibration").glob("*.toml")}
    if text in shipped:
        return _read_manifest(shipped[text])
    if path.is_dir():
        return _read_folder(path)
    if os.sep in text or path.exists():
        raise InputError(f"{path}: no folder of pictures and no calibration set")
    raise UnknownNameError("calibration set", text, shipped)


def crops(
    images: Sequence[NDArray[np.uint8]], tile: int, per_picture: int = CROPS_PER_PICTURE
) -> NDArray[np.float32]:
    """Cuts pictures into N x 3 x tile x tile in [0, 1], in order and always the same.

    Each picture gives at most ``per_picture`` crops that do not overlap, spread evenly over
    it. Raises InputError for a picture smaller than the tile.
    """
    cut = []
    for number, image in enumerate(images, 1):
        height, width = image.shape[:2]
        if min(height, width) < tile:
            raise InputError(
                f"calibration picture {number} of {len(images)} is {width} x {height}, "
                f"smaller than the tile of {tile} x {tile}; leave it out or use a smaller tile"
            )
        cut += [image[y : y + tile, x : x + tile] for y, x in _places(image, tile, per_picture)]
    if not cut:
        raise InputError("the calibration set holds no picture")
    return to_network(cut)


def to_network(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Pictures of one size, H x W x 3, as a network takes them: N x 3 x H x W in [0, 1]."""
    stacked = np.stack(pictures).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, dtype=np.float32) / np.float32(255)


def digest_of(sums: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of a set, from (file name, SHA-256) pairs.

    What ``sha256sum *.png | sha256sum`` prints in a folder that holds just those files.
    """
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums))
    return hashlib.sha256(lines.encode()).hexdigest()


def _read_manifest(path: Path) -> CalibrationImages:
    manifest = read_toml(path, CalibrationSet)
    folder = path.parent / manifest.folder
    _check_manifest(path, manifest)
    images = []
    for picture in manifest.pictures:
        file = folder / picture.file
        if not file.is_file():
            raise InputError(f"{file}: missing, though {path.name} lists it")
        if sha256_of(file) != picture.sha256:
            raise InputError(f"{file}: damaged: its SHA-256 is not the one in {path.name}")
        images.append(read_rgb(file))
    return CalibrationImages(manifest.name, manifest.sha256, images)


def _check_manifest(path: Path, manifest: CalibrationSet) -> None:
    names = [picture.file for picture in manifest.pictures]
    if not names or len(names) > MAX_PICTURES or len(set(names)) != len(names):
        raise RecipeError(f"{path}: must list 1 to {MAX_PICTURES} pictures, each once")
    for picture in manifest.pictures:
        if Path(picture.file).name != picture.file:
            raise RecipeError(f"{path}: '{picture.file}' is no plain file name")
        if picture.source not in manifest.sources:
            raise RecipeError(f"{path}: '{picture.file}' names the unknown '{picture.source}'")
    if digest_of((p.file, p.sha256) for p in manifest.pictures) != manifest.sha256:
        raise RecipeError(f"{path}: damaged: 'sha256' is not that of the listed pictures")


def _read_folder(folder: Path) -> CalibrationImages:
    files = picture_files(folder)
    if len(files) > MAX_PICTURES:
        raise InputError(f"{folder}: holds {len(files)} pictures, more than {MAX_PICTURES}")
    digest = digest_of((file.name, sha256_of(file)) for file in files)
    return CalibrationImages(folder.resolve().name, digest, [read_rgb(file) for file in files])


def _places(image: NDArray[np.uint8], tile: int, limit: int) -> list[tuple[int, int]]:
    """Tops and lefts of cells of a grid centred in the picture."""
    rows, columns = image.shape[0] // tile, image.shape[1] // tile
    top, left = (image.shape[0] - rows * tile) // 2, (image.shape[1] - columns * tile) // 2
    count = min(limit, rows * columns)
    # Middles of equal parts of the raster order, so that one crop is not always a corner.
    cells = [(2 * i + 1) * rows * columns // (2 * count) for i in range(count)]
    return [(top + c // columns * tile, left + c % columns * tile) for c in cells]
