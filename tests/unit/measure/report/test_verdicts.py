from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest

from edgerestore.bundle import Accuracy, ImageScore, Parity
from edgerestore.errors import InputError
from edgerestore.measure.bench.results import Ratio, Results
from edgerestore.measure.report.sections import accuracy_section
from edgerestore.measure.report.verdicts import (
    BAD,
    GOOD,
    MINUS,
    BundleAccuracy,
    Verdicts,
    by_data,
    readable_time,
    sessions_of,
    shared_protocol,
    signed,
)

MakeResults = Callable[..., Results]


def scored(
    name: str, drops: dict[str, float], protocol: str = "tiles of 48; here"
) -> BundleAccuracy:
    images = tuple(
        ImageScore(name=image, fp32_psnr_y_db=30.0, psnr_y_db=30.0 - drop)
        for image, drop in drops.items()
    )
    accuracy = Accuracy(
        data="Set5", protocol=protocol, images=images, mean_drop_db=0.02,
        worst_drop_db=max(drops.values()), allowed_mean_drop_db=1.0, allowed_worst_drop_db=1.0,
    )  # fmt: skip
    return BundleAccuracy(name, accuracy)


@pytest.mark.parametrize(
    ("median", "low", "high", "says"),
    [
        (0.5, 0.4, 0.6, "is 2.00 times as fast as"),
        (1.0, 0.9, 1.1, "is not faster than"),
        (1.5, 1.4, 1.6, "is slower than"),
        (0.5, None, None, "too few rounds"),
    ],
)
def test_speed_is_told_as_far_as_the_interval_allows(
    make_results: MakeResults, median: float, low: float | None, high: float | None, says: str
) -> None:
    results = make_results()
    first, second = results.bundles[:2]
    ratio = Ratio(name=second.name, against=first.name, median=median, low=low, high=high, rounds=9)
    verdicts = Verdicts([msgspec.structs.replace(results, ratios=[ratio])], [])
    assert says in verdicts.findings_of(verdicts.sessions[0])[1]


def test_speed_of_unequal_work_is_told_per_pixel(make_results: MakeResults) -> None:
    results = make_results()
    first, second = results.bundles[:2]
    ratio = Ratio(
        name=second.name, against=first.name, median=0.75, low=0.7, high=0.8, rounds=9,
        per_pixel=True,
    )  # fmt: skip
    verdicts = Verdicts([msgspec.structs.replace(results, ratios=[ratio])], [])
    told = verdicts.findings_of(verdicts.sessions[0])[1]
    assert "is 1.33 times as fast as FP32 openvino-cpu per pixel, in 0.75 of its time" in told


def test_a_ratio_to_a_refused_bundle_is_not_told(make_results: MakeResults) -> None:
    results = make_results()
    assert results.ratios
    first = msgspec.structs.replace(results.bundles[0], status="failed parity")
    changed = msgspec.structs.replace(results, bundles=[first, *results.bundles[1:]])
    assert Verdicts([changed], []).ratios(changed) == []


def test_never_executed_is_not_verified(make_results: MakeResults) -> None:
    results = make_results()
    built = Parity(status="compiled, not executed", runtime="compiler")
    row = msgspec.structs.replace(
        results.bundles[0], status="not executable here", reason="no GPU", built=built
    )
    verdicts = Verdicts([], [])
    assert verdicts.standing(row).word == "compiled, not executed"
    assert verdicts.latency(row) is None
    assert verdicts.emulated(row)
    proven = msgspec.structs.replace(row, built=Parity(status="verified", runtime="board"))
    assert verdicts.standing(proven).word == "verified where built, not here"
    assert not verdicts.emulated(proven)


def test_the_accuracy_of_the_report_precedes_that_of_the_bundle(make_results: MakeResults) -> None:
    results = make_results()
    row = results.bundles[2]
    own = scored(row.name, {"baby": 0.4})
    assert Verdicts([results], [own]).accuracy_of(row) == own.accuracy
    assert Verdicts([results], []).accuracy_of(row) == row.accuracy


def test_each_session_is_judged_by_its_own_accuracy(make_results: MakeResults) -> None:
    new = make_results()
    loses = scored("", {"baby": 0.5}).accuracy
    failing = msgspec.structs.replace(loses, mean_drop_db=0.5, allowed_mean_drop_db=0.1)
    rows = [msgspec.structs.replace(row, accuracy=failing) for row in new.bundles]
    where = msgspec.structs.replace(new.environment, taken_at="2026-01-02T03:04:05+00:00")
    old = msgspec.structs.replace(new, bundles=rows, environment=where)
    verdicts = Verdicts([old, new], [])
    assert {verdicts.standing(row).kind for row in old.bundles} == {BAD}
    assert {verdicts.standing(row).kind for row in new.bundles} == {GOOD}
    page = accuracy_section(verdicts) or ""
    assert re.findall(r"<h3>(.*?)</h3>", page) == [
        "esrt_s_x2, 2026-01-02 03:04 UTC",
        "esrt_s_x2, 2026-03-14 15:09 UTC",
    ]
    assert page.index("Accuracy on Set5,") < page.index("Accuracy on Set5 x2,")


def test_losses_name_the_worst_image() -> None:
    (finding,) = Verdicts([], [scored("a", {"bird": 0.1, "baby": 0.02})]).further_findings()
    assert finding == "a loses 0.02 dB on average and 0.10 dB on its worst image, bird."


def test_one_table_per_data_set_and_what_protocols_share() -> None:
    group = [scored("a", {"x": 0.1}), scored("b", {"x": 0.1}, "tiles of 48; emulated")]
    assert by_data(group) == [group]
    assert shared_protocol(group) == ("tiles of 48", ["here", "emulated"])


def test_names_are_short_only_where_they_stay_apart(make_results: MakeResults) -> None:
    results = make_results()
    name = results.bundles[0].name
    assert Verdicts([results], []).label(name) == "FP32 openvino-cpu"
    twice = msgspec.structs.replace(
        results, bundles=[*results.bundles, msgspec.structs.replace(results.bundles[0], name="b")]
    )
    assert Verdicts([twice], []).label(name) == name


def test_something_else_than_results_is_refused() -> None:
    with pytest.raises(InputError, match="not results"):
        sessions_of([{"bundles": []}])  # type: ignore[list-item]
    assert sessions_of(None) == []


@pytest.mark.parametrize(
    ("value", "shown"), [(0.004, "0.00"), (-0.004, "0.00"), (-0.126, f"{MINUS}0.13"), (2.0, "2.00")]
)
def test_numbers_have_a_true_minus_and_no_negative_zero(value: float, shown: str) -> None:
    assert signed(value) == shown


def test_a_time_that_is_none_stays_as_it_stands() -> None:
    assert readable_time("2026-03-14T15:09:26+00:00") == "2026-03-14 15:09 UTC"
    assert readable_time("yesterday") == "yesterday"
