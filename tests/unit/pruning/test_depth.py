from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites import deployable
from edgerestore.errors import InputError
from edgerestore.networks import build_network, find_model
from edgerestore.networks.layers import Stack
from edgerestore.networks.pruned import at_widths
from edgerestore.networks.recursion import recursions_of
from edgerestore.networks.widths import changed, widths_of
from edgerestore.pruning.depth import with_blocks, with_recursions

IMAGE = torch.linspace(0, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


@pytest.mark.parametrize("model", ["esrt_s_x2", "drt_s"])
def test_block_goes_without_which_the_loss_is_least(model: str) -> None:
    torch.manual_seed(0)
    spec = find_model(model)
    network = build_network(spec)
    assert isinstance(network, Stack)
    wanted = build_network(spec)
    wanted.load_state_dict(network.state_dict())
    last = len(network.row()) - 1
    wanted.keep_blocks([last])
    with torch.no_grad():
        target = wanted(IMAGE)

    def loss(trial: nn.Module) -> Tensor:
        return (trial(IMAGE) - target).abs().mean()

    found = with_blocks(network, 1, [loss])
    assert float(loss(found).detach()) == 0 or last > 1
    assert len(network.row()) == last + 1
    entry = at_widths(spec, changed(widths_of(network), widths_of(found)))
    read_back = build_network(entry)
    read_back.load_state_dict(found.state_dict())
    with torch.no_grad():
        assert torch.equal(read_back(IMAGE), found(IMAGE))
        error = (deployable(found)[0](IMAGE) - found(IMAGE)).abs().max()
    assert error < 1e-5
    assert entry.params < spec.params


def test_network_recurs_less_often() -> None:
    network = build_network(find_model("drt_s"))
    shallow = with_recursions(network, 2)
    assert (recursions_of(network), recursions_of(shallow)) == (3, 2)
    spec = at_widths(find_model("drt_s"), changed(widths_of(network), widths_of(shallow)))
    assert recursions_of(build_network(spec)) == 2


def test_more_than_there_is_is_refused() -> None:
    network = build_network(find_model("drt_s"))
    with pytest.raises(InputError, match="blocks = 4: the network has 3 blocks"):
        with_blocks(network, 4, [])
    with pytest.raises(InputError, match="recursions = 4: the network recurs 3 times"):
        with_recursions(network, 4)
    with pytest.raises(InputError, match="nothing recurs"):
        with_recursions(build_network(find_model("ipt_s_derain")), 1)
