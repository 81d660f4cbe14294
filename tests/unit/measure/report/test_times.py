"""Times and memory of a session: what was measured is shown, what was not takes no room."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from edgerestore.measure.bench.opening import Opening
from edgerestore.measure.bench.results import Result, Results
from edgerestore.measure.report.times import time_tables
from edgerestore.measure.report.verdicts import Verdicts

MakeResults = Callable[..., Results]


def tables(results: Results, **changes: object) -> list[dict[str, str]]:
    """The first bundle's row in each table, by column."""
    rows: list[Result] = [
        msgspec.structs.replace(results.bundles[0], **changes),
        *results.bundles[1:],
    ]
    session = msgspec.structs.replace(results, bundles=rows)
    found = []
    for table in time_tables(Verdicts([session], []), session).split("<table>")[1:]:
        heads = re.findall(r'<th scope="col">(.*?)</th>', table)
        cells = re.findall("<td>(.*?)</td>", table)
        found.append(dict(zip(heads[1:], cells, strict=False)))
    return found


def test_without_tails_opening_and_gpu_they_have_no_column(make_results: MakeResults) -> None:
    latency, opening = tables(make_results())
    assert list(latency) == ["Median ms", "90 % ms", "Runs", "MP/s"]
    assert list(opening) == ["Load ms", "First ms", "Host MiB", "Device MiB"]


def test_the_99th_percentile_is_shown_where_there_is_one(make_results: MakeResults) -> None:
    results = make_results()
    known = msgspec.structs.replace(results.bundles[0].latency_ms, p99=88.125)
    latency, _ = tables(results, latency_ms=known)
    assert latency["99 % ms"] == "88.12"


def test_opening_is_shown_in_its_parts(make_results: MakeResults) -> None:
    _, opening = tables(make_results(), opening=Opening(read_ms=41.2, compile_ms=288.0))
    assert (opening["Reading ms"], opening["Compiling ms"]) == ("41.2", "288")
    assert "Device MiB planned" not in opening


def test_memory_of_a_gpu_is_shown_as_each_source_tells_it(make_results: MakeResults) -> None:
    _, memory = tables(
        make_results(), peak_device_mib=512.0, runtime_device_mib=96.0,
        opening=Opening(planned_device_mib=24.0),
    )  # fmt: skip
    device = {head: cell for head, cell in memory.items() if head.startswith("Device")}
    assert device == {
        "Device MiB": "512", "Device MiB by the runtime": "96", "Device MiB planned": "24",
    }  # fmt: skip


def test_a_refused_bundle_has_a_row_without_times(make_results: MakeResults) -> None:
    latency, opening = tables(make_results(), status="failed parity", reason="12 dB")
    assert set(latency.values()) == {"\N{EN DASH}"}
    assert opening["Load ms"] != "\N{EN DASH}", "it is the next bundle's"
