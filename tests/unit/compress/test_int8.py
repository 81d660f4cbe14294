from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgerestore.build.source import onnx_run
from edgerestore.bundle import probe_psnr_db
from edgerestore.compress.int8 import Int8, check_patterns, int8_openvino, int8_qdq
from edgerestore.compress.rewrites import deployable
from edgerestore.errors import InputError
from edgerestore.export.onnx import onnx_from_module
from edgerestore.models import MODELS

LOWEST_PSNR_DB = 35.0
KEEP = (*MODELS["esrt_s_x2"].keep_float, "tail_up.*", "body_conv", "mix", "blocks.0.low.*")
PAIRS = ("QuantizeLinear", "DequantizeLinear")

Run = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def symmetric16(graph16: onnx.ModelProto, crops16: np.ndarray) -> onnx.ModelProto:
    return int8_qdq(graph16, Int8(KEEP, symmetric=True), crops16)


@pytest.fixture(scope="session")
def asymmetric16(graph16: onnx.ModelProto, crops16: np.ndarray) -> onnx.ModelProto:
    return int8_qdq(graph16, Int8(KEEP), crops16)


@pytest.fixture(scope="session")
def openvino16(graph16: onnx.ModelProto, crops16: np.ndarray, tmp_path_factory) -> object:
    return int8_openvino(graph16, Int8(KEEP), crops16, tmp_path_factory.mktemp("scratch"))


def is_kept(module: str) -> bool:
    return any(fnmatch.fnmatch(module, pattern) for pattern in KEEP)


def lowest_psnr_db(run: Run, graph: onnx.ModelProto, crops: np.ndarray) -> float:
    exact = onnx_run(graph)
    return min(probe_psnr_db(run(crop[None]), exact(crop[None])) for crop in crops)


def zero_points(model: onnx.ModelProto) -> list[np.ndarray]:
    weights = {w.name: w for w in model.graph.initializer}
    return [
        onnx.numpy_helper.to_array(weights[node.input[2]])
        for node in model.graph.node
        if node.op_type in PAIRS and len(node.input) > 2
    ]


def test_zero_points_are_all_zero_where_that_is_asked_for(
    symmetric16: onnx.ModelProto, asymmetric16: onnx.ModelProto
) -> None:
    assert len(zero_points(symmetric16)) > 50
    assert not any(points.any() for points in zero_points(symmetric16))
    assert any(points.any() for points in zero_points(asymmetric16))


def test_kept_modules_read_float_and_the_others_do_not(symmetric16: onnx.ModelProto) -> None:
    made_by = {name: node for node in symmetric16.graph.node for name in node.output}
    kept, quantized = set(), set()
    for node in symmetric16.graph.node:
        if node.op_type != "Conv":
            continue
        module = node.name.partition("#")[0]
        makers = {made_by[name].op_type for name in node.input[:2] if name in made_by}
        (quantized if "DequantizeLinear" in makers else kept).add(module)
        if is_kept(module):
            assert not makers & set(PAIRS), node.name
    assert {"head", "tail", "mix", "body_conv", "blocks.0.low.conv"} <= kept
    assert {"blocks.0.entry.conv", "blocks.1.low.conv", "reduce"} <= quantized


def test_onnx_route_runs_in_onnx_runtime_near_float32(
    symmetric16: onnx.ModelProto,
    asymmetric16: onnx.ModelProto,
    graph16: onnx.ModelProto,
    crops16: np.ndarray,
) -> None:
    for model in (symmetric16, asymmetric16):
        assert lowest_psnr_db(onnx_run(model), graph16, crops16) > LOWEST_PSNR_DB


@pytest.mark.needs_backend("openvino")
def test_openvino_route_runs_in_openvino_near_float32(
    openvino16, graph16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    import openvino

    config = {"INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(openvino16, "CPU", config).create_infer_request()

    def run(crop: np.ndarray) -> np.ndarray:
        return np.array(next(iter(request.infer([crop]).values())))

    assert lowest_psnr_db(run, graph16, crops16) > LOWEST_PSNR_DB


@pytest.mark.needs_backend("openvino")
def test_openvino_route_keeps_the_same_modules(openvino16) -> None:
    kept, quantized = set(), set()
    for operator in openvino16.get_ordered_ops():
        if operator.get_type_name() == "Convolution":
            module = operator.get_friendly_name().partition("#")[0]
            maker = operator.input_value(0).get_node().get_type_name()
            (quantized if maker == "FakeQuantize" else kept).add(module)
    assert {"head", "tail", "mix", "body_conv", "blocks.0.low.conv"} <= kept
    assert {"blocks.0.entry.conv", "blocks.1.low.conv"} <= quantized


def test_scratch_folder_is_left_empty(openvino16, tmp_path_factory) -> None:
    folders = [p for p in tmp_path_factory.getbasetemp().iterdir() if p.name.startswith("scratch")]
    assert [path for folder in folders for path in Path(folder).iterdir()] == []


def test_pattern_without_a_match_is_refused_with_what_there_is() -> None:
    check_patterns(["blocks.*", "mix"], ["blocks.0.conv", "mix"])
    with pytest.raises(InputError, match=r"'tial' matches no module; modules are mix, tail"):
        check_patterns(["mix", "tial"], ["mix", "tail"])


def test_settings_say_what_was_done() -> None:
    assert Int8(("head",), symmetric=True).settings(8) == {
        "keep_float": ["head"],
        "symmetric": True,
        "range_estimator": "histogram",
        "crops": 8,
        "quantizer": "nncf",
    }


@pytest.fixture(scope="module")
def recursive16(filled_network) -> onnx.ModelProto:
    """drt_s in its deployable form, exported for tiles of 16: each layer runs three times."""
    rewritten, _ = deployable(filled_network("drt_s"))
    return onnx_from_module(rewritten, 16)


@pytest.mark.needs_backend("openvino")
def test_recursion_is_quantized_in_openvino_call_by_call_and_stored_once(
    recursive16: onnx.ModelProto, crops16: np.ndarray, tmp_path: Path
) -> None:
    import openvino

    keep = Int8(MODELS["drt_s"].keep_float)
    openvino.save_model(int8_openvino(recursive16, keep, crops16, tmp_path), tmp_path / "m.xml")
    model = openvino.Core().read_model(tmp_path / "m.xml")
    stored = {}
    for operator in model.get_ordered_ops():
        constant = operator.get_type_name() == "Constant"
        if constant and operator.get_element_type().get_type_name() == "i8":
            stored.setdefault(operator.data.tobytes(), operator.data.size)
    # Six matrices in each of two blocks of three layers, and a convolution a layer.
    matrices = [w for w in recursive16.graph.initializer if len(w.dims) == 2 and min(w.dims) >= 48]
    convolutions = [w for w in recursive16.graph.initializer if list(w.dims) == [48, 48, 3, 3]]
    assert (len(matrices), len(convolutions)) == (3 * 2 * 6, 3)
    assert sum(stored.values()) == sum(np.prod(w.dims) for w in (*matrices, *convolutions))
    compiled = openvino.Core().compile_model(model, "CPU", {"PERF_COUNT": True})
    request = compiled.create_infer_request()
    request.infer([crops16[:1]])
    kinds = [
        entry.exec_type
        for entry in request.get_profiling_info()
        if entry.node_type.startswith("FullyConnected")
    ]
    assert len(kinds) == 3 * len(matrices)
    assert all(kind.lower().endswith("i8") for kind in kinds), kinds
    assert (tmp_path / "m.bin").stat().st_size < 0.5 * 4 * MODELS["drt_s"].params


def test_recursion_is_quantized_in_onnx_call_by_call_and_stored_once(
    recursive16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    model = int8_qdq(recursive16, Int8(MODELS["drt_s"].keep_float), crops16)
    made_by = {name: node for node in model.graph.node for name in node.output}
    calls = [n for n in model.graph.node if n.name.startswith("layers.0.block1.fc2#")]
    assert len(calls) == 3
    assert len({made_by[n.input[1]].input[0] for n in calls}) == 1
    assert len({made_by[n.input[0]].input[1] for n in calls}) == 3


def test_grouped_convolutions_store_their_weights_in_int8(
    crops16: np.ndarray, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1),
        torch.nn.Conv2d(16, 16, 3, padding=1, groups=16),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 3, 3, padding=1),
    ).requires_grad_(False)
    quantized = int8_openvino(onnx_from_module(network, 16), Int8(()), crops16, tmp_path)
    constants = [op for op in quantized.get_ordered_ops() if op.get_type_name() == "Constant"]
    weights = [op for op in constants if tuple(op.shape) == (16, 1, 1, 3, 3)]
    assert [op.get_element_type().get_type_name() for op in weights] == ["i8"]
