"""The verb ``decide``: which precision to deploy on a target, and why."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import CalibrationSet, JudgedOn, Threads, TileSide, WeightsFile
from edgerestore.cli.output import PROGRESS_STEPS, Json, console, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.decision.decision import Decided
    from edgerestore.decision.result import Candidate, Decision

EXIT_CODES = {"decided": 0, "none keeps the limits": 1, "undecided": 2}


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("decide")(decide)


def decide(
    model: Annotated[str, typer.Argument(help="A model's name, or a recipe file.")],
    target: Annotated[str, typer.Option(help="A target's name or file; it must execute here.")],
    weights: WeightsFile = None,
    data: JudgedOn = None,
    calibration: CalibrationSet = None,
    tile: TileSide = None,
    max_drop_db: Annotated[
        float | None,
        typer.Option(min=0, help="Mean loss allowed, in dB.", show_default="INT8's gate"),
    ] = None,
    max_worst_db: Annotated[
        float | None,
        typer.Option(
            min=0, help="Loss allowed on the worst image, in dB.", show_default="INT8's gate"
        ),
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Latency allowed for one tile; the most accurate candidate within it is sought.",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="Seconds of measuring each candidate.")
    ] = 10.0,
    threads: Threads = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep the bundles here, with decision.json and decision.html."),
    ] = None,
    json: Json = False,
) -> int:
    """Build a model in every precision of a target, measure all, and say which to deploy.

    Recommends the fastest that keeps the limits of accuracy. Exit codes: 0 decided, 1 none
    keeps the limits, 2 undecided, with what would tell; 3 is bad input.
    """
    from edgerestore.decision import decide as measured
    from edgerestore.decision.result import Limits
    from edgerestore.measure.bench.harness import Plan
    from edgerestore.pipeline.gate import ALLOWED
    from edgerestore.pipeline.request import find_target, job_from

    allowed = ALLOWED["int8"]
    limits = Limits(
        mean_drop_db=allowed.mean_drop_db if max_drop_db is None else max_drop_db,
        worst_drop_db=allowed.worst_drop_db if max_worst_db is None else max_worst_db,
        latency_ms=latency_ms,
    )
    with _folder(out) as folder:
        # A user's own network may print; standard output is for our answer.
        with redirect_stdout(sys.stderr), progress() as bar:
            job = job_from(
                model,
                targets=[target],
                precisions=find_target(target).precisions,
                weights=weights,
                tile=tile,
                calibration=calibration,
                data=data,
                out=folder,
            )
            for note in job.notes:
                print(f"note: {note}")
            task = bar.add_task("reading weights", total=PROGRESS_STEPS)
            found = measured(
                job,
                limits,
                Plan(seconds=seconds),
                threads,
                lambda stage: bar.update(task, description=stage),
                lambda done: bar.update(task, completed=int(PROGRESS_STEPS * done)),
            )
        if out is not None:
            _write(out, found)
    if json:
        print_json(found.decision)
    else:
        _show(found.decision, out)
    return EXIT_CODES[found.decision.answer]


@contextlib.contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Where the bundles go: a folder that is kept, or one that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="edgerestore-decide-") as name:
        yield Path(name)


def _write(out: Path, found: Decided) -> None:
    import msgspec

    from edgerestore.decision.page import write_page
    from edgerestore.files import write_beside

    data = msgspec.json.format(msgspec.json.encode(found.decision), indent=2)
    write_beside(out / "decision.json", data + b"\n")
    write_page(out / "decision.html", found)


def _show(decision: Decision, out: Path | None) -> None:
    from edgerestore.decision.page import headline

    to = console()
    limits = decision.limits
    to.print(f"{decision.model} on {decision.target}: {headline(decision)}")
    accuracy = table(
        f"PSNR-Y lost against FP32 on {decision.data}; limits {limits.mean_drop_db:g} dB mean, "
        f"{limits.worst_drop_db:g} dB worst",
        "candidate", "mean dB", "95 % of the mean", "worst dB", "keeps", "build gate",
    )  # fmt: skip
    for candidate in decision.candidates:
        accuracy.add_row(candidate.label, *_accuracy_cells(candidate))
    cost = table(
        f"One tile, on {decision.environment.cpu}",
        "candidate", "p50 ms", "x FP32, 95 %", "peak MiB", "KiB", "Pareto front",
    )  # fmt: skip
    for candidate in decision.candidates:
        cost.add_row(candidate.label, *_cost_cells(candidate))
    to.print(accuracy)
    to.print(cost)
    for candidate in decision.candidates:
        if candidate.reason:
            to.print(f"{candidate.label}: {candidate.status}: {candidate.reason}")
    for reason in decision.reasons:
        to.print(reason)
    for warning in decision.warnings:
        to.print(f"warning: {warning}")
    if out is not None:
        to.print(f"bundles, decision.json and decision.html are in {out}", soft_wrap=True)


def _accuracy_cells(candidate: Candidate) -> list[str]:
    from edgerestore.metrics import decibels

    drop = candidate.drop
    if drop is None:
        return ["-"] * 5
    interval = "-"
    if drop.low_db is not None and drop.high_db is not None:
        interval = f"{decibels(drop.low_db)} to {decibels(drop.high_db)}"
    missed = "missed" if candidate.gate_missed else "passed"
    return [decibels(drop.mean_db), interval, decibels(drop.worst_db), candidate.keeps, missed]


def _cost_cells(candidate: Candidate) -> list[str]:
    latency, seen, peak = candidate.latency_ms, candidate.against_fp32, candidate.peak_host_mib
    ratio = "-"
    if seen is not None:
        ratio = f"{seen.median:.2f}"
        if seen.low is not None and seen.high is not None:
            ratio += f", {seen.low:.2f}-{seen.high:.2f}"
    return [
        f"{latency.p50:.2f}" if latency else "-",
        ratio,
        f"{peak + (candidate.peak_device_mib or 0):.0f}" if peak is not None else "-",
        f"{candidate.file_bytes / 1024:.0f}" if candidate.file_bytes is not None else "-",
        "yes" if candidate.on_front else "",
    ]
