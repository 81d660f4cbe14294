from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.measure.bench.profile import profile_bundle
from edgerestore.measure.bench.profile.openvino import precision_of

Make = Callable[..., Path]

pytestmark = pytest.mark.needs_backend("openvino")


def test_fused_attention_is_told_apart_by_what_it_holds(attention_bundle: Make) -> None:
    seen = profile_bundle(attention_bundle("openvino"), threads=1, runs=3)
    (fused,) = [o for o in seen.operators if o.kind == "attention"]
    assert (fused.type, fused.precision, fused.products) == ("Attention", "fp32", 2)
    assert fused.holds["Softmax"] == 1
    assert fused.products_int8 == 0
    kinds = [o.kind for o in seen.operators]
    assert kinds.count("convolution") == 2
    assert kinds.count("normalisation") == 1
    assert "layout copy" in kinds
    assert {o.precision for o in seen.operators} == {"fp32"}
    assert seen.total_us == pytest.approx(sum(o.us for o in seen.operators))


def test_int8_counts_what_really_multiplies_integers(attention_bundle: Make) -> None:
    """The first convolution and the scores do; attention's second product reads a softmax."""
    seen = profile_bundle(attention_bundle("openvino", "int8"), threads=1, runs=3)
    by_kind = {(o.kind, o.precision): o for o in seen.operators}
    assert by_kind["convolution", "int8"].products_int8 == 1
    assert by_kind["convolution", "fp32"].products_int8 == 0
    both = [o for o in seen.operators if o.kind in ("attention", "matrix product")]
    assert sum(o.products for o in both) == 2
    assert sum(o.products_int8 for o in both) == 1
    assert ("conversion", "fp32") in by_kind
    # Only CPUs with AVX-512 have it fused.
    floats = "1 in FP32 and 1 in float inside fused attention" if len(both) == 1 else "2 in FP32"
    assert floats in seen.summary[0]
    assert seen.summary[0].startswith("Of 4 matrix products and convolutions 2 run in INT8")


def test_what_is_left_in_float_is_seen_to_run_in_bf16(attention_bundle: Make) -> None:
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no BF16 units")
    seen = profile_bundle(attention_bundle("openvino", "bf16"), threads=1, runs=3)
    assert {o.precision for o in seen.operators if o.products} == {"bf16"}
    # Its input and output are FP32 and have to be converted.
    assert any(o.precision == "fp32" for o in seen.operators)


@pytest.mark.parametrize(
    ("kernel", "precision"),
    [
        ("brgemm_avx512_bf16", "bf16"),
        ("brgconv_avx512_1x1_I8", "int8"),
        ("jit_avx512_u8", "int8"),
        ("gemm_mlas_f32", "fp32"),
        ("convolution_gpu_bfyx__f16", "fp16"),
        ("unknown_i32", "i32"),
        ("undef", ""),
        ("", ""),
    ],
)
def test_a_kernel_names_its_precision(kernel: str, precision: str) -> None:
    assert precision_of(kernel) == precision
