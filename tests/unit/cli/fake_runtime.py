"""The real command line with one more runtime, which repeats pixels instead of a network.

Run in a process of its own. FAKE_TILE_SECONDS makes each run last.
"""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from edgerestore.backends import BACKENDS
from edgerestore.backends.base import Backend, Conditions
from edgerestore.bundle import Bundle
from edgerestore.cli import run


class RepeatingSession:
    def __init__(self, bundle: Bundle, conditions: Conditions) -> None:
        self.streams = conditions.streams
        self.scale = bundle.manifest.model.scale
        self.seconds = float(os.environ.get("FAKE_TILE_SECONDS", "0"))

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(self.seconds)
        return images.repeat(self.scale, axis=2).repeat(self.scale, axis=3)

    def close(self) -> None:
        pass


BACKEND = Backend(
    name="fake", package="numpy", distribution="numpy", extra="none", open=RepeatingSession
)

if __name__ == "__main__":
    BACKENDS["fake"] = "__main__:BACKEND"
    run()
