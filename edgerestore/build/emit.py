"""Model files for one target and precision, in that runtime's dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgerestore.bundle import PassFacts
from edgerestore.compress.fp16 import analyse, fp16_from_fp32
from edgerestore.compress.int8 import Int8, int8_openvino, int8_qdq
from edgerestore.errors import InputError
from edgerestore.export.onnx import save_onnx
from edgerestore.export.openvino import openvino_from_onnx
from edgerestore.recipe import Target
from edgerestore.recipe.scalars import PrecisionName

MODEL_ONNX, MODEL_XML, MODEL_BIN = "model.onnx", "model.xml", "model.bin"


@dataclass(slots=True)
class Emitter:
    """Writes model files; what several targets share is quantized once."""

    graph: onnx.ModelProto
    """The FP32 deployable form."""
    crops: NDArray[np.float32]
    """Calibration, N x 3 x tile x tile in [0, 1]."""
    keep_float: tuple[str, ...]
    _quantized: dict[bool, onnx.ModelProto] = field(default_factory=dict)
    _halves: dict[bool | None, tuple[onnx.ModelProto, PassFacts]] = field(default_factory=dict)

    def emit(
        self, target: Target, precision: PrecisionName, folder: Path
    ) -> tuple[list[str], list[PassFacts]]:
        """Writes into ``folder``; returns file names, the one to open first, and passes."""
        if target.backend == "openvino":
            return self._openvino(precision, folder)
        model, passes = self.onnx_for(target, precision)
        save_onnx(model, folder / MODEL_ONNX)
        files = [MODEL_ONNX]
        if target.compute_capabilities:
            from edgerestore.backends.tensorrt import ENGINE, RTX, plan_from_onnx

            plan = plan_from_onnx(RTX, folder / MODEL_ONNX, target.compute_capabilities)
            (folder / ENGINE).write_bytes(plan)
            files.append(ENGINE)
        return files, passes

    def onnx_for(
        self, target: Target, precision: PrecisionName
    ) -> tuple[onnx.ModelProto, list[PassFacts]]:
        """The graph that a target gets where its runtime reads ONNX."""
        if precision == "fp32":
            return self.graph, []
        if precision == "fp16":
            model, fp16 = self._half(None)
            return model, [fp16]
        config = Int8(self.keep_float, symmetric=target.int8.symmetric)
        int8 = PassFacts(name="int8", settings=config.settings(len(self.crops)))
        model = self.quantized(config)
        if target.int8.rest == "fp16":
            model, fp16 = self._half(config.symmetric)
            return model, [int8, fp16]
        return model, [int8]

    def quantized(self, config: Int8) -> onnx.ModelProto:
        """The QDQ graph for these settings, made once."""
        if config.symmetric not in self._quantized:
            self._quantized[config.symmetric] = int8_qdq(self.graph, config, self.crops)
        return self._quantized[config.symmetric]

    def _half(self, symmetric: bool | None) -> tuple[onnx.ModelProto, PassFacts]:
        """The FP32 graph, or one that is quantized, in FP16 as far as its ranges allow."""
        if symmetric not in self._halves:
            model = self.graph if symmetric is None else self._quantized[symmetric]
            analysis = analyse(model, self.crops)
            facts = PassFacts(name="fp16", settings=analysis.settings())
            self._halves[symmetric] = fp16_from_fp32(model, analysis.kept), facts
        return self._halves[symmetric]

    def _openvino(
        self, precision: PrecisionName, folder: Path
    ) -> tuple[list[str], list[PassFacts]]:
        import openvino

        passes = []
        if precision == "int8":
            config = Int8(self.keep_float)
            model = int8_openvino(self.graph, config, self.crops, folder)
            passes = [PassFacts(name="int8", settings=config.settings(len(self.crops)))]
        else:
            model = openvino_from_onnx(self.graph, folder)
        compress = precision != "fp32"
        if compress:
            passes.append(PassFacts(name="compress_to_fp16", settings={}))
        try:
            openvino.save_model(model, folder / MODEL_XML, compress_to_fp16=compress)
        except RuntimeError as error:
            raise InputError(
                f"{folder / MODEL_XML}: openvino cannot write it; is the disk full? ({error})"
            ) from error
        return [MODEL_XML, MODEL_BIN], passes
