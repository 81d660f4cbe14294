from __future__ import annotations

import msgspec
import pytest

from edgerestore.cli.bench_tables import show
from edgerestore.measure.bench.bundles import PER_PIXEL
from edgerestore.measure.bench.energy import Spent
from edgerestore.measure.bench.environment import Watch
from edgerestore.measure.bench.opening import Opening
from edgerestore.measure.bench.results import (
    LatencyMs,
    Ratio,
    Restored,
    Result,
    Results,
    Throughput,
)

LONG = "a_network_with_a_rather_long_name_x4-int8-jetson-tensorrt"


def result(name: str) -> Result:
    """Everything that can be measured, in large numbers."""
    latency = LatencyMs(p50=12345.678, p90=13345.678, p99=19345.678, samples=1000)
    return Result(
        bundle=name, name=name, status="measured", params=10**9, macs=10**12, activations=10**9,
        attention_score_bytes=10**9, weight_bytes=10**9, file_bytes=10**9,
        input_shape=[1, 3, 192, 192], load_ms=123456.0, first_ms=12345.6, latency_ms=latency,
        opening=Opening(read_ms=1234.5, compile_ms=123456.7, planned_device_mib=1000.0),
        megapixels_per_s=1234.5, peak_host_mib=12345.6, peak_device_mib=12345.6,
        throughput=[
            Throughput(
                streams=64, batch=16, megapixels_per_s=1234.5, images_per_s=12345.6,
                peak_host_mib=12345.6,
            ),
            Throughput(streams=64, batch=32, reason="the graph holds its batch"),
        ],
        restored=Restored(
            picture="p.png", width=1920, height=1080, tiles=12345, ms=latency, network_ms=latency,
            megapixels_per_s=1234.5,
        ),
        energy=[
            Spent(
                sensor="GPU 0 NVIDIA RTX 4000 SFF Ada Generation", idle_watts=1234.5,
                watts=1234.5, joules_per_megapixel=-0.25,
            ),
            Spent(sensor="VDD_IN", idle_watts=4.5, watts=7.5, joules_per_megapixel=1.5),
        ],
    )  # fmt: skip


@pytest.fixture
def results() -> Results:
    names = [LONG, f"{LONG} (2)"]
    ratio = Ratio(name=names[1], against=names[0], median=12.5, low=12.25, high=12.75, rounds=20)
    return Results(
        bundles=[result(name) for name in names],
        environment=Watch().finish(0.0),
        ratios=[ratio],
        protocol={},
        warnings=["the CPU governor is 'powersave', not 'performance' " * 3],
    )


@pytest.fixture
def printed(
    results: Results, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    show(results)
    return capsys.readouterr().out.splitlines()


def test_every_table_fits_80_columns_whatever_is_measured(printed: list[str]) -> None:
    assert max(map(len, printed)) <= 80
    text = "\n".join(printed)
    for column in ("p99 ms", "compile ms", "GPU MiB", "planned", "images/s", "network ms", "J/MP"):
        assert column in text


def test_numbers_stay_whole_where_names_fold(printed: list[str]) -> None:
    words = {word.strip(",") for line in printed for word in line.split()}
    assert {"12346", "13346", "19346", "123457", "12.25-12.75", "-0.25", "1234"} <= words


def test_ratios_of_unequal_work_say_that_they_are_per_pixel(
    results: Results, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show(results)
    assert "per pixel" not in capsys.readouterr().out
    ratios = [msgspec.structs.replace(results.ratios[0], per_pixel=True)]
    show(msgspec.structs.replace(results, ratios=ratios, protocol={"per pixel": PER_PIXEL}))
    said = capsys.readouterr().out
    assert "x per pixel, 95 %" in said
    assert PER_PIXEL in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80


def test_what_could_not_be_measured_says_why(printed: list[str]) -> None:
    assert "64 under way in batches of 32: the graph holds its batch" in " ".join(
        " ".join(printed).split()
    )
