"""OpenVINO models with FakeQuantize operators and 8-bit weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgerestore.compress.quantization.plan import Plan
from edgerestore.compress.quantization.steps import int8_weight
from edgerestore.errors import EdgeRestoreError
from edgerestore.export.openvino import openvino_from_onnx

if TYPE_CHECKING:
    import openvino

LEVELS = 256
PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")


def openvino_from_plan(plan: Plan, folder: Path) -> openvino.Model:
    """Reads the plan's graph and quantizes it in place; ``folder`` is scratch space.

    Written as OpenVINO's own rewriting expects it. Of quantize and dequantize pairs that it reads
    from ONNX it makes other kernels, and wrong values (OpenVINO 2026.4): of a signed pair behind
    a concatenation it moves the rounding before the concatenation, and the pair's cast to int8,
    left behind, cuts unscaled values to whole numbers. Each call of a recursion reads its own
    copy of a weight, without which its products stay in float; saving the model makes equal
    constants one again.
    """
    model = openvino_from_onnx(plan.graph, folder)
    _quantize_activations(model, plan)
    _quantize_weights(model, plan)
    model.validate_nodes_and_infer_types()
    return model


def _quantize_activations(model: openvino.Model, plan: Plan) -> None:
    from openvino import opset13 as opset

    missing = set(plan.pairs)
    outputs = [output for operator in model.get_ordered_ops() for output in operator.outputs()]
    for output in outputs:
        for tensor in missing & output.get_names():
            low, high = (np.float32(bound) for bound in plan.steps[tensor].bounds)
            readers = {name for name, _ in plan.pairs[tensor]}
            targets = [
                target
                for target in output.get_target_inputs()
                if _owner(target.get_node()) in readers
            ]
            quantize = opset.fake_quantize(
                output, low, high, low, high, LEVELS, name=f"{tensor}/quantized"
            )
            for target in targets:
                target.replace_source_output(quantize.output(0))
            if targets:
                missing.discard(tensor)
    if missing:
        raise EdgeRestoreError(f"OpenVINO's reader lost the tensors {', '.join(sorted(missing))}")


def _quantize_weights(model: openvino.Model, plan: Plan) -> None:
    from openvino import opset13 as opset

    products = {product.node: product for product in plan.products if product.weight is not None}
    for operator in model.get_ordered_ops():
        product = products.get(_owner(operator))
        if product is None or operator.get_type_name() not in PRODUCTS:
            continue
        name = operator.get_friendly_name()
        # Grouped: G x O/G x I/G x H x W, which the reader reshapes to in the graph.
        shape = list(operator.input(1).get_partial_shape().to_shape())
        source = operator.input_value(1).get_node()
        while source.get_type_name() == "Reshape":
            source = source.input_value(0).get_node()
        weight = int8_weight(source.data, product.output_axis, int16_pairs=plan.int16_pairs)
        scales = weight.shaped_scales
        if operator.get_type_name() == "GroupConvolution":
            scales = scales.reshape(*shape[:2], *[1] * (len(shape) - 2))
        integers = opset.constant(weight.values.reshape(shape), name=f"{name}/weight")
        floats = opset.convert(integers, "f32", name=f"{name}/weight/float")
        scaled = opset.multiply(floats, opset.constant(scales), name=f"{name}/weight/scaled")
        operator.input(1).replace_source_output(scaled.output(0))


def _owner(operator: Any) -> str:
    """The node of the ONNX graph that an operator came from."""
    name: str = operator.get_friendly_name()
    return name.partition("/")[0]
