from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from edgerestore.bundle import (
    Accuracy,
    ImageScore,
    Manifest,
    Parity,
    write_manifest,
    write_probe,
    writing_bundle,
)
from edgerestore.measure.bench.environment import Watch
from edgerestore.measure.gate.facts import Fact
from edgerestore.measure.gate.latency import Latency
from edgerestore.measure.gate.sequential import Estimate
from edgerestore.measure.gate.verdict import Side, Verdict, overall

TILE = 8
BENCHMARKS = Path(__file__).parents[4] / "benchmarks"


@pytest.fixture(scope="session")
def noisy_machine() -> ModuleType:
    """The simulated machine of the benchmarks."""
    spec = importlib.util.spec_from_file_location("noisy_machine", BENCHMARKS / "noisy_machine.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["noisy_machine"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_bundle(tmp_path: Path, manifest: Callable[..., Manifest]) -> Callable[..., Path]:
    """Writes a bundle for ONNX Runtime whose graph halves its input; see ``manifest``.

    ``values`` is the size of a constant that nothing reads, ``pairs`` how many times the input
    is quantized and dequantized, ``wrong`` spoils the probe.
    """
    np = pytest.importorskip("numpy")
    pytest.importorskip("onnx")

    def make(
        name: str = "tiny",
        *,
        values: int = 1,
        pairs: int = 0,
        wrong: bool = False,
        **changes: object,
    ) -> Path:
        path = tmp_path / name
        with writing_bundle(path) as folder:
            (folder / "model.onnx").write_bytes(tiny_onnx(values, pairs))
            probe = np.random.default_rng(0).random((1, 3, TILE, TILE), dtype=np.float32)
            write_probe(folder, probe, probe * (0.1 if wrong else 0.5))
            write_manifest(folder, manifest(folder / "model.onnx", **changes))
        return path

    return make


def tiny_onnx(values: int, pairs: int) -> bytes:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weight = np.full((3, 1, 1, 1), 0.5, np.float32)
    nodes, given = [], "input"
    for number in range(pairs):
        inside, after = f"quantized{number}", f"dequantized{number}"
        nodes.append(helper.make_node("QuantizeLinear", [given, "scale"], [inside]))
        nodes.append(helper.make_node("DequantizeLinear", [inside, "scale"], [after]))
        given = after
    nodes.append(helper.make_node("Conv", [given, "weight"], ["output"], group=3))
    ends = [
        helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 3, TILE, TILE])
        for end in ("input", "output")
    ]
    constants = [
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.zeros(values, np.float32), "unused"),
    ]
    if pairs:
        constants.append(numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"))
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


@pytest.fixture(scope="session")
def manifest(small_manifest: Callable[..., Manifest]) -> Callable[..., Manifest]:
    """Makes the manifest of a model file.

    ``drop_db`` is what the bundle says that it lost against FP32, allowed 0.1.
    """

    def make(
        path: Path,
        *,
        macs: int = 1000,
        psnr_db: tuple[float, ...] | None = (37.0, 33.0),
        data: str = "Set2",
        drop_db: float = 0.0,
    ) -> Manifest:
        made = small_manifest(
            path,
            name="tiny",
            scale=1,
            tile=TILE,
            accuracy=accuracy(psnr_db, data, drop_db) if psnr_db else None,
            parity=Parity(status="verified", runtime="test", floor_db=60.0),
        )
        replace = msgspec.structs.replace
        return replace(made, costs=replace(made.costs, macs=macs))

    return make


def accuracy(psnr_db: tuple[float, ...], data: str, drop_db: float) -> Accuracy:
    images = tuple(
        ImageScore(name=f"image{i}", fp32_psnr_y_db=psnr, psnr_y_db=psnr)
        for i, psnr in enumerate(psnr_db)
    )
    return Accuracy(
        data=data, protocol="PSNR-Y", images=images, mean_drop_db=drop_db, worst_drop_db=drop_db,
        allowed_mean_drop_db=0.1, allowed_worst_drop_db=0.1,
    )  # fmt: skip


@pytest.fixture(scope="session")
def timed() -> Callable[..., Latency]:
    """What the gate concluded of latency."""
    return latency


@pytest.fixture(scope="session")
def concluded() -> Callable[..., Verdict]:
    """A verdict from a latency and any number of facts."""
    return verdict


def latency(answer: str = "pass", **changes: object) -> Latency:
    found = Latency(
        answer=answer, ratio=1.002, low=0.99, high=1.014, confidence=0.99, threshold=0.03,
        expected=1.0, pairs=7, samples=1400, seconds=31.0, candidate_ms=8.0, baseline_ms=8.0,
        estimates=[Estimate(0.002, 1e-5)] * 7,
    )  # fmt: skip
    return msgspec.structs.replace(found, **changes)


def verdict(timed: Latency | None = None, *facts: Fact, name: str = "tiny-fp32-cpu") -> Verdict:
    side = Side(given="bundles/new", name=name, sha256="0" * 64)
    return Verdict(
        answer=overall(list(facts), timed),
        candidate=side,
        baseline=Side(given="main:bundles/old", name=name, sha256="1" * 64),
        latency=timed,
        latency_reason=None if timed else "not asked for",
        facts=list(facts),
        environment=Watch().finish(0.0),
        warnings=["other work was running"],
    )
