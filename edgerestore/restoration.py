"""Image files through a bundle: one, a folder of them, or those that a pattern matches."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edgerestore.encoding import QUALITY, Layout, depth_in, format_of, write_rows
from edgerestore.errors import ImageError, InputError
from edgerestore.imaging import (
    FORMATS,
    MAX_MEGAPIXELS,
    Picture,
    Samples,
    enlarged_rows,
    quantize,
    read_picture,
    read_sides,
    to_eight_bit,
)
from edgerestore.tiling import Progress, Run, check_overlap, restore_rows

MOST_STREAMS = 8
"""Unless more are asked for: each holds the values between a network's layers once more."""
STREAMS_MAX = 64
"""That can be asked for; more callers than any machine here has cores are a typing error."""
CUT_ROWS = 16
"""Input rows whose output is rounded and encoded together."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to restore."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """How a bundle is run over pictures; tile, scale and batch are the bundle's own."""

    tile: int
    overlap: int
    """Input pixels that neighbouring tiles share at least."""
    scale: int
    batch: int = 1
    streams: int = 1
    """Runs under way at once; the session must bear so many callers."""
    quality: int = QUALITY
    """For JPEG and WebP, 1 to 100."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Largest input that is decoded."""

    def __post_init__(self) -> None:
        check_overlap(self.tile, self.overlap)
        if not 1 <= self.streams <= STREAMS_MAX:
            raise InputError(f"--streams {self.streams}: must be from 1 to {STREAMS_MAX}")
        if not 1 <= self.quality <= 100:
            raise InputError(f"--quality {self.quality}: must be from 1 to 100")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file."""

    file: Path
    output: Path
    status: Literal["restored", "skipped", "failed"]
    """Skipped: the output was there already."""
    seconds: float
    reason: str | None = None
    """Why it failed."""


def streams_for(cores: int) -> int:
    """Runs to have under way: small tiles keep one core busy each, and few keep two."""
    return min(MOST_STREAMS, cores)


def find_jobs(inputs: Sequence[str], out: Path) -> list[Job]:
    """Says which files ``inputs`` mean and where their results go, sorted by name.

    One file goes to ``out``, or into it where that is a folder. A folder, a pattern or
    several files go into the folder ``out``; below a folder, or below the part of a pattern
    that has no wildcard, the structure is kept. Hidden files and files of other types in a
    folder are not looked at. Raises InputError where nothing is found, or where a result
    would overwrite an input or another result.
    """
    single = len(inputs) == 1 and Path(inputs[0]).is_file()
    if single and not out.is_dir() and not str(out).endswith(os.sep):
        format_of(out)
        jobs = [Job(Path(inputs[0]), out)]
    else:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file; several results need a folder")
        found = [pair for name in inputs for pair in _find(name, out)]
        jobs = [Job(source, out / relative) for source, relative in dict.fromkeys(found)]
    _check_targets(jobs)
    return jobs


def is_done(job: Job, scale: int, since_ns: int) -> bool:
    """Whether the output is newer than its input and ``since_ns``, and of the right size.

    Outputs are renamed into place when complete, so that one that exists is whole.
    """
    try:
        written_ns = job.target.stat().st_mtime_ns
        if written_ns < max(since_ns, job.source.stat().st_mtime_ns):
            return False
        return read_sides(job.target) == [side * scale for side in read_sides(job.source)]
    except (OSError, ImageError):
        return False


def restore_file(job: Job, run: Run, settings: Settings, progress: Progress | None = None) -> None:
    """Restores one file, whole or not at all.

    Raises ImageError where the input cannot be read or the output's format cannot hold the
    picture, InputError where the output cannot be written, BackendError.
    """
    picture = read_picture(job.source, settings.max_megapixels)
    height, width, channels = picture.colour.shape
    layout = Layout(
        width=width * settings.scale,
        height=height * settings.scale,
        channels=channels + (picture.alpha is not None),
        depth=depth_in(job.target, picture.depth),
        icc=picture.icc,
        exif=picture.exif,
    )
    rows = _output_rows(picture, layout.depth, run, settings, progress)
    write_rows(job.target, layout, rows, quality=settings.quality)


def restore_files(
    jobs: Sequence[Job],
    run: Run,
    settings: Settings,
    *,
    since_ns: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Restores files one after another and yields what became of each.

    Files that cannot be read are reported, and the rest goes on; where nothing more can be
    written, InputError is raised. With ``since_ns``, outputs that :func:`is_done` are left.
    """
    for job in jobs:
        start = time.perf_counter()
        status: Literal["restored", "skipped", "failed"] = "restored"
        reason = None
        if since_ns is not None and is_done(job, settings.scale, since_ns):
            status = "skipped"
        else:
            try:
                restore_file(job, run, settings, progress)
            except ImageError as error:
                status, reason = "failed", str(error)
        yield Outcome(
            file=job.source,
            output=job.target,
            status=status,
            seconds=round(time.perf_counter() - start, 3),
            reason=reason,
        )


def _find(name: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """Files that one argument means, each with its path below ``out``."""
    path = Path(name)
    if path.is_dir():
        root, found = path, [p for p in sorted(path.rglob("*")) if _is_picture(p, path, out)]
    elif path.exists():
        root, found = path.parent, [path]
    elif glob.has_magic(name):
        parts = path.parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:fixed])
        matches = sorted(root.glob(str(Path(*parts[fixed:]))))
        found = [p for p in matches if _is_picture(p, root, out)]
    else:
        raise InputError(f"{name}: no such file or folder")
    if not found:
        raise InputError(f"{name}: no PNG, JPEG, TIFF or WebP files there")
    for source in found:
        yield source, source.relative_to(root)


def _is_picture(path: Path, root: Path, out: Path) -> bool:
    below = path.relative_to(root)
    hidden = any(part.startswith(".") for part in below.parts)
    # An output folder inside the input folder must not become input on the second run.
    nested = out.resolve() != root.resolve() and path.resolve().is_relative_to(out.resolve())
    return path.suffix.lower() in FORMATS and path.is_file() and not hidden and not nested


def _check_targets(jobs: Sequence[Job]) -> None:
    sources = {job.source.resolve() for job in jobs}
    targets: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise InputError(f"{job.target}: would overwrite an input; name another output")
        if target in targets:
            raise InputError(
                f"{job.target}: both {targets[target]} and {job.source} would be written there"
            )
        targets[target] = job.source


def _output_rows(
    picture: Picture, depth: int, run: Run, settings: Settings, progress: Progress | None
) -> Iterator[Samples]:
    """The output from top to bottom, a few rows at a time, alpha last."""
    alpha = picture.alpha
    if alpha is not None and depth < picture.depth:
        alpha = to_eight_bit(alpha)
    bands = restore_rows(
        picture.colour,
        run,
        tile=settings.tile,
        overlap=settings.overlap,
        scale=settings.scale,
        batch=settings.batch,
        streams=settings.streams,
        progress=progress,
    )
    top = 0
    cut = CUT_ROWS * settings.scale
    for band in bands:
        for first in range(0, len(band), cut):
            part = band[first : first + cut]
            if picture.colour.shape[2] == 1:
                part = part.mean(axis=2, keepdims=True)
            samples = quantize(part, depth)
            if alpha is not None:
                below = enlarged_rows(alpha, settings.scale, top, top + len(part))
                samples = np.concatenate([samples, below[:, :, None]], axis=2)
            top += len(part)
            yield samples
