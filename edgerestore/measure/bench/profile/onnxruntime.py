"""ONNX Runtime's own profile, which it writes as a file of trace events."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgerestore.backends.base import runtime_errors
from edgerestore.backends.onnxruntime import NAME, inference_session
from edgerestore.bundle import Bundle
from edgerestore.errors import BackendError
from edgerestore.measure.bench.profile.operators import PRECISION_OF, PRODUCTS, Operator, kind_of

HOLDS: dict[str, dict[str, int]] = {
    "Attention": {"MatMul": 3, "Softmax": 1},
    "BiasSoftmax": {"Add": 1, "Softmax": 1},
    "MultiHeadAttention": {"MatMul": 2, "Softmax": 1},
    "QAttention": {"MatMul": 3, "Softmax": 1},
    "SkipLayerNormalization": {"Add": 1, "LayerNormalization": 1},
}
"""What an operator that the runtime made of several stands for, where its type hides it."""

TIMED = "_kernel_time"


def profile(bundle: Bundle, threads: int, warm_up: int, runs: int) -> list[Operator]:
    """Runs the probe under the runtime's own profiler; operators in the order of execution.

    Raises BackendError where the runtime refuses.
    """
    given, _ = bundle.probe()
    contract = bundle.manifest.contract
    with tempfile.TemporaryDirectory() as folder:
        session = inference_session(bundle, threads, Path(folder) / "profile")
        with runtime_errors(NAME, "profiling", Exception):
            for _ in range(warm_up + runs):
                session.run([contract.output_name], {contract.input_name: given})
            written = Path(session.end_profiling()).read_bytes()
    try:
        events = msgspec.json.decode(written, type=list[_Event])
    except msgspec.MsgspecError as error:
        raise BackendError(f"{NAME} wrote a profile that cannot be read: {error}") from error
    seen: dict[tuple[str, str], list[_Event]] = defaultdict(list)
    for event in events:
        if event.cat == "Node" and event.name.endswith(TIMED):
            seen[event.name, str(event.args.get("node_index"))].append(event)
    return [_operator(found, warm_up, runs) for found in seen.values()]


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    cat: str = ""
    name: str = ""
    dur: float = 0.0
    """Microseconds."""
    args: dict[str, Any] = {}


def _operator(events: list[_Event], warm_up: int, runs: int) -> Operator:
    first = events[0]
    calls = max(1, len(events) // (warm_up + runs))
    each = np.array([event.dur for event in events[warm_up * calls :]], np.float64)
    type_ = str(first.args.get("op_name", ""))
    holds = HOLDS.get(type_, {type_: 1})
    kind = kind_of(type_, holds)
    types = [next(iter(shape), "") for shape in first.args.get("input_type_shape", [])]
    precision = _precision(types, [next(iter(s), "") for s in first.args["output_type_shape"]])
    products = calls * (sum(holds.values()) - holds.get("Softmax", 0)) if kind in PRODUCTS else 0
    return Operator(
        name=first.name.removesuffix(TIMED),
        type=type_,
        kind=kind,
        precision=precision,
        kernel=f"{first.args.get('provider', '')}".removesuffix("ExecutionProvider"),
        calls=calls,
        us=float(np.median(each)) * calls,
        holds={name: number * calls for name, number in holds.items()},
        products=products,
        products_int8=products if precision == "int8" else 0,
    )


def _precision(inputs: list[str], outputs: list[str]) -> str:
    """Of the values that come in; of what goes out where nothing does."""
    words = [*inputs[:1], *outputs[:1]]
    return next((PRECISION_OF.get(word, word) for word in words if word), "")
