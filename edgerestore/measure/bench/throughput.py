"""A measured process that keeps several inferences of one bundle under way.

``python -m edgerestore.measure.bench.throughput BUNDLE --streams 2`` serves runs of ``ROUNDS``
inferences for each stream. OpenVINO has streams of its own, for throughput rather than
latency; ONNX Runtime shares one session between as many callers, TensorRT has a session for
each. A batch other than the bundle's own needs a graph that can be reshaped, and OpenVINO.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.errors import CheckFailedError, MissingPartError
from edgerestore.measure.bench.judging import Judge, Judged
from edgerestore.measure.bench.worker import Ready, bundle_candidate, runtime_of, serve

if TYPE_CHECKING:
    from edgerestore.backends.base import Session
    from edgerestore.bundle import Bundle

ROUNDS = 4
"""Inferences of each stream in one run: streams end nearly together, so that few idle."""

Tiles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Setting:
    """How many inferences are under way at once, and of how many images each."""

    streams: int
    batch: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A bundle that is open for throughput."""

    run: Callable[[], Any]
    """``ROUNDS`` inferences of every stream; returns when all are done."""
    outputs: Callable[[], Sequence[Tiles]]
    """The last output of every stream."""
    close: Callable[[], None]


def open_flow(bundle: Bundle, threads: int, setting: Setting) -> Ready:
    """Opens a bundle for a setting. Raises MissingPartError where it cannot take the batch."""
    judge = Judge(bundle)
    own = len(judge.probe)
    if setting.batch % own:
        raise MissingPartError(f"batches of {setting.batch} are no multiple of the bundle's {own}")
    copies = setting.batch // own
    given = np.tile(judge.probe, (copies, 1, 1, 1))
    if bundle.manifest.target.backend == "openvino":
        flow = _openvino_flow(bundle, threads, setting, given)
    elif copies > 1:
        raise MissingPartError(
            f"the bundle holds a batch of {own}, which only OpenVINO reshapes; "
            f"'edgerestore build --batch {setting.batch}' makes one that has it"
        )
    else:
        flow = _calling_flow(bundle, threads, setting.streams, given)

    def check(_: Any) -> Judged:
        outputs = [part for whole in flow.outputs() for part in np.split(whole, copies)]
        if len(outputs) != setting.streams * copies:
            raise CheckFailedError(f"{len(outputs)} outputs of {setting.streams} streams")
        return min((judge.check(output) for output in outputs), key=lambda j: j.psnr_db or 0.0)

    height, width = judge.expected.shape[2:]
    return Ready(
        run=flow.run,
        output_pixels=ROUNDS * setting.streams * setting.batch * height * width,
        runtime=runtime_of(bundle),
        check=check,
        close=flow.close,
    )


def command(path: Path, threads: int, setting: Setting) -> tuple[str, ...]:
    """What starts a worker that serves a bundle at a setting."""
    options = (f"--streams={setting.streams}", f"--batch={setting.batch}", f"--threads={threads}")
    return (sys.executable, "-m", __spec__.name, *options, "--", str(path.resolve()))


def main(arguments: list[str] | None = None) -> None:
    """Serves the bundle that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m edgerestore.measure.bench.throughput")
    parser.add_argument("bundle", type=Path)
    for option in ("streams", "batch"):
        parser.add_argument(f"--{option}", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args(arguments)
    setting = Setting(given.streams, given.batch)
    serve(*bundle_candidate(given.bundle, given.threads, partial(open_flow, setting=setting)))


def _openvino_flow(bundle: Bundle, threads: int, setting: Setting, given: Tiles) -> Flow:
    import openvino

    from edgerestore.backends.base import runtime_errors
    from edgerestore.backends.openvino import NAME, configuration, throughput_options

    device = bundle.manifest.target.device
    config = configuration(bundle, threads, **throughput_options(bundle, setting.streams))
    core = openvino.Core()
    with runtime_errors(NAME, f"opening {bundle.model_file} for throughput"):
        model = core.read_model(bundle.model_file)
        if list(model.input(0).shape) != list(given.shape):
            _reshape(model, given.shape)
        compiled = core.compile_model(model, device, config)
        queue = openvino.AsyncInferQueue(compiled, setting.streams)

    def run() -> None:
        with runtime_errors(NAME, "running"):
            for _ in range(ROUNDS * setting.streams):
                queue.start_async([given])
            queue.wait_all()

    def outputs() -> list[Tiles]:
        return [np.array(request.get_output_tensor(0).data, np.float32) for request in queue]

    return Flow(run, outputs, close=lambda: None)


def _reshape(model: Any, shape: tuple[int, ...]) -> None:
    try:
        model.reshape(list(shape))
    except RuntimeError as error:
        raise MissingPartError(
            f"the graph holds its batch, and cannot be reshaped to one of {shape[0]}; "
            f"'edgerestore build --batch {shape[0]}' makes one that has it"
        ) from error


def _calling_flow(bundle: Bundle, threads: int, streams: int, given: Tiles) -> Flow:
    sessions = _sessions(bundle, threads, streams)
    pool = ThreadPoolExecutor(streams)
    last: list[Tiles] = []

    def call(session: Session) -> Tiles:
        for _ in range(ROUNDS - 1):
            session.run(given)
        return session.run(given)

    def run() -> None:
        last[:] = pool.map(call, sessions)

    def close() -> None:
        pool.shutdown()
        for session in set(sessions):
            session.close()

    return Flow(run, lambda: last, close)


def _sessions(bundle: Bundle, threads: int, streams: int) -> list[Session]:
    """One for each stream: the same one where a runtime lets several callers share it."""
    from edgerestore.backends.base import open_session

    with contextlib.ExitStack() as opened:
        first = open_session(bundle, threads, streams=streams)
        opened.callback(first.close)
        sessions = [first] * streams
        if first.streams != streams:
            for place in range(1, streams):
                sessions[place] = open_session(bundle, threads)
                opened.callback(sessions[place].close)
        # All are open: whoever asked closes them.
        opened.pop_all()
        return sessions


if __name__ == "__main__":
    main()
