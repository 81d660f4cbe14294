from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgerestore.compress.rewrites import deployable
from edgerestore.compress.sparsity import sparsify
from edgerestore.export.onnx import onnx_from_module
from edgerestore.networks import ModelSpec, build_network, find_model
from edgerestore.networks.weights import load_network, load_weights, save_weights
from edgerestore.recipe.pictures import Noise, Source
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import TrainingData
from edgerestore.train.loop import train

DRT_S, ESRT_S = find_model("drt_s"), find_model("esrt_s_x2")
TINY_DRT = dataclasses.replace(
    DRT_S, config={**DRT_S.config, "dim": 16, "layers": 1, "recursions": 2}
)
TINY_ESRT = dataclasses.replace(ESRT_S, config={**ESRT_S.config, "blocks": 1, "recursions": 1})
SOURCE = Source(clean=("pictures",), degradation=Noise(sigma=(20, 20)))
SETTINGS = TrainSettings(
    source=(SOURCE,),
    steps=4,
    batch=2,
    patch=16,
    warmup_steps=1,
    checkpoint_every=2,
    amp="fp32",
    sparsity="2:4",
    start="dense.safetensors",
    ema=0.5,
)


def sparse_products(graph: onnx.ModelProto) -> dict[str, bool]:
    """Whether each product has two zeros in every four weights along what it sums over."""
    weights = {w.name: numpy_helper.to_array(w) for w in graph.graph.initializer}
    found = {}
    for node in graph.graph.node:
        if node.op_type in ("Conv", "MatMul") and node.input[1] in weights:
            weight = weights[node.input[1]]
            summed = np.moveaxis(weight, 1 if node.op_type == "Conv" else -2, -1)
            if summed.shape[-1] % 4 == 0:
                zeros = (summed.reshape(*summed.shape[:-1], -1, 4) == 0).sum(axis=-1)
                found[node.input[1]] = bool((zeros >= 2).all())
    return found


@pytest.fixture
def data(pictures: Path) -> TrainingData:
    return TrainingData(pictures.parent, SETTINGS.source, TINY_DRT, SETTINGS.patch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_network(TINY_DRT)
    save_weights(tmp_path / "dense.safetensors", TINY_DRT, network.state_dict(), {})
    return tmp_path


def test_two_largest_of_four_stay() -> None:
    network = nn.Sequential(nn.Linear(8, 1, bias=False))
    network[0].weight.data = torch.tensor([[1.0, -3.0, 2.0, 0.5, 0.0, 0.0, 0.0, 7.0]])
    kept = sparsify(network)["0"]
    assert network[0].weight.tolist() == [[0, -3, 2, 0, 0, 0, 0, 7]]
    assert torch.equal(sparsify(network)["0"], kept)


@pytest.mark.parametrize(
    ("spec", "dense"),
    [(TINY_DRT, set()), (TINY_ESRT, {"tail", "fuse", "expand"})],
    ids=["drt", "esrt"],
)
def test_sparse_weights_show_in_the_graph(spec: ModelSpec, dense: set[str]) -> None:
    torch.manual_seed(0)
    network = build_network(spec)
    sparsify(network)
    found = sparse_products(onnx_from_module(deployable(network)[0], 16))
    in_block = re.compile(
        r"^blocks\.\d+\.[a-z]+\.|\.(weight|(whole|top|left|bottom|right|corners).*)$"
    )
    assert {in_block.sub("", name) for name, sparse in found.items() if not sparse} == dense
    assert len(found) >= 8


def test_zeros_survive_training_and_a_resumed_run(data, folder: Path) -> None:
    def trained(name: str, **changes: object) -> Path:
        settings = msgspec.structs.replace(SETTINGS, **changes)
        calls: list[int] = []
        stop = (lambda: len(calls) >= 2) if name == "cut" and not calls else (lambda: False)
        return train(
            TINY_DRT,
            settings,
            data,
            [],
            folder / name,
            folder=folder,
            resume=True,
            report=lambda progress: calls.append(progress.step),
            stop=stop,
        )

    whole = load_weights(trained("whole"), TINY_DRT).tensors
    with pytest.raises(KeyboardInterrupt):
        trained("cut")
    network = load_network(TINY_DRT, folder / "whole" / "drt_s.safetensors")
    dense = load_network(TINY_DRT, folder / "dense.safetensors")
    for name, mask in sparsify(network).items():
        before = dense.get_submodule(name).weight
        assert torch.equal(whole[f"{name}.weight"] != 0, mask), name
        assert not torch.equal(whole[f"{name}.weight"][mask], before[mask])
