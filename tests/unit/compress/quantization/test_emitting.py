"""Both forms of one plan: quantize and dequantize pairs in ONNX, FakeQuantize in OpenVINO."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgerestore.bundle import probe_psnr_db
from edgerestore.compress.quantization.calibrated import Calibrated, Scheme, collected
from edgerestore.compress.quantization.fake_quantize import openvino_from_plan
from edgerestore.compress.quantization.products import Product, sources_of
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.compress.rewrites import deployable
from edgerestore.export.onnx import onnx_from_module
from edgerestore.networks import MODELS
from edgerestore.pipeline.source import onnx_run
from edgerestore.recipe import Int8Rules, Target, read_toml
from edgerestore.recipe.patterns import names_module
from edgerestore.shipped import shipped_toml

LOWEST_PSNR_DB = 35.0
KEEP = (*MODELS["esrt_s_x2"].keep_float, "mix", "blocks.0.low.*")
PAIRS = ("QuantizeLinear", "DequantizeLinear")
ANY, SYMMETRIC = Int8Rules(), Int8Rules(symmetric=True)
OPENVINO = read_toml(shipped_toml("targets", "x86-openvino"), Target).int8
ONNXRUNTIME = read_toml(shipped_toml("targets", "x86-onnxruntime"), Target).int8
SCHEME = Scheme("percentile", 0.5)

Run = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def calibrated16(graph16: onnx.ModelProto, crops16: np.ndarray) -> Calibrated:
    return collected(graph16, crops16, KEEP, SCHEME)


def is_kept(module: str) -> bool:
    return any(names_module(pattern, module) for pattern in KEEP)


def lowest_psnr_db(run: Run, graph: onnx.ModelProto, crops: np.ndarray) -> float:
    exact = onnx_run(graph)
    return min(probe_psnr_db(run(crop[None]), exact(crop[None])) for crop in crops)


def openvino_run(model: object) -> Run:
    import openvino

    config = {"INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    return lambda crop: np.array(next(iter(request.infer([crop]).values())))


def zero_points(model: onnx.ModelProto) -> list[np.ndarray]:
    weights = {w.name: w for w in model.graph.initializer}
    return [
        numpy_helper.to_array(weights[node.input[2]])
        for node in model.graph.node
        if node.op_type in PAIRS
    ]


def test_zero_points_are_all_zero_where_that_is_asked_for(calibrated16: Calibrated) -> None:
    symmetric = zero_points(qdq_from_plan(calibrated16.plan(SYMMETRIC)))
    assert len(symmetric) > 50
    assert not any(points.any() for points in symmetric)
    assert {points.dtype for points in symmetric} == {np.dtype(np.int8)}
    assert any(points.any() for points in zero_points(qdq_from_plan(calibrated16.plan(ANY))))


def test_factors_of_attention_are_symmetric_where_that_is_asked_for(
    calibrated16: Calibrated,
) -> None:
    plan = calibrated16.plan(OPENVINO)
    factors = {p.node for p in plan.products if p.weight is None}
    assert len(factors) >= 2
    moved_to = {tensor for tensor, readers in plan.pairs.items() if reaches(plan, readers, factors)}
    kinds = {plan.steps[tensor].zero_point for tensor in moved_to}
    assert kinds == {0}
    assert {plan.steps[tensor].zero_point for tensor in plan.steps} != {0}


def reaches(plan, readers, factors) -> bool:
    """Whether a tensor goes into attention, possibly by way of operators that only move it."""
    nodes = {node.name: node for node in plan.graph.graph.node}
    for name, _ in readers:
        while nodes[name].op_type in ("Reshape", "Transpose"):
            out = nodes[name].output[0]
            name = next(n.name for n in nodes.values() if out in n.input)
        if name in factors:
            return True
    return False


def test_kept_modules_read_float_and_the_others_do_not(calibrated16: Calibrated) -> None:
    model = qdq_from_plan(calibrated16.plan(SYMMETRIC))
    made_by = {name: node for node in model.graph.node for name in node.output}
    kept, quantized = set(), set()
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        module = node.name.partition("#")[0]
        makers = {made_by[name].op_type for name in node.input[:2] if name in made_by}
        (quantized if "DequantizeLinear" in makers else kept).add(module)
        if is_kept(module):
            assert not makers & set(PAIRS), node.name
    assert {"head", "tail.whole", "mix", "reduce", "blocks.0.low.conv"} <= kept
    assert {"blocks.0.entry.conv", "blocks.1.low.conv", "blocks.1.fuse_low"} <= quantized


def test_onnx_route_runs_in_onnx_runtime_near_float32(
    calibrated16: Calibrated, graph16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    for rules in (SYMMETRIC, ANY):
        model = qdq_from_plan(calibrated16.plan(rules))
        assert lowest_psnr_db(onnx_run(model), graph16, crops16) > LOWEST_PSNR_DB


@pytest.mark.needs_backend("openvino")
# A CPU runs them here, perhaps one without VNNI.
@pytest.mark.parametrize(
    "rules", [msgspec.structs.replace(r, int16_pairs=True) for r in (ANY, OPENVINO, SYMMETRIC)]
)
def test_openvino_route_computes_what_onnx_runtime_does(
    calibrated16: Calibrated,
    graph16: onnx.ModelProto,
    crops16: np.ndarray,
    tmp_path: Path,
    rules: Int8Rules,
) -> None:
    """OpenVINO's rewriting has turned such graphs into wrong ones without a word."""
    plan = calibrated16.plan(rules)
    run = openvino_run(openvino_from_plan(plan, tmp_path))
    assert lowest_psnr_db(run, graph16, crops16) > LOWEST_PSNR_DB
    emulated = onnx_run(qdq_from_plan(plan))
    exact = onnx_run(graph16)
    for crop in crops16[:2]:
        loss = exact(crop[None]) - emulated(crop[None])
        apart = run(crop[None]) - emulated(crop[None])
        assert np.square(apart).mean() < np.square(loss).mean()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs_backend("openvino")
def test_openvino_route_keeps_the_same_modules(calibrated16: Calibrated, tmp_path: Path) -> None:
    kept, quantized = set(), set()
    for operator in openvino_from_plan(calibrated16.plan(OPENVINO), tmp_path).get_ordered_ops():
        if operator.get_type_name() == "Convolution":
            module = operator.get_friendly_name().partition("#")[0]
            maker = operator.input_value(0).get_node().get_type_name()
            (quantized if maker == "FakeQuantize" else kept).add(module)
    assert {"head", "tail.whole", "mix", "reduce", "blocks.0.low.conv"} <= kept
    assert {"blocks.0.entry.conv", "blocks.1.low.conv"} <= quantized


def test_further_modules_stay_in_float_without_another_calibration(
    calibrated16: Calibrated,
) -> None:
    fewer = calibrated16.plan(ANY, ("blocks.0.fuse_low", "blocks.1.*"))
    modules = {product.module for product in fewer.products}
    assert "blocks.0.fuse_low" not in modules
    assert not any(module.startswith("blocks.1.") for module in modules)
    only = calibrated16.plan(ANY, only="blocks.0.fuse_low")
    assert [product.module for product in only.products] == ["blocks.0.fuse_low"]


@pytest.fixture(scope="module")
def recursive16(filled_network) -> onnx.ModelProto:
    """drt_s in its deployable form, exported for tiles of 16: each layer runs three times."""
    rewritten, _ = deployable(filled_network("drt_s"))
    return onnx_from_module(rewritten, 16)


@pytest.fixture(scope="module")
def recursive(recursive16: onnx.ModelProto, crops16: np.ndarray) -> Calibrated:
    return collected(recursive16, crops16, MODELS["drt_s"].keep_float, SCHEME)


@pytest.mark.needs_backend("openvino")
def test_recursion_is_quantized_in_openvino_call_by_call_and_stored_once(
    recursive: Calibrated, recursive16: onnx.ModelProto, crops16: np.ndarray, tmp_path: Path
) -> None:
    import openvino

    made = openvino_from_plan(recursive.plan(OPENVINO), tmp_path)
    openvino.save_model(made, tmp_path / "m.xml")
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
    recursive: Calibrated,
) -> None:
    model = qdq_from_plan(recursive.plan(ANY))
    made_by = {name: node for node in model.graph.node for name in node.output}
    calls = [n for n in model.graph.node if n.name.startswith("layers.0.block1.fc2#")]
    assert len(calls) == 3
    assert len({made_by[n.input[1]].input[0] for n in calls}) == 1
    assert len({made_by[n.input[0]].input[1] for n in calls}) == 3
    names = [weight.name for weight in model.graph.initializer]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("network", ["recursive", "calibrated16"])
def test_calls_share_a_weight_and_no_range(network: str, request: pytest.FixtureRequest) -> None:
    """DRT's layers and the block that ESRT's low frequencies go through again and again."""
    plan = request.getfixturevalue(network).plan(ANY)
    model = qdq_from_plan(plan)
    made_by = {name: node for node in model.graph.node for name in node.output}
    nodes = {node.name: node for node in model.graph.node}
    calls: dict[str, list[Product]] = defaultdict(list)
    for product in plan.products:
        if product.weight is not None:
            calls[product.weight].append(product)
    shared = [products for products in calls.values() if len(products) > 1]
    assert len(shared) > 3
    sources = sources_of(plan.graph, plan.products)
    constants = {constant.name for constant in model.graph.initializer}
    for products in shared:
        assert len({made_by[nodes[p.node].input[1]].input[0] for p in products}) == 1
        tensors = {sources[product.node, 0].tensor for product in products}
        assert len(tensors) == len({product.activations for product in products}) > 1
        assert {f"{tensor}.scale" for tensor in tensors} <= constants


def test_whole_products_compute_what_pairs_say_and_convolutions_stay(
    recursive: Calibrated, crops16: np.ndarray
) -> None:
    whole = qdq_from_plan(recursive.plan(ONNXRUNTIME))
    pairs = qdq_from_plan(
        recursive.plan(msgspec.structs.replace(ONNXRUNTIME, whole_products=False))
    )
    kinds = Counter(node.op_type for node in whole.graph.node)
    # Six matrices in each of two blocks of three layers, three calls each, all with their bias.
    assert kinds["MatMulIntegerToFloat"] == 3 * 2 * 6 * 3
    assert kinds["Conv"] == 5
    assert {n.input[0] for n in whole.graph.node if n.op_type == "Conv"}.isdisjoint(
        n.output[0] for n in whole.graph.node if n.op_type == "DequantizeLinear"
    )
    inputs = [len(n.input) for n in whole.graph.node if n.op_type == "MatMulIntegerToFloat"]
    assert set(inputs) == {6, 7}
    added = Counter(node.op_type for node in pairs.graph.node)["Add"]
    assert kinds["Add"] + inputs.count(7) == added
    assert len({w.name for w in whole.graph.initializer}) == len(whole.graph.initializer)
    for crop in crops16[:2]:
        assert probe_psnr_db(onnx_run(whole)(crop[None]), onnx_run(pairs)(crop[None])) > 60


@pytest.mark.needs_backend("openvino")
def test_grouped_convolutions_store_their_weights_in_int8(
    crops16: np.ndarray, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1),
        torch.nn.Conv2d(16, 16, 3, padding=1, groups=16),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 3, 3, padding=1, groups=1),
    ).requires_grad_(False)
    graph = onnx_from_module(network, 16)
    quantized = openvino_from_plan(collected(graph, crops16, (), SCHEME).plan(OPENVINO), tmp_path)
    constants = [op for op in quantized.get_ordered_ops() if op.get_type_name() == "Constant"]
    weights = [op for op in constants if tuple(op.shape) == (16, 1, 1, 3, 3)]
    assert [op.get_element_type().get_type_name() for op in weights] == ["i8"]
    assert lowest_psnr_db(openvino_run(quantized), graph, crops16) > LOWEST_PSNR_DB
