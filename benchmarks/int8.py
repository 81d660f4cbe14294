"""Our INT8 beside what people use today, for each paper configuration.

``python benchmarks/int8.py`` prepares every candidate of a network from one set of weights,
measures all of them in one interleaved run on the CPU and writes a result file. The weights are
random (latency does not depend on them); each candidate's output is held against PyTorch's in
FP32 before it is timed, and how near it came stands beside its time.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import peers

from edgerestore.bench.environment import Watch, warnings
from edgerestore.bench.harness import Candidate, Plan, measure
from edgerestore.bench.results import Results, ratios_of, result_of
from edgerestore.files import write_beside

RESULTS = Path(__file__).parent / "results" / "int8.json"
OURS = "edgerestore INT8, OpenVINO"
EAGER, FUSED = "torch eager FP32", "torch eager FP32, fused attention"
PLAIN, PLAIN_BF16 = "OpenVINO FP32, plain export", "OpenVINO BF16, plain export"
NNCF, NNCF_TRANSFORMER = "stock nncf.quantize", "stock nncf.quantize, TRANSFORMER"
STATIC = "ONNX Runtime quantize_static"
GOALS = {
    "drt": {PLAIN: 2.5, PLAIN_BF16: 1.4},
    "esrt_x4": {EAGER: 5.0, FUSED: 5.0, PLAIN: 2.8, NNCF: 1.3, NNCF_TRANSFORMER: 1.3},
    "drsformer": {PLAIN: 2.2},
    "ipt_x2": {PLAIN: 3.0},
}
"""Latency of the peer over ours, to reach. PyTorch runs attention as published, with its
scores written out, and fused, as this package's reference form does."""
CROPS = 24


def main() -> int:
    """Prepares, measures and writes; returns 1 where a goal is missed."""
    given = _arguments()
    measured = msgspec.json.decode(given.out.read_bytes()) if given.out.exists() else {}
    reached = True
    for model in given.model or GOALS:
        folder = given.work / model
        candidates = _prepare(folder, model, given.threads)
        if given.prepare:
            continue
        plan, watch = Plan(seconds=given.seconds), Watch()
        seen = measure(candidates, plan)
        environment = watch.finish(sum(m.closed.cpu_seconds for m in seen if m.closed))
        results = Results(
            bundles=[result_of(m, m.candidate.name) for m in seen],
            environment=environment,
            ratios=ratios_of(seen, plan),
            protocol={"model": model, "threads": given.threads, "weights": "random"},
            warnings=warnings(environment),
        )
        measured[model] = msgspec.to_builtins(results)
        data = msgspec.json.format(msgspec.json.encode(measured), indent=1)
        write_beside(given.out, data + b"\n")
        reached = _show(model, results) and reached
    return 0 if reached else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", choices=GOALS, help="one, or all")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each candidate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("int8-candidates"))
    parser.add_argument("--prepare", action="store_true", help="write the candidates only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def _prepare(folder: Path, model: str, threads: int) -> list[Candidate]:
    """Writes what is missing of a network's files; ours comes first, as ratios are against it."""
    makers: dict[str, Callable[[_Network, Path], None]] = {
        "weights.pt": _Network.write_weights,
        "plain.onnx": _Network.write_plain,
        "ours/model.xml": _Network.write_ours,
        "stock.xml": lambda network, path: network.write_stock(path, transformer=False),
        "stock-transformer.xml": lambda network, path: network.write_stock(path, transformer=True),
        "static.onnx": _Network.write_static,
    }
    missing = [name for name in makers if not (folder / name).exists()]
    if missing:
        (folder / "ours").mkdir(parents=True, exist_ok=True)
        network = _Network(model, folder)
        for name in missing:
            print(f"{model}: writing {name}", flush=True)
            try:
                makers[name](network, folder / name)
            except Exception as error:  # noqa: BLE001 - what peers raise has no common base
                print(f"{model}: {name}: {error}"[:300], flush=True)
    kinds = {
        OURS: ("openvino-bf16", "ours/model.xml"),
        EAGER: ("torch", "weights.pt"),
        FUSED: ("torch-fused", "weights.pt"),
        "ONNX Runtime FP32, plain export": ("onnxruntime", "plain.onnx"),
        PLAIN: ("openvino-f32", "plain.onnx"),
        PLAIN_BF16: ("openvino-bf16", "plain.onnx"),
        NNCF: ("openvino-bf16", "stock.xml"),
        NNCF_TRANSFORMER: ("openvino-bf16", "stock-transformer.xml"),
        STATIC: ("onnxruntime", "static.onnx"),
    }
    return [
        peers.candidate(name, kind, folder / file, model, threads)
        for name, (kind, file) in kinds.items()
        if (folder / file).exists()
    ]


class _Network:
    """One paper configuration with made-up weights, and every peer's file of it."""

    def __init__(self, model: str, folder: Path) -> None:
        import torch

        from edgerestore.calibration import crops, read_set
        from edgerestore.models import build_network, find_model

        torch.manual_seed(0)
        self.spec = find_model(model)
        self.network = build_network(self.spec).requires_grad_(False)
        self.pictures = read_set(self.spec.pictures)
        every = crops(self.pictures.images, self.spec.tile)
        self.crops = every[np.linspace(0, len(every) - 1, CROPS).astype(int)]
        with torch.inference_mode():
            expected = self.network(torch.tensor(self.crops[:1])).numpy()
        peers.write_probe(folder, self.crops[:1], expected)

    def write_weights(self, path: Path) -> None:
        import torch

        torch.save(self.network.state_dict(), path)

    def write_plain(self, path: Path) -> None:
        from edgerestore.export.onnx import plain_onnx_from_module, save_onnx

        save_onnx(plain_onnx_from_module(self.network, self.spec.tile), path)

    def write_ours(self, path: Path) -> None:
        from edgerestore.build.emit import Emitter
        from edgerestore.build.quantizing import Calibration, Quantizer
        from edgerestore.build.request import find_target
        from edgerestore.compress.rewrites import deployable
        from edgerestore.export.onnx import onnx_from_module

        graph = onnx_from_module(deployable(self.network)[0], self.spec.tile)
        ranges = Calibration(graph, self.crops, self.pictures.sha256, self.spec.keep_float)
        emitter = Emitter(graph, Quantizer(ranges))
        emitter.emit(find_target("x86-openvino"), "int8", path.parent)

    def write_stock(self, path: Path, *, transformer: bool) -> None:
        import nncf
        import openvino

        nncf.set_log_level(logging.ERROR)
        model = openvino.Core().read_model(path.parent / "plain.onnx")
        data = nncf.Dataset([crop[None] for crop in self.crops])
        kind = nncf.ModelType.TRANSFORMER if transformer else None
        openvino.save_model(nncf.quantize(model, data, model_type=kind), path)

    def write_static(self, path: Path) -> None:
        from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self, crops: Any) -> None:
                self._left = iter(crops)

            def get_next(self) -> dict[str, Any] | None:
                crop = next(self._left, None)
                return None if crop is None else {"input": crop[None]}

        quantize_static(
            path.parent / "plain.onnx",
            path,
            Reader(self.crops),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def _show(model: str, results: Results) -> bool:
    factors = {ratio.name: ratio.median for ratio in results.ratios}
    print(f"{model}:")
    for row in results.bundles:
        latency = f"{row.latency_ms.p50:8.2f} ms" if row.latency_ms else f"{row.status}"
        parity = f"{row.parity_psnr_db:6.1f} dB" if row.parity_psnr_db else ""
        print(f"  {row.name:36}{latency}  x{factors.get(row.name, 1.0):5.2f} of ours  {parity}")
    for name, goal in GOALS[model].items():
        word = "reached" if factors.get(name, 0.0) >= goal else "MISSED"
        print(f"  goal {name}: {factors.get(name, 0.0):.2f} of at least {goal}: {word}")
    return all(factors.get(name, 0.0) >= goal for name, goal in GOALS[model].items())


if __name__ == "__main__":
    sys.exit(main())
