from __future__ import annotations

from edgerestore.measure.bench.profile.operators import Operator, kind_of
from edgerestore.measure.bench.profile.words import counted, float_parts, listed, percent, summary


def operator(type_: str, precision: str, us: float, number: int = 1, **changes: int) -> Operator:
    kind = kind_of(type_, {})
    products = number if kind in ("convolution", "matrix product") else 0
    return Operator(
        name="n", type=type_, kind=kind, precision=precision, kernel="k", calls=number, us=us,
        holds={type_: number},
        **{"products": products, "products_int8": products * (precision == "int8"), **changes},
    )  # fmt: skip


def test_a_transformer_in_int8_is_summed_up() -> None:
    operators = [
        operator("MatMul", "int8", 40, 80),
        operator("MatMul", "bf16", 5, 4),
        operator("LayerNormalization", "bf16", 20, 36),
        operator("Softmax", "fp32", 21, 108),
        operator("Add", "bf16", 2, 9),
        operator("Transpose", "int8", 8, 3),
        operator("QuantizeLinear", "bf16", 4, 3),
    ]
    assert summary(operators) == [
        "Of 84 matrix products and convolutions 80 run in INT8 and 4 in BF16; their kernels "
        "take 45 % of the time.",
        "36 LayerNorms and 108 softmaxes stay in float: 41 % of the time.",
        "Element-wise operators, pooling and resizing take 2 %.",
        "12 % moves values without computing: 8 % layout copies and 4 % conversions of type.",
    ]
    assert float_parts(operators) == ["36 LayerNorms", "108 softmaxes"]


def test_a_network_of_convolutions_has_little_to_say() -> None:
    (sentence,) = summary([operator("Conv", "fp32", 9, 3)])
    assert sentence.startswith("Of 3 matrix products and convolutions 3 run in FP32; their")
    assert float_parts([operator("Conv", "fp32", 9, 3)]) == []
    assert summary([]) == []


def test_quantized_normalisation_does_not_stay_in_float() -> None:
    assert not any("stay" in s for s in summary([operator("Softmax", "int8", 9)]))


def test_small_shares_are_not_rounded_to_nothing() -> None:
    assert [percent(share) for share in (0.004, 0.012, 0.5, 1)] == [
        "under 1 %", "1 %", "50 %", "100 %",
    ]  # fmt: skip
    assert [counted(n, "softmax") for n in (1, 2)] == ["1 softmax", "2 softmaxes"]


def test_parts_are_listed_with_a_last_and() -> None:
    assert [listed(list(parts)) for parts in ("", "a", "ab", "abc")] == [
        "", "a", "a and b", "a, b and c",
    ]  # fmt: skip
