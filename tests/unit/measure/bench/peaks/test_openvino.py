from __future__ import annotations

import pytest

from edgerestore.measure.bench.peaks import openvino as peaks
from edgerestore.measure.bench.peaks.sizes import BYTES
from edgerestore.measure.bench.profile.openvino import precision_of

pytestmark = pytest.mark.needs_backend("openvino")


@pytest.mark.parametrize("precision", peaks.HINTS)
def test_the_product_is_of_the_precision_that_it_names(precision: str) -> None:
    import openvino

    if precision not in peaks.precisions():
        pytest.skip(f"this CPU does not multiply in {precision}")
    config = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": peaks.HINTS[precision]}
    compiled = openvino.Core().compile_model(peaks.product(precision), "CPU", config)
    request = compiled.create_infer_request()
    request.infer()
    (product,) = [i for i in request.profiling_info if "FullyConnected" in i.node_type]
    assert precision_of(product.exec_type) == precision


def test_the_scaling_is_one_kernel_over_the_whole_array() -> None:
    import openvino

    config = {"PERF_COUNT": "YES", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(peaks.scaling(), "CPU", config).create_infer_request()
    request.infer()
    ran = [i for i in request.profiling_info if i.real_time.total_seconds() > 0]
    assert [i.node_type for i in ran] == ["Subgraph"]
    assert request.get_output_tensor(0).byte_size * 2 == BYTES
