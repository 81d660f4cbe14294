"""Counts what every model costs and writes the table that ``edgerestore models`` shows.

Run as ``python -m edgerestore.pipeline.catalogue [NAME ...]``; without names, for all of them,
which takes minutes and 6 GiB for the largest.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from edgerestore.compress.rewrites import deployable
from edgerestore.export.cost import costs_of_graph
from edgerestore.export.onnx import onnx_from_module
from edgerestore.files import write_beside
from edgerestore.networks import MODELS, ModelSpec, build_network, find_model
from edgerestore.networks.spec import COSTS, ModelCosts


def count(spec: ModelSpec) -> ModelCosts:
    """Exports the deployable form for the model's default tile and counts its graph."""
    rewritten, _ = deployable(build_network(spec))
    graph = onnx_from_module(rewritten, spec.tile)
    costs = costs_of_graph(graph, spec.params)
    return ModelCosts(
        macs=costs.macs,
        activations=costs.activations,
        attention_score_bytes=costs.attention_score_bytes,
        nodes=len(graph.graph.node),
        not_counted=costs.not_counted,
    )


def main(names: Sequence[str]) -> int:
    """The command; returns its exit code."""
    known = json.loads(COSTS.read_text()) if COSTS.is_file() else {}
    for spec in map(find_model, names or MODELS):
        if not spec.tasks:
            known[spec.name] = asdict(count(spec))
            ordered = {name: known[name] for name in MODELS if name in known}
            write_beside(COSTS, f"{json.dumps(ordered, indent=1)}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
