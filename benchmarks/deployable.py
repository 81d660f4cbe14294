"""The deployable form of each network beside its reference form, in the same runtimes.

``python benchmarks/deployable.py`` exports both forms of one set of weights, measures them in
PyTorch, ONNX Runtime and OpenVINO in one interleaved run for each network, and writes a result
file. Weights are random, as latency does not depend on them. Every candidate's output is held
against PyTorch's in FP32 before it is timed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import peers
from arguments import exit_after, parser_of_models
from documents import read_document, write_document

from edgerestore.measure.bench.environment import Watch, warnings
from edgerestore.measure.bench.harness import Candidate, Plan, cpu_seconds, measure
from edgerestore.measure.bench.results import Results, ratios_of, result_of

GOALS = {"esrt_x4": 1.25, "drt": 1.25, "drsformer": 1.5}
"""Latency of the reference form over the deployable one in OpenVINO FP32, to reach."""
RESULTS = Path(__file__).parent / "results" / "deployable.json"
RUNTIMES = {
    "PyTorch": ("torch-fused", "torch-deployable", peers.WEIGHTS, peers.WEIGHTS),
    "ONNX Runtime FP32": ("onnxruntime", "onnxruntime", "reference.onnx", "deployable.onnx"),
    "OpenVINO FP32": ("openvino-f32", "openvino-f32", "reference.onnx", "deployable.onnx"),
    "OpenVINO BF16": ("openvino-bf16", "openvino-bf16", "reference.onnx", "deployable.onnx"),
}
"""For each runtime: how either form is run, and from which file."""


def main() -> int:
    """Prepares, measures and writes; returns 1 where a goal is missed."""
    given = parser_of_models(__doc__, list(GOALS), RESULTS, each="candidate").parse_args()
    measured = {model: _measure(model, given.seconds, given.threads) for model in given.models}
    known = read_document(given.out)
    write_document(given.out, known | msgspec.to_builtins(measured))
    reached = [_show(model, results) for model, results in measured.items()]
    print(f"written to {given.out}")
    return 0 if all(reached) else 1


def _measure(model: str, seconds: float, threads: int) -> Results:
    plan = Plan(seconds=seconds)
    with tempfile.TemporaryDirectory() as folder:
        candidates, nodes = _prepare(Path(folder), model, threads)
        watch = Watch()
        seen = measure(candidates, plan)
        environment = watch.finish(cpu_seconds(seen))
    return Results(
        bundles=[result_of(m, m.candidate.name) for m in seen],
        environment=environment,
        ratios=ratios_of(seen, plan),
        protocol={"model": model, "threads": threads, "weights": "random", "nodes": nodes},
        warnings=warnings(environment),
    )


def _prepare(folder: Path, model: str, threads: int) -> tuple[list[Candidate], dict[str, int]]:
    """Writes both forms; the deployable one in OpenVINO FP32 comes first, for the ratios.

    Gives the nodes of either form's graph as well.
    """
    import torch

    from edgerestore.calibration import crops, read_set
    from edgerestore.compress.rewrites import deployable
    from edgerestore.export.onnx import onnx_from_module, plain_onnx_from_module, save_onnx
    from edgerestore.networks import build_network, find_model
    from edgerestore.networks.weights import save_weights

    torch.manual_seed(0)
    spec = find_model(model)
    network = build_network(spec)
    image = crops(read_set("photos").images, spec.tile)[:1]
    with torch.inference_mode():
        peers.write_expected(folder, image, network(torch.tensor(image)).numpy())
    save_weights(folder / peers.WEIGHTS, spec, network.state_dict(), {})
    rewritten, _ = deployable(network)
    graphs = {
        "reference": plain_onnx_from_module(network, spec.tile),
        "deployable": onnx_from_module(rewritten, spec.tile),
    }
    for form, graph in graphs.items():
        save_onnx(graph, folder / f"{form}.onnx")
    made = [
        peers.candidate(f"{runtime}, {form}", kind, folder / file, model, threads)
        for runtime, (kind, own, file, own_file) in RUNTIMES.items()
        for form, kind, file in (("deployable", own, own_file), ("reference", kind, file))
    ]
    made.sort(key=lambda c: c.name != "OpenVINO FP32, deployable")
    return made, {form: len(graph.graph.node) for form, graph in graphs.items()}


def _show(model: str, results: Results) -> bool:
    """Prints one network's table; returns whether its goal is reached."""
    factors = {"OpenVINO FP32, deployable": 1.0}
    factors |= {ratio.name: ratio.median for ratio in results.ratios}
    nodes = results.protocol["nodes"]
    print(f"{model}: latency of the reference form over that of the deployable form")
    print(f"  ONNX nodes: {nodes['reference']:,} in the one, {nodes['deployable']:,} in the other")
    found = {}
    for runtime in RUNTIMES:
        own, reference = (factors.get(f"{runtime}, {form}") for form in ("deployable", "reference"))
        found[runtime] = reference / own if own and reference else 0.0
        print(f"  {runtime:20} {found[runtime]:.2f}")
    goal = GOALS.get(model, 0.0)
    word = "reached" if found["OpenVINO FP32"] >= goal else "MISSED"
    print(f"  goal in OpenVINO FP32: at least {goal}: {word}")
    return found["OpenVINO FP32"] >= goal


if __name__ == "__main__":
    exit_after(main)
