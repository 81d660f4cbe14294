from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgerestore.bundle import Costs, read_bundle, seal, write_manifest
from edgerestore.errors import InputError
from edgerestore.measure.bench import results
from edgerestore.measure.bench.harness import Plan
from edgerestore.measure.bench.peaks.openvino import precisions
from edgerestore.measure.bench.roofline import bytes_moved, roofline

Make = Callable[..., Path]

pytestmark = pytest.mark.needs_backend("openvino")


@pytest.fixture
def openvino_bundle(make_bundle: Make) -> Path:
    """The tiny bundle for OpenVINO, which reads ONNX as well, said to be of 10^7 MACs."""
    path = make_bundle("tiny", backend="openvino")
    manifest = read_bundle(path).manifest
    costs = Costs(
        params=36, macs=10_000_000, activations=1, attention_score_bytes=0, not_counted={},
        operators={},
    )  # fmt: skip
    write_manifest(path, msgspec.structs.replace(manifest, costs=costs))
    (path / "SHA256SUMS").unlink()
    seal(path)
    return path


def test_bundles_are_measured_beside_peaks_and_bandwidth(
    openvino_bundle: Path, make_bundle: Make
) -> None:
    plan = Plan(seconds=None, samples=8, warm_up_seconds=0.0, warm_up_runs=1)
    found = roofline([openvino_bundle, make_bundle("small", backend="openvino")], plan, threads=1)
    assert [p.precision for p in found.peaks] == precisions()
    assert found.gb_per_s > 0
    bundle, small = found.bundles
    for at_most, fraction in zip(found.peaks, bundle.of_peak, strict=True):
        assert at_most.gmacs_per_s > 0
        assert fraction.low <= fraction.median <= fraction.high
    assert bundle.macs == 10_000_000
    # 144 bytes of weights and one float32 value, out and in; 10^7 MACs cannot be memory's.
    roof = bundle.roof
    assert roof.bytes_moved == 144 + 8
    assert roof.macs_per_byte == pytest.approx(1e7 / 152)
    assert (roof.precision, roof.bound) == ("fp32", "multiplications")
    assert roof.low <= roof.median <= roof.high
    (at_fp32,) = [f for f in bundle.of_peak if f.precision == "fp32"]
    assert roof.median == pytest.approx(at_fp32.median)
    # 2,304 MACs against 12 kB.
    assert small.roof.bound == "memory"


@pytest.mark.needs_backend("onnxruntime")
def test_onnxruntime_has_peaks_of_its_own(make_bundle: Make) -> None:
    plan = Plan(seconds=None, samples=8, warm_up_seconds=0.0, warm_up_runs=1)
    found = roofline([make_bundle("tiny")], plan, threads=1)
    assert [p.precision for p in found.peaks] == ["fp32", "int8"]
    assert found.gb_per_s > 0
    assert found.bundles[0].roof.bound == "memory"


def test_peaks_of_one_runtime_are_not_those_of_another(make_bundle: Make) -> None:
    paths = [make_bundle("a"), make_bundle("b", backend="openvino")]
    with pytest.raises(InputError, match="the bundles are for onnxruntime and openvino"):
        roofline(paths, Plan())
    with pytest.raises(InputError, match="is for tensorrt on CPU; peaks are measured for"):
        roofline([make_bundle("c", backend="tensorrt")], Plan())
    with pytest.raises(InputError, match="at least one"):
        roofline([], Plan())


def test_values_that_are_moved_have_the_width_of_their_precision() -> None:
    costs = {"activations": 1000, "weight_bytes": 10}
    assert bytes_moved(results.Costs(precision="fp32", **costs)) == 8010
    assert bytes_moved(results.Costs(precision="bf16", **costs)) == 4010
    assert bytes_moved(results.Costs(precision="int8", **costs)) == 2010
    assert bytes_moved(results.Costs(file_bytes=7)) == 7
