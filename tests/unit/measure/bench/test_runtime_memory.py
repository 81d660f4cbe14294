from __future__ import annotations

import sys
import types

import pytest

from edgerestore.measure.bench.runtime_memory import RuntimeMemory


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "cuda.bindings.runtime"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def fake_torch() -> types.SimpleNamespace:
    """A torch on a GPU whose peak is set back to what is reserved at present."""
    state = {"now": 300, "peak": 900}
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        reset_peak_memory_stats=lambda: state.update(peak=state["now"]),
        max_memory_reserved=lambda: state["peak"],
    )
    return types.SimpleNamespace(cuda=cuda, state=state)


def fake_cudart(free: list[int]) -> types.SimpleNamespace:
    """A CUDA runtime on a GPU of 1000 bytes, of which these are free in turn."""
    return types.SimpleNamespace(cudaMemGetInfo=lambda: (0, free.pop(0), 1000))


def test_without_either_nothing_is_known() -> None:
    assert RuntimeMemory().bytes() is None


def test_pytorchs_peak_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = fake_torch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    memory = RuntimeMemory()
    assert memory.bytes() == 300
    torch.state["peak"] = 500
    assert memory.bytes() == 500


def test_cudas_growth_counts_from_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake_cudart([800, 550, 900]))
    memory = RuntimeMemory()
    assert memory.bytes() == 250
    assert memory.bytes() == 0


def test_what_was_loaded_later_has_no_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = RuntimeMemory()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake_cudart([550]))
    assert memory.bytes() is None
