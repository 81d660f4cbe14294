"""OpenVINO's performance counters, with what its runtime model says of fused operators."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np

from edgerestore.backends.base import runtime_errors
from edgerestore.backends.openvino import NAME, compiled_model
from edgerestore.bundle import Bundle
from edgerestore.measure.bench.profile.operators import (
    KIND_OF,
    PRECISION_OF,
    PRODUCTS,
    Kind,
    Operator,
    kind_of,
)

CARRIERS = ("Convert", "Multiply", "Reshape", "Subtract", "Transpose")
"""What stands between a quantized value and the product that reads it."""
INTEGERS = ("i8", "u8")
FUSED = "Subgraph"
"""The runtime's type of what it made of several operators, none of them a convolution."""
NAMED: dict[Kind, str] = {
    "attention": "Attention",
    "conversion": "Quantize",
    "element-wise": "Eltwise",
    "matrix product": "MatMul",
    "softmax": "Softmax",
}
"""Types to show in its place."""

_TYPE_AT_END = re.compile(r"(?:^|_)([a-z]+[0-9]+)$")


def profile(bundle: Bundle, threads: int, warm_up: int, runs: int) -> list[Operator]:
    """Runs the probe under the runtime's own counters; operators in the order of execution.

    Raises BackendError where the runtime refuses.
    """
    import openvino

    with runtime_errors(NAME, "profiling"):
        compiled = compiled_model(bundle, threads, PERF_COUNT="YES")
        request = compiled.create_infer_request()
        given, _ = bundle.probe()
        for _ in range(warm_up):
            request.infer([given])
        taken: dict[str, list[float]] = defaultdict(list)
        kinds: dict[str, tuple[str, str]] = {}
        for _ in range(runs):
            request.infer([given])
            for seen in request.profiling_info:
                if seen.status == openvino.ProfilingInfo.Status.EXECUTED:
                    taken[seen.node_name].append(seen.real_time.total_seconds() * 1e6)
                    kinds[seen.node_name] = (seen.node_type, seen.exec_type)
        source = {
            node.get_friendly_name(): node
            for node in openvino.Core().read_model(bundle.model_file).get_ordered_ops()
        }
        fused = _fused(compiled)
    order = {name: place for place, name in enumerate(fused)}
    return [
        _operator(name, *kinds[name], taken[name], fused.get(name, []), source)
        for name in sorted(kinds, key=lambda name: order.get(name, len(order)))
    ]


def precision_of(kernel: str) -> str:
    """The type that a kernel's name ends with, such as ``brgemm_avx512_bf16``; "" for none."""
    found = _TYPE_AT_END.search(kernel.lower())
    return PRECISION_OF.get(found[1], found[1]) if found else ""


def _operator(
    name: str,
    type_: str,
    kernel: str,
    us: list[float],
    members: list[str],
    source: dict[str, Any],
) -> Operator:
    nodes = [source[member] for member in members if member in source]
    holds = Counter(node.get_type_name() for node in nodes)
    # Compiled from a product whose name was given to what rescales its result.
    type_ = type_.removesuffix("QuantizedLegacy").removesuffix("Compressed")
    kind = kind_of(type_, holds)
    if kind == "other" and type_ == FUSED:
        # Of operators that the runtime itself put in, which are arithmetic on single values.
        kind = "element-wise"
    precision = precision_of(kernel)
    products = [node for node in nodes if KIND_OF.get(node.get_type_name()) in PRODUCTS]
    if type_ in KIND_OF and not any(KIND_OF.get(held) == kind for held in holds):
        holds[type_] += 1
    integers = len(products) or int(kind in PRODUCTS)
    if kind == "attention":
        # One kernel, but its products need not be of one type: scores are mostly left in float.
        integers = sum(_multiplies_integers(node) for node in products)
    return Operator(
        name=name,
        type=NAMED.get(kind, type_) if type_ == FUSED else type_,
        kind=kind,
        precision=precision,
        kernel=kernel,
        calls=1,
        us=float(np.median(us)),
        holds=dict(sorted(holds.items())),
        products=len(products) or int(kind in PRODUCTS),
        products_int8=integers if precision == "int8" else 0,
    )


def _multiplies_integers(product: Any) -> bool:
    return all(_is_quantized(product.input_value(port).get_node()) for port in (0, 1))


def _is_quantized(node: Any) -> bool:
    while node.get_type_name() in CARRIERS:
        node = node.input_value(0).get_node()
    kind = node.get_type_name()
    return kind == "FakeQuantize" or (
        kind == "Constant" and node.get_element_type().get_type_name() in INTEGERS
    )


def _fused(compiled: Any) -> dict[str, list[str]]:
    """Names in the bundle's own graph that each compiled operator stands for, in its order."""
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        key = "originalLayersNames"
        names = str(info[key].astype(str)) if key in info else ""
        found[node.get_friendly_name()] = names.split(",") if names else []
    return found
