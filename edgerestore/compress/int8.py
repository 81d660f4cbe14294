"""Post-training INT8: OpenVINO models and ONNX with explicit quantize and dequantize pairs.

Stock defaults lose a decibel on one image in five (trained ESRT x3, Set5: 1.34 dB on
"baby"); what is set here loses 0.06. First and last convolutions stay in float, ranges come
from histograms, and attention's inputs are treated as a transformer's.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgerestore.errors import InputError
from edgerestore.export.onnx import INPUT
from edgerestore.export.openvino import openvino_from_onnx

if TYPE_CHECKING:
    import openvino


@dataclass(frozen=True, slots=True)
class Int8:
    """How ranges are found and what stays in float."""

    keep_float: tuple[str, ...]
    """Patterns over module names; every call of a matching module stays in float."""
    symmetric: bool = False
    """All zero points 0, for activations too."""

    def settings(self, crops: int) -> dict[str, Any]:
        """What a bundle's manifest says of this pass."""
        return {
            "keep_float": list(self.keep_float),
            "symmetric": self.symmetric,
            "range_estimator": "histogram",
            "crops": crops,
            "quantizer": "nncf",
        }


def int8_openvino(
    model: onnx.ModelProto, config: Int8, crops: NDArray[np.float32], folder: Path
) -> openvino.Model:
    """Quantizes an FP32 graph for OpenVINO; ``folder`` is scratch space.

    ``crops`` are N x 3 x tile x tile in [0, 1].
    """
    source = openvino_from_onnx(model, folder)
    keep = [
        operator.get_friendly_name()
        for operator in source.get_ordered_ops()
        if operator.get_type_name() in ("Convolution", "MatMul")
        and _matches(operator.get_friendly_name().partition("/")[0], config.keep_float)
    ]
    shape_group_weights(source)
    tied = untie_constants(source)
    items = [c[None] for c in crops]
    quantized: openvino.Model = _quantize(source, items, keep, config, smooth=not tied)
    return quantized


def shape_group_weights(model: openvino.Model) -> int:
    """Stores weights of grouped convolutions in the shape that is computed with.

    The reader of ONNX reshapes them in the graph, and NNCF leaves what it finds behind a
    reshape in float in the file, though it is computed in INT8. Returns how many changed.
    """
    from openvino import opset13 as opset

    changed = 0
    for operator in model.get_ordered_ops():
        if operator.get_type_name() != "GroupConvolution":
            continue
        reshape = operator.input_value(1).get_node()
        if reshape.get_type_name() != "Reshape":
            continue
        source = reshape.input_value(0).get_node()
        if source.get_type_name() != "Constant":
            continue
        data = source.data.reshape(list(reshape.output(0).shape))
        weights = opset.constant(data, name=source.get_friendly_name())
        operator.input(1).replace_source_output(weights.output(0))
        changed += 1
    return changed


def untie_constants(model: openvino.Model) -> bool:
    """Gives each reader of a shared constant a copy; returns whether matrix products shared one.

    NNCF leaves a product in float whose weights another product reads too, so all of a
    recursion. Saving the model makes them one again: equal constants are written once.
    """
    from openvino import opset13 as opset

    products = False
    for operator in model.get_ordered_ops():
        if operator.get_type_name() != "Constant":
            continue
        for number, reader in enumerate(operator.output(0).get_target_inputs()):
            if number == 0:
                continue
            twin = opset.constant(operator.data, name=f"{operator.get_friendly_name()}/{number}")
            reader.replace_source_output(twin.output(0))
            products = products or reader.get_node().get_type_name() == "MatMul"
    return products


def int8_qdq(model: onnx.ModelProto, config: Int8, crops: NDArray[np.float32]) -> onnx.ModelProto:
    """Quantizes an FP32 graph into ONNX with QuantizeLinear and DequantizeLinear pairs."""
    keep = [
        node.name
        for node in model.graph.node
        if node.op_type in ("Conv", "MatMul") and _matches(node.name, config.keep_float)
    ]
    items = [{INPUT: c[None]} for c in crops]
    smooth = not _ties_products(model)
    quantized: onnx.ModelProto = _quantize(model, items, keep, config, smooth=smooth)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized


def check_patterns(patterns: Sequence[str], modules: Sequence[str]) -> None:
    """Raises InputError for a pattern that matches no module of the network."""
    for pattern in patterns:
        if not any(fnmatch.fnmatch(module, pattern) for module in modules):
            raise InputError(
                f"--keep-float '{pattern}' matches no module; modules are {', '.join(modules)}"
            )


def _matches(node: str, patterns: Sequence[str]) -> bool:
    """Whether a node such as ``blocks.0.low.conv#3`` belongs to a module that stays."""
    module = node.partition("#")[0]
    return any(fnmatch.fnmatch(module, pattern) for pattern in patterns)


def _ties_products(model: onnx.ModelProto) -> bool:
    """Whether one weight serves several matrix products, as in a recursion."""
    weights = {weight.name for weight in model.graph.initializer}
    read = [node.input[1] for node in model.graph.node if node.op_type == "MatMul"]
    read = [name for name in read if name in weights]
    return len(read) > len(set(read))


def _quantize(model: Any, items: list[Any], keep: list[str], config: Int8, *, smooth: bool) -> Any:
    """``smooth`` lets activations' ranges move into weights, call by call: not for tied ones."""
    import nncf
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        AdvancedSmoothQuantParameters,
        QuantizationParameters,
    )
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    preset = nncf.QuantizationPreset
    with _quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(items),
            subset_size=len(items),
            preset=preset.PERFORMANCE if config.symmetric else preset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(names=keep),
            advanced_parameters=AdvancedQuantizationParameters(
                # Inputs of depthwise convolutions too: ONNX Runtime takes scalar zero points only.
                activations_quantization_params=QuantizationParameters(per_channel=False)
                if isinstance(model, onnx.ModelProto)
                else None,
                activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM,
                smooth_quant_alphas=AdvancedSmoothQuantParameters()
                if smooth
                else AdvancedSmoothQuantParameters(matmul=-1, convolution=-1),
            ),
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences NNCF's own progress bars and notes, which garble ours."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
