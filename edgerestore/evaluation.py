"""Paired images, and a bundle's accuracy on them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerestore import metrics
from edgerestore.errors import InputError, MissingPartError
from edgerestore.pictures import picture_files, read_rgb
from edgerestore.tiling import Run, restore_array

MAX_NAMES_SHOWN = 4


SHOWN_DIGITS = 12
"""Of a digest in labels: enough to tell data apart, short enough to read."""


@dataclass(frozen=True, slots=True)
class ImagePair:
    """A degraded image and its ground truth, H x W x 3 uint8; truth is cut to scale x low."""

    name: str
    low: NDArray[np.uint8]
    high: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one restored image."""

    name: str
    psnr_y_db: float
    """Infinite where the restored image equals the truth."""
    ssim_y: float | None
    """None where scikit-image is absent."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which data sets lay pairs out, and how their names correspond."""

    truth: str
    degraded: str
    truth_prefix: str = ""
    degraded_prefix: str = ""
    degraded_suffix: str = ""

    def key_of_truth(self, stem: str) -> str:
        """What the names of a pair have in common, from the truth's."""
        return stem.removeprefix(self.truth_prefix)

    def key_of_degraded(self, stem: str) -> str:
        """What the names of a pair have in common, from the degraded image's."""
        return stem.removeprefix(self.degraded_prefix).removesuffix(self.degraded_suffix)


def layouts(scale: int, scale_dir: str | None = None) -> tuple[Layout, ...]:
    """The layouts that :func:`read_pairs` looks for, in order."""
    folder = scale_dir or f"X{scale}"
    suffix = re.sub(r"^X(?=\d)", "x", folder)
    return (
        Layout("HR", f"LR_bicubic/{folder}", degraded_suffix=suffix),
        Layout("target", "input"),
        *(
            Layout("norain", rain, truth_prefix="norain-", degraded_prefix="rain-")
            for rain in ("rainL", "rain", "rainH")
        ),
        Layout("gt", "synthetic"),
    )


def read_pairs(
    root: Path,
    scale: int,
    scale_dir: str | None = None,
    *,
    degraded: str | None = None,
    takes: Callable[[str], bool] | None = None,
) -> list[ImagePair]:
    """Reads the pairs below ``root``, sorted by name.

    ``root`` holds ``HR/`` and ``LR_bicubic/X<scale>/`` (or ``LR_bicubic/<scale_dir>/``), or
    ``input/`` and ``target/``, or ``norain/`` and ``rainL/``, ``rain/`` or ``rainH/``, or
    ``gt/`` and ``synthetic/``; the first of these that is there, or the one whose folder
    ``degraded`` names. LR names are the HR name, or that with ``x<scale>`` behind its stem.

    ``takes`` picks pairs by the file name of the truth; a truth may then lack its partner.
    Raises InputError for another layout, for an image without its partner and for sizes that
    do not correspond, ImageError for damage.
    """
    known = [item for item in layouts(scale, scale_dir) if degraded in (None, item.degraded)]
    for layout in known:
        if (root / layout.truth).is_dir() and (root / layout.degraded).is_dir():
            return _read_layout(root, layout, scale, takes)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    wanted = "; ".join(f"{item.degraded}/ and {item.truth}/" for item in known)
    raise InputError(f"{root}: holds no pairs; expected {wanted or 'another layout'}")


def evaluate(
    run: Run,
    pairs: Sequence[ImagePair],
    *,
    tile: int,
    overlap: int,
    scale: int,
    border: int,
    batch: int = 1,
    report: Callable[[str], None] = lambda name: None,
) -> list[Score]:
    """Restores every image tile by tile and scores it, rounded to 8 bits, against its truth.

    ``run`` takes ``batch`` tiles. ``report`` is told the name of each finished image.
    """
    scores = []
    for pair in pairs:
        restored = restore_array(
            pair.low, run, tile=tile, overlap=overlap, scale=scale, batch=batch
        )
        scores.append(score(pair.name, metrics.to_uint8(restored), pair.high, border))
        report(pair.name)
    return scores


def score(name: str, result: NDArray[np.uint8], truth: NDArray[np.uint8], border: int) -> Score:
    """PSNR-Y and SSIM-Y of one image, ``border`` pixels cut on every side."""
    try:
        ssim = metrics.ssim_y(result, truth, border=border)
    except MissingPartError:
        ssim = None
    return Score(name, metrics.psnr_y_db(result, truth, border=border), ssim)


def pairs_digest(pairs: Iterable[ImagePair]) -> str:
    """SHA-256 over names, sizes and pixels: equal digests mean equal test data."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name} {pair.low.shape} {pair.high.shape}\n".encode())
        digest.update(np.ascontiguousarray(pair.low).tobytes())
        digest.update(np.ascontiguousarray(pair.high).tobytes())
    return digest.hexdigest()


def data_label(root: Path, pairs: Sequence[ImagePair]) -> str:
    """What a manifest or a report says of its test data: name, number and digest."""
    return (
        f"{root.resolve().name}: {len(pairs)} images, sha256 {pairs_digest(pairs)[:SHOWN_DIGITS]}"
    )


def is_same_data(label: str, pairs: Sequence[ImagePair]) -> bool:
    """Whether a :func:`data_label` was made of these very pairs."""
    return label.endswith(f"sha256 {pairs_digest(pairs)[:SHOWN_DIGITS]}")


def protocol(*, border: int, tile: int, overlap: int) -> str:
    """One sentence that says how the figures of :func:`evaluate` come about."""
    return (
        f"PSNR and SSIM of BT.601 luma after rounding to 8 bits, peak 255, {border} pixels cut "
        f"on each side; input tiles of {tile} x {tile} with {overlap} shared"
    )


def _read_layout(
    root: Path, layout: Layout, scale: int, takes: Callable[[str], bool] | None
) -> list[ImagePair]:
    truths = _by_key(root / layout.truth, layout.key_of_truth)
    degraded = _by_key(root / layout.degraded, layout.key_of_degraded)
    alone = [truths[key].name for key in truths if key not in degraded]
    if alone and takes is None:
        raise InputError(f"{root / layout.degraded}: no partner for {_some(alone)}")
    alone = [degraded[key].name for key in degraded if key not in truths]
    if alone:
        raise InputError(f"{root / layout.truth}: no partner for {_some(alone)}")
    keys = sorted(key for key in degraded if takes is None or takes(truths[key].name))
    return [_read_pair(degraded[key], truths[key], scale) for key in keys]


def _by_key(folder: Path, key_of: Callable[[str], str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in picture_files(folder):
        key = key_of(path.stem)
        if key in files:
            raise InputError(f"{folder}: {files[key].name} and {path.name} stand for one image")
        files[key] = path
    return files


def _read_pair(low_path: Path, high_path: Path, scale: int) -> ImagePair:
    low, high = read_rgb(low_path), read_rgb(high_path)
    height, width = (scale * side for side in low.shape[:2])
    spare = high.shape[0] - height, high.shape[1] - width
    if not all(0 <= rest < max(scale, 1) for rest in spare):
        raise InputError(
            f"{high_path}: is {high.shape[1]} x {high.shape[0]}, but {scale} times {low_path} "
            f"is {width} x {height}"
        )
    return ImagePair(high_path.stem, low, high[:height, :width])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more
