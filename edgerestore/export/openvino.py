"""ONNX graphs as OpenVINO reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from edgerestore.errors import EdgeRestoreError
from edgerestore.export.onnx import save_onnx

if TYPE_CHECKING:
    import openvino


def openvino_from_onnx(model: onnx.ModelProto, folder: Path) -> openvino.Model:
    """Reads a graph with OpenVINO, by way of a file in ``folder`` that is gone afterwards.

    Not openvino.convert_model, which reports to its makers; the reader is the same.
    """
    import openvino

    scratch = folder / "scratch.onnx"
    save_onnx(model, scratch)
    try:
        return openvino.Core().read_model(scratch)
    finally:
        scratch.unlink()


ENDS = ("Constant", "Parameter", "Result")


def refuse_operators(model: openvino.Model, taken: Collection[str], device: str) -> None:
    """Raises EdgeRestoreError where a device's compiler would refuse a graph.

    ``taken`` names the operators that it has. What depends on constants alone is folded before
    any compiler sees it, and is not counted. Dynamic shapes are refused as well.
    """
    from openvino.passes import ConstantFolding, Manager

    folded = model.clone()
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(folded)
    found = Counter(operator.get_type_name() for operator in folded.get_ops())
    missing = sorted(set(found) - set(taken) - set(ENDS))
    if missing:
        names = ", ".join(f"{name} ({found[name]})" for name in missing)
        raise EdgeRestoreError(
            f"{device} has no {names}: OpenVINO's compiler for it would refuse the graph; build "
            "for another target, or write the network without them"
        )
    if folded.is_dynamic():
        raise EdgeRestoreError(f"{device} takes static shapes only, and the graph has others")
