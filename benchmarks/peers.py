"""One candidate of a benchmark in a process of its own: a network in PyTorch, or a file.

``python benchmarks/peers.py KIND FILE --model NAME`` answers the harness. ``probe.npz`` beside
the file, or one folder above it, holds an input and the output of the FP32 network, against
which every candidate is held before it is timed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.bench.harness import Candidate
from edgerestore.bench.judging import Judged
from edgerestore.bench.worker import Ready, serve
from edgerestore.bundle import probe_psnr_db
from edgerestore.errors import CheckFailedError, MissingPartError

FLOOR_DB = 15.0
"""Of any candidate to FP32; a broken graph lies below. The parity reached stands beside each
time: stock INT8 is far from FP32 on random weights, and is timed all the same, as a peer."""
PROBE = "probe.npz"

Array = NDArray[np.float32]
Opened = tuple[Callable[[], Any], str]


def candidate(name: str, kind: str, file: Path, model: str, threads: int) -> Candidate:
    """What the harness runs for a peer; ``file`` holds weights or a graph."""
    command = (sys.executable, __file__, kind, str(file), "--model", model)
    return Candidate(name, (*command, "--threads", str(threads)))


def write_probe(folder: Path, given: Array, expected: Array) -> None:
    """Writes what every candidate below ``folder`` is held against."""
    np.savez(folder / PROBE, input=given, output=expected)


def main() -> None:
    """Serves one candidate until the harness closes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(OPENERS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    folder = given.file.parent
    folder = folder if (folder / PROBE).exists() else folder.parent
    with np.load(folder / PROBE) as probe:
        image, expected = probe["input"], probe["output"]

    # Made-up weights may leave the range of an image, which the decibels' peak is.
    peak = max(1.0, float(np.abs(expected).max()))

    def check(result: Array) -> Judged:
        psnr = probe_psnr_db(np.asarray(result, np.float32) / peak, expected / peak)
        if psnr < FLOOR_DB:
            raise CheckFailedError(f"{psnr:.1f} dB to FP32, below {FLOOR_DB}")
        return Judged(psnr, FLOOR_DB)

    def open_candidate() -> Ready:
        run, runtime = OPENERS[given.kind](given, image)
        return Ready(run, expected.shape[2] * expected.shape[3], runtime, check)

    serve(open_candidate)


def _torch(given: argparse.Namespace, image: Array, *, fused: bool, deployable: bool) -> Opened:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from edgerestore.compress import rewrites
    from edgerestore.models import build_network, find_model

    torch.set_num_threads(given.threads)
    network = build_network(find_model(given.model))
    network.load_state_dict(torch.load(given.file, weights_only=True))
    if deployable:
        network, _ = rewrites.deployable(network)
    tensor = torch.tensor(image)
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if fused else [SDPBackend.MATH]

    def run() -> Array:
        with torch.inference_mode(), sdpa_kernel(kernels):
            result: Array = network(tensor).numpy()
        return result

    return run, f"torch {torch.__version__}"


def _compiled(given: argparse.Namespace, image: Array, *, quantized: bool) -> Opened:
    """Inductor with constants folded, as PyTorch advises for inference on CPUs."""
    if shutil.which("g++") is None:
        raise MissingPartError("torch.compile needs a C++ compiler on a CPU, and g++ is not here")
    # What was compiled once is kept beside the weights.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(given.file.resolve().parent / "inductor")
    import torch
    import torch._inductor.config as inductor

    from edgerestore.models import build_network, find_model

    torch.set_num_threads(given.threads)
    inductor.freezing = True
    if quantized:
        # Imported for what they register: the quantized operators, and how to fuse them.
        import torchao.quantization.pt2e.inductor_passes.x86
        import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401

        network: torch.nn.Module = torch.export.load(given.file).module()
    else:
        network = build_network(find_model(given.model))
        network.load_state_dict(torch.load(given.file, weights_only=True))
    compiled = torch.compile(network)
    tensor = torch.tensor(image)

    def run() -> Array:
        # Not inference_mode, under which inductor does not fold constants.
        with torch.no_grad():
            result: Array = compiled(tensor).numpy()
        return result

    return run, f"torch {torch.__version__}, inductor"


def _ncnn(given: argparse.Namespace, image: Array) -> Opened:
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = given.threads
    weights = given.file.with_suffix(".bin")
    if network.load_param(str(given.file)) or network.load_model(str(weights)):
        raise CheckFailedError(f"ncnn cannot load {given.file}")

    def run() -> Array:
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(image[0]).clone())
        status, result = extractor.extract("out0")
        if status:
            raise CheckFailedError(f"ncnn stopped with status {status}")
        return np.array(result)[None]

    return run, f"ncnn {ncnn.__version__}"


def _openvino(given: argparse.Namespace, image: Array, precision: str) -> Opened:
    import openvino

    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": given.threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = openvino.Core().compile_model(given.file, "CPU", config).create_infer_request()

    def run() -> Array:
        request.infer([image])
        result: Array = request.get_output_tensor(0).data
        return result

    return run, f"openvino {openvino.__version__}"


def _onnxruntime(given: argparse.Namespace, image: Array) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = onnxruntime.InferenceSession(
        str(given.file), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"input": image})[0], f"onnxruntime {onnxruntime.__version__}"


OPENERS: dict[str, Callable[[argparse.Namespace, Array], Opened]] = {
    "torch": lambda given, image: _torch(given, image, fused=False, deployable=False),
    "torch-fused": lambda given, image: _torch(given, image, fused=True, deployable=False),
    "torch-deployable": lambda given, image: _torch(given, image, fused=True, deployable=True),
    "torch-compiled": lambda given, image: _compiled(given, image, quantized=False),
    "inductor-int8": lambda given, image: _compiled(given, image, quantized=True),
    "ncnn": _ncnn,
    "openvino-bf16": lambda given, image: _openvino(given, image, "bf16"),
    "openvino-f32": lambda given, image: _openvino(given, image, "f32"),
    "onnxruntime": _onnxruntime,
}
"""PyTorch runs attention as published, with its scores written out, or fused, as this
package's reference form does."""


if __name__ == "__main__":
    main()
