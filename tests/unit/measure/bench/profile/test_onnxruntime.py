from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.bundle import seal
from edgerestore.errors import BackendError
from edgerestore.measure.bench.profile import profile_bundle

Make = Callable[..., Path]

pytestmark = pytest.mark.needs_backend("onnxruntime")


def test_every_operator_of_a_float_graph_is_there(attention_bundle: Make) -> None:
    seen = profile_bundle(attention_bundle("onnxruntime"), threads=1, runs=3)
    kinds = [o.kind for o in seen.operators]
    assert kinds.count("convolution") == kinds.count("matrix product") == 2
    assert kinds.count("normalisation") == kinds.count("softmax") == 1
    assert {(o.precision, o.calls) for o in seen.operators} == {("fp32", 1)}
    assert all(o.us > 0 for o in seen.operators)


def test_a_quantized_product_that_is_not_fused_is_seen_to_run_in_float(
    attention_bundle: Make,
) -> None:
    """The graph asks for two integer products; ONNX Runtime's convolution stays in float."""
    seen = profile_bundle(attention_bundle("onnxruntime", "int8"), threads=1, runs=3)
    assert sum(o.products for o in seen.operators) == 4
    assert [o.type for o in seen.operators if o.products_int8] == ["MatMulIntegerToFloat"]
    conversions = {o.type for o in seen.operators if o.kind == "conversion"}
    assert conversions == {"QuantizeLinear", "DequantizeLinear"}
    assert "3 run in FP32 and 1 in INT8" in seen.summary[0]


def test_a_model_that_the_runtime_refuses_is_one_error(
    attention_bundle: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    path = attention_bundle("onnxruntime")
    (path / "model.onnx").write_bytes(b"not a graph")
    (path / "SHA256SUMS").unlink()
    seal(path)
    with pytest.raises(BackendError, match="onnxruntime failed opening"):
        profile_bundle(path)
    assert capfd.readouterr() == ("", "")
