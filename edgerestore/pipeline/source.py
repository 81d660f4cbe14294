"""What every bundle of one build starts from: a checked FP32 graph and its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from edgerestore.bundle import Costs, PassFacts
from edgerestore.compress.fp16 import rounded
from edgerestore.compress.rewrites import deployable
from edgerestore.compress.running import open_graph
from edgerestore.errors import EdgeRestoreError
from edgerestore.evaluation import ImagePair, Score, evaluate
from edgerestore.export.batching import Batching, batching_of
from edgerestore.export.cost import costs_of_graph
from edgerestore.export.onnx import INPUT, onnx_from_module
from edgerestore.networks import ModelSpec
from edgerestore.pipeline.finite import finite

LARGEST_EXPORT_ERROR = 1e-4
"""Of the graph in ONNX Runtime against the reference network: max error over deviation."""

ROUNDING, ROUNDING_TRIALS, ROUNDING_MARGIN = 1e-6, 4, 3.0
"""Noise on inputs in [0, 1], how often it is drawn, and the multiple of its effect allowed."""

LARGEST_ROUNDING_ERROR = 0.1
"""What no sensitivity to rounding excuses."""

SMALLEST_DEVIATION = 0.05
"""What a flat probe, black or of night sky, is taken to deviate by: its own is nearly zero."""

REFERENCE_BATCH = 8
"""Tiles at once through the reference network; its outputs do not depend on it."""

Tiles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Source:
    """One model at one tile, in FP32."""

    spec: ModelSpec
    tile: int
    overlap: int
    graph: onnx.ModelProto
    """The deployable form, of one tile."""
    batching: Batching
    """What bundles run at once."""
    probe: Tiles
    """As many tiles as that."""
    expected: Tiles
    """The reference network's output for the probe."""
    costs: Costs
    rewrite: PassFacts
    scores: list[Score]
    """The reference network's accuracy, tiled as the bundles are."""


def prepare(
    spec: ModelSpec,
    network: nn.Module,
    probe: Tiles,
    pairs: list[ImagePair],
    *,
    tile: int,
    overlap: int,
    report: Callable[[str], None],
) -> Source:
    """Rewrites and exports ``network`` and measures it.

    ``probe`` is N x 3 x tile x tile, N as many tiles as bundles are to run at once.

    Raises EdgeRestoreError where the network cannot be exported, or where the exported graph
    does not compute what the reference network computes.
    """
    report("rewriting and exporting")
    rewritten, changed = deployable(network)
    graph, batching = _exported(rewritten, tile, len(probe))
    several = batching(graph)
    report("checking the export")
    run = finite(reference_run(network), spec.name)
    expected = run(probe)
    _check_export(several, run, probe, expected)
    report("measuring the FP32 network")
    scores = evaluate(
        run,
        pairs,
        tile=tile,
        overlap=overlap,
        scale=spec.scale,
        border=spec.border,
        batch=REFERENCE_BATCH,
    )
    return Source(
        spec=spec,
        tile=tile,
        overlap=overlap,
        graph=graph,
        batching=batching,
        probe=probe,
        expected=expected,
        costs=costs_of_graph(several, spec.params),
        rewrite=PassFacts(name="rewrite", settings=dict(changed)),
        scores=scores,
    )


def reference_run(network: nn.Module) -> Callable[[Tiles], Tiles]:
    """The reference form as a function of tiles, in PyTorch's float32."""

    def run(tiles: Tiles) -> Tiles:
        with torch.inference_mode():
            result: Tiles = network(torch.tensor(tiles)).numpy()
        return result

    return run


def onnx_run(model: onnx.ModelProto) -> Callable[[Tiles], Tiles]:
    """A graph as a function of tiles, in ONNX Runtime on this CPU, every FP16 tensor rounded."""
    session = open_graph(rounded(model))

    def run(tiles: Tiles) -> Tiles:
        result: Tiles = session.run(None, {INPUT: tiles})[0]
        return result

    return run


def _exported(network: nn.Module, tile: int, batch: int) -> tuple[onnx.ModelProto, Batching]:
    try:
        graph = onnx_from_module(network, tile)
        return graph, batching_of(network, graph, tile, batch)
    except EdgeRestoreError:
        raise
    except Exception as error:
        # What torch and onnxscript raise for code that they cannot follow has no common base.
        raise EdgeRestoreError(
            f"the network cannot be exported: {_innermost(error)}; --debug shows where"
        ) from error


def _innermost(error: BaseException) -> str:
    """The cause that the exporter's own messages, pages long, are wrapped around."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


def _check_export(
    graph: onnx.ModelProto, run: Callable[[Tiles], Tiles], probe: Tiles, expected: Tiles
) -> None:
    deviation = max(float(expected.std()), SMALLEST_DEVIATION)
    error = float(np.abs(onnx_run(graph)(probe) - expected).max()) / deviation
    if error <= LARGEST_EXPORT_ERROR:
        return
    allowed = ROUNDING_MARGIN * _moved_by_rounding(run, probe, expected) / deviation
    allowed = min(max(LARGEST_EXPORT_ERROR, allowed), LARGEST_ROUNDING_ERROR)
    if not error <= allowed:
        raise EdgeRestoreError(
            f"the exported graph differs from the network by {error:.1e} of its deviation "
            f"(allowed {allowed:.0e}); this is a defect of the exporter or a rewrite"
        )


def _moved_by_rounding(run: Callable[[Tiles], Tiles], probe: Tiles, expected: Tiles) -> float:
    """How far the network's own output moves when its input is off by a few units of rounding.

    A network that keeps the largest of its scores jumps wherever two of them are nearly equal:
    DRSformer has thousands of such choices, and any other order of summation flips some.
    """
    rng = np.random.default_rng(0)
    moved = 0.0
    for _ in range(ROUNDING_TRIALS):
        noise = rng.uniform(-1, 1, probe.shape).astype(np.float32) * np.float32(ROUNDING)
        moved = max(moved, float(np.abs(run(probe + noise) - expected).max()))
    return moved
