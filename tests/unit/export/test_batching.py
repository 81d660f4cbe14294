from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites import deployable
from edgerestore.errors import EdgeRestoreError
from edgerestore.export.batching import batching_of
from edgerestore.export.cost import costs_of_graph
from edgerestore.export.onnx import onnx_from_module
from edgerestore.networks import MODELS, find_model
from edgerestore.pipeline.source import onnx_run

SIZE = 3
SHIPPED = [name for name, spec in MODELS.items() if spec.weights and not spec.tasks]


@pytest.mark.parametrize("name", SHIPPED)
def test_tiles_side_by_side_come_out_as_each_does_alone(
    name: str, filled_network: Callable[[str], nn.Module]
) -> None:
    spec = find_model(name)
    tile = spec.size_rule.fitting(max(16, spec.size_rule.minimum))
    module, _ = deployable(filled_network(name))
    one = onnx_from_module(module, tile)
    several = batching_of(module, one, tile, SIZE)(one)
    onnx.checker.check_model(several, full_check=True)
    tiles = np.random.default_rng(0).random((SIZE, 3, tile, tile), np.float32)
    run = onnx_run(one)
    alone = np.concatenate([run(part[None]) for part in tiles])
    np.testing.assert_allclose(onnx_run(several)(tiles), alone, atol=2e-4 * alone.std())
    assert costs_of_graph(several, 0).macs == SIZE * costs_of_graph(one, 0).macs
    assert [node.name for node in several.graph.node] == [node.name for node in one.graph.node]


class Asks(nn.Module):
    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Tensor:
        return self.what(x)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(lambda x: x.relu() if len(x) == 1 else x.sigmoid(), id="operator"),
        pytest.param(lambda x: x if len(x) == 1 else x.relu() + x, id="count"),
        pytest.param(lambda x: x * float(len(x)), id="value"),
        pytest.param(lambda x: x + torch.full((len(x), 1, 1, 1), 0.5), id="weight"),
    ],
)
def test_network_that_asks_how_many_tiles_it_was_given_is_refused(
    what: Callable[[Tensor], Tensor],
) -> None:
    module = Asks(what)
    one = onnx_from_module(module, 8)
    with pytest.raises(EdgeRestoreError, match="3 tiles at once is another than for one"):
        batching_of(module, one, 8, SIZE)


def test_a_batch_of_one_changes_nothing() -> None:
    one = onnx_from_module(Asks(torch.relu), 8)
    assert batching_of(Asks(torch.relu), one, 8, 1)(one) is one
