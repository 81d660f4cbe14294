"""Which network runs in which backend and precision: executed, compiled only, or refused and why.

``python benchmarks/support.py`` exports every network, builds every precision for every target as
``edgerestore build`` does, runs what this machine can run and holds each output against the FP32
network's in PyTorch; ``--table`` prints the outcome for
``benchmarks/README.md``. Each network has a process of its own, so that seconds and peak memory
are its own. Results are kept as they come, and what is already measured under equal conditions
is not measured again (``--again`` does).

Networks without shipped weights get random ones from the tensors' names, scaled so that nothing
fades; INT8 is calibrated on eight crops of the shipped set. Such figures show that a graph is
computed rightly, not what a precision costs in quality. DRSformer keeps the top k of its
attention scores: where two nearly tie, rounding may keep the other one, in FP32 as well, and a
figure falls by tens of dB at once. FP32 rows of 130 dB and more had no such tie on the probe.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import msgspec
import numpy as np
from arguments import exit_after
from numpy.typing import NDArray
from support_results import (
    COMPILED,
    REFUSED,
    TARGETS,
    VERIFIED,
    WRONG,
    Network,
    Row,
    read_results,
    table,
    write_results,
)

from edgerestore import bundle as bundles
from edgerestore.networks import MODELS, ModelSpec, find_model
from edgerestore.recipe.scalars import PrecisionName

if TYPE_CHECKING:
    from torch import nn

    from edgerestore.pipeline.emit import Emitter
    from edgerestore.pipeline.source import Source
    from edgerestore.recipe import Target

RESULTS = Path(__file__).parent / "results" / "support.json"
PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)
COMPUTE_CAPABILITIES = ("8.9",)
"""One GPU generation is enough to learn whether NVIDIA's builder takes a graph."""
LEFT_OUT = ("ipt_x3", "ipt_denoise30", "ipt_denoise50")
"""Each differs from a network that is measured in its head and tail alone; ``ipt_s`` has all."""
CALIBRATION_CROPS = 8
LARGEST_EXPORT_S, LARGEST_EXPORT_GIB = 30.0, 6.0
"""What the export of any network may take; the command fails beyond."""
LOWEST_DB = {"fp32": 60.0, "fp16": 30.0, "bf16": 20.0, "int8": 10.0}
"""Of an output to its FP32 reference, relative to the deviation: below, it is another function."""
TOOLS = ("edgerestore", "torch", "onnx", "onnxruntime", "openvino", "nncf", "tensorrt-rtx")

Tiles = NDArray[np.float32]


Case = tuple[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes; returns 1 where something is wrong or exceeds a bound."""
    given = _arguments(arguments)
    if given.measure:
        _measure(given.measure, [tuple(c.split(":")) for c in given.cases], _own_stdout())
        return 0
    results = read_results(given.json)
    if given.table:
        print(table(results))
        return 0
    for name in given.models:
        known = results.get(name)
        conditions = conditions_of(find_model(name))
        if known is None or known.conditions != conditions:
            known = results[name] = Network(name=name, conditions=conditions)
        cases = _cases(given.targets, given.precisions)
        if given.again:
            known.rows = [row for row in known.rows if (row.target, row.precision) not in cases]
        missing = [case for case in cases if known.row(*case) is None]
        for network in _measured(known, missing):
            _show(network)
            write_results(given.json, results)
    found = [f"{name}: {problem}" for name in given.models for problem in problems(results[name])]
    print("\n".join(found) or "nothing is wrong", flush=True)
    return int(bool(found))


def problems(network: Network) -> list[str]:
    """What of a network must not be: wrong outputs, and an export that takes too much."""
    found = [f"{r.target} {r.precision}: {r.reason}" for r in network.rows if r.status == WRONG]
    if network.export_seconds > LARGEST_EXPORT_S:
        found.append(f"export took {network.export_seconds:.0f} s")
    if network.export_peak_gib > LARGEST_EXPORT_GIB:
        found.append(f"export took {network.export_peak_gib:.1f} GiB")
    return found


def conditions_of(spec: ModelSpec) -> dict[str, Any]:
    """What the results of a network depend on, as JSON gives it back."""
    versions = {}
    for tool in TOOLS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[tool] = importlib.metadata.version(tool)
    conditions = {
        "config": dict(spec.config),
        "tile": spec.tile,
        "params": spec.params,
        "keep_float": spec.keep_float,
        # Another deployable form of the same network costs something else.
        "costs": spec.costs,
        "calibration_crops": CALIBRATION_CROPS,
        "compute_capabilities": COMPUTE_CAPABILITIES,
        "versions": versions,
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(conditions))
    return plain


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [name for name, spec in MODELS.items() if not spec.tasks and name not in LEFT_OUT]

    def names(text: str) -> list[str]:
        return text.split(",")

    parser.add_argument("--models", type=names, default=every)
    parser.add_argument("--targets", type=names, default=list(TARGETS))
    parser.add_argument("--precisions", type=names, default=list(PRECISIONS))
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file to read and to write")
    parser.add_argument("--again", action="store_true", help="measure what is already measured")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--cases", nargs="*", default=[], help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _cases(targets: Sequence[str], precisions: Sequence[str]) -> list[Case]:
    """Without BF16 on a CPU that has none: its figures would be FP32's under another name."""
    return [
        (target.name, precision)
        for target in map(_target, targets)
        for precision in precisions
        if precision in target.precisions and not (precision == "bf16" and _lacks_bf16(target))
    ]


def _lacks_bf16(target: Target) -> bool:
    from edgerestore.backends import find_backend

    return bool(find_backend(target.backend).lacks(target.device, target.options["bf16"]))


def _target(name: str) -> Target:
    from edgerestore.pipeline.request import find_target

    target = find_target(name)
    if target.compute_capabilities:
        target = msgspec.structs.replace(target, compute_capabilities=COMPUTE_CAPABILITIES)
    return target


# The parent's side of a network's process.


def _measured(network: Network, missing: list[Case]) -> Iterator[Network]:
    """Measures cases in processes of their own; yields whenever something is new.

    What brings a process down is refused, and a new process goes on behind it.
    """
    while missing:
        cases = [":".join(case) for case in missing]
        command = [sys.executable, __file__, "--measure", network.name, "--cases", *cases]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                told = msgspec.json.decode(line)
                if "target" in told:
                    row = msgspec.convert(told, Row)
                    missing.remove((row.target, row.precision))
                    network.rows.append(row)
                    yield network
                else:
                    for field, value in told.items():
                        setattr(network, field, value)
        if missing:
            target, precision = missing.pop(0)
            reason = f"its process ended with {process.returncode}"
            row = Row(target=target, precision=precision, status=REFUSED, reason=reason)
            network.rows.append(row)
            yield network


def _show(network: Network) -> None:
    row = network.rows[-1]
    figures = f"{row.relative_db:6.1f} dB" if row.relative_db is not None else " " * 9
    print(
        f"{network.name:16}{row.target:18}{row.precision:6}{row.status:24}{figures}"
        f"{row.seconds:8.1f} s{row.peak_gib:7.2f} GiB  {row.reason}",
        flush=True,
    )


# The network's own process.


def _own_stdout() -> IO[bytes]:
    """What the parent reads; anything else that is printed goes to standard error."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _measure(name: str, cases: list[Case], out: IO[bytes]) -> None:
    from edgerestore.errors import EdgeRestoreError
    from edgerestore.pipeline.emit import Emitter
    from edgerestore.pipeline.quantizing import Calibration, Quantizer

    def tell(what: object) -> None:
        out.write(msgspec.json.encode(what) + b"\n")
        out.flush()

    spec = find_model(name)
    crops = _crops(spec.tile)
    network = network_of(spec)
    clock = time.process_time()
    seconds: list[float] = []
    try:
        source = _prepared(spec, network, crops[:1], lambda _: seconds.append(time.process_time()))
    except EdgeRestoreError as error:
        for target, precision in cases:
            reason = f"export: {_one_line(error)}"
            tell(Row(target=target, precision=precision, status=REFUSED, reason=reason))
        return
    finally:
        del network
    tell(
        {
            "weights": "shipped" if spec.weights else "random",
            "nodes": len(source.graph.graph.node),
            "output_deviation": float(source.expected.std()),
            "export_seconds": seconds[1] - clock,
            "export_peak_gib": _peak_gib(),
        }
    )
    ranges = Calibration(source.graph, crops, "", spec.keep_float)
    emitter = Emitter(source.graph, Quantizer(ranges))
    for target, precision in cases:
        with tempfile.TemporaryDirectory() as folder:
            tell(_row(source, emitter, _target(target), _precision(precision), Path(folder)))


def network_of(spec: ModelSpec) -> nn.Module:
    """With the shipped weights where there are some, else with random ones."""
    import torch

    from edgerestore.networks import build_network
    from edgerestore.networks.weights import load_network

    if spec.weights:
        return load_network(spec, spec.weights)
    network = build_network(spec).requires_grad_(False)
    for name, tensor in network.state_dict().items():
        tensor.copy_(torch.from_numpy(_filled(name, tuple(tensor.shape))))
    return network


def _filled(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Values from a tensor's name alone, scaled so that nothing fades and nothing grows."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    values = generator.standard_normal(shape, np.float32)
    if len(shape) > 1:
        return values * np.float32(0.5 / np.sqrt(np.prod(shape[1:])))
    offset = 1 if name.endswith(("weight", "scale")) else 0
    return np.float32(0.1) * values + np.float32(offset)


def _crops(tile: int) -> Tiles:
    """The shipped set thinned out, the crop with most in it first: it is the probe."""
    from edgerestore.calibration import crops, read_set

    every = crops(read_set("photos").images, tile, per_picture=1)
    few = every[:: len(every) // CALIBRATION_CROPS][:CALIBRATION_CROPS]
    return few[np.argsort([-crop.std() for crop in few])]


def _prepared(
    spec: ModelSpec, network: nn.Module, probe: Tiles, report: Callable[[str], None]
) -> Source:
    from edgerestore.pipeline.source import prepare
    from edgerestore.tiling import DEFAULT_OVERLAP

    return prepare(spec, network, probe, [], tile=spec.tile, overlap=DEFAULT_OVERLAP, report=report)


def _precision(name: str) -> PrecisionName:
    return next(known for known in PRECISIONS if known == name)


def _row(
    source: Source, emitter: Emitter, target: Target, precision: PrecisionName, folder: Path
) -> Row:
    from edgerestore.backends import find_backend
    from edgerestore.backends.base import open_session
    from edgerestore.pipeline.draft import draft_manifest
    from edgerestore.pipeline.source import onnx_run
    from edgerestore.pipeline.tiles import VALUE_BYTES

    clock = time.perf_counter()
    row = Row(target=target.name, precision=precision, status=REFUSED)
    try:
        files, passes = emitter.emit(target, precision, folder)
        row.file_bytes = sum((folder / file).stat().st_size for file in files)
        stored, row.nodes = _weight_bytes(folder / files[0])
        row.weight_ratio = stored / (source.spec.params * VALUE_BYTES[precision])
        backend = find_backend(target.backend)
        if backend.why_not() is None:
            manifest = draft_manifest(source, target, precision, folder, files, passes, "")
            session = open_session(bundles.Bundle(folder, manifest))
            result = session.run(source.probe)
            session.close()
            row.status = VERIFIED
        else:
            row.status, row.emulated = COMPILED, True
            result = onnx_run(emitter.onnx_for(target, precision)[0])(source.probe)
        _judge(row, result, source.expected)
    except Exception as error:  # noqa: BLE001
        # What a quantizer or a runtime raises has no common base, and the table shall hold it.
        row.reason = _one_line(error)
    row.seconds, row.peak_gib = time.perf_counter() - clock, _peak_gib()
    return row


def _judge(row: Row, result: Tiles, expected: Tiles) -> None:
    row.psnr_db = bundles.probe_psnr_db(result, expected)
    row.relative_db = row.psnr_db + 20 * float(np.log10(expected.std()))
    if row.relative_db < LOWEST_DB[row.precision]:
        row.status = WRONG
        row.reason = f"{row.relative_db:.1f} dB, below {LOWEST_DB[row.precision]:.0f}"


def _weight_bytes(file: Path) -> tuple[int, int]:
    """Bytes of constants that a model file stores, and the nodes of one in ONNX."""
    if file.suffix == ".xml":
        return file.with_suffix(".bin").stat().st_size, 0
    import onnx

    model = onnx.load(file)
    weights = model.graph.initializer
    widths = {w.name: onnx.helper.tensor_dtype_to_np_dtype(w.data_type).itemsize for w in weights}
    return sum(math.prod(w.dims) * widths[w.name] for w in weights), len(model.graph.node)


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    exit_after(main)
