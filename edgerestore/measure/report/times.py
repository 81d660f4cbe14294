"""Times and memory of one inference at a time, as far as they were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgerestore.measure.bench.opening import Opening
from edgerestore.measure.bench.results import LatencyMs, Result, Results
from edgerestore.measure.bench.statistics import P90_SAMPLES
from edgerestore.measure.report.markup import (
    NONE,
    Content,
    Markup,
    breakable,
    decimal,
    joined,
    table,
    tag,
)
from edgerestore.measure.report.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of each bundle."""

    head: str
    cell: Callable[[Result, LatencyMs], Content]
    always: bool = True
    """Whether the column stands there where no bundle has the figure."""


LATENCY = (
    Column("Median ms", lambda _, ms: decimal(ms.p50)),
    Column("90 % ms", lambda _, ms: decimal(ms.p90)),
    Column("99 % ms", lambda _, ms: decimal(ms.p99), always=False),
    Column("Runs", lambda _, ms: str(ms.samples)),
    Column("MP/s", lambda result, _: decimal(result.megapixels_per_s)),
)
OPENING = (
    Column("Load ms", lambda result, _: decimal(result.load_ms, 0)),
    Column("Reading ms", lambda r, _: decimal(_opening(r).read_ms, 1), always=False),
    Column("Compiling ms", lambda r, _: decimal(_opening(r).compile_ms, 0), always=False),
    Column("First ms", lambda result, _: decimal(result.first_ms)),
    Column("Host MiB", lambda result, _: _host(result)),
    Column("Device MiB", lambda result, _: decimal(result.peak_device_mib, 0)),
    Column(
        "Device MiB by the runtime", lambda r, _: decimal(r.runtime_device_mib, 0), always=False
    ),
    Column(
        "Device MiB planned", lambda r, _: decimal(_opening(r).planned_device_mib, 0), always=False
    ),
)


def time_tables(verdicts: Verdicts, session: Results) -> Markup:
    """Latency of every bundle, and opening and memory of those in good standing; then notes."""
    return joined(
        [
            _table("Time, measured", LATENCY, verdicts, session.bundles),
            _table("Opening, and memory at its peak", OPENING, verdicts, verdicts.timed(session)),
            *(tag("p", line, class_="note") for line in _notes(verdicts.timed(session))),
        ]
    )


def _table(
    caption: str, columns: Sequence[Column], verdicts: Verdicts, results: Sequence[Result]
) -> Markup:
    if not results:
        return Markup()
    times = [(result, verdicts.latency(result)) for result in results]
    cells = {
        column.head: [column.cell(result, ms) if ms else NONE for result, ms in times]
        for column in columns
    }
    shown = [
        column.head
        for column in columns
        if column.always or any(cell != NONE for cell in cells[column.head])
    ]
    rows = (
        [breakable(verdicts.label(result.name)), *(cells[head][number] for head in shown)]
        for number, result in enumerate(results)
    )
    return table(caption, ["Bundle", *shown], rows)


def _notes(shown: Sequence[Result]) -> list[str]:
    lines = [
        "Megapixels are of the output, overlap of tiles not deducted. Host memory is the peak of "
        "the bundle's own process, in brackets its growth since the runtime was loaded."
    ]
    if any(r.latency_ms and r.latency_ms.p90 is None for r in shown):
        lines.append(f"There is no 90th percentile from fewer than {P90_SAMPLES} runs.")
    if any(r.opening and not r.opening.reason for r in shown):
        lines.append("Reading and compiling are parts of loading, taken apart in another process.")
    return lines


def _host(result: Result) -> Content:
    peak: Content = decimal(result.peak_host_mib, 0)
    if not result.peak_host_mib or not result.host_mib_before_load:
        return peak
    grown = result.peak_host_mib - result.host_mib_before_load
    return joined([peak, " ", tag("span", f"(+{grown:.0f})", class_="delta")])


def _opening(result: Result) -> Opening:
    return result.opening or Opening()
