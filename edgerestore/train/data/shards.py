"""Clean pictures from WebDataset shards: tar files of pictures, for sets larger than memory.

A shard is a plain tar; its members' names matter only by their suffix, and nothing is ever
extracted to disk. At any step a few shards are open. Which ones is a function of the seed and
the step alone, so that a resumed run reads those and no others.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from edgerestore.errors import InputError
from edgerestore.files import replacing
from edgerestore.pictures import SUFFIXES, decode_rgb, picture_files
from edgerestore.train.data.pictures import Picture

OPEN_SHARDS = 4
"""Shards open at once: crops are drawn from all of them, which mixes neighbouring shards."""
MAX_PICTURE_BYTES = 64 << 20
DECODED = 256
"""Pictures kept decoded, so that several crops of one cost one decoding."""


class Shards:
    """Pictures of all shards that a name with a range stands for: ``set-{000..099}.tar``.

    Raises InputError where a shard is absent.
    """

    def __init__(self, root: Path, pattern: str, steps_per_shard: int, smallest: int) -> None:
        self.paths = [root / name for name in expanded(pattern)]
        self.steps_per_shard, self.smallest = steps_per_shard, smallest
        for path in self.paths:
            if not path.is_file():
                raise InputError(f"{path}: no such shard")
        self._members = lru_cache(OPEN_SHARDS + 1)(members)
        self._decoded = lru_cache(DECODED)(self._decode)

    def pick(self, seed: int, step: int, rng: np.random.Generator) -> Picture:
        """A random picture of the shards that are open at a step.

        Raises ImageError, which names shard and member, for damage.
        """
        shard = self.open_at(seed, step)[int(rng.integers(OPEN_SHARDS))]
        held = self._members(self.paths[shard])
        for number in rng.permutation(len(held)):
            picture = self._decoded(shard, int(number))
            if min(picture.high.shape[:2]) >= self.smallest:
                return picture
        raise InputError(
            f"{self.paths[shard]}: no picture of at least {self.smallest} pixels a side"
        )

    def pictures(self) -> Iterator[Picture]:
        """Every picture of every shard, named after both, one shard in memory at a time."""
        for path in self.paths:
            for name, data in members(path):
                where = f"{path}: {name}"
                yield Picture(where, decode_rgb(data, where))

    def open_at(self, seed: int, step: int) -> list[int]:
        """Numbers of the shards that are open at a step; one gives way at a time."""
        turn = step // self.steps_per_shard
        return [self._shard_at(seed, turn + ahead) for ahead in range(OPEN_SHARDS)]

    def add_to(self, digest: hashlib._Hash) -> None:
        """Adds names and sizes of the shards, which stand for their pixels."""
        for path in self.paths:
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())

    def _shard_at(self, seed: int, turn: int) -> int:
        epoch, place = divmod(turn, len(self.paths))
        return int(np.random.default_rng([seed, epoch]).permutation(len(self.paths))[place])

    def _decode(self, shard: int, number: int) -> Picture:
        path = self.paths[shard]
        name, data = self._members(path)[number]
        return Picture(Path(name).stem, decode_rgb(data, f"{path}: {name}"))


def members(path: Path) -> list[tuple[str, bytes]]:
    """Names and bytes of a shard's pictures. Raises InputError for what is no sound shard."""
    found = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile() or not member.name.lower().endswith(SUFFIXES):
                    continue
                if member.size > MAX_PICTURE_BYTES:
                    raise InputError(
                        f"{path}: {member.name}: larger than {MAX_PICTURE_BYTES} bytes"
                    )
                file = tar.extractfile(member)
                data = file.read() if file else b""
                if len(data) != member.size:
                    raise InputError(f"{path}: {member.name}: cut short; copy the shard again")
                found.append((member.name, data))
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a shard: {error}") from error
    if not found:
        raise InputError(f"{path}: holds no picture ({', '.join(SUFFIXES)})")
    return found


def expanded(pattern: str) -> list[str]:
    """The names that ``a-{000..012}.tar`` stands for; the name itself where it has no range."""
    found = re.fullmatch(r"([^{}]*)\{(\d+)\.\.(\d+)\}([^{}]*)", pattern)
    if not found:
        return [pattern]
    before, first, last, after = found.groups()
    if int(last) < int(first) or int(last) - int(first) > 10**6:
        raise InputError(f"shards '{pattern}': the range must grow, to a million at most")
    return [f"{before}{n:0{len(first)}d}{after}" for n in range(int(first), int(last) + 1)]


def write_shards(
    folders: Sequence[Path], out: Path, pictures_per_shard: int, report: Callable[[str], None]
) -> list[Path]:
    """Packs picture files as they are into ``out/shard-000000.tar`` and so on, shuffled once.

    Neighbours in a folder are often of one scene: shuffled, each shard is like the whole.
    Each shard appears whole or not at all. ``report`` is told the name of each picture.
    """
    files = [path for folder in folders for path in picture_files(folder)]
    order = np.random.default_rng(0).permutation(len(files))
    written: list[Path] = []
    for start in range(0, len(files), pictures_per_shard):
        path = out / f"shard-{len(written):06d}.tar"
        with (
            replacing(path) as beside,
            tarfile.open(beside, "w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for number in order[start : start + pictures_per_shard]:
                data = files[number].read_bytes()
                member = tarfile.TarInfo(f"{number:08d}{files[number].suffix.lower()}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
                report(files[number].name)
        written.append(path)
    return written
