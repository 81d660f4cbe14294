from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

import edgerestore as package
from edgerestore.bundle import (
    Contract,
    Costs,
    Manifest,
    ModelFacts,
    Parity,
    TargetFacts,
    write_manifest,
    write_probe,
    writing_bundle,
)

HOST_TESTS = [
    "networks/*.py",
    "train/data/test_crops.py",
    "train/data/test_loader.py",
    "train/data/test_shards.py",
    "train/quantization/*.py",
    "train/test_card.py",
    "train/test_depthwise.py",
    "train/test_distillation.py",
    "train/test_journal.py",
    "train/test_loop.py",
    "train/test_optimisation.py",
    "train/test_pretraining.py",
    "train/test_processes.py",
    "train/test_provenance.py",
    "train/test_recursions.py",
    "train/test_starting.py",
    "train/test_objectives.py",
    "train/test_validation.py",
    "cli/test_data.py",
    "cli/test_import_weights.py",
    "cli/test_prune.py",
    "cli/test_train.py",
]
collect_ignore_glob = [] if importlib.util.find_spec("torch") else HOST_TESTS

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def edgerestore() -> Command:
    """Runs the command line in a process of its own, on one thread."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgerestore", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=environment(),
            **options,
        )

    return run


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data sets and authors' checkpoints, which is not part of the repository."""
    folder = os.environ.get("EDGERESTORE_SHARED")
    if not folder:
        pytest.skip("EDGERESTORE_SHARED names no folder with data sets and checkpoints")
    return Path(folder)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder ``data/pictures`` of five small generated pictures with structure and noise."""
    folder = tmp_path / "data" / "pictures"
    folder.mkdir(parents=True)
    for number in range(5):
        Image.fromarray(picture(64 + 4 * number, 72, seed=number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def pairs_folder(tmp_path: Path) -> Path:
    """``HR/`` and ``LR_bicubic/X2/`` of three pictures that doubling restores exactly."""
    root = tmp_path / "pairs"
    for kind in ("HR", "LR_bicubic/X2"):
        (root / kind).mkdir(parents=True)
    for number, name in enumerate(["a", "b", "c"]):
        low = picture(24, 30 + number, seed=number)
        Image.fromarray(low).save(root / "LR_bicubic" / "X2" / f"{name}x2.png")
        Image.fromarray(low.repeat(2, 0).repeat(2, 1)).save(root / "HR" / f"{name}.png")
    return root


def environment() -> dict[str, str]:
    """One thread, and the package that these tests import, wherever a process starts."""
    root = str(Path(package.__file__).parents[1])
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": root}


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """Waves, an edge and noise: H x W x 3 uint8, the same on every machine."""
    y, x = np.mgrid[:height, :width]
    waves = (x * (3 + seed) + y * 5) % 64 * 2
    edge = np.where(x * 2 > y + 20, 90, 0)
    noise = np.random.default_rng(seed).integers(0, 32, (height, width, 3))
    return (waves[..., None] + edge[..., None] + noise).astype(np.uint8)


@pytest.fixture(scope="session")
def small_manifest() -> Callable[..., Manifest]:
    """Makes the manifest of a bundle with one file, for ONNX Runtime.

    What is given beside replaces its fields.
    """

    def make(file: Path, *, name: str, scale: int, tile: int, **changes: object) -> Manifest:
        made = Manifest(
            schema=1,
            model=ModelFacts(
                name=name,
                task="super-resolution" if scale > 1 else "denoising",
                scale=scale,
                border=2 if scale > 1 else 0,
                config={},
                params=3,
                weights_sha256="0" * 64,
            ),
            precision="fp32",
            target=TargetFacts(name="ort-cpu", backend="onnxruntime", device="CPU", options={}),
            contract=Contract(
                input_name="input",
                output_name="output",
                batch=1,
                channels=3,
                tile=tile,
                overlap=tile // 4,
                value_range=(0.0, 1.0),
            ),
            files={file.name: file.stat().st_size},
            passes=(),
            costs=Costs(
                params=3,
                macs=1000,
                activations=192,
                attention_score_bytes=0,
                not_counted={},
                operators={"Conv": 1},
            ),
            calibration=None,
            accuracy=None,
            parity=Parity(status="verified", runtime="test"),
            tools={},
        )
        return msgspec.structs.replace(made, **changes)

    return make


@pytest.fixture
def doubling_bundle(tmp_path: Path, small_manifest: Callable[..., Manifest]) -> Callable[..., Path]:
    """Writes bundles that repeat every pixel twice and add an error, for ONNX Runtime.

    It refuses to resize in any ``mode`` that it does not know.
    """
    pytest.importorskip("onnx")

    def make(
        precision: str = "fp32", error: float = 0.0, mode: str = "nearest", **changes: object
    ) -> Path:
        path = tmp_path / f"double-{precision}"
        with writing_bundle(path) as folder:
            (folder / "model.onnx").write_bytes(doubling_onnx(error, mode))
            probe = np.zeros((1, 3, 16, 16), np.float32)
            write_probe(folder, probe, probe.repeat(2, 2).repeat(2, 3))
            manifest = small_manifest(
                folder / "model.onnx",
                name="double",
                scale=2,
                tile=16,
                precision=precision,
                target=TargetFacts(name="cpu", backend="onnxruntime", device="CPU", options={}),
            )
            write_manifest(folder, msgspec.structs.replace(manifest, **changes))
        return path

    return make


def doubling_onnx(error: float, mode: str = "nearest") -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Resize", ["input", "", "scales"], ["doubled"], mode=mode),
        helper.make_node("Add", ["doubled", "error"], ["output"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, side, side])
        for name, side in (("input", 16), ("output", 32))
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        numpy_helper.from_array(np.array(error, np.float32), "error"),
    ]
    graph = helper.make_graph(nodes, "double", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())
