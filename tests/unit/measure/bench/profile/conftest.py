"""A bundle of one convolution, one attention and one LayerNorm, in float or INT8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgerestore.bundle import (
    Manifest,
    Parity,
    TargetFacts,
    write_manifest,
    write_probe,
    writing_bundle,
)

SIDE, CHANNELS, HEADS = 16, 16, 2
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


@pytest.fixture
def attention_bundle(
    tmp_path: Path, small_manifest: Callable[..., Manifest]
) -> Callable[..., Path]:
    """Writes one for a backend and precision. The second product of INT8 attention is in float."""
    pytest.importorskip("onnx")

    def make(backend: str, precision: str = "fp32") -> Path:
        path = tmp_path / f"{backend}-{precision}"
        data = attention_onnx(int8=precision == "int8")
        with writing_bundle(path) as folder:
            probe = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
            write_probe(folder, probe, probe)
            files = write_model(folder, backend, data)
            options = {"INFERENCE_PRECISION_HINT": HINTS[precision]}
            if backend != "openvino":
                options = {}
            manifest = small_manifest(
                folder / files[0],
                name="attention",
                scale=1,
                tile=SIDE,
                target=TargetFacts(name="cpu", backend=backend, device="CPU", options=options),
                files={name: (folder / name).stat().st_size for name in files},
                parity=Parity(status="verified", runtime="test", floor_db=-100.0),
            )
            write_manifest(folder, manifest)
        return path

    return make


def write_model(folder: Path, backend: str, data: bytes) -> list[str]:
    (folder / "model.onnx").write_bytes(data)
    if backend != "openvino":
        return ["model.onnx"]
    import openvino

    openvino.save_model(openvino.Core().read_model(folder / "model.onnx"), folder / "model.xml")
    (folder / "model.onnx").unlink()
    return ["model.xml", "model.bin"]


def attention_onnx(*, int8: bool) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    depth, tokens = CHANNELS // HEADS, SIDE * SIDE
    constants = {
        "conv.weight": rng.normal(0, 0.3, (CHANNELS, 3, 3, 3)).astype(np.float32),
        "out.weight": rng.normal(0, 0.3, (3, CHANNELS, 1, 1)).astype(np.float32),
        "gain": np.ones(CHANNELS, np.float32),
        "heads": np.array([1, tokens, HEADS, depth]),
        "flat": np.array([1, tokens, CHANNELS]),
        "grid": np.array([1, CHANNELS, SIDE, SIDE]),
        "columns": np.array([1, CHANNELS, tokens]),
        "scale": np.array(0.02, np.float32),
        "zero": np.array(128, np.uint8),
        "zero_w": np.array(0, np.int8),
    }
    nodes = []

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def quantized(name: str, zero: str = "zero") -> str:
        if not int8:
            return name
        node("QuantizeLinear", [name, "scale", zero], f"{name}_q")
        return node("DequantizeLinear", [f"{name}_q", "scale", zero], f"{name}_dq")

    weight = quantized("conv.weight", "zero_w")
    x = node("Conv", [quantized("input"), weight], "conv", pads=[1, 1, 1, 1])
    x = node("Reshape", [x, "columns"], "columned")
    x = node("Transpose", [x], "tokens", perm=[0, 2, 1])
    x = node("LayerNormalization", [x, "gain"], "norm", axis=-1)
    x = node("Reshape", [x, "heads"], "split")
    narrow = quantized(x)
    q = node("Transpose", [narrow], "q", perm=[0, 2, 1, 3])
    k = node("Transpose", [narrow], "k", perm=[0, 2, 3, 1])
    v = node("Transpose", [x], "v", perm=[0, 2, 1, 3])
    x = node("MatMul", [q, k], "scores")
    x = node("Softmax", [x], "weights", axis=-1)
    x = node("MatMul", [x, v], "mixed")
    x = node("Transpose", [x], "joined", perm=[0, 2, 1, 3])
    x = node("Reshape", [x, "flat"], "flattened")
    x = node("Transpose", [x], "back", perm=[0, 2, 1])
    x = node("Reshape", [x, "grid"], "gridded")
    node("Conv", [x, "out.weight"], "output")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, SIDE, SIDE])
        for name in ("input", "output")
    ]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "attention", ends[:1], ends[1:], held)
    opset = [helper.make_opsetid("", 20)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())
