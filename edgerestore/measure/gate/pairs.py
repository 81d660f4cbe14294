"""One fresh process of either side, timed in turns A B B A, B A A B and so on.

The machine's speed may change by any factor: what changes slower than a block lasts cancels
in the block's ratio, a steady drift cancels by its order, and what bursts in is outvoted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgerestore.errors import AnswerIsNoError, BackendError, InputError, MissingPartError
from edgerestore.measure.bench.harness import Candidate, Lane, Plan, cpu_seconds, running
from edgerestore.measure.gate.sequential import Estimate

TURN_S = 0.05
"""Short, so that both sides of a block meet the same machine."""
WARM_UP_S = 0.3
LONE_SPREAD = 0.1
"""Assumed standard deviation of a log-ratio where a single block tells of none."""


class CandidateError(AnswerIsNoError):
    """The candidate fails, or computes something else. Of a baseline, that would decide nothing."""

    def __init__(self, message: str, *, wrong_output: bool) -> None:
        super().__init__(message)
        self.wrong_output = wrong_output
        """Else it gave none: its runtime refused it, or its process failed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Raw samples of one process of either side; blocks of two turns, in step."""

    candidate_ns: list[list[int]]
    baseline_ns: list[list[int]]
    opening_s: float
    """Until both were loaded and warm."""
    seconds: float
    """All of it, opening included."""

    @property
    def samples(self) -> int:
        """Samples of both sides together."""
        return sum(len(turn) for side in (self.candidate_ns, self.baseline_ns) for turn in side)

    def estimate(self) -> Estimate:
        """Logarithm of the candidate's latency over the baseline's, robust over the blocks."""
        blocks = _block_log_ratios(self.candidate_ns, self.baseline_ns)
        scatter = float(np.var(blocks, ddof=1)) if len(blocks) > 1 else LONE_SPREAD**2
        return Estimate(location(blocks), scatter / len(blocks))


class Source(Protocol):
    """Where pairs come from: this machine's processes, or a simulated machine."""

    def clock(self) -> float:
        """Seconds since any moment."""
        ...

    def pair(self, number: int, seconds: float, until: float) -> Pair:
        """Opens the pair of this number and measures it for about so many seconds.

        No block begins after ``until`` on the clock, except the first.
        """
        ...


class Processes:
    """Pairs of worker processes on this machine."""

    def __init__(self, candidate: Candidate, baseline: Candidate) -> None:
        self._sides = (candidate, baseline)
        self.cpu_seconds = 0.0
        """Of all workers that have closed."""

    def clock(self) -> float:
        """Monotonic."""
        return time.monotonic()

    def pair(self, number: int, seconds: float, until: float) -> Pair:
        """See :class:`Source`. Which side starts alternates from pair to pair and block to block.

        Raises CandidateError where the candidate fails or its output is wrong, InputError where
        the baseline's is, MissingPartError where either cannot execute here, and BackendError
        where the baseline fails. Both processes have ended when this returns or raises.
        """
        plan = Plan(seconds=seconds / 2, turn_seconds=TURN_S, warm_up_seconds=WARM_UP_S)
        began = self.clock()
        order = self._sides if number % 2 == 0 else self._sides[::-1]
        with running(order, plan) as lanes:
            for lane in lanes:
                lane.begin_opening()
            for lane in lanes:
                lane.finish_opening()
            for lane in lanes:
                lane.warm_up()
            opening_s = self.clock() - began
            _blocks(lanes, lambda: self.clock() < until)
            for lane in lanes:
                lane.close()
        self.cpu_seconds += cpu_seconds(lane.seen for lane in lanes)
        by_side = {id(lane.seen.candidate): lane for lane in lanes}
        candidate, baseline = (by_side[id(side)] for side in self._sides)
        _require_measured(candidate, baseline)
        return Pair(
            candidate.seen.turns_ns, baseline.seen.turns_ns, opening_s, self.clock() - began
        )


@contextmanager
def compiled_by_side() -> Iterator[tuple[Path, Path]]:
    """Folders for what either side compiles, so that only the first pair has to.

    A pair is mostly opening, and its graph is the same each time: the more pairs fit into the
    time, the surer the answer. One for each, as both write at once.
    """
    with tempfile.TemporaryDirectory(prefix="edgerestore-gate-") as folder:
        sides = Path(folder, "candidate"), Path(folder, "baseline")
        for side in sides:
            side.mkdir()
        yield sides


def location(values: Sequence[float]) -> float:
    """Hodges-Lehmann estimate: the median of all averages of two values.

    As efficient as the mean on quiet machines (95 %), and one burst does not move it.
    """
    array = np.asarray(values, np.float64)
    rows, columns = np.triu_indices(array.size)
    return float(np.median((array[rows] + array[columns]) / 2))


def _blocks(lanes: Sequence[Lane], in_time: Callable[[], bool]) -> None:
    first, second = lanes
    while first.wants_more and second.wants_more:
        for lane in (first, second, second, first):
            lane.turn()
        if not in_time():
            break
        first, second = second, first


def _require_measured(candidate: Lane, baseline: Lane) -> None:
    for lane in (baseline, candidate):
        status, reason = lane.seen.status, f"{lane.seen.candidate.name}: {lane.seen.reason}"
        if status == "not executable here":
            raise MissingPartError(reason)
        if status != "measured" and lane is candidate:
            raise CandidateError(reason, wrong_output=status == "failed parity")
        if status == "failed parity":
            raise InputError(reason)
        if status != "measured":
            raise BackendError(reason)


def _block_log_ratios(
    candidate: Sequence[Sequence[int]], baseline: Sequence[Sequence[int]]
) -> list[float]:
    halves = [
        float(np.log(np.median(a) / np.median(b))) for a, b in zip(candidate, baseline, strict=True)
    ]
    return [(one + two) / 2 for one, two in zip(halves[::2], halves[1::2], strict=True)]
