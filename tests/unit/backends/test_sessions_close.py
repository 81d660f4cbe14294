"""Sessions and device memory are given back however the work ends."""

from __future__ import annotations

import enum
from types import SimpleNamespace

import numpy as np
import pytest

from edgerestore.backends import base, cuda
from edgerestore.bundle import read_bundle
from edgerestore.errors import AccuracyError, BackendError


class Status(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class Memory:
    """A double of the CUDA runtime that can allocate so many times."""

    cudaError_t = Status
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __init__(self, allocations: int, streams: int = 1) -> None:
        self.left, self.streams = allocations, streams
        self.held: set[int] = set()

    def cudaMalloc(self, size: int):
        if not self.left:
            return (Status.cudaErrorMemoryAllocation,)
        self.left -= 1
        self.held.add(self.left + 100)
        return Status.cudaSuccess, self.left + 100

    def cudaFree(self, pointer: int):
        self.held.remove(pointer)
        return (Status.cudaSuccess,)

    def cudaStreamCreate(self):
        return (Status.cudaSuccess, 7) if self.streams else (Status.cudaErrorMemoryAllocation,)

    def cudaStreamDestroy(self, stream: int):
        return (Status.cudaSuccess,)


@pytest.mark.parametrize(("allocations", "streams"), [(0, 1), (1, 1), (2, 0)])
def test_buffers_that_cannot_all_be_allocated_hold_nothing(monkeypatch, allocations, streams):
    memory = Memory(allocations, streams)
    monkeypatch.setattr(cuda, "_runtime", lambda: memory)
    with pytest.raises(BackendError, match="cudaErrorMemoryAllocation"):
        cuda.DeviceBuffers((1, 3, 8, 8), (1, 3, 16, 16))
    assert not memory.held


def test_buffers_are_given_back(monkeypatch):
    memory = Memory(2)
    monkeypatch.setattr(cuda, "_runtime", lambda: memory)
    buffers = cuda.DeviceBuffers((1, 3, 8, 8), (1, 3, 16, 16))
    assert len(memory.held) == 2
    buffers.free()
    assert not memory.held


@pytest.mark.needs_backend("onnxruntime")
def test_session_is_closed_when_the_work_raises(monkeypatch, doubling_bundle):
    closed = count_closed(monkeypatch)
    with pytest.raises(ZeroDivisionError), base.session_on(read_bundle(doubling_bundle())):
        raise ZeroDivisionError
    assert len(closed) == 1


@pytest.mark.needs_backend("onnxruntime")
def test_build_closes_the_session_of_a_bundle_that_gives_nan(monkeypatch, doubling_bundle):
    pytest.importorskip("torch")
    from edgerestore.pipeline.job import Builder

    closed = count_closed(monkeypatch)
    draft = read_bundle(doubling_bundle(error=np.nan))
    probe, expected = draft.probe()
    builder = Builder(
        job=SimpleNamespace(evaluation=[]),
        source=SimpleNamespace(probe=probe, expected=expected),
        emitter=None,
        report=print,
    )
    target = SimpleNamespace(backend="onnxruntime", device="CPU", compute_capabilities=())
    with pytest.raises(AccuracyError, match="NaN or infinite"):
        builder._executed(draft, target)
    assert len(closed) == 1


def count_closed(monkeypatch):
    closed = []
    real = base.open_session

    def opening(*given, **options):
        session = real(*given, **options)
        close = session.close

        def closing():
            closed.append(session)
            close()

        session.close = closing
        return session

    monkeypatch.setattr(base, "open_session", opening)
    return closed
