"""What ``benchmarks/support.py`` found: its result file, and the table made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from edgerestore.files import write_beside
from edgerestore.networks import MODELS
from edgerestore.recipe.scalars import PrecisionName

TARGETS = {
    "x86-openvino": "OpenVINO",
    "x86-onnxruntime": "ONNX Runtime",
    "rtx-tensorrt": "TensorRT for RTX",
}
ORDER: tuple[str, ...] = get_args(PrecisionName)
VERIFIED = "executed and verified"
WRONG = "executed, far from FP32"
COMPILED = "compiled, not executed"
REFUSED = "refused"


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One network in one precision on one target."""

    target: str
    precision: str
    status: str
    reason: str = ""
    """Why it was refused, in one line."""
    psnr_db: float | None = None
    """Of the probe's output to the FP32 network's, peak 1."""
    relative_db: float | None = None
    """The same with the output's deviation in the place of the peak."""
    emulated: bool = False
    """Whether the figures are ONNX Runtime's on a graph that its own target did not execute."""
    file_bytes: int = 0
    weight_ratio: float = 0.0
    """Bytes of stored constants over those of all parameters, each in the row's precision."""
    nodes: int = 0
    """Of an ONNX graph; OpenVINO counts its constants among its own."""
    seconds: float = 0.0
    """For quantizing or converting, writing, compiling and one run."""
    peak_gib: float = 0.0
    """Of the process so far: export, and the rows before this one."""


class Network(msgspec.Struct, kw_only=True):
    """One network and its rows."""

    name: str
    conditions: dict[str, Any]
    """What the rows depend on: they are kept while it stays the same."""
    weights: str = ""
    nodes: int = 0
    output_deviation: float = 0.0
    export_seconds: float = 0.0
    """Of CPU, which holds on a busy machine too, for rewriting and exporting."""
    export_peak_gib: float = 0.0
    """Of the process up to the export's check: PyTorch and the network itself included."""
    rows: list[Row] = []

    def row(self, target: str, precision: str) -> Row | None:
        """The row of a case, where it has been measured."""
        found = (r for r in self.rows if (r.target, r.precision) == (target, precision))
        return next(found, None)


Results = dict[str, Network]


def read_results(path: Path) -> Results:
    """The networks measured so far, by name; none where there is no file."""
    if not path.is_file():
        return {}
    return {n.name: n for n in msgspec.json.decode(path.read_bytes(), type=list[Network])}


def write_results(path: Path, results: Results) -> None:
    """Writes all networks in the order of the table of models."""
    order = [results[name] for name in MODELS if name in results]
    data = msgspec.json.format(msgspec.json.encode(order), indent=1)
    write_beside(path, data + b"\n")


def table(results: Results) -> str:
    """The Markdown table: one line a network, one column a backend."""
    lines = [
        f"| network | export | {' | '.join(TARGETS.values())} |",
        "|---|---|" + "---|" * len(TARGETS),
    ]
    for network in results.values():
        export = f"{network.export_seconds:.0f} s, {network.export_peak_gib:.1f} GiB"
        cells = (_cell([r for r in network.rows if r.target == target]) for target in TARGETS)
        lines.append(f"| `{network.name}` | {export} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(rows: Sequence[Row]) -> str:
    """``fp32 138 dB, fp16 71, int8 45``, behind ``compiled:`` where nothing was executed."""
    rows = sorted(rows, key=lambda row: ORDER.index(row.precision))
    parts, unit = [], " dB"
    for row in rows:
        if row.status == REFUSED:
            parts.append(f"{row.precision} refused: {row.reason}")
        elif row.relative_db is None:
            parts.append(row.precision)
        else:
            figure = f"{row.relative_db:.0f}{unit}"
            wrong = " (wrong)" if row.status == WRONG else ""
            parts.append(f"{row.precision} {f'({figure})' if row.emulated else figure}{wrong}")
            unit = ""
    compiled = any(row.status == COMPILED for row in rows)
    return ("compiled: " if compiled else "") + (", ".join(parts) or "not measured")
