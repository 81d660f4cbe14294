"""``restore``: image files through a bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.output import Json, console, print_json, progress, table
from edgerestore.errors import AnswerIsNoError, ImageError, InputError

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle
    from edgerestore.restoration import Job, Outcome, Settings

NAMED_FAILURES = 5
"""Files that the summary names before it only counts."""


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command()(restore)


def restore(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder that build made.")],
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IN", help="Image, folder, quoted pattern, or several images."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Image for one image, else a folder.")],
    tile: Annotated[
        int | None, typer.Option(help="The bundle's own tile, for scripts that must be sure.")
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="Input pixels that neighbouring tiles share.", show_default="the bundle's"
        ),
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option(
            help="Tiles under way at once.", show_default="as many as there are cores, 8 at most"
        ),
    ] = None,
    quality: Annotated[
        int,
        typer.Option(help="Quality of JPEG (4:4:4) and WebP, 1 to 100; WebP at 100 is lossless."),
    ] = 95,
    max_megapixels: Annotated[
        float,
        typer.Option(
            help="Megapixels of the largest input; larger ones are refused before they are decoded."
        ),
    ] = 256,
    force: Annotated[
        bool, typer.Option("--force", help="Restore again what a folder already holds.")
    ] = False,
    json: Json = False,
) -> None:
    """Restore images, tile by tile, keeping depth, alpha, profile and folder structure.

    A run over several files goes on where an earlier one ended. Files that cannot be read
    are passed over and named at the end, with exit code 1.
    """
    from edgerestore.bundle import MANIFEST, read_bundle
    from edgerestore.measure.bench.machine.container import usable_cores
    from edgerestore.restoration import Settings, find_jobs, streams_for

    opened = read_bundle(bundle)
    contract = opened.manifest.contract
    _check_tile(opened, tile)
    settings = Settings(
        tile=contract.tile,
        overlap=contract.overlap if overlap is None else overlap,
        scale=opened.manifest.model.scale,
        batch=contract.batch,
        streams=streams_for(usable_cores()) if streams is None else streams,
        quality=quality,
        max_megapixels=max_megapixels,
    )
    jobs = find_jobs(inputs, out)
    alone = len(jobs) == 1 and jobs[0].target == out
    since_ns = None if force or alone else (bundle / MANIFEST).stat().st_mtime_ns
    outcomes = _restore_all(opened, jobs, settings, since_ns)
    if alone and outcomes[0].reason:
        raise ImageError(outcomes[0].reason)
    if json:
        print_json({"bundle": opened.name, "overlap": settings.overlap, "files": outcomes})
    else:
        _print_outcomes(outcomes)
    _raise_failures(outcomes)


def _restore_all(
    bundle: Bundle, jobs: Sequence[Job], settings: Settings, since_ns: int | None
) -> list[Outcome]:
    """Runs every job in one session, with a bar for the files and one for the tiles."""
    from edgerestore.backends.base import session_on
    from edgerestore.restoration import restore_files

    outcomes = []
    with session_on(bundle, streams=settings.streams) as session, progress() as bar:
        settings = dataclasses.replace(settings, streams=session.streams)
        files = bar.add_task("files", total=len(jobs))
        tiles = bar.add_task("tiles", total=None)
        for outcome in restore_files(
            jobs,
            session.run,
            settings,
            since_ns=since_ns,
            progress=lambda done, total: bar.update(tiles, completed=done, total=total),
        ):
            outcomes.append(outcome)
            bar.advance(files)
    return outcomes


def _check_tile(bundle: Bundle, tile: int | None) -> None:
    built = bundle.manifest
    if tile not in (None, built.contract.tile):
        raise InputError(
            f"--tile {tile}: {bundle.path} was built for tiles of {built.contract.tile} pixels, "
            "and its shapes are fixed; leave --tile out, or build another: edgerestore build "
            f"{built.model.name} --target {built.target.name} --precision {built.precision} "
            f"--tile {tile} --out DIR"
        )


def _print_outcomes(outcomes: Iterable[Outcome]) -> None:
    shown = table("Restored", "file", "status", "seconds", "output")
    for outcome in outcomes:
        output = outcome.reason if outcome.reason else str(outcome.output)
        shown.add_row(str(outcome.file), outcome.status, f"{outcome.seconds:.2f}", output)
    console().print(shown)


def _raise_failures(outcomes: list[Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if not failed:
        return
    reasons = "; ".join(str(outcome.reason) for outcome in failed[:NAMED_FAILURES])
    more = len(failed) - NAMED_FAILURES
    raise AnswerIsNoError(
        f"{len(failed)} of {len(outcomes)} files could not be restored: {reasons}"
        + (f"; and {more} more" if more > 0 else "")
    )
