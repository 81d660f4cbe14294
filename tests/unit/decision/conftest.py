from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable

import numpy as np
import pytest

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]

ROUNDS = 40


@pytest.fixture(scope="session")
def option() -> Callable[..., object]:
    """Makes options of which all rounds saw the same machine, whose speed drifts threefold."""
    from edgerestore.decision.choice import Option
    from edgerestore.decision.result import Drop

    speed = 1 + 2 * np.random.default_rng(0).random(ROUNDS)

    def make(
        label: str,
        ms: float,
        drop_db: float = 0.0,
        *,
        spread: float = 0.01,
        worst_db: float | None = None,
        interval: tuple[float | None, float | None] = (None, None),
        kib: int = 100,
        rounds: int = ROUNDS,
    ) -> Option:
        noise = np.random.default_rng(zlib.crc32(label.encode())).normal(1, spread, ROUNDS)
        turns = [[int(ns)] for ns in (ms * 1e6 * speed * noise)[:rounds]]
        drop = Drop(
            mean_db=drop_db,
            low_db=interval[0],
            high_db=interval[1],
            worst_db=drop_db if worst_db is None else worst_db,
            worst_image="baby",
            images=5,
        )
        return Option(label, drop, turns, kib * 1024)

    return make
