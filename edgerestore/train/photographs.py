"""Cuts the shipped calibration, evaluation and demo pictures out of their sources.

Run as ``python -m edgerestore.train.photographs SOURCES.toml --from FOLDER --out FOLDER``;
anyone with the sources gets the same pixels. It serves for sets of one's own as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgerestore.calibration import digest_of
from edgerestore.errors import EdgeRestoreError, InputError, RecipeError
from edgerestore.files import sha256_of, write_beside
from edgerestore.metrics import luma
from edgerestore.pictures import read_rgb
from edgerestore.recipe import read_toml
from edgerestore.recipe.pictures import Noise, Rain
from edgerestore.recipe.scalars import Positive
from edgerestore.train.data.degradations.bicubic import crop_to_multiple, matlab_bicubic
from edgerestore.train.data.degradations.noise import add_noise
from edgerestore.train.data.degradations.rain import add_rain
from edgerestore.train.data.pairs import pair_files, png

Box = tuple[int, int, int, int]
"""Left, top, width, height."""

Pixels = NDArray[np.uint8]

Entry = tuple[str, str, Box, str]
"""File, source, box and SHA-256 of a calibration picture."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One photograph, and what is taken from it."""

    name: str
    file: str
    sha256: str
    title: str
    author: str
    licence: str
    origin: str
    reduce: Positive = 1
    """Factor by which it is shrunk before anything else."""
    crops: int = 0
    """How many calibration crops it gives; 0 for a source of evaluation pictures."""
    boxes: dict[str, Box] = {}
    """Evaluation pictures by name."""
    demo: Box | None = None


class PictureSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the sources become for one task: calibration pictures, and pairs to judge on."""

    name: str
    task: str
    description: str
    side: Positive
    """Side of a calibration picture, in pixels."""
    scale: Positive = 1
    """Factor by which calibration pictures are shrunk."""
    degradation: Rain | Noise | None = None
    """Degradation laid over calibration pictures, at scale 1."""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """Share of the crops that the sources give."""
    evaluation_scales: tuple[Positive, ...] = ()
    """Scales of pairs of high and low resolution."""
    evaluation_side: Positive | None = None
    """Side of an evaluation picture's middle that a degraded pair shows; all where absent."""
    demo_scale: Positive | None = None

    def __post_init__(self) -> None:
        if (self.scale > 1) == (self.degradation is not None):
            raise ValueError("a set is shrunk by a scale or degraded, one of the two")

    def degraded(self, image: Pixels, name: str) -> Pixels:
        """The picture as the network meets it; chance depends on the names alone."""
        rng = np.random.default_rng([zlib.crc32(text.encode()) for text in (self.name, name)])
        match self.degradation:
            case Rain():
                return add_rain(image, self.degradation, rng)
            case Noise(sigma=sigma):
                return add_noise(image, sigma, rng)
            case None:
                return _reduced(image, self.scale)


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to make, and of what."""

    set: tuple[PictureSet, ...]
    source: tuple[Source, ...]


def make(recipe: Path, folders: Sequence[Path], out: Path) -> None:
    """Writes ``<set>/``, ``sets/<set>.toml``, ``evaluation/<set>/`` and ``demo/`` below ``out``.

    Raises InputError for a source that is absent from ``folders`` or is another file, and
    RecipeError for one that would serve both calibration and evaluation.
    """
    sources = read_toml(recipe, Sources)
    entries: dict[str, list[Entry]] = {item.name: [] for item in sources.set}
    for source in sources.source:
        if source.crops and (source.boxes or source.demo):
            raise RecipeError(f"{recipe}: '{source.name}' serves calibration and evaluation")
        clean = _clean(source, folders)
        truths = {name: _cut(clean, box, f"{recipe}: {name}") for name, box in source.boxes.items()}
        for item in sources.set:
            if source.crops:
                entries[item.name] += _write_crops(source, clean, item, out / item.name)
            for name, truth in truths.items():
                _write_pairs(out / "evaluation" / item.name, name, truth, item)
            if source.demo and item.demo_scale:
                truth = _cut(clean, source.demo, f"{recipe}: demo")
                low = _reduced(truth, item.demo_scale)
                _write_pair(out / "demo", source.name, truth, low, item.demo_scale)
    for item in sources.set:
        if entries[item.name]:
            text = _manifest(item, sources.source, entries[item.name])
            write_beside(out / "sets" / f"{item.name}.toml", text.encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--from", dest="folders", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        make(given.sources, given.folders, given.out)
    except EdgeRestoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def spread_cells(image: Pixels, side: int, count: int) -> list[Box]:
    """Picks cells of a grid evenly by contrast, the flattest and the richest included."""
    boxes = [
        (left, top, side, side)
        for top in range(0, image.shape[0] - side + 1, side)
        for left in range(0, image.shape[1] - side + 1, side)
    ]
    if count > len(boxes):
        raise InputError(f"only {len(boxes)} cells of {side} x {side}, but {count} are wanted")
    boxes.sort(key=lambda box: (float(luma(_cut(image, box, "cell")).std()), box))
    ranks = [round(i * (len(boxes) - 1) / max(1, count - 1)) for i in range(count)]
    return [boxes[rank] for rank in ranks]


def _clean(source: Source, folders: Sequence[Path]) -> Pixels:
    """The source in RGB, shrunk by its ``reduce``."""
    found = [folder / source.file for folder in folders if (folder / source.file).is_file()]
    if not found:
        raise InputError(f"{source.file}: in none of {', '.join(map(str, folders))}")
    if sha256_of(found[0]) != source.sha256:
        raise InputError(f"{found[0]}: another file than the one that '{source.name}' means")
    return _reduced(read_rgb(found[0]), source.reduce)


def _reduced(image: Pixels, scale: int) -> Pixels:
    return matlab_bicubic(crop_to_multiple(image, scale), scale) if scale > 1 else image


def _cut(image: Pixels, box: Box, what: str) -> Pixels:
    left, top, width, height = box
    cut = image[top : top + height, left : left + width]
    if min(box) < 0 or cut.shape[:2] != (height, width):
        raise RecipeError(f"{what}: {list(box)} leaves the picture")
    return cut


def _write_crops(source: Source, clean: Pixels, wanted: PictureSet, folder: Path) -> list[Entry]:
    low = wanted.degraded(clean, source.name)
    count = max(1, round(source.crops * wanted.share))
    entries = []
    for number, box in enumerate(spread_cells(low, wanted.side, count)):
        path = folder / f"{source.name}-{number:02d}.png"
        write_beside(path, png(_cut(low, box, source.name), smallest=True))
        entries.append((path.name, source.name, box, sha256_of(path)))
    return entries


def _write_pairs(folder: Path, name: str, truth: Pixels, wanted: PictureSet) -> None:
    if wanted.degradation is None:
        for scale in wanted.evaluation_scales:
            _write_pair(folder, name, truth, _reduced(truth, scale), scale)
        return
    side = wanted.evaluation_side or max(truth.shape[:2])
    top, left = (max(0, (has - side) // 2) for has in truth.shape[:2])
    cut = truth[top : top + side, left : left + side]
    _write_pair(folder, name, cut, wanted.degraded(cut, name), 1)


def _write_pair(folder: Path, name: str, high: Pixels, low: Pixels, scale: int) -> None:
    for file, image in zip(pair_files(name, scale), (high, low), strict=True):
        write_beside(folder / file, png(image, smallest=True))


def _manifest(made: PictureSet, sources: Sequence[Source], entries: Sequence[Entry]) -> str:
    """The set's TOML; JSON strings and arrays are TOML ones too."""
    digest = digest_of((file, sha256) for file, _, _, sha256 in entries)
    lines = ["# Made by edgerestore.train.photographs from ../sources.toml; do not edit."]
    head = {
        "name": made.name,
        "task": made.task,
        "description": made.description,
        "folder": f"../{made.name}",
        "sha256": digest,
    }
    lines += [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    lines += ["pictures = ["]
    for file, source, box, sha256 in sorted(entries):
        lines += [
            f'  {{ file = "{file}", source = "{source}", box = {list(box)}, sha256 = "{sha256}" }},'
        ]
    lines += ["]"]
    for item in sources:
        if item.crops:
            lines += ["", f"[sources.{item.name}]"]
            lines += [
                f"{key} = {json.dumps(getattr(item, key))}"
                for key in ("title", "author", "licence", "origin")
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
