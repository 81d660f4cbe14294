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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.bench.environment import Watch, warnings
from edgerestore.bench.harness import Candidate, Plan, measure
from edgerestore.bench.results import Results, ratios_of, result_of, write_results
from edgerestore.bench.worker import Judged, Ready, serve
from edgerestore.bundle import probe_psnr_db
from edgerestore.errors import CheckFailedError

MODEL, TILE = "esrt_x4", 48
FLOOR_DB = 15.0
"""Of any candidate to FP32; a broken graph lies below. The parity reached stands beside each
time: stock INT8 is far from FP32 on these weights, and is timed all the same, as a peer."""
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

Array = NDArray[np.float32]


def main() -> int:
    """Prepares, measures and writes; returns 1 where a goal is missed."""
    given = _arguments()
    if given.serve:
        _serve(given.serve, Path(given.file), given.threads)
        return 0
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
    parser.add_argument(
        "--serve", choices=("torch", "torch-fused", "openvino", "openvino-f32", "onnxruntime")
    )
    parser.add_argument("--file", default="")
    return parser.parse_args()


def _prepare(folder: Path, threads: int) -> list[Candidate]:
    """Writes every candidate's files; ours comes first, as ratios are against it."""
    import nncf
    import openvino
    import torch

    from edgerestore.build.emit import Emitter
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
    calibration = crops(read_set("photos").images, TILE)
    with torch.inference_mode():
        expected = network(torch.tensor(calibration[:1])).numpy()
    np.savez(folder / "probe.npz", input=calibration[:1], output=expected)
    torch.save(network.state_dict(), folder / "weights.pt")
    save_onnx(plain_onnx_from_module(network, TILE), folder / "plain.onnx")
    graph = onnx_from_module(deployable(network)[0], TILE)
    save_onnx(graph, folder / "deployable.onnx")
    target = read_toml(shipped_toml("targets", "x86-openvino"), TargetFile)
    (folder / "ours").mkdir()
    Emitter(graph, calibration, spec.keep_float).emit(target, "int8", folder / "ours")
    for name, kind in (("stock", None), ("stock-transformer", nncf.ModelType.TRANSFORMER)):
        model = openvino.Core().read_model(folder / "plain.onnx")
        data = nncf.Dataset([crop[None] for crop in calibration])
        openvino.save_model(nncf.quantize(model, data, model_type=kind), folder / f"{name}.xml")

    def candidate(name: str, how: str, file: str) -> Candidate:
        command = (sys.executable, __file__, "--serve", how, "--threads", str(threads))
        return Candidate(name, (*command, "--file", str(folder / file)))

    return [
        candidate(OURS, "openvino", "ours/model.xml"),
        candidate("torch eager FP32", "torch", "weights.pt"),
        candidate("torch eager FP32, fused attention", "torch-fused", "weights.pt"),
        candidate("ONNX Runtime FP32, plain export", "onnxruntime", "plain.onnx"),
        candidate("OpenVINO FP32, plain export", "openvino-f32", "plain.onnx"),
        candidate("OpenVINO BF16, plain export", "openvino", "plain.onnx"),
        candidate("OpenVINO FP32, deployable form", "openvino-f32", "deployable.onnx"),
        candidate("OpenVINO BF16, deployable form", "openvino", "deployable.onnx"),
        candidate("stock nncf.quantize", "openvino", "stock.xml"),
        candidate("stock nncf.quantize, TRANSFORMER", "openvino", "stock-transformer.xml"),
    ]


def _serve(how: str, file: Path, threads: int) -> None:
    """Runs in the measured process."""
    root = file.parent if (file.parent / "probe.npz").exists() else file.parent.parent
    with np.load(root / "probe.npz") as probe:
        given, expected = probe["input"], probe["output"]

    def check(result: Array) -> Judged:
        psnr = probe_psnr_db(np.asarray(result, np.float32), expected)
        if psnr < FLOOR_DB:
            raise CheckFailedError(f"{psnr:.1f} dB to FP32, below {FLOOR_DB}")
        return Judged(psnr, FLOOR_DB)

    opener: Callable[[], tuple[Callable[[], Any], str]] = {
        "torch": lambda: _open_torch(file, given, threads, fused=False),
        "torch-fused": lambda: _open_torch(file, given, threads, fused=True),
        "openvino": lambda: _open_openvino(file, given, threads, "bf16"),
        "openvino-f32": lambda: _open_openvino(file, given, threads, "f32"),
        "onnxruntime": lambda: _open_onnxruntime(file, given, threads),
    }[how]

    def open_candidate() -> Ready:
        run, runtime = opener()
        return Ready(run, expected.shape[2] * expected.shape[3], runtime, check)

    serve(open_candidate)


def _open_torch(
    file: Path, given: Array, threads: int, *, fused: bool
) -> tuple[Callable[[], Any], str]:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from edgerestore.models import build_network, find_model

    torch.set_num_threads(threads)
    network = build_network(find_model(MODEL))
    network.load_state_dict(torch.load(file, weights_only=True))
    image = torch.tensor(given)

    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if fused else [SDPBackend.MATH]

    def run() -> Array:
        with torch.inference_mode(), sdpa_kernel(kernels):
            result: Array = network(image).numpy()
        return result

    return run, f"torch {torch.__version__}"


def _open_openvino(
    file: Path, given: Array, threads: int, precision: str
) -> tuple[Callable[[], Any], str]:
    import openvino

    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = openvino.Core().compile_model(file, "CPU", config).create_infer_request()

    def run() -> Array:
        request.infer([given])
        result: Array = request.get_output_tensor(0).data
        return result

    return run, f"openvino {openvino.__version__}"


def _open_onnxruntime(file: Path, given: Array, threads: int) -> tuple[Callable[[], Any], str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"input": given})[0], f"onnxruntime {onnxruntime.__version__}"


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
