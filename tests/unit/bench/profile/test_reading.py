from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.bench.profile import profile_bundle
from edgerestore.errors import BundleError, MissingPartError

Make = Callable[..., Path]


@pytest.mark.needs_backend("onnxruntime")
def test_a_damaged_bundle_never_reaches_the_runtime(attention_bundle: Make) -> None:
    path = attention_bundle("onnxruntime")
    with (path / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="damaged"):
        profile_bundle(path)


def test_a_runtime_without_a_reader_is_named(attention_bundle: Make) -> None:
    with pytest.raises(MissingPartError, match="tensorrt-rtx cannot be read; those of onnxruntime"):
        profile_bundle(attention_bundle("tensorrt-rtx"))
