from __future__ import annotations

import numpy as np
import pytest

from edgerestore.measure.bench.peaks.onnx_bytes import Node, onnx_bytes


def test_what_is_written_is_what_onnx_reads() -> None:
    onnx = pytest.importorskip("onnx")
    constants = {"w": np.arange(300, dtype=np.float32).reshape(1, 300), "z": np.array(7, np.int8)}
    model = onnx.load_from_string(
        onnx_bytes([Node("Add", ("input", "w"), "output")], constants, (200, 300))
    )
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    (node,) = graph.node
    assert (node.op_type, list(node.input), list(node.output)) == (
        "Add",
        ["input", "w"],
        ["output"],
    )
    for value, name in ((graph.input[0], "input"), (graph.output[0], "output")):
        assert value.name == name
        assert [d.dim_value for d in value.type.tensor_type.shape.dim] == [200, 300]
    read = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    assert read.keys() == constants.keys()
    for name, expected in constants.items():
        np.testing.assert_array_equal(read[name], expected)
