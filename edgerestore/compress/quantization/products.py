"""What is quantized: convolutions and matrix products, and the tensors that they read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import onnx

from edgerestore.errors import InputError
from edgerestore.recipe.patterns import names_module

MOVES = ("Reshape", "Transpose")
"""Operators that only move values: a pair before them lets them move bytes, not floats."""

Kind = Literal["Conv", "MatMul"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Reader = tuple[str, int]
"""A node's name and which of its inputs."""


@dataclass(frozen=True, slots=True)
class Product:
    """One call of a module that multiplies."""

    node: str
    """Its name, such as ``blocks.0.low.conv#3``."""
    kind: Kind
    activations: tuple[str, ...]
    """One tensor; two in attention's products, which have no weight."""
    weight: str | None
    groups: int
    """Groups of a convolution."""

    @property
    def module(self) -> str:
        """Without the number of the call."""
        return module_of(self.node)

    @property
    def output_axis(self) -> int:
        """Output axis of the weight."""
        return 0 if self.kind == "Conv" else 1

    @property
    def input_axis(self) -> int:
        """Input axis of the weight."""
        return 1 - self.output_axis

    @property
    def channel_axis(self) -> int:
        """Channel axis of the activation."""
        return 1 if self.kind == "Conv" else -1


def module_of(node: str) -> str:
    """The module that a node's name tells: all before the number of the call."""
    return node.partition("#")[0]


def products_of(model: onnx.ModelProto, keep_float: Sequence[str]) -> list[Product]:
    """Every convolution and matrix product of modules that match no pattern of ``keep_float``.

    A product whose first factor is the constant, or whose weight is no matrix, stays in float.
    """
    weights = {weight.name: weight for weight in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type not in KINDS or matches(node.name, keep_float):
            continue
        first, second = node.input[:2]
        weight = second if second in weights else None
        if first in weights or (
            weight and node.op_type == "MatMul" and _rank(weights[second]) != 2
        ):
            continue
        found.append(
            Product(
                node=node.name,
                kind=node.op_type,
                activations=(first,) if weight else (first, second),
                weight=weight,
                groups=next((a.i for a in node.attribute if a.name == "group"), 1),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Source:
    """Where what a product reads is quantized."""

    tensor: str
    reader: Reader
    """Reader of the quantized values: the product, or the first that moves them on their way."""


def sources_of(model: onnx.ModelProto, products: Sequence[Product]) -> dict[Reader, Source]:
    """For each activation that a product reads, the tensor that is quantized.

    One that is only moved on its way to a product is quantized before the move.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    readers = Counter(name for node in model.graph.node for name in node.input)
    ends = {value.name for value in model.graph.output}
    sources = {}
    for product in products:
        for slot, tensor in enumerate(product.activations):
            reader = (product.node, slot)
            maker = made_by.get(tensor)
            while (
                maker is not None
                and maker.op_type in MOVES
                and readers[tensor] == 1
                and tensor not in ends
            ):
                reader, tensor = (maker.name, 0), maker.input[0]
                maker = made_by.get(tensor)
            sources[product.node, slot] = Source(tensor, reader)
    return sources


def pairs_of(sources: Mapping[Reader, Source]) -> dict[str, list[Reader]]:
    """The tensors that are quantized, and the nodes that read the quantized values."""
    pairs: dict[str, dict[Reader, None]] = defaultdict(dict)
    for source in sources.values():
        pairs[source.tensor][source.reader] = None
    return {tensor: list(readers) for tensor, readers in pairs.items()}


def matches(node: str, patterns: Sequence[str]) -> bool:
    """Whether a node belongs to a module that one of the patterns names."""
    return any(names_module(pattern, module_of(node)) for pattern in patterns)


def check_patterns(patterns: Sequence[str], modules: Sequence[str]) -> None:
    """Raises InputError for a pattern that matches no module of the network."""
    for pattern in patterns:
        if not any(names_module(pattern, module) for module in modules):
            raise InputError(
                f"--keep-float '{pattern}' matches no module; modules are {', '.join(modules)}"
            )


def _rank(weight: onnx.TensorProto) -> int:
    return len(weight.dims)
