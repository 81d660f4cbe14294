"""Model files for one target and precision, in that runtime's dialect."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgerestore.bundle import PassFacts
from edgerestore.compress.bf16 import keep_in_fp32
from edgerestore.compress.fp16 import analyse, fp16_from_fp32
from edgerestore.compress.quantization.fake_quantize import openvino_from_plan
from edgerestore.errors import InputError
from edgerestore.export.batching import Batching
from edgerestore.export.onnx import save_onnx
from edgerestore.export.openvino import openvino_from_onnx, refuse_operators
from edgerestore.pipeline.quantizing import Quantizer
from edgerestore.recipe import Int8Rules, Target
from edgerestore.recipe.scalars import PrecisionName

MODEL_ONNX, MODEL_XML, MODEL_BIN = "model.onnx", "model.xml", "model.bin"
RANGES = "ranges.json"
"""What each quantized tensor was seen to hold, and the steps that were made of it."""


@dataclass(slots=True)
class Emitter:
    """Writes model files; what several targets share is quantized once."""

    graph: onnx.ModelProto
    """The FP32 deployable form, of one tile."""
    quantizer: Quantizer
    batching: Batching = field(default_factory=Batching)
    """What every file is turned into at the end."""
    _halves: dict[Int8Rules | None, tuple[onnx.ModelProto, PassFacts]] = field(default_factory=dict)

    def keeping(self, modules: tuple[str, ...]) -> Emitter:
        """The same graph with further modules left in float."""
        return Emitter(self.graph, self.quantizer.keeping(modules), self.batching)

    def emit(
        self, target: Target, precision: PrecisionName, folder: Path
    ) -> tuple[list[str], list[PassFacts]]:
        """Writes into ``folder``; returns file names, the one to open first, and passes."""
        if target.backend == "openvino":
            files, passes = self._openvino(target, precision, folder)
        else:
            files, passes = self._onnx(target, precision, folder)
        if precision == "int8":
            table = self.quantizer.ranges(target.int8)
            (folder / RANGES).write_bytes(_lines(table))
            files.append(RANGES)
        return files, passes

    def _onnx(
        self, target: Target, precision: PrecisionName, folder: Path
    ) -> tuple[list[str], list[PassFacts]]:
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
        """The graph that a target gets where its runtime reads ONNX, or is emulated by it."""
        model, passes = self._of_one_tile(target, precision)
        return self.batching(model), passes

    def _of_one_tile(
        self, target: Target, precision: PrecisionName
    ) -> tuple[onnx.ModelProto, list[PassFacts]]:
        if precision == "fp32":
            return self.graph, []
        if target.arithmetic == "fp16":
            return self._all_half(target, precision)
        if precision == "fp16":
            model, fp16 = self._half(None)
            return model, [fp16]
        int8 = self.quantizer.facts(target.int8)
        if target.int8.rest == "fp16":
            model, fp16 = self._half(target.int8)
            return model, [int8, fp16]
        return self.quantizer.qdq(target.int8), [int8]

    def _all_half(
        self, target: Target, precision: PrecisionName
    ) -> tuple[onnx.ModelProto, list[PassFacts]]:
        """The graph as a device computes it that has no FP32: nothing can be kept in it."""
        int8 = precision == "int8"
        model = fp16_from_fp32(self.quantizer.qdq(target.int8) if int8 else self.graph)
        return model, [self.quantizer.facts(target.int8)] if int8 else []

    def _half(self, rules: Int8Rules | None) -> tuple[onnx.ModelProto, PassFacts]:
        """The FP32 graph, or one that is quantized, in FP16 as far as its ranges allow."""
        if rules not in self._halves:
            model = self.graph if rules is None else self.quantizer.qdq(rules)
            analysis = analyse(model, self.quantizer.crops)
            facts = PassFacts(name="fp16", settings=analysis.settings())
            self._halves[rules] = fp16_from_fp32(model, analysis.kept), facts
        return self._halves[rules]

    def _openvino(
        self, target: Target, precision: PrecisionName, folder: Path
    ) -> tuple[list[str], list[PassFacts]]:
        import openvino

        passes = []
        if precision == "int8":
            plan = self.quantizer.plan(target.int8)
            plan = replace(plan, graph=self.batching(plan.graph))
            model = openvino_from_plan(plan, folder)
            passes = [self.quantizer.facts(target.int8)]
        else:
            model = openvino_from_onnx(self.batching(self.graph), folder)
        if target.operators:
            refuse_operators(model, target.operators, target.executes_on)
        compress = precision != "fp32"
        if compress:
            passes.append(PassFacts(name="compress_to_fp16", settings={}))
        try:
            openvino.save_model(model, folder / MODEL_XML, compress_to_fp16=compress)
        except RuntimeError as error:
            raise InputError(
                f"{folder / MODEL_XML}: openvino cannot write it; is the disk full? ({error})"
            ) from error
        if precision == "bf16":
            kept = keep_in_fp32(folder / MODEL_XML, self.quantizer.keep_float)
            passes.append(PassFacts(name="bf16", settings={"kept_in_fp32": kept}))
        return [MODEL_XML, MODEL_BIN], passes


def _lines(table: dict[str, Any]) -> bytes:
    """JSON with a tensor to a line: to be read, and to be compared line by line."""
    encode = msgspec.json.encode
    head = {key: value for key, value in table.items() if key != "tensors"}
    rows = [encode(name) + b":" + encode(row) for name, row in table["tensors"].items()]
    return encode(head)[:-1] + b',"tensors":{\n' + b",\n".join(rows) + b"\n}}\n"
