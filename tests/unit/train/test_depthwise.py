from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgerestore.networks import build_network, find_model
from edgerestore.train.depthwise import quicken


def conv(inputs: int, outputs: int, side: int, **options) -> nn.Conv2d:
    options = {"padding": side // 2, "groups": outputs, "bias": False, **options}
    return nn.Conv2d(inputs, outputs, side, **options)


@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize(("inputs", "outputs"), [(6, 6), (8, 4)])
@pytest.mark.parametrize("size", [(11, 9), (4, 2)])
def test_output_and_gradients_stay_as_they_were(
    side: int, inputs: int, outputs: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(side)
    plain = conv(inputs, outputs, side)
    quick = nn.Sequential(copy.deepcopy(plain))
    assert quicken(quick) == 1
    x = torch.randn(3, inputs, *size, requires_grad=True)
    other = x.detach().clone().requires_grad_()
    weights = torch.randn(3, outputs, *size)
    (plain(x) * weights).sum().backward()
    (quick(other) * weights).sum().backward()
    torch.testing.assert_close(quick(other), plain(x))
    torch.testing.assert_close(other.grad, x.grad)
    torch.testing.assert_close(quick[0].weight.grad, plain.weight.grad)


def test_autocast_applies() -> None:
    quick = nn.Sequential(conv(6, 6, 5))
    quicken(quick)
    x = torch.randn(1, 6, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        rough = quick(x)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), quick(x), atol=0.03, rtol=0.03)


@pytest.mark.parametrize(
    "other",
    [
        conv(6, 6, 3, bias=True),
        conv(6, 6, 3, stride=2),
        conv(6, 6, 3, dilation=2, padding=2),
        conv(6, 6, 3, padding=0),
        conv(6, 6, 1),
        conv(6, 6, 3, groups=1),
        conv(6, 2, 3),
        conv(6, 6, 4),
        nn.Conv2d(6, 6, (3, 5), padding=(1, 2), groups=6, bias=False),
    ],
    ids=str,
)
def test_other_convolutions_are_left_alone(other: nn.Conv2d) -> None:
    network = nn.Sequential(other)
    assert quicken(network) == 0
    assert type(network[0]) is nn.Conv2d


def test_state_stays_as_it_was() -> None:
    network = build_network(find_model("drsformer_s"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert quicken(network) > 0
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert quicken(network) == 0
