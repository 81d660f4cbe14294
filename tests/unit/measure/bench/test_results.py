from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import Accuracy
from edgerestore.measure.bench.environment import Watch
from edgerestore.measure.bench.harness import Candidate, Measurement, Plan
from edgerestore.measure.bench.opening import Opening
from edgerestore.measure.bench.protocol import Closed, Opened
from edgerestore.measure.bench.results import (
    Costs,
    Restored,
    Results,
    Throughput,
    gate_missed,
    latency_of,
    not_measured,
    ratios_of,
    result_of,
    short_names,
    write_results,
)
from edgerestore.measure.report.reading import KINDS, read_files

PLAN = Plan(samples=64)


def measured(
    name: str, ns: int = 2_000_000, rounds: int = 8, output_pixels: int = 10_000
) -> Measurement:
    return Measurement(
        Candidate(name, ()),
        opened=Opened(
            prepare_ms=1.0, load_ms=5.0, first_ms=4.0, output_pixels=output_pixels,
            runtime="fake 1", host_mib_before_load=30.0, parity_psnr_db=90.0, parity_floor_db=60.0,
        ),
        closed=Closed(peak_host_mib=50.0, peak_device_mib=None, cpu_seconds=1.0),
        turns_ns=[[ns] * 8 for _ in range(rounds)],
    )  # fmt: skip


def accuracy(mean: float, worst: float) -> Accuracy:
    return Accuracy(
        data="Set5", protocol="", images=(), mean_drop_db=mean, worst_drop_db=worst,
        allowed_mean_drop_db=0.05, allowed_worst_drop_db=0.2,
    )  # fmt: skip


def test_a_row_keeps_raw_samples_and_derives_the_rest() -> None:
    row = result_of(measured("a"), "path/a")
    assert row.latency_ms
    assert (row.latency_ms.p50, row.latency_ms.p90, row.latency_ms.samples) == (2.0, 2.0, 64)
    assert row.megapixels_per_s == pytest.approx(5.0)
    assert row.turns_ns == [[2_000_000] * 8] * 8
    assert (row.peak_host_mib, row.peak_device_mib) == (50.0, None)


def test_bundles_that_differ_in_their_batch_alone_are_told_apart() -> None:
    rows = [
        result_of(
            measured(f"m-int8-t{several}"),
            "path",
            Costs(model="m", precision="int8", target="t", input_shape=[batch, 3, 48, 48]),
        )
        for batch, several in ((1, ""), (4, "-b4"))
    ]
    assert short_names(rows) == {"m-int8-t": "INT8 t", "m-int8-t-b4": "INT8 t, batch 4"}


def test_what_was_not_measured_has_no_number_at_all() -> None:
    seen = measured("a")
    seen.status, seen.reason = "failed parity", "12 dB"
    row = result_of(seen, "path/a")
    assert (row.status, row.reason) == ("failed parity", "12 dB")
    assert row.latency_ms is row.first_ms is row.load_ms is row.megapixels_per_s is None
    assert row.turns_ns == []


def test_p90_needs_64_samples_and_p99_662() -> None:
    few = latency_of([1] * 63)
    assert few.p90 is few.p99 is None
    assert few.p90_reason == "needs 64 samples, has 63"
    enough = latency_of([1] * 64)
    assert (enough.p90, enough.p90_reason) == (1e-6, None)
    assert latency_of([1] * 661).p99_reason == "needs 662 samples, has 661"
    many = latency_of([*range(1, 662), 10_000])
    assert (many.p99, many.p99_reason) == (656e-6, None)


def test_ratios_are_against_the_first_measured() -> None:
    failed = Measurement(Candidate("broken", ()), "failed", "why")
    ratios = ratios_of([failed, measured("a"), measured("b", ns=1_000_000)], PLAN)
    assert [(r.name, r.against, r.median) for r in ratios] == [("b", "a", 0.5)]
    assert (ratios[0].low, ratios[0].high, ratios[0].rounds) == (0.5, 0.5, 8)


def test_ratios_of_unequal_work_are_per_pixel() -> None:
    one = measured("one", ns=10_000_000)
    four = measured("four", ns=30_000_000, output_pixels=40_000)
    same = measured("same", ns=20_000_000)
    ratios = ratios_of([one, four, same], PLAN)
    assert [(r.name, r.median, r.per_pixel) for r in ratios] == [
        ("four", pytest.approx(0.75), True),
        ("same", 2.0, False),
    ]
    assert (ratios[0].low, ratios[0].high) == (pytest.approx(0.75), pytest.approx(0.75))


def test_few_rounds_say_why_there_is_no_interval() -> None:
    (ratio,) = ratios_of([measured("a", rounds=2), measured("b", rounds=2)], PLAN)
    assert (ratio.low, ratio.reason) == (None, "needs 6 rounds, has 2")


def test_the_accuracy_gate_looks_at_mean_and_worst() -> None:
    assert gate_missed(None) is None
    assert gate_missed(accuracy(0.05, 0.2)) is None
    assert gate_missed(accuracy(0.01, 0.5)) == "worst image loses 0.50 dB, allowed 0.20 dB"
    assert "mean loses" in (gate_missed(accuracy(float("nan"), 0.1)) or "")


def test_what_has_no_number_says_why() -> None:
    row = msgspec.structs.replace(
        result_of(measured("a"), "path/a"),
        throughput=[
            Throughput(streams=2, batch=1, megapixels_per_s=1.0),
            Throughput(streams=2, batch=4, reason="the graph holds its batch"),
        ],
        restored=Restored(picture="p.png", width=1, height=1, tiles=1, reason="out of memory"),
        opening=Opening(reason="not done within 1800 s"),
    )
    assert not_measured(row) == [
        "2 under way in batches of 4: the graph holds its batch",
        "a whole picture: out of memory",
        "opening: not done within 1800 s",
    ]


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    results = Results(
        bundles=[result_of(measured("a"), "a")],
        environment=Watch().finish(0.0),
        ratios=[],
        protocol={"clock": "perf_counter_ns"},
        warnings=[],
    )
    write_results(tmp_path / "r.json", results)
    assert read_files([tmp_path / "r.json"], KINDS).sessions == [results]
