from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgerestore.bench import bandwidth, peak, results
from edgerestore.bench.harness import Plan
from edgerestore.bench.profile.openvino import precision_of
from edgerestore.bench.roofline import bytes_moved, roofline
from edgerestore.bundle import Costs, read_bundle, seal, write_manifest
from edgerestore.errors import InputError

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
    assert [p.precision for p in found.peaks] == peak.precisions()
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
    assert roof.median == pytest.approx(at_fp32.median, rel=0.5)
    # 2,304 MACs against 12 kB.
    assert small.roof.bound == "memory"


@pytest.mark.parametrize("precision", peak.HINTS)
def test_the_peak_is_of_the_precision_that_it_names(precision: str) -> None:
    import openvino

    if precision not in peak.precisions():
        pytest.skip(f"this CPU does not multiply in {precision}")
    config = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": peak.HINTS[precision]}
    request = openvino.Core().compile_model(peak.product(precision), "CPU", config)
    request = request.create_infer_request()
    request.infer([np.zeros((peak.SIDE, peak.SIDE), np.float32)])
    (product,) = [i for i in request.profiling_info if "FullyConnected" in i.node_type]
    assert precision_of(product.exec_type) == precision


def test_peaks_of_one_runtime_are_not_those_of_another(make_bundle: Make) -> None:
    with pytest.raises(InputError, match="is for onnxruntime on CPU; peaks are measured for"):
        roofline([make_bundle("tiny")], Plan())


def test_values_that_are_moved_have_the_width_of_their_precision() -> None:
    costs = {"activations": 1000, "weight_bytes": 10}
    assert bytes_moved(results.Costs(precision="fp32", **costs)) == 8010
    assert bytes_moved(results.Costs(precision="bf16", **costs)) == 4010
    assert bytes_moved(results.Costs(precision="int8", **costs)) == 2010
    assert bytes_moved(results.Costs(file_bytes=7)) == 7


def test_bandwidth_is_of_one_kernel_over_the_whole_array() -> None:
    import openvino

    compiled = openvino.Core().compile_model(bandwidth.scaling(), "CPU", {"PERF_COUNT": "YES"})
    request = compiled.create_infer_request()
    request.infer()
    ran = [i for i in request.profiling_info if i.real_time.total_seconds() > 0]
    assert [i.node_type for i in ran] == ["Subgraph"]
    assert request.get_output_tensor(0).byte_size * 2 == bandwidth.BYTES
