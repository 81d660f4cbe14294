"""ONNX from a torch module: static, checked, and free of what backends refuse."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import torch
from onnx import numpy_helper
from onnx_ir.passes import common
from onnxscript import opset20
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules.common import (
    remove_optional_bias_from_conv_rule,
    remove_optional_bias_from_gemm_rule,
    transpose_transpose_rule,
)
from torch import nn

from edgerestore.errors import EdgeRestoreError

OPSET = 20
INPUT, OUTPUT = "input", "output"
FOLDED_VALUES = 4096
"""Constants of up to this many values are computed at export; larger ones would swell files."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""Key of torch's exporter for the modules that a node is inside of, outermost first."""

REFUSED_OPERATORS = {
    "Col2Im": "TensorRT's parser has none, and OpenVINO runs a reference kernel",
    "Im2Col": "no backend has a fast one",
    "ScatterElements": "slow or absent on every accelerator",
    "ScatterND": "slow or absent on every accelerator",
    "NonZero": "its output's shape is known only at run time",
    "Shape": "a shape computed at run time; NPUs take static shapes only",
    "Loop": "no accelerator runs a loop in its graph well",
    "If": "no accelerator runs a branch in its graph well",
}
"""Operators that no artifact may hold, each with the reason."""


def onnx_from_module(module: nn.Module, tile: int, batch: int = 1) -> onnx.ModelProto:
    """Exports ``module`` for N x 3 x tile x tile, constants folded, types and shapes known.

    Raises EdgeRestoreError where the graph holds one of :data:`REFUSED_OPERATORS`.
    """
    program = _exported(module, batch, tile)
    _simplify(program.model)
    model = program.model_proto
    layers = _layers(model)
    _strip(model)
    share_initializers(model)
    _name_nodes(model, layers)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(model, full_check=True)
    refuse(model)
    return model


def plain_onnx_from_module(module: nn.Module, tile: int) -> onnx.ModelProto:
    """What anyone gets from ``torch.onnx.export``: the baseline that peers start from."""
    program = _exported(module, 1, tile)
    program.optimize()
    model: onnx.ModelProto = program.model_proto
    return model


def refuse(model: onnx.ModelProto) -> None:
    """Raises EdgeRestoreError where a graph holds an operator that backends refuse."""
    for node in model.graph.node:
        if node.op_type in REFUSED_OPERATORS:
            raise EdgeRestoreError(
                f"the exported graph holds {node.op_type} ({node.name}): "
                f"{REFUSED_OPERATORS[node.op_type]}"
            )


def share_initializers(model: onnx.ModelProto) -> int:
    """Lets equal constants be one, so that a file stores each once; returns how many went."""
    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    for constant in model.graph.initializer:
        content = numpy_helper.to_array(constant).tobytes()
        key = (constant.data_type, tuple(constant.dims), content)
        renamed[constant.name] = kept.setdefault(key, constant.name)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    unique = [c for c in model.graph.initializer if renamed[c.name] == c.name]
    gone = len(model.graph.initializer) - len(unique)
    del model.graph.initializer[:]
    model.graph.initializer.extend(unique)
    return gone


def drop_unread(graph: onnx.GraphProto) -> None:
    """Removes the constants that no node reads."""
    read = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def operator_counts(model: onnx.ModelProto) -> dict[str, int]:
    """How often each operator occurs, most frequent first."""
    return dict(Counter(node.op_type for node in model.graph.node).most_common())


def save_onnx(model: onnx.ModelProto, path: Path) -> None:
    """Writes a model of less than 2 GiB in one file.

    Without the shapes of what is between its ends, which every reader infers: of a recursion
    in INT8 they would be a fifteenth of the file.
    """
    between = list(model.graph.value_info)
    del model.graph.value_info[:]
    try:
        path.write_bytes(model.SerializeToString(deterministic=True))
    finally:
        model.graph.value_info.extend(between)


def _exported(module: nn.Module, batch: int, tile: int) -> torch.onnx.ONNXProgram:
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(batch, 3, tile, tile),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            custom_translation_table={torch.ops.aten.sort.stable: _stable_sort},
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program


def _simplify(model: onnx_ir.Model) -> None:
    """Folds constants, computes equal things once and drops what has no effect, in place.

    Of onnxscript's general rules only those that find work in these graphs: trying all of
    them on each of DRSformer's nodes takes longer than the rest of the export. A convolution
    without bias is exported with one of zeros, which NNCF would take for a bias to correct.
    """
    limits: dict[str, Any] = {
        "onnx_shape_inference": True,
        "input_size_limit": FOLDED_VALUES,
        "output_size_limit": FOLDED_VALUES,
    }
    common.InlinePass()(model)
    fold_constants_ir(model, **limits)
    rewrite(
        model,
        pattern_rewrite_rules=[
            transpose_transpose_rule,
            remove_optional_bias_from_conv_rule,
            remove_optional_bias_from_gemm_rule,
        ],
    )
    # Once more: shapes behind what was folded are constants by now.
    fold_constants_ir(model, **limits)
    onnx_ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


def _stable_sort(
    values: Any, *, stable: bool = True, dim: int = -1, descending: bool = False
) -> Any:
    """A stable sort as TopK of everything, which puts equal values in the order of their index."""
    length = opset20.Constant(value_ints=[values.shape[dim]])
    return opset20.TopK(values, length, axis=dim, largest=int(descending), sorted=1)


def _strip(model: onnx.ModelProto) -> None:
    """Removes the exporter's notes: stack traces with paths, which differ by machine."""
    model.doc_string = ""
    del model.metadata_props[:]
    for holder in (model.graph, *model.graph.node, *model.graph.initializer):
        holder.doc_string = ""
        del holder.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        value.doc_string = ""
        del value.metadata_props[:]


def _layers(model: onnx.ModelProto) -> dict[str, str]:
    """The innermost module that made each matrix product's output, as the exporter noted it.

    A second call of one module is noted as ``module@1``, which is the same module here.
    """
    layers = {}
    for node in model.graph.node:
        if node.op_type != "MatMul":
            continue
        notes = {note.key: note.value for note in node.metadata_props}
        # The last scope is the node itself.
        scopes = ast.literal_eval(notes.get(SCOPES, "[]"))[:-1]
        layers[node.output[0]] = re.sub(r"@\d+", "", scopes[-1] if scopes else "")
    return layers


def _name_nodes(model: onnx.ModelProto, layers: Mapping[str, str]) -> None:
    """Names nodes with weights after their module; calls of one module count from #1.

    A product of two activations is the ``matmul`` of the layer that asks for it. People read
    these names in profiles, in sensitivity tables and in recipes.
    """
    weights = {init.name for init in model.graph.initializer}
    calls: Counter[str] = Counter()
    for node in model.graph.node:
        owner = next((name for name in node.input[1:] if name in weights), "")
        layer = layers.get(node.output[0])
        kind = node.op_type.lower()
        module = owner.rpartition(".weight")[0] or (f"{layer}.{kind}" if layer else kind)
        calls[module] += 1
        node.name = f"{module}#{calls[module]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter, which tells of torchvision's absence at every call."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
