"""Layers of a TensorRT engine, as its inspector writes them in JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from edgerestore.errors import BackendError
from edgerestore.measure.bench.profile.operators import KIND_OF, PRODUCTS, Kind, Operator, kind_of

TYPES = (
    ("bf16", re.compile(r"BFloat16|BF16", re.IGNORECASE)),
    ("fp8", re.compile(r"FP8|Float8", re.IGNORECASE)),
    ("fp16", re.compile(r"FP16|Half|Float16", re.IGNORECASE)),
    ("int8", re.compile(r"Int8", re.IGNORECASE)),
    ("fp32", re.compile(r"FP32|Float|TF32", re.IGNORECASE)),
)
"""Of a tensor, by the first that its format names."""
KINDS: tuple[tuple[str, Kind], ...] = (
    ("reformat", "layout copy"),
    ("mha", "attention"),
    ("conv", "convolution"),
    ("gemm", "matrix product"),
    ("matrixmultiply", "matrix product"),
    ("softmax", "softmax"),
    ("normalization", "normalisation"),
    ("layernorm", "normalisation"),
    ("pointwise", "element-wise"),
    ("elementwise", "element-wise"),
    ("activation", "element-wise"),
    ("unary", "element-wise"),
    ("scale", "element-wise"),
    ("parametricrelu", "element-wise"),
    ("reduce", "reduction"),
    ("pooling", "reduction"),
    ("resize", "reduction"),
    ("topk", "reduction"),
    ("quantize", "conversion"),
    ("cast", "conversion"),
    ("shuffle", "layout copy"),
    ("slice", "layout copy"),
    ("concat", "layout copy"),
    ("gather", "layout copy"),
    ("copy", "layout copy"),
)
"""By the first word that a layer's type holds; other types, kgen for one, are of what they
stand for."""
FUSED_ATTENTION = "mha"
"""In the name of a kernel that is a whole attention."""
SHOWN: dict[Kind, str] = {
    "attention": "Attention",
    "convolution": "Conv",
    "element-wise": "Eltwise",
    "matrix product": "MatMul",
    "normalisation": "LayerNormalization",
    "softmax": "Softmax",
}
"""Types to show, where the runtime has many names for one."""

_SOURCE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_TAIL = re.compile(r"(_tilesize|_0x[0-9a-f]+).*$")
"""What follows the part of a kernel's name that says what it does."""


class Tensor(msgspec.Struct, frozen=True):
    """One input or output."""

    format: str = msgspec.field(name="Format/Datatype", default="")
    datatype: str = msgspec.field(name="Datatype", default="")
    """What later versions say instead."""

    @property
    def type(self) -> str:
        """int8, fp16 and the like; "" for others, such as indices."""
        told = self.datatype or self.format
        return next((name for name, pattern in TYPES if pattern.search(told)), "")


class Layer(msgspec.Struct, frozen=True):
    """What the engine runs as one."""

    name: str = msgspec.field(name="Name")
    type: str = msgspec.field(name="LayerType", default="")
    inputs: tuple[Tensor, ...] = msgspec.field(name="Inputs", default=())
    outputs: tuple[Tensor, ...] = msgspec.field(name="Outputs", default=())
    weights: dict[str, str | int] = msgspec.field(name="Weights", default_factory=dict)
    tactic: str = msgspec.field(name="TacticName", default="")
    metadata: str = msgspec.field(name="Metadata", default="")

    @property
    def sources(self) -> list[str]:
        """Names of the ONNX nodes that it stands for, wholly or in part."""
        return _SOURCE.findall(self.metadata)


class _Engine(msgspec.Struct, frozen=True):
    layers: tuple[Layer | str, ...] = msgspec.field(name="Layers")


def read_layers(told: str) -> list[Layer]:
    """Reads the inspector's JSON.

    Raises BackendError for another text, and for an engine that was built without details.
    """
    try:
        found = msgspec.json.decode(told, type=_Engine).layers
    except msgspec.MsgspecError as error:
        raise BackendError(f"the engine inspector's answer cannot be read: {error}") from error
    layers = [layer for layer in found if isinstance(layer, Layer)]
    if not layers or len(layers) < len(found):
        raise BackendError(
            "the engine tells only the names of its layers; 'edgerestore compile' builds it "
            "again with details"
        )
    return layers


def operators_of(
    layers: Sequence[Layer],
    us: Mapping[str, Sequence[float]],
    types: Mapping[str, str],
    runs: int,
) -> list[Operator]:
    """Layers that took time, in the engine's order.

    ``us`` holds microseconds by layer, of ``runs`` inferences one after another; ``types`` the
    types of ONNX nodes by name. A node that several layers are part of counts in the first,
    a product in the first that multiplies.
    """
    timed = [layer for layer in layers if us.get(layer.name)]
    kinds = {layer.name: _kind(layer, types) for layer in timed}
    owner: dict[str, str] = {}
    for layer in sorted(timed, key=lambda layer: kinds[layer.name] not in PRODUCTS):
        for source in layer.sources:
            owner.setdefault(source, layer.name)
    return [
        _operator(
            layer,
            kinds[layer.name],
            us[layer.name],
            Counter(types[s] for s in layer.sources if owner[s] == layer.name and s in types),
            runs,
        )
        for layer in timed
    ]


def _operator(
    layer: Layer, kind: Kind, us: Sequence[float], holds: Counter[str], runs: int
) -> Operator:
    calls = max(1, len(us) // runs)
    products = sum(number for name, number in holds.items() if KIND_OF.get(name) in PRODUCTS)
    products = (products or 1) if kind in PRODUCTS else 0
    precision = _precision(layer, multiplies=kind in PRODUCTS)
    return Operator(
        name=layer.name,
        type=SHOWN.get(kind, layer.type),
        kind=kind,
        precision=precision,
        kernel=_TAIL.sub("", layer.tactic) or layer.type,
        calls=calls,
        us=float(np.median(us)) * calls,
        holds=dict(sorted(holds.items())),
        products=products,
        products_int8=products if precision == "int8" else 0,
    )


def _kind(layer: Layer, types: Mapping[str, str]) -> Kind:
    if FUSED_ATTENTION in layer.name.lower() or FUSED_ATTENTION in layer.tactic.lower():
        return "attention"
    type_ = layer.type.lower()
    found = next((kind for word, kind in KINDS if word in type_), None)
    ends = {_first(layer.inputs), _first(layer.outputs)} - {""}
    if found == "layout copy" and len(ends) == 2:
        return "conversion"
    return found or kind_of("", Counter(types[s] for s in layer.sources if s in types))


def _precision(layer: Layer, *, multiplies: bool) -> str:
    """Of the values that come in; a product is INT8 only if all that it multiplies is."""
    inputs = [tensor.type for tensor in layer.inputs[:2] if tensor.type]
    if not multiplies or not inputs:
        return next(iter(inputs), _first(layer.outputs))
    weights = Tensor(str(layer.weights.get("Type", ""))).type
    # With weights of its own the second input is what is added to the product.
    multiplied = [inputs[0], weights] if weights else inputs
    return next((kind for kind in multiplied if kind != "int8"), "int8")


def _first(tensors: Sequence[Tensor]) -> str:
    return next((tensor.type for tensor in tensors if tensor.type), "")
