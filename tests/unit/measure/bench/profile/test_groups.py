from __future__ import annotations

import pytest

from edgerestore.measure.bench.profile.groups import grouped, share_of
from edgerestore.measure.bench.profile.operators import Operator, count_held, kind_of


def operator(type_: str, precision: str, us: float, kernel: str = "k", **held: int) -> Operator:
    return Operator(
        name="n", type=type_, kind=kind_of(type_, held), precision=precision, kernel=kernel,
        calls=1, us=us, holds=held,
    )  # fmt: skip


def test_groups_are_of_one_type_and_precision_and_the_largest_comes_first() -> None:
    groups = grouped(
        [
            operator("Conv", "fp32", 1, "small"),
            operator("Conv", "int8", 6),
            operator("Conv", "fp32", 3, "large"),
        ]
    )
    assert [(g.type, g.precision, g.calls, g.us) for g in groups] == [
        ("Conv", "int8", 1, 6),
        ("Conv", "fp32", 2, 4),
    ]
    assert [g.share for g in groups] == pytest.approx([0.6, 0.4])
    assert groups[1].kernels == ["large", "small"]


def test_nothing_took_any_time() -> None:
    assert grouped([]) == []
    assert share_of([], ["softmax"]) == 0
    assert grouped([operator("Conv", "fp32", 0)])[0].share == 0


def test_what_a_fused_operator_does_is_what_it_holds() -> None:
    assert kind_of("Subgraph", {"MatMul": 2, "Softmax": 1, "Transpose": 2}) == "attention"
    assert kind_of("Subgraph", {"Add": 1, "FakeQuantize": 1}) == "element-wise"
    assert kind_of("Subgraph", {"FakeQuantize": 2}) == "conversion"
    assert kind_of("Conv", {"Add": 5}) == "convolution"
    assert kind_of("Mystery", {"Unheard": 1}) == "other"


def test_fused_operators_count_by_what_they_hold() -> None:
    operators = [operator("Subgraph", "fp32", 1, Softmax=2, MatMul=4), operator("X", "fp32", 1)]
    assert count_held(operators, "softmax") == 2
    assert count_held(operators, "normalisation") == 0
