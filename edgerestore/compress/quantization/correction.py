"""Bias correction: what rounding a weight adds to its outputs on average is taken from the bias.

Nagel et al., Data-free quantization through weight equalization and bias correction, ICCV 2019
(arXiv 1906.04721), section 4.2, with means that were measured instead of derived. A bias that
several calls of a recursion share takes the mean over them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgerestore.compress.quantization.products import Product
from edgerestore.compress.quantization.steps import int8_weight
from edgerestore.export.onnx import drop_unread

Vector = NDArray[np.float32]


def corrected(
    model: onnx.ModelProto,
    products: Sequence[Product],
    means: Mapping[str, Vector],
    *,
    int16_pairs: bool,
) -> onnx.ModelProto:
    """The FP32 graph with other biases: right on average once the products' weights are rounded.

    ``means`` holds the mean of each channel of what a product reads, by the tensor's name, and
    ``int16_pairs`` how weights are rounded, as :func:`int8_weight` takes it. A product without a
    bias stays as it is. What makes up for activations' rounding is 0: they round both ways.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    constants = {constant.name: constant for constant in made.graph.initializer}
    calls = defaultdict(list)
    for product in products:
        if product.weight is not None:
            calls[product.weight].append(product)
    slots = _bias_slots(made)
    for weight, sharing in calls.items():
        biased = [product for product in sharing if product.node in slots]
        if not biased:
            continue
        values = numpy_helper.to_array(constants[weight])
        mean = np.mean([means[product.activations[0]] for product in biased], axis=0)
        shift = _shift(biased[0], values, mean, int16_pairs=int16_pairs)
        named: dict[str, str] = {}
        for product in biased:
            node, slot = slots[product.node]
            bias = node.input[slot]
            if bias not in named:
                # Its own: equal biases of other weights may be one constant.
                named[bias] = f"{bias}.of.{weight}"
                right = numpy_helper.to_array(constants[bias]) - shift
                made.graph.initializer.append(
                    numpy_helper.from_array(right.astype(np.float32), named[bias])
                )
            node.input[slot] = named[bias]
    drop_unread(made.graph)
    return made


def _bias_slots(model: onnx.ModelProto) -> dict[str, tuple[onnx.NodeProto, int]]:
    """Node that reads each product's bias, and as which input, by the product's name."""
    vectors = {constant.name for constant in model.graph.initializer if len(constant.dims) == 1}
    readers = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    slots = {}
    for node in model.graph.node:
        adding = node if node.op_type == "Conv" else None
        if node.op_type == "MatMul" and len(readers[node.output[0]]) == 1:
            (reader,) = readers[node.output[0]]
            adding = reader if reader.op_type == "Add" else None
        if adding is not None:
            found = [slot for slot, name in enumerate(adding.input) if name in vectors]
            if found:
                slots[node.name] = adding, found[0]
    return slots


def _shift(product: Product, weight: Vector, mean: Vector, *, int16_pairs: bool) -> Vector:
    """What each output is too high on average where the weight is rounded and inputs are not."""
    rounded = int8_weight(weight, product.output_axis, int16_pairs=int16_pairs)
    error = rounded.values * rounded.shaped_scales - weight
    shift: Vector
    if product.kind == "MatMul":
        shift = mean @ error
    else:
        # A convolution's outputs of one group read the inputs of that group alone.
        inputs = mean.reshape(product.groups, 1, -1)
        outputs = error.sum(axis=(2, 3)).reshape(product.groups, -1, error.shape[1])
        shift = (outputs * inputs).sum(axis=2).ravel()
    return shift
