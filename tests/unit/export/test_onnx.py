from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import edgerestore
from edgerestore.errors import EdgeRestoreError
from edgerestore.export.onnx import (
    INPUT,
    OPSET,
    OUTPUT,
    REFUSED_OPERATORS,
    onnx_from_module,
    operator_counts,
    refuse,
    save_onnx,
)
from edgerestore.networks import find_model
from edgerestore.pipeline.source import onnx_run

TOLERANCE = 1e-4
"""Largest difference over the output's standard deviation."""


def shape_of(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_shapes_are_static_and_known_everywhere(graph16: onnx.ModelProto) -> None:
    graph = graph16.graph
    assert [(v.name, shape_of(v)) for v in graph.input] == [(INPUT, [1, 3, 16, 16])]
    assert [(v.name, shape_of(v)) for v in graph.output] == [(OUTPUT, [1, 3, 32, 32])]
    known = {v.name: shape_of(v) for v in (*graph.value_info, *graph.output)}
    for name in (name for node in graph.node for name in node.output):
        assert all(side > 0 for side in known[name]), name


def test_graph_holds_no_refused_operator_and_the_stated_opset(graph16: onnx.ModelProto) -> None:
    counts = operator_counts(graph16)
    assert not set(counts) & set(REFUSED_OPERATORS)
    assert counts["LayerNormalization"] == 2
    assert [(o.domain, o.version) for o in graph16.opset_import] == [("", OPSET)]
    onnx.checker.check_model(graph16, full_check=True)


def test_nodes_are_named_after_modules_and_calls_count_from_one(graph16: onnx.ModelProto) -> None:
    names = [node.name for node in graph16.graph.node]
    assert max(Counter(names).values()) == 1
    assert [n for n in names if n.startswith("blocks.0.low.conv#")] == [
        f"blocks.0.low.conv#{call}" for call in range(1, 6)
    ]
    assert {"head#1", "tail.whole#1", "transformer.fold#1", "transformer.q#1"} <= set(names)


def test_products_of_two_activations_belong_to_the_layer_that_asks_for_them() -> None:
    class Recurring(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.ModuleDict({"attention": Product()})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            once = self.inner["attention"](x)
            return self.inner["attention"](once) @ once.transpose(-2, -1)

    class Product(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ x.exp()

    nodes = onnx_from_module(Recurring(), 8).graph.node
    assert [node.name for node in nodes if node.op_type == "MatMul"] == [
        "inner.attention.matmul#1", "inner.attention.matmul#2", "matmul#1",
    ]  # fmt: skip


def test_weights_of_the_recursion_are_stored_once(graph16: onnx.ModelProto) -> None:
    stored = Counter(weight.name for weight in graph16.graph.initializer)
    assert stored["blocks.0.low.conv.weight"] == 1
    values = sum(int(np.prod(w.dims)) for w in graph16.graph.initializer)
    # The deployable form's wider tail comes on top; five copies of two blocks would not fit.
    assert values < 1.25 * find_model("esrt_s_x2").params


def test_graph_computes_what_the_reference_network_computes(
    graph16: onnx.ModelProto,
    crops16: np.ndarray,
    filled_network: Callable[[str], nn.Module],
) -> None:
    network, run = filled_network("esrt_s_x2"), onnx_run(graph16)
    for crop in crops16:
        with torch.inference_mode():
            expected = network(torch.from_numpy(crop[None])).numpy()
        assert np.abs(run(crop[None]) - expected).max() / expected.std() <= TOLERANCE


def test_file_tells_nothing_of_the_machine_that_wrote_it(
    graph16: onnx.ModelProto, tmp_path: Path
) -> None:
    save_onnx(graph16, tmp_path / "model.onnx")
    data = (tmp_path / "model.onnx").read_bytes()
    assert str(Path(edgerestore.__file__).parent).encode() not in data
    assert b"site-packages" not in data
    read = onnx.load_from_string(data)
    assert not read.graph.value_info
    inferred = onnx.shape_inference.infer_shapes(read, strict_mode=True, data_prop=True)
    assert inferred.graph.value_info
    assert read.graph.node == graph16.graph.node
    assert read.graph.initializer == graph16.graph.initializer


@pytest.mark.parametrize("operator", REFUSED_OPERATORS)
def test_refused_operator_is_named_with_the_reason(operator: str) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node(operator, ["x"], ["y"], name="the_node")
    model = helper.make_model(helper.make_graph([node], "g", [value], [value]))
    with pytest.raises(EdgeRestoreError) as caught:
        refuse(model)
    assert f"holds {operator} (the_node): {REFUSED_OPERATORS[operator]}" in str(caught.value)


class Folding(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = nn.functional.unfold(x, 3, padding=1)
        return nn.functional.fold(columns, x.shape[2:], 3, padding=1)


def test_module_that_folds_is_refused() -> None:
    with pytest.raises(EdgeRestoreError, match="holds Col2Im"):
        onnx_from_module(Folding(), 8)
