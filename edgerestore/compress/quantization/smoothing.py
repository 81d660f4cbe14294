"""SmoothQuant: channels with large values lend their size to the weights that read them.

Xiao et al., SmoothQuant, ICML 2023 (arXiv 2211.10438), section 4, extended to recursion: a
weight that several calls share takes one factor for all of them, and so do all tensors that it
reads and all weights that read those. A factor that differed by call would make each call's
weights its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgerestore.compress.quantization.products import MOVES, Product, products_of
from edgerestore.compress.quantization.ranges import largest_by_channel
from edgerestore.compress.running import Crops
from edgerestore.export.onnx import drop_unread

SMALLEST = 1e-5
"""Smallest magnitude of a channel: one that is always 0 tells nothing."""
LARGEST_FACTOR = 100.0
"""Largest smoothing factor in either direction."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tensors and weights that must share their factors, one for each channel."""

    tensors: tuple[str, ...]
    weights: tuple[str, ...]
    product: Product
    """Any of them: all have one layout."""


def smoothed(
    model: onnx.ModelProto, keep_float: Sequence[str], crops: Crops, strength: float
) -> onnx.ModelProto:
    """The same function, with activations and weights of more even channels.

    ``strength`` is the paper's alpha: 0 leaves activations as they are, 1 moves all of their
    unevenness into the weights. A factor goes into the gain of a layer normalisation where one
    made the tensor, else into a multiplication before the product.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    groups = [g for g in groups_of(products_of(made, keep_float)) if _may_be_smoothed(made, g)]
    axes = {tensor: group.product.channel_axis for group in groups for tensor in group.tensors}
    largest = largest_by_channel(made, axes, crops)
    weights = {weight.name: weight for weight in made.graph.initializer}
    for number, group in enumerate(groups):
        axis = group.product.input_axis
        values = {name: numpy_helper.to_array(weights[name]) for name in group.weights}
        factor = _factor(
            np.max([largest[tensor] for tensor in group.tensors], axis=0),
            np.max([_by_channel(value, axis) for value in values.values()], axis=0),
            strength,
        )
        for name, value in values.items():
            shape = [1] * value.ndim
            shape[axis] = -1
            scaled = value * factor.reshape(shape)
            weights[name].CopyFrom(numpy_helper.from_array(scaled, name))
        for tensor in group.tensors:
            _divide(made, tensor, group, factor, f"smoothing.{number}")
    drop_unread(made.graph)
    return made


def groups_of(products: Sequence[Product]) -> list[Group]:
    """Products with weights, joined where they share a tensor or a weight."""
    parents: dict[Hashable, Hashable] = {}

    def root(item: Hashable) -> Hashable:
        parents.setdefault(item, item)
        while parents[item] != item:
            item = parents[item]
        return item

    of_weight = {}
    for product in products:
        if product.weight is None or product.groups > 1:
            continue
        of_weight[product.weight] = product
        tensor = ("tensor", product.activations[0], product.kind)
        parents[root(tensor)] = root(("weight", product.weight))
    members: dict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for item in list(parents):
        assert isinstance(item, tuple)
        members[root(item)][item[0] == "weight"].append(item[1])
    return [
        Group(tuple(tensors), tuple(weights), of_weight[weights[0]])
        for tensors, weights in members.values()
    ]


def _may_be_smoothed(model: onnx.ModelProto, group: Group) -> bool:
    """Whether no product in float reads the weights, and no tensor is only moved.

    Bytes are moved at a quarter of the cost of floats, and a factor after the move would make
    them floats again.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    moved = [tensor in made_by and made_by[tensor].op_type in MOVES for tensor in group.tensors]
    readers = [
        node.input[0]
        for node in model.graph.node
        for name in node.input[1:]
        if name in group.weights
    ]
    return not any(moved) and set(readers) <= set(group.tensors)


def _factor(
    activation: NDArray[np.float32], weight: NDArray[np.float32], strength: float
) -> NDArray[np.float32]:
    """Smoothing factor by channel; 1 in the geometric mean."""
    a = np.log(np.maximum(activation, SMALLEST))
    w = np.log(np.maximum(weight, SMALLEST))
    exponent = strength * a - (1 - strength) * w
    limit = np.log(LARGEST_FACTOR)
    factor: NDArray[np.float32] = np.exp(np.clip(exponent - exponent.mean(), -limit, limit))
    return factor.astype(np.float32)


def _by_channel(weight: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest: NDArray[np.float32] = np.abs(weight).max(axis=others)
    return largest


def _divide(
    model: onnx.ModelProto, tensor: str, group: Group, factor: NDArray[np.float32], name: str
) -> None:
    """Lets the group's products read the tensor divided by the factor."""
    nodes = model.graph.node
    everyone = [(node, slot) for node in nodes for slot, t in enumerate(node.input) if t == tensor]
    own = [
        node
        for node, slot in everyone
        if slot == 0 and node.op_type == group.product.kind and node.input[1] in group.weights
    ]
    maker = next((node for node in nodes if tensor in node.output), None)
    inverse = np.float32(1) / factor
    if maker is not None and len(own) == len(everyone) and _takes_gain(model, maker, len(factor)):
        _scale_norm(model, maker, inverse, f"{name}.{tensor}")
        return
    shape = (-1, 1, 1) if group.product.kind == "Conv" else (-1,)
    constant, out = f"{name}.{tensor}", f"{tensor}.smoothed"
    model.graph.initializer.append(numpy_helper.from_array(inverse.reshape(shape), constant))
    for node in own:
        node.input[0] = out
    place = next(i for i, node in enumerate(nodes) if node.name == own[0].name)
    nodes.insert(place, helper.make_node("Mul", [tensor, constant], [out], name=f"smooth.{tensor}"))


def _takes_gain(model: onnx.ModelProto, maker: onnx.NodeProto, channels: int) -> bool:
    """Whether a node is a normalisation over one axis with a constant gain."""
    if maker.op_type != "LayerNormalization":
        return False
    gains = {weight.name: weight for weight in model.graph.initializer}
    parameters = maker.input[1:]
    return all(name in gains and list(gains[name].dims) == [channels] for name in parameters)


def _scale_norm(
    model: onnx.ModelProto, maker: onnx.NodeProto, inverse: NDArray[np.float32], name: str
) -> None:
    """A gain, and an offset if there is one, of this call alone."""
    values = {weight.name: weight for weight in model.graph.initializer}
    for slot, kind in zip(range(1, len(maker.input)), ("gain", "offset"), strict=False):
        old = numpy_helper.to_array(values[maker.input[slot]])
        own = f"{name}.{kind}"
        model.graph.initializer.append(numpy_helper.from_array(old * inverse, own))
        maker.input[slot] = own
