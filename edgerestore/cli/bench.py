"""The verbs that measure, and that show what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import Threads
from edgerestore.cli.output import Json, console, count, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.bench.results import Ratio, Result, Results

NO = 1
PROGRESS_STEPS = 100


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("bench")(bench)
    app.command("report")(report)


def bench(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", show_default=False)],
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", help="Time for each bundle; 10 unless --samples is given.", min=0.01
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", help="Runs of each bundle; p90 needs 64.", min=1)
    ] = None,
    threads: Threads = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write results with raw samples here, for 'report'."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Measure load time, latency, throughput and memory of bundles, side by side.

    Every bundle runs in a process of its own, in short shuffled turns, after its output
    has passed parity. Ratios are against the first bundle.
    """
    from edgerestore.bench.bundles import bench_bundles
    from edgerestore.bench.harness import DEFAULT_SECONDS, Plan
    from edgerestore.bench.results import write_results

    if seconds is None and samples is None:
        seconds = DEFAULT_SECONDS
    plan = Plan(seconds=seconds, samples=samples)
    with progress() as bar:
        task = bar.add_task("measuring, % done", total=PROGRESS_STEPS)
        results = bench_bundles(
            bundles, plan, threads, lambda x: bar.update(task, completed=int(PROGRESS_STEPS * x))
        )
    if out is not None:
        write_results(out, results)
    if as_json:
        print_json(results)
    else:
        _show(results, out)
    return _exit_code(results)


def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS.json", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    title: Annotated[
        str, typer.Option("--title", help="Heading of the report.")
    ] = "What these bundles cost",
    as_json: Json = False,
) -> None:
    """Write results of 'bench' as one HTML file that opens anywhere, without a network."""
    from edgerestore.bench.results import read_results
    from edgerestore.report.html import write_report
    from edgerestore.report.verdicts import accuracies_of

    sessions = [read_results(path) for path in results]
    write_report(out, title=title, bench=sessions, accuracy=accuracies_of(sessions))
    if as_json:
        print_json({"report": out})
    else:
        console().print(f"wrote {out}", soft_wrap=True)


def _exit_code(results: Results) -> int:
    """0 where all that can execute here was measured; 1 where the answer is no; else 3."""
    from edgerestore.errors import MissingPartError

    statuses = {result.status for result in results.bundles}
    if statuses == {"not executable here"}:
        raise MissingPartError(f"nothing was measured: {results.bundles[0].reason}")
    return 0 if statuses <= {"measured", "not executable here"} else NO


def _show(results: Results, out: Path | None) -> None:
    from edgerestore.bench.statistics import P90_SAMPLES

    to = console()
    to.print(_cost_table(results.bundles))
    to.print(_speed_table(results))
    for result in results.bundles:
        if result.status != "measured":
            to.print(f"{result.name}: {result.status}: {result.reason}")
    if any(r.latency_ms and r.latency_ms.p90 is None for r in results.bundles):
        to.print(f"no p90 from fewer than {P90_SAMPLES} samples; see --samples")
    if any(ratio.low is None for ratio in results.ratios):
        to.print("no interval from so few rounds: measure longer")
    missing = _not_counted(results.bundles)
    if missing:
        to.print(f"MACs do not count: {missing}")
    for warning in results.warnings:
        to.print(f"warning: {warning}")
    if out is not None:
        to.print(f"wrote {out}", soft_wrap=True)


def _cost_table(bundles: list[Result]) -> object:
    made = table("Cost of one run", "bundle", "params", "MACs", "values", "scores", "file")
    for result in bundles:
        made.add_row(
            result.name,
            count(result.params),
            count(result.macs),
            count(result.activations),
            _bytes(result.attention_score_bytes),
            _bytes(result.file_bytes),
        )
    return made


def _speed_table(results: Results) -> object:
    from edgerestore.bench.results import short_names

    short = short_names(results.bundles)
    against = {ratio.name: ratio for ratio in results.ratios}
    made = table(
        "Measured here", "bundle", "p50 ms", "p90 ms", "x first, 95 %", "MP/s", "1st ms", "MiB"
    )
    for number, column in enumerate(made.columns):
        # A long name may fold; a number that does cannot be read.
        column.no_wrap = bool(number)
    for result in results.bundles:
        latency = result.latency_ms
        made.add_row(
            short.get(result.name, result.name),
            _number(latency.p50 if latency else None),
            _number(latency.p90 if latency else None),
            _ratio(against.get(result.name)),
            _number(result.megapixels_per_s),
            _number(result.first_ms),
            _number(_sum(result.peak_host_mib, result.peak_device_mib), digits=0),
        )
    return made


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits if value < 1000 else 0}f}"


def _sum(host: float | None, device: float | None) -> float | None:
    return None if host is None else host + (device or 0.0)


def _bytes(value: int | None) -> str:
    return "-" if value is None else f"{count(value)}B"


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}"
    return f"{ratio.median:.2f}, {ratio.low:.2f}-{ratio.high:.2f}"


def _not_counted(bundles: list[Result]) -> str:
    most: dict[str, int] = {}
    for result in bundles:
        for operator, times in result.macs_not_counted.items():
            most[operator] = max(times, most.get(operator, 0))
    return ", ".join(f"{operator} ({times})" for operator, times in sorted(most.items()))
