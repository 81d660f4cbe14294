from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites import REWRITES, deployable
from edgerestore.errors import InputError
from edgerestore.networks import ModelSpec, build_network, find_model
from edgerestore.pruning.axes import Axis, axes_of, selection_without
from edgerestore.pruning.budget import without

SIDE = 16
TOLERANCE = 1e-5
ESRT_S, DRT_S = find_model("esrt_s_x2"), find_model("drt_s")
TINY_ESRT = dataclasses.replace(ESRT_S, config={**ESRT_S.config, "blocks": 1, "recursions": 2})
TINY_DRT = dataclasses.replace(DRT_S, config={**DRT_S.config, "dim": 16, "layers": 1})


def axes_by_name(network: nn.Module) -> dict[str, Axis]:
    return {axis.name: axis for axis in axes_of(network, SIDE)}


def some_units(axis: Axis) -> set[int]:
    """Of each axis a few in its middle; of heads, a whole one."""
    if axis.attention is not None:
        return {unit for unit in range(axis.units) if axis.head_of(unit) == axis.heads - 1}
    return {axis.units // 2, axis.units - 1}


def silenced(network: nn.Module, axis: Axis, units: set[int]) -> nn.Module:
    """A copy in which whatever reads these units multiplies them by zero."""
    quiet = copy.deepcopy(network)
    for slot in axis.slots:
        if slot.reads:
            places = [p for p, unit in zip(slot.places, slot.units, strict=True) if unit in units]
            quiet.get_submodule(slot.module).weight.data[:, places] = 0
    return quiet


def largest_error(network: nn.Module, other: nn.Module, image: Tensor) -> float:
    with torch.inference_mode():
        expected, result = network(image), other(image)
    return float((result - expected).abs().max() / expected.std())


@pytest.mark.parametrize("spec", [TINY_ESRT, TINY_DRT], ids=lambda spec: spec.name)
def test_network_without_units_is_the_network_in_which_nothing_reads_them(spec: ModelSpec) -> None:
    torch.manual_seed(0)
    network = build_network(spec)
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    normalised = 0
    for axis in axes_of(network, SIDE):
        if axis.units == 1:
            continue
        units = some_units(axis)
        pruned = without(network, {axis: units})
        assert largest_error(pruned, deployable(pruned)[0], image) < TOLERANCE
        if any("norm" in slot.module for slot in axis.slots):
            # The others' mean and deviation are not those of all.
            normalised += 1
            continue
        quiet = silenced(network, axis, units)
        assert largest_error(quiet, pruned, image) < TOLERANCE, axis.name
        assert largest_error(network, pruned, image) > TOLERANCE, axis.name
    assert normalised == 1


@pytest.mark.parametrize("model", ["esrt_s_x2", "drt_s"])
def test_every_rewrite_is_exact_on_a_network_pruned_everywhere(model: str, filled_network) -> None:
    network = filled_network(model)
    draw = torch.Generator().manual_seed(0)
    removed = {}
    for axis in axes_of(network, SIDE):
        width = axis.units // max(axis.heads, 1)
        gone = {u for u in range(width) if torch.rand((), generator=draw) < 0.4} - {0}
        # Heads stay of one width, each without other units.
        heads = range(max(axis.heads, 1))
        removed[axis] = {head * width + (u + head) % width for head in heads for u in gone}
    pruned = without(network, removed)
    assert sum(p.numel() for p in pruned.parameters()) < 0.6 * sum(
        p.numel() for p in network.parameters()
    )
    for height, width in ((32, 32), (48, 16)):
        image = torch.rand(1, 3, height, width, generator=draw)
        for name in ("", *REWRITES):
            rewritten, _ = deployable(pruned, (name,) if name else ())
            assert largest_error(pruned, rewritten, image) < TOLERANCE, name or "all"


def test_recursion_is_one_axis_for_all_calls() -> None:
    network = build_network(find_model("esrt_s_x2"))
    axes = axes_by_name(network)
    inner = axes["blocks.0.low.unit1.squeeze"]
    assert [slot.module for slot in inner.slots] == [
        "blocks.0.low.unit1.squeeze",
        "blocks.0.low.unit1.act",
        "blocks.0.low.unit1.expand",
    ]
    stream = {slot.module for slot in axes["mix"].slots}
    assert {"head", "body_conv", "blocks.0.low.unit2.expand", "blocks.1.fuse"} <= stream


def test_heads_and_unfolded_and_shuffled_channels_are_found_whole() -> None:
    axes = axes_by_name(build_network(find_model("esrt_s_x2")))
    heads = axes["transformer.attention.proj (read)"]
    assert (heads.attention, heads.heads, heads.units) == ("transformer.attention", 4, 72)
    places = {(slot.module, slot.reads): slot.places for slot in heads.slots}
    assert tuple(sorted(places["transformer.attention.qkv", False])) == tuple(range(216))
    shuffled = next(slot for slot in axes["tail (read)"].slots if slot.module == "tail_up.0")
    assert [unit for _, unit in sorted(zip(shuffled.places, shuffled.units, strict=True))] == [
        unit for unit in range(16) for _ in range(4)
    ]
    unfolded = next(slot for slot in axes["reduce"].slots if slot.module == "transformer.norm1")
    assert [unit for _, unit in sorted(zip(unfolded.places, unfolded.units, strict=True))] == [
        unit for unit in range(16) for _ in range(9)
    ]


@pytest.mark.parametrize("model", ["esrt_s_x2", "esrt_s_x4", "drt_s"])
def test_image_and_its_channels_are_no_axis(model: str) -> None:
    network = build_network(find_model(model))
    ends = {"esrt_s_x2": ("head", "tail"), "esrt_s_x4": ("head", "tail")}
    first, last = ends.get(model, ("embed", "unembed"))
    slots = {(slot.module, slot.reads) for axis in axes_of(network, SIDE) for slot in axis.slots}
    assert (first, True) not in slots
    assert (last, False) not in slots
    assert {(first, False), (last, True)} <= slots


def test_units_of_several_axes_go_at_once() -> None:
    network = build_network(find_model("drt_s"))
    axes = axes_by_name(network)
    stream, heads = axes["layers.1.conv"], axes["layers.2.block1.attention.proj (read)"]
    selection = selection_without(network, {stream: {0, 47}, heads: set(range(24))})
    qkv = selection.layers["layers.2.block1.attention.qkv"]
    assert list(qkv.read) == list(range(1, 47))
    assert list(qkv.written) == [*range(24, 48), *range(72, 96), *range(120, 144)]
    assert selection.heads == {"layers.2.block1.attention": [1]}


def test_network_with_grouped_convolutions_is_refused() -> None:
    spec = find_model("drsformer_s")
    with pytest.raises(InputError, match=r"its convolution '.*\.mix_\w+' is grouped"):
        axes_of(build_network(spec), SIDE)
