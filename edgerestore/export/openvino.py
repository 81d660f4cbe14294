"""ONNX graphs as OpenVINO reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

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
