"""Why a bundle's opening is not known; what it consists of is in test_further.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerestore.measure.bench import opening
from edgerestore.measure.bench.opening import Opening, opening_of

pytestmark = pytest.mark.needs_backend("onnxruntime")


def test_a_bundle_that_cannot_be_opened_says_why(make_bundle: Callable[..., Path]) -> None:
    path = make_bundle("a")
    (path / "model.onnx").write_bytes(b"x")
    found = opening_of(path, 1)
    assert found == Opening(reason=found.reason)
    assert "model.onnx" in (found.reason or "")


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (0, b"", "its process gave no result"),
        (1, b"first\nlast\n", "its process exited with 1: last"),
        (-11, b"", "its process was ended by signal 11"),
    ],
)
def test_a_process_that_dies_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, code: int, said: bytes, reason: str
) -> None:
    done = subprocess.CompletedProcess[bytes]([], code, stdout=b"", stderr=said)
    monkeypatch.setattr(opening.subprocess, "run", lambda *_, **__: done)
    assert opening_of(Path("bundle"), 1) == Opening(reason=reason)


def test_a_process_that_hangs_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, make_bundle: Callable[..., Path]
) -> None:
    monkeypatch.setattr(opening, "TIMEOUT_S", 0.001)
    assert opening_of(make_bundle("a"), 1) == Opening(reason="not done within 0.001 s")
