"""Graphs of one tile made to run several at once.

Everything that compresses a graph works on one tile: what a tensor holds does not depend on how
many tiles stand beside each other. Of the finished graph, only the constants that name shapes are
then exchanged for those of an export with the wanted batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from edgerestore.errors import EdgeRestoreError
from edgerestore.export.onnx import drop_unread, onnx_from_module

Shape = NDArray[np.int64]
Slot = tuple[str, int]
"""A node's name and the position of one of its inputs."""


@dataclass(frozen=True, slots=True)
class Batching:
    """What turns graphs of one tile into graphs of ``size``."""

    size: int = 1
    shapes: Mapping[Slot, Shape] = field(default_factory=dict)
    """The constants that differ, by who reads them."""

    def __call__(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The graph for ``size`` x 3 x tile x tile.

        ``model`` is the graph of one tile that this was made for, or what became of it: nodes
        may have come and gone, as long as those that read shapes keep their names.
        """
        if self.size == 1:
            return model
        made = onnx.ModelProto()
        made.CopyFrom(model)
        graph = made.graph
        for end in (graph.input[0], graph.output[0]):
            end.type.tensor_type.shape.dim[0].dim_value = self.size
        # What is known of shapes is of one tile.
        del graph.value_info[:]
        named: dict[str, Shape] = {}
        for node in graph.node:
            for slot in range(len(node.input)):
                shape = self.shapes.get((node.name, slot))
                if shape is not None:
                    node.input[slot] = "shape." + ".".join(map(str, shape.tolist()))
                    named[node.input[slot]] = shape
        drop_unread(graph)
        graph.initializer.extend(
            numpy_helper.from_array(shape, name) for name, shape in named.items()
        )
        return onnx.shape_inference.infer_shapes(made, data_prop=True)


def batching_of(module: nn.Module, one: onnx.ModelProto, tile: int, size: int) -> Batching:
    """Compares the export of ``module`` for one tile with the one for ``size``.

    Raises EdgeRestoreError where they differ in more than the constants that name shapes.
    """
    if size == 1:
        return Batching()
    several = onnx_from_module(module, tile, size)
    refusal = EdgeRestoreError(
        f"the network's graph for {size} tiles at once is another than for one, as of a network "
        "that asks how many it was given; build it with a batch of 1"
    )
    if len(one.graph.node) != len(several.graph.node):
        raise refusal
    ours, theirs = _constants(one), _constants(several)
    same = {one.graph.input[0].name: several.graph.input[0].name}
    shapes: dict[Slot, Shape] = {}
    for node, other in zip(one.graph.node, several.graph.node, strict=True):
        if _kind(node) != _kind(other):
            raise refusal
        for slot, (name, other_name) in enumerate(zip(node.input, other.input, strict=True)):
            if name not in ours:
                if same.get(name, "") != other_name:
                    raise refusal
                continue
            value, wanted = ours[name], theirs.get(other_name)
            if wanted is None or wanted.shape != value.shape or wanted.dtype != value.dtype:
                raise refusal
            if not np.array_equal(value, wanted):
                if value.dtype != np.int64 or value.ndim != 1:
                    raise refusal
                shapes[node.name, slot] = wanted.astype(np.int64)
        same.update(zip(node.output, other.output, strict=True))
    return Batching(size, shapes)


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}


def _kind(node: onnx.NodeProto) -> tuple[object, ...]:
    """Everything of a node but which tensors it reads and writes."""
    attributes = sorted(item.SerializeToString(deterministic=True) for item in node.attribute)
    return node.name, node.domain, node.op_type, len(node.input), len(node.output), *attributes
