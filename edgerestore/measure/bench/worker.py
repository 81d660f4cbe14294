"""The measured process: opens one candidate, runs it on request, reports raw times.

``python -m edgerestore.measure.bench.worker BUNDLE`` serves a bundle. A script can serve anything
else, a torch callable for one, by calling ``serve``, and be measured beside bundles.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from edgerestore.errors import CheckFailedError, EdgeRestoreError, MissingPartError
from edgerestore.measure.bench.judging import Judge, Judged
from edgerestore.measure.bench.memory import DeviceMemory, host_mib, peak_host_mib
from edgerestore.measure.bench.protocol import (
    Closed,
    Open,
    Opened,
    Ran,
    Refused,
    Reply,
    Request,
    Run,
)
from edgerestore.measure.bench.timing import timed

if TYPE_CHECKING:
    from edgerestore.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Ready:
    """A candidate that is loaded."""

    run: Callable[[], Any]
    """One inference, host array to host array; returns when the output is on the host."""
    output_pixels: int
    """Pixels that one run gives."""
    runtime: str
    """Runtime and version, for people."""
    check: Callable[[Any], Judged] = lambda _: Judged()
    """Judges the first output. Raises CheckFailedError, and then nothing is timed."""
    network_ns: Callable[[], int] | None = None
    """Of the last run, what the network took, where a run is more than that."""
    close: Callable[[], None] = lambda: None


def serve(open_candidate: Callable[[], Ready], prepare: Callable[[], None] | None = None) -> None:
    """Answers the harness on standard input and output until it closes either.

    ``prepare`` is where imports and reading belong: it is timed apart from
    ``open_candidate``, and the memory in use after it is the baseline. Whatever prints to
    standard output meanwhile, native code included, goes to standard error.
    """
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    decoder = msgspec.json.Decoder(Request)
    served = _Served(open_candidate, prepare or (lambda: None))
    for line in sys.stdin.buffer:
        reply = _guarded(served, decoder.decode(line))
        if not _send(replies, reply) or isinstance(reply, (Closed, Refused)):
            break


def open_ready(bundle: Bundle, threads: int, compiled: Path | None = None) -> Ready:
    """One inference of a verified bundle; see :func:`edgerestore.backends.base.open_session`."""
    from edgerestore.backends.base import open_session

    judge = Judge(bundle)
    session = open_session(bundle, threads, compiled=compiled)
    return Ready(
        run=lambda: session.run(judge.probe),
        output_pixels=pixels(judge.expected.shape),
        runtime=runtime_of(bundle),
        check=judge.check,
        close=session.close,
    )


def bundle_candidate(
    path: Path, threads: int, opening: Callable[[Bundle, int], Ready] = open_ready
) -> tuple[Callable[[], Ready], Callable[[], None]]:
    """``open_candidate`` and ``prepare`` for a bundle, both to give to ``serve``.

    What ``opening`` makes of the verified bundle is run; one inference where it is left out.
    """
    found: list[Bundle] = []

    def prepare() -> None:
        from edgerestore.backends import find_backend
        from edgerestore.bundle import read_bundle

        found.append(read_bundle(path))
        backend = find_backend(found[0].manifest.target.backend)
        backend.require(found[0].manifest.target.device)
        importlib.import_module(backend.package)

    return lambda: opening(found[0], threads), prepare


def runtime_of(bundle: Bundle) -> str:
    """Runtime, version and device that execute a bundle, for people."""
    from edgerestore.backends import find_backend

    target = bundle.manifest.target
    backend = find_backend(target.backend)
    return f"{backend.name} {backend.version()} on {target.device}"


def pixels(shape: tuple[int, ...]) -> int:
    """Of all images of a batch N x C x H x W."""
    return shape[0] * shape[2] * shape[3]


def main(arguments: list[str] | None = None) -> None:
    """Serves the bundle that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m edgerestore.measure.bench.worker")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compiled", type=Path, help="folder that keeps what is compiled")
    given = parser.parse_args(arguments)
    opening = functools.partial(open_ready, compiled=given.compiled)
    serve(*bundle_candidate(given.bundle, given.threads, opening))


class _Served:
    """The candidate's life, one method per request."""

    def __init__(self, open_candidate: Callable[[], Ready], prepare: Callable[[], None]) -> None:
        self._open_candidate = open_candidate
        self._prepare = prepare
        self._ready: Ready | None = None
        self._device: DeviceMemory | None = None

    def answer(self, request: Request) -> Reply:
        if isinstance(request, Open):
            return self._open()
        if self._ready is None or self._device is None:
            return Refused(status="failed", reason="asked to run before it was opened")
        if isinstance(request, Run):
            ran = _timed_runs(self._ready, request.warm_up, request.samples)
            self._device.sample()
            return ran
        return self._close(self._ready, self._device)

    def _open(self) -> Opened:
        _, prepare_ms = timed(self._prepare)
        self._device = DeviceMemory()
        before = host_mib()
        ready, load_ms = timed(self._open_candidate)
        output, first_ms = timed(ready.run)
        self._device.sample()
        judged = ready.check(output)
        self._ready = ready
        return Opened(
            prepare_ms=prepare_ms,
            load_ms=load_ms,
            first_ms=first_ms,
            output_pixels=ready.output_pixels,
            runtime=ready.runtime,
            host_mib_before_load=before,
            parity_psnr_db=judged.psnr_db,
            parity_floor_db=judged.floor_db,
        )

    def _close(self, ready: Ready, device: DeviceMemory) -> Closed:
        device.sample()
        peak = peak_host_mib()
        ready.close()
        return Closed(
            peak_host_mib=peak,
            peak_device_mib=device.peak_mib,
            runtime_device_mib=device.runtime_peak_mib,
            cpu_seconds=time.process_time(),
        )


def _guarded(served: _Served, request: Request) -> Reply:
    try:
        return served.answer(request)
    except MissingPartError as error:
        return Refused(status="not executable here", reason=str(error))
    except CheckFailedError as error:
        return Refused(status="failed parity", reason=str(error))
    except EdgeRestoreError as error:
        return Refused(status="failed", reason=str(error))
    except Exception as error:  # noqa: BLE001 - a candidate may be any code; the harness goes on
        traceback.print_exc()
        return Refused(status="failed", reason=f"{type(error).__name__}: {error}")


def _timed_runs(ready: Ready, warm_up: int, samples: int) -> Ran:
    run, network_ns = ready.run, ready.network_ns
    for _ in range(warm_up):
        run()
    clock = time.perf_counter_ns
    ns, inside = [], []
    for _ in range(samples):
        begin = clock()
        run()
        ns.append(clock() - begin)
        if network_ns is not None:
            inside.append(network_ns())
    return Ran(ns=ns, network_ns=inside)


def _send(replies: BinaryIO | Any, reply: Reply) -> bool:
    try:
        replies.write(msgspec.json.encode(reply) + b"\n")
    except BrokenPipeError:
        return False
    return True


if __name__ == "__main__":
    main()
