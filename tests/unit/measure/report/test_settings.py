"""Settings beyond one inference at a time, and why some of them have no number."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgerestore.measure.bench.opening import Opening
from edgerestore.measure.bench.results import Restored, Results, Throughput
from edgerestore.measure.report.settings import settings_tables
from edgerestore.measure.report.verdicts import Verdicts

MakeResults = Callable[..., Results]


def test_a_setting_that_was_not_measured_says_why(make_results: MakeResults) -> None:
    results = make_results()
    row = msgspec.structs.replace(
        results.bundles[0],
        throughput=[
            Throughput(streams=2, batch=1, megapixels_per_s=3.25),
            Throughput(streams=2, batch=4, reason="the graph holds its batch"),
        ],
        restored=Restored(picture="p.png", width=20, height=10, tiles=6, reason="out of memory"),
        opening=Opening(reason="not done within 1800 s"),
    )
    session = msgspec.structs.replace(results, bundles=[row, *results.bundles[1:]])
    page = settings_tables(Verdicts([session], []), session)
    assert page.count("<table>") == 1
    assert "<td>3.25</td>" in page
    for reason in (
        "2 under way in batches of 4: the graph holds its batch.",
        "a whole picture: out of memory.",
        "opening: not done within 1800 s.",
    ):
        assert f"Not measured: FP32 openvino-cpu, {reason}</p>" in page


def test_where_all_was_measured_no_reason_stands(make_results: MakeResults) -> None:
    results = make_results()
    assert settings_tables(Verdicts([results], []), results) == ""
