"""One clock for what happens once, such as opening; samples are taken by the worker itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Done = TypeVar("Done")


def timed(do: Callable[[], Done]) -> tuple[Done, float]:
    """What a call returned, and how many ms it took."""
    begin = time.perf_counter_ns()
    result = do()
    return result, (time.perf_counter_ns() - begin) / 1e6
