"""One candidate of a benchmark in a process of its own: a network in PyTorch, a file, a bundle.

``python benchmarks/peers.py KIND FILE --model NAME`` answers the harness. ``expected.npz`` beside
the file, or one folder above it, holds an input and the output of the FP32 network, against
which every candidate is held before it is timed. With ``--scores`` it restores the network's
shipped evaluation pictures instead and prints how near each came to its truth.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgerestore.bundle import probe_psnr_db
from edgerestore.errors import CheckFailedError, MissingPartError
from edgerestore.measure.bench.harness import Candidate
from edgerestore.measure.bench.judging import Judged
from edgerestore.measure.bench.worker import Ready, serve

if TYPE_CHECKING:
    import torch

    from edgerestore.evaluation import ImagePair, Score
    from edgerestore.networks import ModelSpec

FLOOR_DB = 15.0
"""Of any candidate to FP32; a broken graph lies below. The parity reached stands beside each
time: stock INT8 is far from FP32 on random weights, and is timed all the same, as a peer."""
EXPECTED = "expected.npz"
WEIGHTS = "weights.safetensors"
SCORES = "--scores"

Array = NDArray[np.float32]
Opened = tuple[Callable[[Array], Array], str]
"""What runs one tile, N x 3 x tile x tile in [0, 1]; the runtime's name and version."""


def candidate(name: str, kind: str, file: Path, model: str, threads: int) -> Candidate:
    """What the harness runs for a peer; ``file`` holds weights or a graph."""
    return Candidate(name, _command(kind, file, model, threads))


def scores(kind: str, file: Path, model: str, threads: int) -> list[Score]:
    """What a peer reaches on the shipped evaluation pictures of its network, in their order.

    Raises CheckFailedError with the last that it said where it fails.
    """
    from edgerestore.evaluation import Score

    command = (*_command(kind, file, model, threads), SCORES)
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["without a word"]
        raise CheckFailedError(f"{file}: stopped with status {done.returncode}: {said[-1]}")
    # What native code prints comes before.
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Score])


def evaluation_pairs(spec: ModelSpec) -> tuple[Path, list[ImagePair]]:
    """The shipped pictures that a network is scored on, and where they lie."""
    from edgerestore.evaluation import read_pairs
    from edgerestore.shipped import evaluation_folder

    root = evaluation_folder(spec.pictures)
    return root, read_pairs(root, spec.scale)


def write_expected(folder: Path, given: Array, expected: Array) -> None:
    """Writes what every candidate below ``folder`` is held against."""
    np.savez(folder / EXPECTED, input=given, output=expected)


def main() -> None:
    """Serves one candidate until the harness closes it, or scores it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(OPENERS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(SCORES, action="store_true")
    given = parser.parse_args()
    if given.scores:
        print(msgspec.json.encode(_scored(given)).decode())
    else:
        _serve(given)


def _command(kind: str, file: Path, model: str, threads: int) -> tuple[str, ...]:
    command = (sys.executable, __file__, kind, str(file), "--model", model)
    return (*command, "--threads", str(threads))


def _serve(given: argparse.Namespace) -> None:
    folder = given.file.parent
    folder = folder if (folder / EXPECTED).exists() else folder.parent
    with np.load(folder / EXPECTED) as file:
        image, expected = file["input"], file["output"]

    # Made-up weights may leave the range of an image, which the decibels' peak is.
    peak = max(1.0, float(np.abs(expected).max()))

    def check(result: Array) -> Judged:
        psnr = probe_psnr_db(np.asarray(result, np.float32) / peak, expected / peak)
        if psnr < FLOOR_DB:
            raise CheckFailedError(f"{psnr:.1f} dB to FP32, below {FLOOR_DB}")
        return Judged(psnr, FLOOR_DB)

    def open_candidate() -> Ready:
        run, runtime = OPENERS[given.kind](given)
        pixels = expected.shape[2] * expected.shape[3]
        return Ready(lambda: run(image), pixels, runtime, check)

    serve(open_candidate)


def _scored(given: argparse.Namespace) -> list[Score]:
    """By the protocol of 'edgerestore build'."""
    from edgerestore.evaluation import evaluate
    from edgerestore.networks import find_model
    from edgerestore.tiling import DEFAULT_OVERLAP

    spec = find_model(given.model)
    run, _ = OPENERS[given.kind](given)
    return evaluate(
        run,
        evaluation_pairs(spec)[1],
        tile=spec.tile,
        overlap=DEFAULT_OVERLAP,
        scale=spec.scale,
        border=spec.border,
    )


def _torch(given: argparse.Namespace, *, fused: bool, deployable: bool) -> Opened:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from edgerestore.compress import rewrites

    torch.set_num_threads(given.threads)
    network = _network(given)
    if deployable:
        network, _ = rewrites.deployable(network)
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if fused else [SDPBackend.MATH]

    def run(image: Array) -> Array:
        with torch.inference_mode(), sdpa_kernel(kernels):
            result: Array = network(torch.tensor(image)).numpy()
        return result

    return run, f"torch {torch.__version__}"


def _network(given: argparse.Namespace) -> torch.nn.Module:
    from edgerestore.networks import find_model
    from edgerestore.networks.weights import load_network

    return load_network(find_model(given.model), given.file)


def _compiled(given: argparse.Namespace, *, quantized: bool) -> Opened:
    """Inductor with constants folded, as PyTorch advises for inference on CPUs."""
    if shutil.which("g++") is None:
        raise MissingPartError("torch.compile needs a C++ compiler on a CPU, and g++ is not here")
    # What was compiled once is kept beside the weights.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(given.file.resolve().parent / "inductor")
    import torch
    import torch._inductor.config as inductor

    torch.set_num_threads(given.threads)
    inductor.freezing = True
    if quantized:
        # Imported for what they register: the quantized operators, and how to fuse them.
        import torchao.quantization.pt2e.inductor_passes.x86
        import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401

        network: torch.nn.Module = torch.export.load(given.file).module()
    else:
        network = _network(given)
    compiled = torch.compile(network)

    def run(image: Array) -> Array:
        # Not inference_mode, under which inductor does not fold constants.
        with torch.no_grad():
            result: Array = compiled(torch.tensor(image)).numpy()
        return result

    return run, f"torch {torch.__version__}, inductor"


def _ncnn(given: argparse.Namespace) -> Opened:
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = given.threads
    weights = given.file.with_suffix(".bin")
    if network.load_param(str(given.file)) or network.load_model(str(weights)):
        raise CheckFailedError(f"ncnn cannot load {given.file}")

    def run(image: Array) -> Array:
        extractor = network.create_extractor()
        # ncnn reads memory as it lies, whatever its strides, and does not keep it alive.
        tile = np.ascontiguousarray(image[0])
        extractor.input("in0", ncnn.Mat(tile).clone())
        status, result = extractor.extract("out0")
        if status:
            raise CheckFailedError(f"ncnn stopped with status {status}")
        return np.array(result)[None]

    return run, f"ncnn {ncnn.__version__}"


def _openvino(given: argparse.Namespace, precision: str) -> Opened:
    import openvino

    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": given.threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    request = openvino.Core().compile_model(given.file, "CPU", config).create_infer_request()

    def run(image: Array) -> Array:
        request.infer([image])
        # Copied, as what the runtime hands out is overwritten by the next run.
        return np.array(request.get_output_tensor(0).data, np.float32)

    return run, f"openvino {openvino.__version__}"


def _onnxruntime(given: argparse.Namespace) -> Opened:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = onnxruntime.InferenceSession(
        str(given.file), options, providers=["CPUExecutionProvider"]
    )

    def run(image: Array) -> Array:
        result: Array = session.run(None, {"input": image})[0]
        return result

    return run, f"onnxruntime {onnxruntime.__version__}"


def _bundle(given: argparse.Namespace) -> Opened:
    """Ours, with the options that its manifest carries."""
    from edgerestore.backends.base import open_session
    from edgerestore.bundle import read_bundle
    from edgerestore.measure.bench.worker import runtime_of

    bundle = read_bundle(given.file.parent)
    return open_session(bundle, given.threads).run, runtime_of(bundle)


OPENERS: dict[str, Callable[[argparse.Namespace], Opened]] = {
    "bundle": _bundle,
    "torch": lambda given: _torch(given, fused=False, deployable=False),
    "torch-fused": lambda given: _torch(given, fused=True, deployable=False),
    "torch-deployable": lambda given: _torch(given, fused=True, deployable=True),
    "torch-compiled": lambda given: _compiled(given, quantized=False),
    "inductor-int8": lambda given: _compiled(given, quantized=True),
    "ncnn": _ncnn,
    "openvino-bf16": lambda given: _openvino(given, "bf16"),
    "openvino-f32": lambda given: _openvino(given, "f32"),
    "onnxruntime": _onnxruntime,
}
"""PyTorch runs attention as published, with its scores written out, or fused, as this
package's reference form does."""


if __name__ == "__main__":
    main()
