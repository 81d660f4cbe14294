from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.bundle import Bundle
from edgerestore.errors import BundleError
from edgerestore.graphs.facts import graph_facts
from edgerestore.graphs.onnx import read_onnx

Opened = Callable[..., Bundle]


def test_the_own_reader_agrees_with_onnx(graph16, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    onnx.save(graph16, path)
    nodes, weights = read_onnx(path)
    assert [n.type for n in nodes] == [n.op_type for n in graph16.graph.node]
    assert [n.inputs for n in nodes] == [tuple(n.input) for n in graph16.graph.node]
    assert [n.outputs for n in nodes] == [tuple(n.output) for n in graph16.graph.node]
    expected = {t.name: onnx.numpy_helper.to_array(t).nbytes for t in graph16.graph.initializer}
    assert {w.name: w.size for w in weights} == expected


def test_products_are_counted_by_precision(tmp_path: Path, opened: Opened) -> None:
    pytest.importorskip("onnx")
    assert products(opened, tmp_path, "FLOAT", quantized=()) == {"Conv fp32": 1, "MatMul fp32": 1}
    assert products(opened, tmp_path, "FLOAT16", quantized=()) == {"Conv fp16": 1, "MatMul fp16": 1}
    both = ("input", "weight")
    assert products(opened, tmp_path, "FLOAT", quantized=both) == {"Conv int8": 1, "MatMul fp32": 1}
    # Weights alone in 8 bits are multiplied in float.
    half = ("weight",)
    assert products(opened, tmp_path, "FLOAT", quantized=half) == {"Conv fp32": 1, "MatMul fp32": 1}


def test_operators_are_counted_by_type(tmp_path: Path, opened: Opened) -> None:
    pytest.importorskip("onnx")
    products(opened, tmp_path, "FLOAT", quantized=("input",))
    found = graph_facts(opened(tmp_path / "model.onnx")).operators
    assert found == {"Conv": 1, "DequantizeLinear": 1, "MatMul": 1}


def test_weights_are_counted_as_they_are_stored(tmp_path: Path, opened: Opened) -> None:
    pytest.importorskip("onnx")
    for kind, size in (("FLOAT", 4), ("FLOAT16", 2)):
        products(opened, tmp_path, kind, quantized=())
        assert graph_facts(opened(tmp_path / "model.onnx")).weight_bytes == size


def products(
    opened: Opened, tmp_path: Path, kind: str, quantized: tuple[str, ...]
) -> dict[str, int]:
    from onnx import TensorProto, helper, save

    made, names = [], {}
    for name in ("input", "weight"):
        names[name] = name
        if name in quantized:
            names[name] = f"{name}_d"
            made.append(helper.make_node("DequantizeLinear", [f"{name}_q", "scale"], [f"{name}_d"]))
    made.append(helper.make_node("Conv", [names["input"], names["weight"]], ["c"]))
    made.append(helper.make_node("MatMul", ["c", "c"], ["output"]))
    element = getattr(TensorProto, kind)
    weight = helper.make_tensor("weight", element, [1, 1, 1, 1], [0.5])
    ends = [helper.make_tensor_value_info(n, element, None) for n in ("input", "output")]
    graph = helper.make_graph(made, "g", ends[:1], ends[1:], [weight])
    path = tmp_path / "model.onnx"
    save(helper.make_model(graph), path)
    return graph_facts(opened(path)).products


@pytest.mark.needs_backend("openvino", builds=True)
def test_openvino_says_what_is_quantized(tmp_path: Path, opened: Opened) -> None:
    import numpy as np
    import openvino
    from openvino import opset13 as op

    given = op.parameter([1, 3, 8, 8], np.float32, name="input")
    scale = [np.float32(x) for x in (0, 1, 0, 1)]
    quantized = op.fake_quantize(given, *scale, 256)
    stored = op.constant(np.ones((3, 3, 1, 1), np.int8))
    weight = op.multiply(op.convert(stored, "f32"), np.float32(0.01))
    strides, pads = [1, 1], [0, 0]
    first = op.convolution(quantized, weight, strides, pads, pads, strides)
    plain = op.constant(np.ones((3, 3, 1, 1), np.float32))
    second = op.convolution(first, plain, strides, pads, pads, strides)
    openvino.save_model(openvino.Model([second], [given]), tmp_path / "model.xml", False)
    found = graph_facts(
        opened(tmp_path / "model.xml", options={"INFERENCE_PRECISION_HINT": "bf16"})
    )
    assert found.products == {"Convolution bf16": 1, "Convolution int8": 1}
    assert found.weight_bytes >= 9 + 36
    assert found.operators["FakeQuantize"] == 1
    assert not {"Const", "Parameter", "Result"} & set(found.operators)


def test_an_engine_does_not_tell(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(b"opaque")
    assert graph_facts(opened(path)) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x02\x0a\x7f", b"\x38\x01",
     b"\x3a\x04\x0a\x02\x08\x01", b"\x3a\x05\x0a\x03\x22\x01\xff"],
    ids=["empty", "zero", "ones", "long", "nested", "number", "type", "not text"],
)  # fmt: skip
def test_a_damaged_onnx_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx: not an ONNX graph"):
        read_onnx(path)


@pytest.mark.parametrize(
    "text",
    ["", "<net>", "<net><layers><layer/></layers></net>",
     '<!DOCTYPE n [<!ENTITY a "aaaa">]><net>&a;</net>',
     '<net><layers><layer id="0" type="Const"><data size="x"/></layer></layers></net>',
     '<net><layers><layer id="1" type="MatMul"/></layers><edges>'
     '<edge from-layer="9" from-port="0" to-layer="1" to-port="0"/></edges></net>'],
    ids=["empty", "open", "bare layer", "entities", "size", "edge to nowhere"],
)  # fmt: skip
def test_a_hostile_ir_is_refused_by_name(tmp_path: Path, opened: Opened, text: str) -> None:
    path = tmp_path / "model.xml"
    path.write_text(text)
    with pytest.raises(BundleError, match=r"model\.xml: not an OpenVINO IR"):
        graph_facts(opened(path))


def test_carriers_in_a_circle_end(tmp_path: Path, opened: Opened) -> None:
    layers = '<layer id="0" type="MatMul"/><layer id="1" type="Convert"/>'
    edges = "".join(
        f'<edge from-layer="1" from-port="0" to-layer="{to}" to-port="0"/>' for to in (0, 1)
    )
    path = tmp_path / "model.xml"
    path.write_text(f"<net><layers>{layers}</layers><edges>{edges}</edges></net>")
    assert graph_facts(opened(path)).products == {"MatMul default": 1}
