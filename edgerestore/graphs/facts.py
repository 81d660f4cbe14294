"""What a bundle's own model file says: its operators, their precision, and its weights."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgerestore.bundle import Bundle
from edgerestore.errors import BundleError
from edgerestore.graphs.onnx import Initializer, Node, read_onnx

ONNX_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ONNX_INT8_PRODUCTS = (
    "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "QLinearConv", "QLinearMatMul",
)  # fmt: skip
FLOATS = ("fp32", "bf16", "fp16")
IR_PRODUCTS = ("Convolution", "ConvolutionBackpropData", "GroupConvolution", "MatMul")
IR_CARRIERS = ("Convert", "Multiply", "Reshape", "Subtract", "Transpose")
"""What stands between a stored weight and its product in OpenVINO's IR."""
IR_FLOATS = {"f32": "fp32", "f16": "fp16"}
IR_INT8 = ("i8", "u8")
NO_WORK = ("Const", "Constant", "Parameter", "Result")
"""Nodes that only hold or name values; ONNX stores most constants outside of its nodes."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Of one model file."""

    operators: dict[str, int]
    """How often each type occurs in the main graph, by the names of its format."""
    products: dict[str, int]
    """How many of each product, such as "Conv int8", the graph asks for."""
    weight_bytes: int
    """Of all constants, as stored."""


def graph_facts(bundle: Bundle) -> GraphFacts | None:
    """Reads ONNX and OpenVINO files; None for compiled engines, which only their maker reads.

    OpenVINO's IR does not say what the rest is computed in, so that is the bundle's
    ``INFERENCE_PRECISION_HINT``. Raises BundleError for a file that is not what it is called.
    """
    path = bundle.model_file
    if path.suffix == ".onnx":
        return _onnx_facts(*read_onnx(path))
    if path.suffix == ".xml":
        rest = bundle.manifest.target.options.get("INFERENCE_PRECISION_HINT", "default")
        return _ir_facts(path, IR_FLOATS.get(rest, rest))
    return None


def _onnx_facts(nodes: list[Node], weights: list[Initializer]) -> GraphFacts:
    types = {weight.name: weight.type for weight in weights}
    types |= {name: "int8" for n in nodes if n.type == "DequantizeLinear" for name in n.outputs}
    sizes: Counter[str] = Counter(fp32=0)
    for weight in weights:
        if weight.type in FLOATS:
            sizes[weight.type] += weight.size
    # A product of two activations has no type of its own in the file.
    rest = sizes.most_common(1)[0][0]
    found: Counter[str] = Counter()
    for node in nodes:
        if node.type in ONNX_INT8_PRODUCTS:
            found[f"{node.type} int8"] += 1
        elif node.type in ONNX_PRODUCTS:
            known = [types.get(name) for name in node.inputs[:2]]
            floats = [kind for kind in known if kind in FLOATS]
            kinds = ["int8"] if known == ["int8", "int8"] else [*floats, rest]
            found[f"{node.type} {kinds[0]}"] += 1
    return GraphFacts(
        operators=_counted(node.type for node in nodes),
        products=dict(sorted(found.items())),
        weight_bytes=sum(weight.size for weight in weights),
    )


def _ir_facts(path: Path, rest: str) -> GraphFacts:
    data = path.read_bytes()
    # Entities can blow a small file up to gigabytes, and no IR has any.
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BundleError(f"{path}: not an OpenVINO IR: it declares entities")
    try:
        root = ET.fromstring(data)
        layers = {layer.attrib["id"]: layer for layer in root.iterfind("layers/layer")}
        sources = {
            (edge.attrib["to-layer"], edge.attrib["to-port"]): edge.attrib["from-layer"]
            for edge in root.iterfind("edges/edge")
        }
        found: Counter[str] = Counter()
        for name, layer in layers.items():
            kind = layer.attrib["type"]
            if kind in IR_PRODUCTS:
                int8 = all(_is_int8(layers, sources, name, port) for port in ("0", "1"))
                found[f"{kind} {'int8' if int8 else rest}"] += 1
        size = sum(
            int(data.attrib["size"]) for data in root.iterfind("layers/layer[@type='Const']/data")
        )
    except (ET.ParseError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: not an OpenVINO IR: {error}") from error
    return GraphFacts(
        operators=_counted(layer.attrib["type"] for layer in layers.values()),
        products=dict(sorted(found.items())),
        weight_bytes=size,
    )


def _counted(types: Iterable[str]) -> dict[str, int]:
    found = Counter(kind for kind in types if kind not in NO_WORK)
    return dict(sorted(found.items()))


def _is_int8(
    layers: dict[str, ET.Element],
    sources: dict[tuple[str, str], str],
    name: str,
    port: str,
) -> bool:
    """Whether what arrives at a port was quantized: a FakeQuantize, or a constant of 8 bits."""
    source = sources.get((name, port))
    seen = set[str]()
    while source is not None and source not in seen:
        seen.add(source)
        layer = layers[source]
        kind = layer.attrib["type"]
        if kind == "FakeQuantize":
            return True
        if kind == "Const":
            data = layer.find("data")
            return data is not None and data.attrib.get("element_type") in IR_INT8
        source = sources.get((source, "0")) if kind in IR_CARRIERS else None
    return False
