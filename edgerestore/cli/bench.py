"""The verb ``bench``: what bundles cost, measured side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import Threads
from edgerestore.cli.output import PROGRESS_STEPS, Json, console, print_json, progress
from edgerestore.errors import InputError

if TYPE_CHECKING:
    from edgerestore.measure.bench.results import Results

NO = 1


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("bench")(bench)


def bench(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", show_default=False)],
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            help="Seconds of measuring each bundle; each further setting takes half as many.",
            show_default="10, or no limit with --samples",
            min=0.01,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", help="Number of runs of each bundle; p90 needs 64, p99 662.", min=1
        ),
    ] = None,
    threads: Threads = 0,
    streams: Annotated[
        str | None,
        typer.Option(
            "--streams",
            help="Inferences under way at once, such as 1,4.",
            show_default="1 and the cores",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            help="Images in each inference, such as 1,4.",
            show_default="the bundle's own",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", help="Picture to restore as a whole.", show_default="a small photograph"
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure one inference at a time and nothing else.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write results with raw samples here, for 'report'."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Measure load time, latency, throughput, memory and energy of bundles, side by side.

    Every bundle runs in a process of its own, in short shuffled turns, after its output
    has passed parity. Ratios are against the first bundle. Energy is measured where the
    device tells its power.
    """
    from edgerestore.cli.bench_tables import show
    from edgerestore.measure.bench.bundles import bench_bundles
    from edgerestore.measure.bench.further import Further, default_streams
    from edgerestore.measure.bench.harness import DEFAULT_SECONDS, Plan
    from edgerestore.measure.bench.picture import shipped_picture
    from edgerestore.measure.bench.results import write_results
    from edgerestore.measure.bench.sensors.finding import find_sensors, why_none

    if seconds is None and samples is None:
        seconds = DEFAULT_SECONDS
    if quick and (streams or batch or picture):
        raise InputError("--quick measures no --streams, --batch or --picture; leave it out")
    further = Further()
    if not quick:
        sensors = tuple(find_sensors())
        further = Further(
            streams=_numbers("--streams", streams) if streams else default_streams(),
            batches=_numbers("--batch", batch) if batch else (),
            picture=picture or shipped_picture(),
            sensors=sensors,
            no_sensors=None if sensors else why_none(),
            opening=True,
        )
    with progress() as bar:
        task = bar.add_task("opening", total=PROGRESS_STEPS)
        results = bench_bundles(
            bundles,
            Plan(seconds=seconds, samples=samples),
            threads,
            lambda done: bar.update(task, completed=int(PROGRESS_STEPS * done)),
            further,
            lambda what: bar.update(task, description=what),
        )
    if out is not None:
        write_results(out, results)
    if as_json:
        print_json(results)
    else:
        show(results)
        if out is not None:
            console().print(f"wrote {out}", soft_wrap=True)
    return _exit_code(results)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """The numbers of a list with commas, each once."""
    try:
        return tuple(dict.fromkeys(int(number) for number in text.split(",")))
    except ValueError as error:
        raise InputError(f"{option} '{text}': give whole numbers, such as 1,4") from error


def _exit_code(results: Results) -> int:
    """0 where all that can execute here was measured; 1 where the answer is no; else 3."""
    from edgerestore.errors import MissingPartError

    statuses = {result.status for result in results.bundles}
    if statuses == {"not executable here"}:
        raise MissingPartError(f"nothing was measured: {results.bundles[0].reason}")
    return 0 if statuses <= {"measured", "not executable here"} else NO
