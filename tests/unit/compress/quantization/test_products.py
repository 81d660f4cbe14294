from __future__ import annotations

import onnx
import pytest

from edgerestore.compress.quantization.products import (
    MOVES,
    check_patterns,
    pairs_of,
    products_of,
    sources_of,
)
from edgerestore.errors import InputError
from edgerestore.networks import MODELS


def test_products_are_all_but_those_kept(graph16: onnx.ModelProto) -> None:
    every = products_of(graph16, ())
    multiply = [n for n in graph16.graph.node if n.op_type in ("Conv", "MatMul")]
    assert [p.node for p in every] == [n.name for n in multiply]
    kept = products_of(graph16, MODELS["esrt_s_x2"].keep_float)
    left = {p.module for p in every} - {p.module for p in kept}
    assert {module.split(".")[0] for module in left} == {"head", "reduce", "body_conv", "tail"}
    assert sum(p.weight is None for p in every) == 2


def test_everything_a_product_reads_has_a_pair_before_it_is_moved(
    graph16: onnx.ModelProto,
) -> None:
    products = products_of(graph16, ())
    pairs = pairs_of(sources_of(graph16, products))
    nodes = {node.name: node for node in graph16.graph.node}
    made_by = {name: node for node in graph16.graph.node for name in node.output}
    read = set()
    for tensor, readers in pairs.items():
        maker = made_by.get(tensor)
        for name, slot in readers:
            assert nodes[name].input[slot] == tensor
            read.add((name, slot))
        alone = sum(tensor in node.input for node in graph16.graph.node) == 1
        assert maker is None or maker.op_type not in MOVES or not alone
    moved = [name for name, _ in read if nodes[name].op_type in MOVES]
    assert moved
    direct = {(p.node, slot) for p in products for slot in range(len(p.activations))}
    assert len(direct - read) == len(moved)


def test_pattern_without_a_match_is_refused_with_what_there_is() -> None:
    check_patterns(["blocks.*", "mix"], ["blocks.0.conv", "mix"])
    with pytest.raises(InputError, match=r"'tial' matches no module; modules are mix, tail"):
        check_patterns(["mix", "tial"], ["mix", "tail"])
