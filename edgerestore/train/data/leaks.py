"""Finds training pictures that show what an evaluation set shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgerestore.errors import InputError
from edgerestore.evaluation import ImagePair
from edgerestore.train.data.likeness import SHORTEST_SIDE, Album, Look
from edgerestore.train.data.pictures import Picture, Pixels

MOST_SHOWN = 4
SCALES = 12
"""What every task's scale, 1 to 4, divides."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A training picture that shows what a held-back one shows."""

    training: str
    held_back: str
    likeness: float
    """Correlation of luma where they agree best; 1 for the same pixels."""


def check_leaks(training: Iterable[Picture], held_back: Iterable[ImagePair]) -> None:
    """Raises InputError where a training picture shows a held-back one."""
    leaks = find_leaks(training, held_back)
    if leaks:
        raise InputError(f"{summary(leaks)}; name their files in leave_out of the recipe's sources")


def find_leaks(
    training: Iterable[Picture],
    held_back: Iterable[ImagePair],
    report: Callable[[str], None] = lambda name: None,
) -> list[Leak]:
    """Training pictures with the pixels of a held-back one, or nearly so.

    That is, resized, recompressed, mirrored, turned by quarters, or one a crop of the other,
    of at least half of each side: :mod:`edgerestore.train.data.likeness` says how it is told.
    Pictures below 16 pixels a side are left out. ``training`` is gone through once and may
    be larger than memory; ``report`` is told the name of each of its pictures.
    """
    looks = {_key(pair.name, pair.high): pair for pair in held_back}
    kept = [Look.at(pair.name, pair.high) for pair in looks.values() if _tells(pair.high)]
    if not kept:
        return []
    album = Album.of(kept)
    leaks: dict[Leak, None] = {}
    seen: set[tuple[str, bytes]] = set()
    for picture in training:
        key = _key(picture.name, picture.high)
        if key not in seen and _tells(picture.high):
            look = Look.at(picture.name, picture.high)
            leaks |= {
                Leak(picture.name, other.name, round(likeness, 3)): None
                for other, likeness in album.showing(look)
            }
        seen.add(key)
        report(picture.name)
    return list(leaks)


def summary(leaks: list[Leak]) -> str:
    """One line: how many training pictures, and the first few."""
    count = len({leak.training for leak in leaks})
    shown = ", ".join(f"{leak.training} shows {leak.held_back}" for leak in leaks[:MOST_SHOWN])
    more = f" and {len(leaks) - MOST_SHOWN} more" if len(leaks) > MOST_SHOWN else ""
    pictures = "picture shows" if count == 1 else "pictures show"
    return f"{count} training {pictures} what validation holds back: {shown}{more}"


def _tells(image: Pixels) -> bool:
    height, width = image.shape[:2]
    return bool(min(height, width) >= SHORTEST_SIDE)


def _key(name: str, image: Pixels) -> tuple[str, bytes]:
    """Equal for one picture that several tasks cut to a multiple of their scale."""
    height, width = (side - side % SCALES for side in image.shape[:2])
    return name, hashlib.sha256(image[:height, :width].tobytes()).digest()
