"""Workers and bundles that are small enough to run in every test."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgerestore
from edgerestore.bundle import (
    Accuracy,
    Costs,
    ImageScore,
    Manifest,
    Parity,
    TargetFacts,
    write_manifest,
    write_probe,
    writing_bundle,
)
from edgerestore.measure.bench.harness import Candidate

TILE, SCALE = 8, 2
RECORDED = Path(__file__).with_name("recorded")
COSTS = Costs(
    params=36,
    macs=2304,
    activations=1536,
    attention_score_bytes=0,
    not_counted={"DepthToSpace": 1},
    operators={"Conv": 1, "DepthToSpace": 1},
)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Candidate]:
    """Makes a candidate whose worker is a few lines of Python."""

    def write(name: str, body: str) -> Candidate:
        path = tmp_path / f"{name}.py"
        root = str(Path(edgerestore.__file__).parents[1])
        path.write_text(f"import sys; sys.path.append({root!r})\n{textwrap.dedent(body)}")
        return Candidate(name, (sys.executable, str(path)))

    return write


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A file of 10 x 20 black pixels."""
    path = tmp_path / "p.png"
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[str], Path]:
    """Unfolds a recorded tree and gives its root."""

    def unfold(name: str) -> Path:
        root = tmp_path / name
        for line in (RECORDED / f"{name}.txt").read_text().splitlines():
            path, _, content = line.partition(" = ")
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            with (root / path).open("a") as file:
                file.write(content + "\n")
        return root

    return unfold


@pytest.fixture
def steady() -> str:
    """A worker that always does the same small work."""
    return """
        from edgerestore.measure.bench.worker import Ready, serve
        serve(lambda: Ready(run=lambda: sum(range(2000)), output_pixels=100, runtime="python"))
    """


@pytest.fixture
def make_bundle(tmp_path: Path, small_manifest: Callable[..., Manifest]) -> Callable[..., Path]:
    """Writes a x2 bundle of one convolution and a pixel shuffle."""
    pytest.importorskip("onnx")

    def make(name: str = "tiny", **changes: object) -> Path:
        path = tmp_path / name
        write_tiny_bundle(small_manifest, path, name, **changes)  # type: ignore[arg-type]
        return path

    return make


def write_tiny_bundle(
    small_manifest: Callable[..., Manifest],
    path: Path,
    name: str,
    *,
    wrong: bool = False,
    drop_db: float | None = None,
    backend: str = "onnxruntime",
    floor_db: float | None = 40.0,
) -> None:
    """``wrong`` spoils the probe's output; ``drop_db`` is the accuracy lost, allowed 0.1."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.3, (3 * SCALE**2, 3, 1, 1)).astype(np.float32)
    probe = rng.random((1, 3, TILE, TILE), dtype=np.float32)
    output = shuffled(np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], probe))
    with writing_bundle(path) as folder:
        (folder / "model.onnx").write_bytes(tiny_onnx(weight))
        write_probe(folder, probe, output + (0.2 if wrong else 0))
        manifest = small_manifest(
            folder / "model.onnx",
            name=name,
            scale=SCALE,
            tile=TILE,
            target=TargetFacts(name="ort-cpu", backend=backend, device="CPU", options={}),
            costs=COSTS,
            accuracy=None if drop_db is None else accuracy(drop_db),
            parity=Parity(status="verified", runtime="onnxruntime on CPU", floor_db=floor_db),
        )
        write_manifest(folder, manifest)


def shuffled(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    s = SCALE
    split = x.reshape(n, c // s**2, s, s, h, w).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(split.reshape(n, c // s**2, h * s, w * s), dtype=np.float32)


def tiny_onnx(weight: np.ndarray) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["input", "weight"], ["features"]),
        helper.make_node("DepthToSpace", ["features"], ["output"], blocksize=SCALE, mode="CRD"),
    ]
    ends = [("input", TILE), ("output", TILE * SCALE)]
    values = [
        helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 3, side, side])
        for end, side in ends
    ]
    graph = helper.make_graph(
        nodes, "tiny", values[:1], values[1:], [numpy_helper.from_array(weight, "weight")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


def accuracy(drop_db: float) -> Accuracy:
    return Accuracy(
        data="Set5",
        protocol="PSNR-Y",
        images=(ImageScore(name="baby", fp32_psnr_y_db=37.0, psnr_y_db=37.0 - drop_db),),
        mean_drop_db=drop_db,
        worst_drop_db=drop_db,
        allowed_mean_drop_db=0.1,
        allowed_worst_drop_db=0.1,
    )
