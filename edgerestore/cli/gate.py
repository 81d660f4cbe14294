"""The verb ``gate``: whether a candidate may replace a baseline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import Threads
from edgerestore.cli.output import PROGRESS_STEPS, Json, console, print_json, progress, table

if TYPE_CHECKING:
    from edgerestore.measure.gate.sequential import Interval
    from edgerestore.measure.gate.verdict import Verdict

BUNDLE = "A bundle's folder, or REVISION:FOLDER of this git repository."


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("gate")(gate)


def gate(
    candidate: Annotated[str, typer.Argument(help=BUNDLE, show_default=False)],
    baseline: Annotated[str, typer.Argument(help=BUNDLE, show_default=False)],
    threshold: Annotated[
        str, typer.Option("--threshold", help="Smallest difference of latency that matters.")
    ] = "3%",
    seconds: Annotated[
        float, typer.Option("--seconds", help="Seconds for the whole comparison.", min=0.01)
    ] = 60.0,
    threads: Threads = 0,
    accepted: Annotated[
        Path | None,
        typer.Option("--accepted", help="TOML file of accepted differences and their reasons."),
    ] = None,
    facts_only: Annotated[
        bool, typer.Option("--facts-only", help="Time nothing, as where no bundle can execute.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write the verdict as JUnit XML.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write the verdict as Markdown.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option("--history", help="Append the verdict as a line of JSON.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare a candidate with a baseline: latency side by side, and what is counted.

    Answers pass or improved (exit code 0), regressed (1) or inconclusive (2); 3 is bad
    input. On GitHub, annotations and the job's summary are written as well.
    """
    from edgerestore.measure.gate.output import (
        append_history,
        append_summary,
        github_annotations,
        write_junit,
        write_markdown,
    )
    from edgerestore.measure.gate.revision import bundle_folder
    from edgerestore.measure.gate.verdict import Limits
    from edgerestore.measure.gate.verdict import gate as compare

    limits = Limits(seconds=seconds, threshold=fraction_of(threshold), threads=threads)
    with bundle_folder(candidate) as ours, bundle_folder(baseline) as theirs, progress() as bar:
        task = bar.add_task("comparing, % of the time used", total=PROGRESS_STEPS)

        def report(used: float, pairs: int, seen: Interval | None) -> None:
            ratio = f": {seen.low:.3f} to {seen.high:.3f}" if seen else ""
            bar.update(
                task, completed=int(PROGRESS_STEPS * used), description=f"{pairs} pairs{ratio}"
            )

        verdict = compare(
            ours,
            theirs,
            None if facts_only else limits,
            given=(candidate, baseline),
            accepted=accepted,
            report=report,
        )
    if junit is not None:
        write_junit(junit, verdict)
    if markdown is not None:
        write_markdown(markdown, verdict)
    if history is not None:
        append_history(history, verdict)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        append_summary(Path(summary), verdict)
    if as_json:
        print_json(verdict)
    else:
        _show(verdict)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # On standard error, which GitHub reads as well: with --json the other is a document.
        for line in github_annotations(verdict):
            typer.echo(line, err=True)
    return verdict.exit_code


def fraction_of(text: str) -> float:
    """Reads "3%" or "0.03". Raises InputError for what is not between 0 and 1."""
    from edgerestore.errors import InputError

    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = 0.0
    if rest or not 0 < value < 1:
        raise InputError(f"--threshold {text}: give a fraction between 0 and 1, such as 3% or 0.03")
    return value


def _show(verdict: Verdict) -> None:
    from edgerestore.measure.gate.words import fact_words, headline, latency_words, more_words

    to = console()
    to.print(headline(verdict), soft_wrap=True)
    made = table("", "check", "answer")
    made.columns[1].justify = "left"
    latency = verdict.latency
    made.add_row(
        "latency", latency_words(latency) if latency else f"not compared: {verdict.latency_reason}"
    )
    for fact in verdict.facts:
        made.add_row(fact.check, fact_words(fact))
    to.print(made)
    more = more_words(latency) if latency else None
    if more:
        to.print(more)
    for warning in verdict.warnings:
        to.print(f"warning: {warning}")
