from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from edgerestore.bundle import probe_psnr_db
from edgerestore.compress.fp16 import analyse, fp16_from_fp32, rounded
from edgerestore.compress.fp16.analysis import READS_IMAGE, WRITES_IMAGE
from edgerestore.compress.fp16.graphs import FLOAT, HALF
from edgerestore.compress.rewrites.sparse import SortedAttention
from edgerestore.export.onnx import INPUT, OUTPUT, onnx_from_module
from edgerestore.networks.drsformer import TopKAttention
from edgerestore.pipeline.source import onnx_run

LOWEST_PSNR_DB = 60.0
X, READER = "x", "the_reader"


class Loud(nn.Module):
    """Two branches; the values of one reach 1e5 between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.quiet = nn.Conv2d(3, 3, 1, bias=False)
        self.loud = nn.Conv2d(3, 3, 1, bias=False)
        self.back = nn.Conv2d(3, 3, 1, bias=False)
        self.first.requires_grad_(False).weight.copy_(torch.eye(3)[..., None, None])
        self.first.bias.zero_()
        for conv, gain in ((self.quiet, 0.5), (self.loud, 1e5), (self.back, 0.5e-5)):
            conv.requires_grad_(False).weight.copy_(gain * torch.eye(3)[..., None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return torch.abs(self.quiet(x)) + self.back(torch.relu(self.loud(x)))


@pytest.fixture(scope="module")
def loud() -> onnx.ModelProto:
    return onnx_from_module(Loud(), 16)


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.random.default_rng(0).random((3, 3, 16, 16), np.float32)


def graph_of(
    nodes: list[onnx.NodeProto], weights: dict[str, float | np.ndarray], side: int = 4
) -> onnx.ModelProto:
    """Nodes from ``X``, 1 x 3 x side x side, to any shape; one before them reads the image."""
    nodes = [helper.make_node("Identity", [INPUT], [X], name=READER), *nodes]
    ends = [
        helper.make_tensor_value_info(INPUT, FLOAT, [1, 3, side, side]),
        helper.make_tensor_value_info(OUTPUT, FLOAT, None),
    ]
    held = [
        numpy_helper.from_array(np.asarray(w, None if np.ndim(w) else np.float32), name)
        for name, w in weights.items()
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    opset = [helper.make_opsetid("", 20)]
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opset, ir_version=9)
    )


def kept_of(graph: onnx.ModelProto, crops: np.ndarray) -> dict[str, str]:
    """Why nodes stay, but for the reader of the image."""
    kept = dict(analyse(graph, crops).kept)
    assert kept.pop(READER) == READS_IMAGE
    return kept


def node(operator: str, inputs: list[str], output: str = OUTPUT, **attributes) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=f"the_{operator}", **attributes)


def test_overflowing_branch_is_wrong_in_fp16_and_right_after_the_analysis(
    loud: onnx.ModelProto, crops: np.ndarray
) -> None:
    exact, all_half = onnx_run(loud)(crops[:1]), onnx_run(fp16_from_fp32(loud, ["loud#1"]))
    assert not np.isfinite(all_half(crops[:1])).all()
    kept = analyse(loud, crops).kept
    result = onnx_run(fp16_from_fp32(loud, kept))(crops[:1])
    assert probe_psnr_db(result, exact) > LOWEST_PSNR_DB


def test_only_what_needs_it_stays_and_the_reason_names_tensor_and_value(
    loud: onnx.ModelProto, crops: np.ndarray
) -> None:
    analysis = analyse(loud, crops)
    assert set(analysis.kept) == {"first#1", "loud#1", "relu#1", "back#1", "add#1"}
    assert analysis.kept["first#1"] == READS_IMAGE
    assert analysis.kept["add#1"] == f"{WRITES_IMAGE} (behind quiet)"
    (tensor,) = next(n for n in loud.graph.node if n.name == "loud#1").output
    # A white crop is among those that are run, so that the largest value is the gain itself.
    assert "FP16 ends at 65504" in analysis.kept["relu#1"]
    assert f"'{tensor}' reaches 1e+05" in analysis.kept["relu#1"]
    assert analysis.kept["relu#1"].endswith(" (behind loud)")
    settings = analysis.settings()
    assert settings["kept"] == analysis.kept
    assert settings["nodes"] == len(loud.graph.node)
    assert settings["crops"] == 5
    assert settings["summary"][0].startswith("2 Conv: loud#1, ")
    assert f"1 Conv: first#1, {READS_IMAGE}" in settings["summary"]


@pytest.mark.parametrize("quantized", [False, True])
def test_what_writes_the_image_stays_back_to_its_convolution(
    quantized: bool, crops: np.ndarray
) -> None:
    kernels = {"w": np.ones((12, 3, 1, 1), np.float32), "s": 0.01}
    nodes = [
        helper.make_node("Conv", [X, "w"], ["inner"], name="inner"),
        helper.make_node("DepthToSpace", ["inner"], ["wide"], name="wide", blocksize=2),
        helper.make_node("QuantizeLinear", ["wide", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], name="dq"),
        helper.make_node("Conv", ["dq" if quantized else "wide", "w"], ["c"], name="last"),
        helper.make_node("DepthToSpace", ["c"], ["moved"], name="moved", blocksize=2),
        node("Add", ["moved", "moved"]),
    ]
    graph = graph_of(nodes, kernels)
    graph.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.int8), "z"))
    kept = kept_of(graph, crops[:, :, :4, :4])
    writers = ["last", "moved", "the_Add"]
    assert list(kept) == (writers[1:] if quantized else writers)
    assert all(why.startswith(WRITES_IMAGE) for why in kept.values())


def test_values_within_the_headroom_of_overflow_count_as_overflow(crops: np.ndarray) -> None:
    for gain, kept in ((65504 / 4 * 0.99, False), (65504 / 4 * 1.01, True)):
        graph = graph_of([node("Mul", [X, "w"])], {"w": gain})
        found = kept_of(graph, np.ones_like(crops[:, :, :4, :4]))
        assert bool(found) == kept
        if kept:
            assert "reaches 1.65e+04" in found["the_Mul"]
            assert "100.00% of it beyond 16376; FP16 ends at 65504" in found["the_Mul"]


SMALL = {"w": 1e-7}
CASES = {
    "small_weight": ([node("Mul", [X, "w"])], SMALL, "'w' is 1e-07 at most, 100% of it below"),
    "product": (
        [node("MatMul", [X, "w"])],
        {"w": np.repeat([[1e4], [-1e4]], 2, 0).astype(np.float32)},
        "the sum of its terms reaches 4e+04",
    ),
    "root": ([node("Sqrt", [X])], {}, "'x', which it inverts, comes down to 0"),
    "guarded_divisor": (
        [
            node("Add", [X, "one"], "a"),
            node("Clip", ["a", "w"], "c"),
            node("Div", ["one", "c"]),
        ],
        {"one": 1.0, "w": 1e-12},
        "'c', which it inverts, comes down to 1e-12",
    ),
    "norm": ([node("ReduceL2", [X], keepdims=0)], {}, "squares comes down to 0"),
    "mean": (
        [node("Mul", [X, "w"], "m"), node("ReduceMean", ["m"], keepdims=0)],
        {"w": 1000.0},
        "the sum of its terms reaches 4.8e+04",
    ),
    "normalisation": (
        [
            node("Mul", [X, "w"], "m"),
            node("LayerNormalization", ["m", "g"], axis=1),
        ],
        {"w": 1000.0, "g": np.ones((3, 4, 4), np.float32)},
        "the sum of its squares reaches",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sums_guards_and_small_weights_are_found_that_no_tensor_shows(
    case: str, crops: np.ndarray
) -> None:
    nodes, weights, reason = CASES[case]
    found = kept_of(graph_of(nodes, weights), crops[:, :, :4, :4])
    assert reason in found[nodes[-1].name], found


@pytest.mark.parametrize(
    ("operator", "attributes"), [("ReduceMean", {"keepdims": 0}), ("Softmax", {"axis": 3})]
)
def test_long_sums_stay_and_short_ones_do_not(operator: str, attributes: dict) -> None:
    for side, kept in ((13, False), (23, operator == "ReduceMean"), (600, True)):
        crops = np.zeros((1, 3, side, side), np.float32)
        found = kept_of(graph_of([node(operator, [X], **attributes)], {}, side), crops)
        assert bool(found) == kept, side
    assert "terms" in found[f"the_{operator}"]


@pytest.mark.parametrize(("operator", "gain"), [("Exp", 500.0), ("Log", -1.0)])
def test_infinity_and_nan_in_fp32_are_named_as_such(operator: str, gain: float) -> None:
    graph = graph_of([node("Mul", [X, "w"], "m"), node(operator, ["m"])], {"w": gain})
    found = kept_of(graph, np.ones((1, 3, 4, 4), np.float32))
    assert "holds NaN or infinity in FP32 already" in found[f"the_{operator}"]


@pytest.mark.parametrize(("scale", "stays"), [(1e-4, False), (3e-5, False), (1e-5, True)])
def test_quantizers_stay_in_fp16_unless_it_has_too_few_bits_for_their_scale(
    scale: float, stays: bool
) -> None:
    zero = np.zeros((), np.int8)
    nodes = [
        node("QuantizeLinear", [X, "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"]),
    ]
    graph = graph_of(nodes, {"s": scale})
    graph.graph.initializer.append(numpy_helper.from_array(zero, "z"))
    found = kept_of(graph, np.full((1, 3, 4, 4), scale * 100, np.float32))
    reasons = [reason for reason in found.values() if "its smallest scale is 1e-05" in reason]
    assert len(reasons) == (2 if stays else 0), found


@pytest.fixture(scope="module")
def attention64() -> onnx.ModelProto:
    """Top-k attention over three channels of 64 x 64, whose q and k reach thousands."""
    attention = TopKAttention(3, heads=1).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    attention.depthwise.weight.zero_()[:, :, 1, 1] = 1
    attention.proj.weight.copy_(torch.eye(3)[..., None, None])
    weights = torch.randn(3, 3, 3, generator=generator)
    gains = torch.tensor([4000.0, 4000.0, 1.0])[:, None, None]
    attention.qkv.weight.copy_((weights * gains).reshape(9, 3, 1, 1))
    return onnx_from_module(SortedAttention(attention), 64)


def test_large_and_zero_vectors_are_made_unit_ones_in_float32(attention64: onnx.ModelProto) -> None:
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    analysis = analyse(attention64, image)
    assert {"ReduceL2", "Clip", "Div"} <= set(analysis.operators.values())
    exact = onnx_run(attention64)
    for kept, right in ((analysis.kept, True), ((), False)):
        result = onnx_run(fp16_from_fp32(attention64, kept))
        for level in (1, 0):
            given, expected = image * level, exact(image * level)
            close = 5e-3 * max(float(expected.std()), 1e-9)
            assert np.allclose(result(given), expected, rtol=0, atol=close) == right


def test_rounding_gives_what_float16_gives() -> None:
    graph = graph_of([node("Mul", [X, "w"], "m"), node("Add", ["m", "w"])], {"w": 300.0})
    half = fp16_from_fp32(graph)
    emulated = rounded(half)
    onnx.checker.check_model(emulated, full_check=True)
    kinds = {w.data_type for w in emulated.graph.initializer}
    assert HALF not in kinds
    given = np.linspace(0, 250, 48, dtype=np.float32).reshape(1, 3, 4, 4)
    with np.errstate(over="ignore"):
        expected = given.astype(np.float16) * np.float16(300) + np.float16(300)
    assert np.isinf(expected).any()
    np.testing.assert_array_equal(onnx_run(half)(given), expected.astype(np.float32))


def test_graph_without_fp16_is_left_alone(graph16: onnx.ModelProto) -> None:
    assert rounded(graph16) is graph16
