from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.backends import BACKENDS, find_backend
from edgerestore.errors import BundleError, MissingPartError
from edgerestore.measure.bench.profile import profile_bundle
from edgerestore.measure.bench.profile.reading import READERS

Make = Callable[..., Path]


@pytest.mark.needs_backend("onnxruntime")
def test_a_damaged_bundle_never_reaches_the_runtime(attention_bundle: Make) -> None:
    path = attention_bundle("onnxruntime")
    with (path / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="damaged"):
        profile_bundle(path)


def test_every_backend_has_a_reader() -> None:
    assert READERS.keys() == BACKENDS.keys()
    for module in READERS.values():
        assert callable(importlib.import_module(module).profile)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_an_absent_runtime_is_named(attention_bundle: Make, backend: str) -> None:
    if find_backend(backend).why_not() is None:
        pytest.skip(f"{backend} executes here")
    with pytest.raises(MissingPartError, match=f"{backend} cannot run here"):
        profile_bundle(attention_bundle(backend))
