from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.measure.bench import energy, further
from edgerestore.measure.bench.bundles import bench_bundles
from edgerestore.measure.bench.further import Further
from edgerestore.measure.bench.harness import Plan
from edgerestore.measure.bench.sensors.sensor import Sensor

Make = Callable[..., Path]

QUICK = Plan(seconds=None, samples=16, warm_up_seconds=0.0, warm_up_runs=1)

pytestmark = pytest.mark.needs_backend("onnxruntime")


def test_streams_a_picture_and_opening_are_measured_after_latency(
    make_bundle: Make, picture: Path
) -> None:
    paths = [make_bundle("right"), make_bundle("wrong", wrong=True)]
    heard: list[float] = []
    stages: list[str] = []
    every = Further(streams=(2,), batches=(1, 3), picture=picture, opening=True)
    results = bench_bundles(paths, QUICK, 1, heard.append, every, stages.append)
    row, failed = results.bundles
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert list(dict.fromkeys(stages)) == [
        "one at a time",
        "2 batches of 1",
        "2 batches of 3",
        "a whole picture",
        "opening",
    ]

    one, three = row.throughput
    assert (one.streams, one.batch, one.inferences) == (2, 1, 8)
    assert sum(map(len, one.turns_ns)) == 2
    # 16 x 16 pixels of each image.
    assert one.megapixels_per_s == pytest.approx((one.images_per_s or 0) * 256 / 1e6)
    assert (one.peak_host_mib or 0) > 5
    assert three.megapixels_per_s is None
    assert "holds a batch of 1" in (three.reason or "")

    restored = row.restored
    assert restored
    assert (restored.picture, restored.width, restored.height) == ("p.png", 20, 10)
    # Tiles of 8 with 2 shared: 2 down and 3 across.
    assert restored.tiles == 6
    assert restored.ms
    assert restored.network_ms
    assert 0 < restored.network_ms.p50 < restored.ms.p50
    assert restored.megapixels_per_s == pytest.approx(4 * 200 / restored.ms.p50 / 1e3)

    assert row.opening
    assert (row.opening.read_ms or 0) > 0
    assert (row.opening.compile_ms or 0) > 0
    assert row.opening.planned_device_mib is None
    assert row.energy == []
    assert set(results.protocol) >= {"throughput", "picture", "opening"}

    assert failed.status == "failed parity"
    assert failed.throughput == []
    assert failed.restored is failed.opening is None


@pytest.mark.parametrize(
    ("cores", "quota", "streams"),
    [(8, None, (1, 8)), (8, 2.5, (1, 2)), (8, 0.5, (1,)), (2, 4.0, (1, 2)), (1, None, (1,))],
)
def test_streams_are_one_and_the_cores_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, cores: int, quota: float | None, streams: tuple[int, ...]
) -> None:
    monkeypatch.setattr(further, "usable_cores", lambda: cores)
    monkeypatch.setattr(further, "container_cores", lambda: quota)
    assert further.default_streams() == streams


def test_energy_stands_beside_its_sensor(
    make_bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(energy, "REST_S", 0.01)
    monkeypatch.setattr(energy, "RUNNING_S", 0.05)
    board = Sensor("VDD_IN", "watts", lambda: 4.0)
    results = bench_bundles([make_bundle("a")], QUICK, 1, further=Further(sensors=(board,)))
    (spent,) = results.bundles[0].energy
    assert (spent.sensor, round(spent.idle_watts, 6)) == ("VDD_IN", 4.0)
    assert "energy" in results.protocol


@pytest.mark.needs_backend("openvino")
def test_openvino_has_streams_and_batches_of_its_own(make_bundle: Make, picture: Path) -> None:
    path = make_bundle("a", backend="openvino")
    every = Further(streams=(2,), batches=(3,), picture=picture, opening=True)
    (row,) = bench_bundles([path], QUICK, 1, further=every).bundles
    (flow,) = row.throughput
    assert flow.reason is None
    assert (flow.streams, flow.batch, flow.inferences) == (2, 3, 8)
    assert (flow.megapixels_per_s or 0) > 0
    assert row.restored
    assert row.restored.ms
    assert row.opening
    assert (row.opening.compile_ms or 0) > 0
