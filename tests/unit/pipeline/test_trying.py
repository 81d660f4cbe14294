from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.errors import InputError
from edgerestore.networks import SizeRule
from edgerestore.pipeline.trying import facts_of, find_value_range
from edgerestore.recipe import NetworkSettings

NOTHING = NetworkSettings(factory="net.py:build")


def declared(**facts: object) -> NetworkSettings:
    return NetworkSettings(factory="net.py:build", **facts)


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        return self.function(image)


def nearest(scale: int) -> nn.Module:
    return Lambda(lambda x: F.interpolate(x, scale_factor=scale))


def in_windows(size: int, scale: int = 1) -> nn.Module:
    """Fails, as window attention does, where windows do not fill the picture."""

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        windows = x.view(n, c, h // size, size, w // size, size)
        return F.interpolate(windows.reshape(x.shape), scale_factor=scale)

    return Lambda(run)


def reflecting(margin: int) -> nn.Module:
    """Takes no side that is not larger than the margin."""
    return Lambda(lambda x: F.pad(x, [margin] * 4, "reflect")[..., margin:-margin, margin:-margin])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_scale_is_found(scale: int) -> None:
    facts = facts_of(nearest(scale), "net", NOTHING)
    assert (facts.scale, facts.size_rule) == (scale, SizeRule())
    assert facts.found == ("scale", "minimum", "multiple_of", "value_range")
    assert facts.notes[0].startswith(f"found by trying: scale {scale}, sides: multiples of 1")


RULES: dict[str, tuple[nn.Module, SizeRule]] = {
    "windows of 8": (in_windows(8), SizeRule(8, 8)),
    "windows of 7": (in_windows(7, scale=2), SizeRule(7, 7)),
    "windows of 12": (in_windows(12), SizeRule(12, 12)),
    "windows of 64": (in_windows(64), SizeRule(64, 64)),
    "reflection": (reflecting(16), SizeRule(17)),
    "reflection in windows": (nn.Sequential(in_windows(8), reflecting(16)), SizeRule(24, 8)),
    "one size": (Lambda(lambda x: x + torch.ones(96, 96)), SizeRule(96, 96, 96)),
}


@pytest.mark.parametrize("case", RULES)
def test_size_rule_is_found(case: str) -> None:
    network, rule = RULES[case]
    assert facts_of(network, "net", NOTHING).size_rule == rule


def test_what_is_declared_is_taken_and_not_called_found() -> None:
    facts = facts_of(
        in_windows(8), "net", declared(scale=1, minimum=16, multiple_of=16, value_range=(0, 255))
    )
    assert (facts.size_rule, facts.value_range) == (SizeRule(16, 16), (0, 255))
    assert (facts.found, facts.notes) == ((), ())


def test_only_what_is_not_declared_is_tried() -> None:
    assert facts_of(in_windows(8), "net", declared(multiple_of=16)).size_rule == SizeRule(16, 16)
    assert facts_of(in_windows(8), "net", declared(minimum=24)).size_rule == SizeRule(24, 8)
    assert facts_of(in_windows(100), "net", declared(tile=200)).size_rule.multiple_of == 200


BAD: dict[str, tuple[nn.Module, NetworkSettings, str]] = {
    "odd output": (
        nn.Conv2d(3, 3, 3),
        NOTHING,
        "of side 48 to 256 comes out enlarged by a whole number: 64 x 64 came out as 62 x 62",
    ),
    "one output size": (
        nn.AdaptiveAvgPool2d(192),
        NOTHING,
        "no fixed multiple of its input: 64 x 64 came out as 192 x 192, 96 x 96 came",
    ),
    "takes no size": (in_windows(1000), NOTHING, "64 x 64 raised RuntimeError: shape "),
    "grey": (nn.Conv2d(1, 1, 3, padding=1), NOTHING, "takes 1 channels; bundles hold RGB"),
    "grey, declared": (nearest(1), declared(channels=1), "takes 1 channels; bundles hold RGB"),
    "features": (nn.Conv2d(3, 8, 1), NOTHING, r"came out as (1, 8, 64, 64), not as one RGB"),
    "several results": (Lambda(lambda x: [x, x]), NOTHING, "came out as a list, not a tensor"),
    "another scale": (nearest(4), declared(scale=2), "--scale 2, but 64 x 64 came out as 256"),
    "another rule": (in_windows(16), declared(multiple_of=24), "side 72 comes out"),
    "no batches": (Lambda(lambda x: x.view(1, *x.shape[1:])), NOTHING, "fails on two tiles"),
}


@pytest.mark.parametrize("case", BAD)
def test_network_that_cannot_be_built_is_one_line(case: str) -> None:
    network, settings, message = BAD[case]
    with pytest.raises(InputError) as caught:
        facts_of(network, "net", settings)
    assert message in str(caught.value)
    assert str(caught.value).startswith("net: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [1, 2, 5])
def test_value_range_is_told_from_shipped_pictures(scale: int) -> None:
    grey_levels = Lambda(lambda x: F.interpolate(x.round().clamp(0, 255), scale_factor=scale))
    unit = Lambda(lambda x: F.interpolate(x.clamp(0, 1), scale_factor=scale))
    for network, wanted in ((grey_levels, (0, 255)), (unit, (0, 1))):
        found, note = find_value_range(network, scale, SizeRule())
        assert found == wanted
        assert note.startswith(f"found by trying: value range 0 to {wanted[1]}")


def test_value_range_that_cannot_be_told_is_said_to_be_assumed() -> None:
    for network in (nearest(2), Lambda(lambda x: F.interpolate(x * 0, scale_factor=2))):
        found, note = find_value_range(network, 2, SizeRule())
        assert found == (0, 1)
        assert "value range 0 to 1 assumed" in note
        assert "--value-range declares it" in note
    found, note = find_value_range(in_windows(256), 1, SizeRule(256, 256))
    assert note == "value range 0 to 1 assumed: no shipped picture has the network's size"
