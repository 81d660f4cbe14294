"""What OpenVINO keeps of a compiled bundle, and several callers at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgerestore.backends.base import open_session
from edgerestore.bundle import (
    Manifest,
    TargetFacts,
    read_bundle,
    write_manifest,
    write_probe,
    writing_bundle,
)

SIDE = 16

pytestmark = pytest.mark.needs_backend("openvino")


@pytest.fixture
def blurring_bundle(tmp_path: Path, small_manifest: Callable[..., Manifest]) -> Path:
    """One convolution."""
    import openvino
    from openvino import opset13 as ops

    path = tmp_path / "blurring"
    image = ops.parameter([1, 3, SIDE, SIDE], np.float32, name="input")
    weight = np.random.default_rng(0).random((3, 3, 3, 3), dtype=np.float32) / 27
    blurred = ops.convolution(image, weight, [1, 1], [1, 1], [1, 1], [1, 1])
    with writing_bundle(path) as folder:
        openvino.save_model(openvino.Model([blurred], [image]), folder / "model.xml")
        probe = np.random.default_rng(1).random((1, 3, SIDE, SIDE), dtype=np.float32)
        write_probe(folder, probe, probe)
        names = ("model.xml", "model.bin")
        manifest = small_manifest(
            folder / "model.xml",
            name="blurring",
            scale=1,
            tile=SIDE,
            target=TargetFacts(name="cpu", backend="openvino", device="CPU", options={}),
            files={name: (folder / name).stat().st_size for name in names},
        )
        write_manifest(folder, manifest)
    return path


def test_what_was_compiled_is_found_again_and_computes_the_same(
    blurring_bundle: Path, tmp_path: Path
) -> None:
    bundle = read_bundle(blurring_bundle)
    images, _ = bundle.probe()
    compiled = tmp_path / "compiled"
    compiled.mkdir()
    results, kept = [], []
    for folder in (None, compiled, compiled):
        session = open_session(bundle, 1, compiled=folder)
        results.append(session.run(images))
        session.close()
        kept.append({path: path.stat().st_mtime_ns for path in compiled.iterdir()})
    assert not kept[0]
    assert kept[1]
    assert kept[2] == kept[1]
    assert all(np.array_equal(result, results[0]) for result in results[1:])


def test_callers_at_once_get_what_each_gets_alone(blurring_bundle: Path) -> None:
    bundle = read_bundle(blurring_bundle)
    draw = np.random.default_rng(2)
    given = [draw.random((1, 3, SIDE, SIDE), dtype=np.float32) for _ in range(40)]
    alone, several = open_session(bundle), open_session(bundle, streams=3)
    assert (alone.streams, several.streams) == (1, 3)
    # A caller more than there are streams waits for one.
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(several.run, given))
    for images, result in zip(given, found, strict=True):
        np.testing.assert_allclose(result, alone.run(images), atol=1e-6)
    several.close()
    alone.close()
