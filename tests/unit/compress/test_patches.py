from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites.joining import join_convolutions
from edgerestore.compress.rewrites.patches import fold_patches, fold_value_range
from edgerestore.compress.rewrites.shuffle import sink_pixel_shuffle
from edgerestore.export.onnx import onnx_from_module, operator_counts
from edgerestore.networks import MODELS, find_model
from edgerestore.networks.ipt import IPT, MEAN, IPTConfig
from edgerestore.pictures import read_rgb
from edgerestore.pipeline.source import onnx_run

TOLERANCE = 1e-5
"""Largest difference over the output's standard deviation, in float32; 3e-6 is measured."""
TOLERANCE_IN_FLOAT64 = 1e-12
"""What only an exact rewrite reaches; 1e-14 is measured."""

REWRITES = (fold_value_range, fold_patches, sink_pixel_shuffle, join_convolutions)
SMALL = {"features": 8, "side": 12, "layers": 2, "heads": 3, "ffn_ratio": 2}
"""Two layers of everything; values inside lie in [0, 255], as the published network's."""
COMPACT = find_model("ipt_s").tasks


@pytest.fixture(scope="module")
def photographs(evaluation_folder: Path) -> Tensor:
    """Middles of two shipped pictures: 2 x 3 x 48 x 48 in [0, 1]."""
    crops = []
    for name in ("friends-dog", "rocket-night"):
        image = read_rgb(evaluation_folder / "LR_bicubic" / "X2" / f"{name}x2.png")
        top, left = image.shape[0] // 2 - 24, image.shape[1] // 2 - 24
        crops.append(image[top : top + 48, left : left + 48].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(crops).astype(np.float64) / 255)


def small(task: str, **changes: Any) -> IPT:
    """A network for 12 x 12 pixels with random weights, gains and offsets included."""
    torch.manual_seed(0)
    network = IPT(IPTConfig(tasks=(task,), **{**SMALL, **changes})).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.uniform_(-1.5, 1.5)
            module.bias.uniform_(-1.5, 1.5)
    return network


def rewritten(network: nn.Module, *rewrites: Callable[[nn.Module], int]) -> nn.Module:
    copied = copy.deepcopy(network)
    for rewrite in rewrites or REWRITES:
        rewrite(copied)
    return copied


def largest_error(network: nn.Module, other: nn.Module, image: Tensor) -> float:
    """Of the other form's output, over the standard deviation of the network's."""
    with torch.inference_mode():
        expected, result = network(image), other(image)
    assert result.shape == expected.shape
    return float((result - expected).abs().max() / expected.std())


@pytest.mark.parametrize("model", COMPACT)
def test_deployable_form_computes_the_same_on_photographs(
    model: str, filled_network: Callable[[str], nn.Module], photographs: Tensor
) -> None:
    network = filled_network(model)
    assert largest_error(network, rewritten(network), photographs.float()) <= TOLERANCE
    network = network.double()
    assert largest_error(network, rewritten(network), photographs) <= TOLERANCE_IN_FLOAT64


@pytest.mark.parametrize("order", list(itertools.permutations(REWRITES[:-1])))
@pytest.mark.parametrize("task", ["x3", "x4", "denoise50"])
def test_rewrites_are_exact_alone_and_in_any_order(
    task: str, order: tuple[Callable[[nn.Module], int], ...], photographs: Tensor
) -> None:
    for network in (small(task).double(), small(task, skip="bilinear").double()):
        # What joins two convolutions comes last: the others know what they edit by its kind.
        for count in (1, 2, 3):
            other = rewritten(network, *order[:count], join_convolutions)
            assert largest_error(network, other, photographs[..., :12, :12]) <= TOLERANCE_IN_FLOAT64


def test_rewrites_say_what_they_changed_and_change_it_once() -> None:
    network = small("x2")
    assert [rewrite(network) for rewrite in REWRITES] == [2, 1, 1, 1]
    assert [rewrite(network) for rewrite in REWRITES[:2]] == [0, 0]
    assert sink_pixel_shuffle(small("x2", skip="bilinear")) == 2
    assert sink_pixel_shuffle(small("derain")) == 0


def test_network_of_several_tasks_keeps_its_body() -> None:
    network = IPT(IPTConfig(**SMALL)).requires_grad_(False)
    assert fold_patches(network) == 0


def test_mean_colour_passes_through_a_network_that_adds_nothing() -> None:
    network = small("derain")
    network.tails["derain"].conv.weight.zero_()
    network.tails["derain"].conv.bias.zero_()
    with torch.inference_mode():
        result = rewritten(network)(torch.rand(1, 3, 12, 12))
    assert torch.equal(result, torch.tensor(MEAN).reshape(1, 3, 1, 1).expand(1, 3, 12, 12))


@pytest.fixture(scope="module", params=["ipt_s_x4", "ipt_s_derain"])
def exported(
    request: pytest.FixtureRequest, filled_network: Callable[[str], nn.Module]
) -> tuple[str, nn.Module, onnx.ModelProto]:
    network = filled_network(request.param)
    return request.param, network, onnx_from_module(rewritten(network), 48)


def test_graph_is_free_of_patch_and_shape_operators(exported) -> None:
    name, _, graph = exported
    counts = operator_counts(graph)
    enlarging = {"Concat", "Mul", "Pad", "Slice", "Unsqueeze"}
    assert set(counts) == (enlarging if MODELS[name].scale > 1 else set()) | {
        "Add", "Conv", "DepthToSpace", "LayerNormalization", "MatMul", "Relu", "Reshape",
        "Softmax", "Split", "Sub", "Transpose",
    }  # fmt: skip
    assert counts["LayerNormalization"] == 15
    # Of the mean colour.
    assert counts["Sub"] == 1
    assert max(len(value.dims) for value in graph.graph.initializer) <= 4
    # The decoder's biases differ by token, and the sunk tail is wider.
    values = sum(int(np.prod(value.dims)) for value in graph.graph.initializer)
    assert values < 1.3 * MODELS[name].params


@pytest.mark.needs_backend("onnxruntime")
def test_graph_computes_the_same_in_onnx_runtime(exported, photographs: Tensor) -> None:
    _, network, graph = exported
    image = photographs[:1].float()
    with torch.inference_mode():
        expected = network(image).numpy()
    result = onnx_run(graph)(image.numpy())
    assert np.abs(result - expected).max() / expected.std() <= TOLERANCE


@pytest.mark.needs_backend("openvino")
def test_graph_computes_the_same_in_openvino(exported, photographs: Tensor, tmp_path: Path) -> None:
    import openvino

    _, network, graph = exported
    image = photographs[:1].float()
    with torch.inference_mode():
        expected = network(image).numpy()
    onnx.save(graph, tmp_path / "m.onnx")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "m.onnx", "CPU", exact)
    result = compiled(image.numpy())[0]
    assert np.abs(result - expected).max() / expected.std() <= TOLERANCE
