"""What was measured beyond one inference at a time: streams, a whole picture, energy."""

from __future__ import annotations

from collections.abc import Iterable

from edgerestore.measure.bench.results import Result, Results, not_measured
from edgerestore.measure.report.markup import (
    Content,
    Markup,
    breakable,
    decimal,
    joined,
    table,
    tag,
)
from edgerestore.measure.report.verdicts import Verdicts


def settings_tables(verdicts: Verdicts, session: Results) -> Markup:
    """A table of each kind that was measured, for bundles in good standing; maybe none.

    Then why others were not measured, setting by setting.
    """
    shown = verdicts.timed(session)
    kinds = (
        (
            "Several inferences under way",
            ("Bundle", "Streams", "Batch", "MP/s", "Images/s", "Host MiB"),
            [row for result in shown for row in _flows(verdicts, result)],
        ),
        (
            "A whole picture, from file to file",
            ("Bundle", "Picture", "Tiles", "Median ms", "Network ms", "MP/s"),
            [row for result in shown for row in _picture(verdicts, result)],
        ),
        (
            "Energy, what the machine takes at rest subtracted",
            ("Bundle", "Sensor", "At rest, W", "Running, W", "J/MP"),
            [row for result in shown for row in _energy(verdicts, result)],
        ),
    )
    reasons = [
        f"{verdicts.label(result.name)}, {said}"
        for result in shown
        for said in not_measured(result)
    ]
    return joined(
        [
            *(table(caption, head, rows) for caption, head, rows in kinds if rows),
            *(tag("p", f"Not measured: {reason}.", class_="note") for reason in reasons),
        ]
    )


def _flows(verdicts: Verdicts, result: Result) -> Iterable[list[Content]]:
    for flow in result.throughput:
        if flow.megapixels_per_s is not None:
            yield [
                breakable(verdicts.label(result.name)),
                str(flow.streams),
                str(flow.batch),
                decimal(flow.megapixels_per_s),
                decimal(flow.images_per_s),
                decimal(flow.peak_host_mib, 0),
            ]


def _picture(verdicts: Verdicts, result: Result) -> Iterable[list[Content]]:
    whole = result.restored
    if whole is not None and whole.ms is not None:
        yield [
            breakable(verdicts.label(result.name)),
            f"{whole.picture}, {whole.width} x {whole.height}",
            str(whole.tiles),
            decimal(whole.ms.p50),
            decimal(whole.network_ms.p50 if whole.network_ms else None),
            decimal(whole.megapixels_per_s),
        ]


def _energy(verdicts: Verdicts, result: Result) -> Iterable[list[Content]]:
    for spent in result.energy:
        yield [
            breakable(verdicts.label(result.name)),
            spent.sensor,
            decimal(spent.idle_watts),
            decimal(spent.watts),
            decimal(spent.joules_per_megapixel),
        ]
