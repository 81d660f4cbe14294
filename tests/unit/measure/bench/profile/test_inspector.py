from __future__ import annotations

from pathlib import Path

import pytest

from edgerestore.errors import BackendError
from edgerestore.measure.bench.profile.groups import grouped
from edgerestore.measure.bench.profile.inspector import Tensor, operators_of, read_layers
from edgerestore.measure.bench.profile.operators import Operator
from edgerestore.measure.bench.profile.words import summary

TYPES = {
    "quantize": "QuantizeLinear", "conv": "Conv", "add": "Add", "norm": "LayerNormalization",
    "scores": "MatMul", "softmax": "Softmax", "mixed": "MatMul", "fc": "MatMul", "gelu": "Gelu",
    "shuffle": "DepthToSpace",
}  # fmt: skip


@pytest.fixture(scope="module")
def operators() -> list[Operator]:
    layers = read_layers(Path(__file__).with_name("inspector.json").read_text())
    us = {layer.name: [10.0, 30.0, 11.0] for layer in layers if layer.name != "folded"}
    return operators_of(layers, us, TYPES, runs=3)


def test_layers_are_told_in_the_terms_of_all_runtimes(operators: list[Operator]) -> None:
    assert [(o.type, o.kind, o.precision) for o in operators] == [
        ("Reformat", "conversion", "fp32"),
        ("Conv", "convolution", "int8"),
        ("LayerNormalization", "normalisation", "fp16"),
        ("Attention", "attention", "fp16"),
        # Values in 8 bits, but weights in float: no product of integers.
        ("MatMul", "matrix product", "fp32"),
        ("Eltwise", "element-wise", "fp16"),
        ("Shuffle", "layout copy", "fp16"),
    ]
    assert {o.us for o in operators} == {11.0}
    assert {o.calls for o in operators} == {1}


def test_a_kernels_name_ends_where_its_work_is_said(operators: list[Operator]) -> None:
    kernels = [o.kernel for o in operators]
    assert kernels[0] == "Reformat"
    assert kernels[1].endswith("_nchw_vect_c_32kcrs_vect_c_32")
    assert kernels[2] == "__myl_MeanSubMulMeanAddSqrtDivMul"


def test_every_node_counts_once(operators: list[Operator]) -> None:
    assert [o.holds for o in operators] == [
        {},
        {"Add": 1, "Conv": 1, "QuantizeLinear": 1},
        {"LayerNormalization": 1},
        {"MatMul": 2, "Softmax": 1},
        {"MatMul": 1},
        {"Gelu": 1},
        {"DepthToSpace": 1},
    ]
    assert sum(o.products for o in operators) == 4
    assert sum(o.products_int8 for o in operators) == 1


def test_the_summary_says_why_int8_does_not_pay(operators: list[Operator]) -> None:
    said = " ".join(summary(operators))
    assert "Of 4 matrix products and convolutions" in said
    assert "1 LayerNorm stays in float" in said
    assert "moves values without computing" in said
    assert sum(group.share for group in grouped(operators)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("told", "type_"),
    [
        ("Row major linear FP16 format", "fp16"),
        ("Half", "fp16"),
        ("BFloat16", "bf16"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("Float", "fp32"),
        ("FP8", "fp8"),
        ("Int64", ""),
    ],
)
def test_a_format_is_read_as_its_type(told: str, type_: str) -> None:
    assert Tensor(told).type == type_


def test_an_engine_without_details_says_what_to_do() -> None:
    with pytest.raises(BackendError, match="'edgerestore compile' builds it again with details"):
        read_layers('{"Layers": ["conv", "fc"], "Bindings": []}')


def test_another_text_is_refused() -> None:
    with pytest.raises(BackendError, match="cannot be read"):
        read_layers("no JSON")
