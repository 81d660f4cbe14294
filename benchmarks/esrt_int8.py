"""ESRT x4, paper configuration, 48 x 48: our INT8 beside what people use today.

``python benchmarks/esrt_int8.py`` prepares every candidate from one set of weights, measures
all of them in one interleaved run on the CPU and writes a result file. The weights are random
(latency does not depend on them); each candidate's output is held against PyTorch's in FP32
before it is timed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import peers

from edgerestore.bench.environment import Watch, warnings
from edgerestore.bench.harness import Candidate, Plan, measure
from edgerestore.bench.results import Results, ratios_of, result_of, write_results

MODEL, TILE = "esrt_x4", 48
RESULTS = Path(__file__).parent / "results" / "esrt_int8.json"
GOALS = {
    "torch eager FP32": 5.0,
    "torch eager FP32, fused attention": 5.0,
    "OpenVINO FP32, plain export": 2.2,
    "stock nncf.quantize": 1.2,
    "stock nncf.quantize, TRANSFORMER": 1.2,
}
"""Latency of the peer over ours, to reach. PyTorch runs attention as published, with its
scores written out, and fused, as this package's reference form does."""
OURS = "edgerestore INT8, OpenVINO"


def main() -> int:
    """Prepares, measures and writes; returns 1 where a goal is missed."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        candidates = _prepare(Path(folder), given.threads)
        watch = Watch()
        seen = measure(candidates, Plan(seconds=given.seconds))
        environment = watch.finish(sum(m.closed.cpu_seconds for m in seen if m.closed))
    plan = Plan(seconds=given.seconds)
    results = Results(
        bundles=[result_of(m, m.candidate.name) for m in seen],
        environment=environment,
        ratios=ratios_of(seen, plan),
        protocol={"model": MODEL, "tile": TILE, "threads": given.threads, "weights": "random"},
        warnings=warnings(environment),
    )
    write_results(given.out, results)
    return _show(results, given.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each candidate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def _prepare(folder: Path, threads: int) -> list[Candidate]:
    """Writes every candidate's files; ours comes first, as ratios are against it."""
    import nncf
    import openvino
    import torch

    from edgerestore.build.emit import Emitter
    from edgerestore.build.quantizing import Calibration, Quantizer
    from edgerestore.calibration import crops, read_set
    from edgerestore.compress.rewrites import deployable
    from edgerestore.export.onnx import onnx_from_module, plain_onnx_from_module, save_onnx
    from edgerestore.models import build_network, find_model
    from edgerestore.recipe import Target as TargetFile
    from edgerestore.recipe import read_toml
    from edgerestore.shipped import shipped_toml

    nncf.set_log_level(logging.ERROR)
    torch.manual_seed(0)
    spec = find_model(MODEL)
    network = build_network(spec)
    pictures = read_set("photos")
    calibration = crops(pictures.images, TILE)
    with torch.inference_mode():
        expected = network(torch.tensor(calibration[:1])).numpy()
    peers.write_probe(folder, calibration[:1], expected)
    torch.save(network.state_dict(), folder / "weights.pt")
    save_onnx(plain_onnx_from_module(network, TILE), folder / "plain.onnx")
    graph = onnx_from_module(deployable(network)[0], TILE)
    save_onnx(graph, folder / "deployable.onnx")
    target = read_toml(shipped_toml("targets", "x86-openvino"), TargetFile)
    (folder / "ours").mkdir()
    ranges = Calibration(graph, calibration, pictures.sha256, spec.keep_float)
    Emitter(graph, Quantizer(ranges)).emit(target, "int8", folder / "ours")
    for name, kind in (("stock", None), ("stock-transformer", nncf.ModelType.TRANSFORMER)):
        model = openvino.Core().read_model(folder / "plain.onnx")
        data = nncf.Dataset([crop[None] for crop in calibration])
        openvino.save_model(nncf.quantize(model, data, model_type=kind), folder / f"{name}.xml")

    def candidate(name: str, kind: str, file: str) -> Candidate:
        return peers.candidate(name, kind, folder / file, MODEL, threads)

    return [
        candidate(OURS, "openvino-bf16", "ours/model.xml"),
        candidate("torch eager FP32", "torch", "weights.pt"),
        candidate("torch eager FP32, fused attention", "torch-fused", "weights.pt"),
        candidate("ONNX Runtime FP32, plain export", "onnxruntime", "plain.onnx"),
        candidate("OpenVINO FP32, plain export", "openvino-f32", "plain.onnx"),
        candidate("OpenVINO BF16, plain export", "openvino-bf16", "plain.onnx"),
        candidate("OpenVINO FP32, deployable form", "openvino-f32", "deployable.onnx"),
        candidate("OpenVINO BF16, deployable form", "openvino-bf16", "deployable.onnx"),
        candidate("stock nncf.quantize", "openvino-bf16", "stock.xml"),
        candidate("stock nncf.quantize, TRANSFORMER", "openvino-bf16", "stock-transformer.xml"),
    ]


def _show(results: Results, out: Path) -> int:
    factors = {ratio.name: ratio.median for ratio in results.ratios}
    for row in results.bundles:
        latency = f"{row.latency_ms.p50:8.2f} ms" if row.latency_ms else f"{row.status}"
        parity = f"{row.parity_psnr_db:6.1f} dB" if row.parity_psnr_db else ""
        print(f"{row.name:36}{latency}  x{factors.get(row.name, 1.0):5.2f} of ours  {parity}")
    for name, goal in GOALS.items():
        word = "reached" if factors.get(name, 0.0) >= goal else "MISSED"
        print(f"goal {name}: {factors.get(name, 0.0):.2f} of at least {goal}: {word}")
    print(f"written to {out}")
    return 0 if all(factors.get(name, 0.0) >= goal for name, goal in GOALS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
