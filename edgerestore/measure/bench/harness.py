"""Times candidates side by side: one process each, short turns, shuffled order.

On a machine that does other work absolute times drift by large factors, but two turns of
one round see the same machine, so their ratio holds still.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from edgerestore.errors import InputError
from edgerestore.measure.bench.process import WorkerProcess
from edgerestore.measure.bench.protocol import (
    Close,
    Closed,
    Open,
    Opened,
    Ran,
    Refused,
    Reply,
    Run,
    Status,
)

DEFAULT_SECONDS = 10.0
TURN_WARM_UP = 1
"""Unseen runs that begin each turn: the other candidates have filled the caches meanwhile."""
MIN_TURNS = 8
"""Turns over which a fixed number of samples is spread at least, so that ratios have rounds."""

MIN_ROUNDS = 20
"""Turns that fit into the time limit at least, for the same reason."""
MAX_TURN = 256
MAX_SAMPLES = 10_000
"""More would only swell the results file."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to time: a name, and the command of a worker that serves it."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure. Either limit ends a candidate's part; one must be given."""

    seconds: float | None = DEFAULT_SECONDS
    """Time to spend on each candidate's turns, with the unseen runs that begin them; opening and
    the warm-up after it come on top."""
    samples: int | None = None
    """Samples of each candidate."""
    turn_seconds: float = 0.25
    warm_up_seconds: float = 0.5
    """Spent on unseen runs after opening; at least ``warm_up_runs`` of them."""
    warm_up_runs: int = 3
    reply_timeout_s: float = 1800.0
    """A worker that is silent for longer is ended; engines may take many minutes to build."""
    seed: int = 0
    """Of the order within rounds."""

    def __post_init__(self) -> None:
        """Raises InputError for limits that no measurement can keep."""
        if self.seconds is None and self.samples is None:
            raise InputError("give a number of seconds, of samples, or both")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise InputError(f"seconds: {self.seconds} is not a positive number")
        if self.samples is not None and self.samples < 1:
            raise InputError(f"samples: {self.samples} is not a positive number")


@dataclass(slots=True)
class Measurement:
    """What was seen of one candidate; without samples unless the status is 'measured'."""

    candidate: Candidate
    status: Status = "measured"
    reason: str | None = None
    opened: Opened | None = None
    closed: Closed | None = None
    turns_ns: list[list[int]] = field(default_factory=list)
    """Raw samples, one list per round; rounds of all candidates run in step."""
    network_turns_ns: list[list[int]] = field(default_factory=list)
    """Of each sample, what the network took; lists are empty where a run is nothing else."""

    @property
    def samples(self) -> int:
        """Samples in all turns."""
        return sum(len(turn) for turn in self.turns_ns)

    @property
    def samples_ns(self) -> list[int]:
        """The samples of all turns, one after the other."""
        return [ns for turn in self.turns_ns for ns in turn]


def measure(
    candidates: Sequence[Candidate], plan: Plan, progress: Progress = lambda _: None
) -> list[Measurement]:
    """Opens every candidate in turn, then times them in rounds until the plan is fulfilled.

    A candidate that refuses, fails or dies drops out with status and reason; the others go
    on. ``progress`` hears the fraction done. All workers have ended when this returns or
    raises, KeyboardInterrupt included.
    """
    with running(candidates, plan) as lanes:
        for done, lane in enumerate(lanes, 1):
            lane.open()
            lane.warm_up()
            progress(0.2 * done / len(lanes))
        _rounds(lanes, plan, lambda fraction: progress(0.2 + 0.8 * fraction))
        for lane in lanes:
            lane.close()
        progress(1.0)
    return [lane.seen for lane in lanes]


def cpu_seconds(seen: Iterable[Measurement]) -> float:
    """CPU time of all workers that have closed."""
    return sum(m.closed.cpu_seconds for m in seen if m.closed)


class Lane:
    """One candidate with its worker: ``open``, ``warm_up``, any number of turns, ``close``.

    What goes wrong stands in ``seen``; after that a lane does nothing more.
    """

    def __init__(self, candidate: Candidate, plan: Plan) -> None:
        self.seen = Measurement(candidate)
        self._plan = plan
        self._worker = WorkerProcess(candidate.command, plan.reply_timeout_s)
        self._spent = 0.0
        self._turn = 1

    @property
    def wants_more(self) -> bool:
        """Whether the plan asks for more turns of this candidate."""
        plan = self._plan
        if self.seen.status != "measured" or self._wanted <= 0:
            return False
        return plan.seconds is None or self._spent < plan.seconds or not self.seen.samples

    @property
    def _wanted(self) -> int:
        return (self._plan.samples or MAX_SAMPLES) - self.seen.samples

    @property
    def fraction(self) -> float:
        """How much of the plan is fulfilled."""
        if not self.wants_more:
            return 1.0
        parts = [0.0]
        if self._plan.samples is not None:
            parts.append(self.seen.samples / self._plan.samples)
        if self._plan.seconds is not None:
            parts.append(self._spent / self._plan.seconds)
        return min(1.0, max(parts))

    def open(self) -> None:
        """Loads the candidate and judges its first output."""
        self.begin_opening()
        self.finish_opening()

    def begin_opening(self) -> None:
        """Lets the worker load; others may load meanwhile."""
        self._worker.send(Open())

    def finish_opening(self) -> None:
        """Waits for what ``begin_opening`` began."""
        reply = self._worker.receive()
        if isinstance(reply, Opened):
            self.seen.opened = reply
        else:
            self._drop(reply)

    def warm_up(self) -> None:
        """Runs unseen and chooses how many samples a turn has; the plan's time begins after."""
        plan, done, began = self._plan, 0, time.monotonic()
        shortest = self.seen.opened.first_ms / 1e3 if self.seen.opened else 0.0
        while self.seen.status == "measured" and (
            done < plan.warm_up_runs or time.monotonic() - began < plan.warm_up_seconds
        ):
            ran = self._run(0, 1)
            shortest = min([shortest, *(n / 1e9 for n in ran.ns)])
            done += 1
        self._spent = 0.0
        self._turn = _turn_samples(plan, shortest)

    def turn(self) -> None:
        """Adds one turn, of as many samples as are wanted and fit into it."""
        ran = self._run(TURN_WARM_UP, min(self._turn, self._wanted))
        self.seen.turns_ns.append(ran.ns)
        self.seen.network_turns_ns.append(ran.network_ns)

    def sit_out(self) -> None:
        """Adds an empty turn, to stay in step with candidates that want more."""
        self.seen.turns_ns.append([])
        self.seen.network_turns_ns.append([])

    def close(self) -> None:
        """Reads the candidate's peaks and lets its worker leave."""
        if self.seen.status == "measured":
            reply = self._worker.ask(Close())
            if isinstance(reply, Closed):
                self.seen.closed = reply
            else:
                self._drop(reply)

    def kill(self) -> None:
        """Ends the worker, whatever it does; a second call does nothing."""
        self._worker.kill()

    def _run(self, warm_up: int, samples: int) -> Ran:
        began = time.monotonic()
        reply = self._worker.ask(Run(warm_up=warm_up, samples=samples))
        self._spent += time.monotonic() - began
        if isinstance(reply, Ran):
            return reply
        self._drop(reply)
        return Ran(ns=[])

    def _drop(self, reply: Reply) -> None:
        if isinstance(reply, Refused):
            self.seen.status, self.seen.reason = reply.status, reply.reason
        else:
            self.seen.status, self.seen.reason = "failed", "the worker spoke out of turn"
        # Samples of a candidate that failed half-way would look like a result.
        self.seen.turns_ns.clear()
        self.seen.network_turns_ns.clear()
        self._worker.kill()


def _turn_samples(plan: Plan, run_seconds: float) -> int:
    seconds = plan.turn_seconds
    if plan.seconds is not None:
        seconds = min(seconds, plan.seconds / MIN_ROUNDS)
    turn = min(MAX_TURN, round(seconds / max(run_seconds, 1e-9)))
    if plan.samples is not None:
        turn = min(turn, plan.samples // MIN_TURNS)
    return max(1, turn)


def _rounds(lanes: Sequence[Lane], plan: Plan, progress: Progress) -> None:
    order = random.Random(plan.seed)
    while any(lane.wants_more for lane in lanes):
        measured = [lane for lane in lanes if lane.seen.status == "measured"]
        for lane in order.sample(measured, len(measured)):
            if lane.wants_more:
                lane.turn()
            else:
                lane.sit_out()
        progress(min(lane.fraction for lane in lanes))


@contextlib.contextmanager
def running(candidates: Sequence[Candidate], plan: Plan) -> Iterator[list[Lane]]:
    """Starts a worker for each candidate and ends them all, whatever happens meanwhile."""
    lanes: list[Lane] = []
    try:
        for candidate in candidates:
            lanes.append(Lane(candidate, plan))  # noqa: PERF401 - a failed start kills the others
        yield lanes
    finally:
        for lane in lanes:
            lane.kill()
