from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgerestore.bench import peak
from edgerestore.bench.harness import Plan
from edgerestore.bench.profile.openvino import precision_of
from edgerestore.bench.roofline import roofline
from edgerestore.bundle import Costs, read_bundle, seal, write_manifest
from edgerestore.errors import InputError

Make = Callable[..., Path]

QUICK = Plan(seconds=None, samples=16, warm_up_seconds=0.0, warm_up_runs=1)

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


def test_a_bundle_is_measured_beside_the_peaks(openvino_bundle: Path) -> None:
    found = roofline([openvino_bundle], QUICK, threads=1)
    assert [p.precision for p in found.peaks] == peak.precisions()
    (bundle,) = found.bundles
    for at_most, fraction in zip(found.peaks, bundle.of_peak, strict=True):
        assert at_most.gmacs_per_s > 0
        assert fraction.low <= fraction.median <= fraction.high
    assert bundle.macs == 10_000_000


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
        roofline([make_bundle("tiny")], QUICK)
