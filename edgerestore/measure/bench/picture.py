"""A measured process that restores a whole picture file: decode, tile, run, blend, encode.

``python -m edgerestore.measure.bench.picture BUNDLE PICTURE`` serves it as ``edgerestore restore``
does it, and says how much of each run the network took.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgerestore.imaging import read_sides
from edgerestore.measure.bench.judging import Judge, Judged
from edgerestore.measure.bench.machine.container import usable_cores
from edgerestore.measure.bench.worker import Ready, bundle_candidate, runtime_of, serve
from edgerestore.restoration import Job, Settings, restore_file, streams_for
from edgerestore.shipped import shipped_folder

if TYPE_CHECKING:
    from edgerestore.backends.base import Session
    from edgerestore.bundle import Bundle


def shipped_picture() -> Path:
    """A photograph of 144 x 144 pixels."""
    return shipped_folder("calibration") / "evaluation/photos/LR_bicubic/X2/friends-dogx2.png"


def open_picture(bundle: Bundle, threads: int, picture: Path, streams: int | None = None) -> Ready:
    """Opens a bundle to restore a file into a folder that goes with it.

    So many ``streams`` are asked for; as many as 'edgerestore restore' does where left out.
    Raises ImageError where the picture cannot be read.
    """
    from edgerestore.backends.base import open_session

    contract, scale = bundle.manifest.contract, bundle.manifest.model.scale
    streams = streams or streams_for(threads or usable_cores())
    height, width = read_sides(picture)
    judge = Judge(bundle)
    with contextlib.ExitStack() as opened:
        session = open_session(bundle, threads, streams=streams)
        opened.callback(session.close)
        settings = Settings(
            contract.tile, contract.overlap, scale, contract.batch, streams=session.streams
        )
        network = _Network(session)
        folder = tempfile.TemporaryDirectory(prefix="edgerestore-")
        # From here on the candidate closes both.
        opened.pop_all()
    job = Job(picture, Path(folder.name) / "restored.png")

    def run() -> None:
        network.ns = 0
        restore_file(job, network.run, settings)

    def check(_: Any) -> Judged:
        return judge.check(network.run(judge.probe))

    def close() -> None:
        network.session.close()
        folder.cleanup()

    return Ready(
        run=run,
        output_pixels=height * width * scale**2,
        runtime=runtime_of(bundle),
        check=check,
        close=close,
        network_ns=lambda: network.ns,
    )


def command(path: Path, threads: int, picture: Path, streams: int | None = None) -> tuple[str, ...]:
    """What starts a worker that restores a picture with a bundle; see :func:`open_picture`."""
    options = [f"--threads={threads}", *([f"--streams={streams}"] if streams else [])]
    paths = (str(path.resolve()), str(picture.resolve()))
    return (sys.executable, "-m", __spec__.name, *options, "--", *paths)


def main(arguments: list[str] | None = None) -> None:
    """Serves the bundle and the picture that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m edgerestore.measure.bench.picture")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--streams", type=int)
    given = parser.parse_args(arguments)
    opening = partial(open_picture, picture=given.picture, streams=given.streams)
    serve(*bundle_candidate(given.bundle, given.threads, opening))


class _Network:
    """A session that adds up the time in which at least one run is under way."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ns = 0
        self._under_way, self._began = 0, 0
        self._lock = threading.Lock()

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            if not self._under_way:
                self._began = time.perf_counter_ns()
            self._under_way += 1
        try:
            return self.session.run(tiles)
        finally:
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    self.ns += time.perf_counter_ns() - self._began


if __name__ == "__main__":
    main()
