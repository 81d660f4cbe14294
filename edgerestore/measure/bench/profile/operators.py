"""One operator as a runtime executed it, in terms that all runtimes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

Kind = Literal[
    "convolution",
    "matrix product",
    "attention",
    "normalisation",
    "softmax",
    "element-wise",
    "reduction",
    "layout copy",
    "conversion",
    "other",
]
"""What an operator does. A layout copy moves values without changing them, a conversion changes
their type alone; "attention" is its products and softmax in one kernel."""

PRODUCTS: tuple[Kind, ...] = ("convolution", "matrix product", "attention")

_TYPES: dict[Kind, str] = {
    "convolution": "Conv ConvInteger ConvTranspose Convolution ConvolutionBackpropData "
    "Deconvolution FusedConv GroupConvolution NhwcFusedConv QLinearConv",
    "matrix product": "DynamicQuantizeMatMul FullyConnected FusedGemm FusedMatMul Gemm MatMul "
    "MatMulInteger MatMulIntegerToFloat QGemm QLinearMatMul",
    "attention": "Attention MHA MultiHeadAttention QAttention ScaledDotProductAttention "
    "ScaledDotProductAttentionWithKVCache",
    "normalisation": "BatchNormalization GroupNormalization InstanceNormalization "
    "LayerNormalization MVN NormalizeL2 RMS RMSNorm SimplifiedLayerNormalization "
    "SkipLayerNormalization",
    "softmax": "LogSoftmax QLinearSoftmax Softmax",
    "element-wise": "Abs Add BiasGelu BiasSoftmax Ceiling Clamp Clip Div Divide Eltwise Elu Erf "
    "Exp FastGelu Floor Gelu GreaterOrEqual HardSigmoid HardSwish HSwish LeakyRelu Less Max "
    "Maximum Min Minimum Mul Multiply Neg Negative PRelu Pow Power PowerStatic QLinearAdd "
    "QLinearLeakyRelu QLinearMul QLinearSigmoid QuickGelu Reciprocal Relu Select Sigmoid Sqrt "
    "Sub Subtract Swish Tanh Where",
    "reduction": "AveragePool AvgPool GlobalAveragePool Interpolate MaxPool QLinearAveragePool "
    "QLinearGlobalAveragePool QLinearReduceMean ReduceL2 ReduceMax ReduceMean ReduceSum Resize "
    "TopK Upsample",
    "layout copy": "BatchToSpace Broadcast Concat Concatenation DepthToSpace Expand Flatten Gather "
    "GatherElements Identity MemcpyFromHost MemcpyToHost Pad Permute QLinearConcat Reorder "
    "ReorderInput ReorderOutput Reshape ShuffleChannels Slice SpaceToBatch SpaceToDepth Split "
    "Roll Squeeze StridedSlice Tile Transpose Unsqueeze",
    "conversion": "Cast Convert DequantizeLinear DynamicQuantizeLinear FakeQuantize QuantizeLinear",
}

KIND_OF: dict[str, Kind] = {name: kind for kind, names in _TYPES.items() for name in names.split()}
"""Of an operator's type, as ONNX Runtime, OpenVINO and their graphs name it."""

PRECISION_OF = {
    "bf16": "bf16",
    "bfloat16": "bf16",
    "double": "fp64",
    "f16": "fp16",
    "f32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "i8": "int8",
    "int8": "int8",
    "u8": "int8",
    "uint8": "int8",
}
"""Of a type, as runtimes name it; signs do not matter here."""

FLOATS = ("bf16", "fp16", "fp32", "fp64")


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of the compiled graph."""

    name: str
    """The runtime's own."""
    type: str
    kind: Kind
    precision: str
    """What it really ran in: int8, bf16, fp16, fp32, or the runtime's word for another type."""
    kernel: str
    """The runtime's name of the code that ran."""
    calls: int
    """In one inference."""
    us: float
    """Microseconds in one inference, all calls together: the median over the runs."""
    holds: dict[str, int]
    """Operators of the bundle's own graph that were fused into it, itself included, by type."""
    products: int = 0
    """Matrix products and convolutions in it."""
    products_int8: int = 0
    """How many of them multiply integers."""


def kind_of(type_: str, holds: dict[str, int]) -> Kind:
    """What an operator does: by its type or, where that only says "fused", by what it holds."""
    if type_ in KIND_OF:
        return KIND_OF[type_]
    held = {KIND_OF[name] for name in holds if name in KIND_OF}
    if "softmax" in held and "matrix product" in held:
        return "attention"
    order: tuple[Kind, ...] = (
        "convolution",
        "matrix product",
        "softmax",
        "normalisation",
        "reduction",
        "element-wise",
        "conversion",
        "layout copy",
    )
    return next((kind for kind in order if kind in held), "other")


def count_held(operators: Iterable[Operator], *kinds: Kind) -> int:
    """How many operators of some kinds the bundle's own graph has, fused ones included."""
    held = sum((Counter(o.holds) for o in operators), Counter[str]())
    return sum(number for name, number in held.items() if KIND_OF.get(name) in kinds)
