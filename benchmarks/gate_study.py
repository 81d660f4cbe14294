"""How often ``edgerestore gate`` is right, beside what people do today on the same samples.

``python benchmarks/gate_study.py --simulate 200`` tries it on a simulated shared machine.
``python benchmarks/gate_study.py --measure 200 --bundle BUNDLE`` tries it on this one, while a
second load comes and goes: a bundle against itself, and against itself slowed by 5 and by 10 %,
which the worker does by spinning for that share of each run. Decisions are kept as they come,
and a study that was stopped goes on where it was, on another machine too: its decisions then
also stand by themselves. Either writes a result file and a plot.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from arguments import exit_after
from gate_habits import HABITS
from gate_plot import write_plot
from noisy_machine import HARSH, QUIET, SECOND_LOAD, SHARED, NoisyMachine

from edgerestore.errors import InputError
from edgerestore.files import write_beside
from edgerestore.measure.bench.comparable import differences
from edgerestore.measure.bench.environment import Environment, Watch
from edgerestore.measure.bench.harness import Candidate
from edgerestore.measure.bench.worker import Ready, bundle_candidate, open_ready, serve
from edgerestore.measure.gate.latency import DEFAULT_SECONDS, DEFAULT_THRESHOLD, compare_latency
from edgerestore.measure.gate.pairs import Pair, Processes, Source, compiled_by_side

RESULTS = Path(__file__).parent / "results"
SLOWDOWNS = (0.0, 0.05, 0.10)
MOST_FALSE, LEAST_FOUND = 0.01, {0.05: 0.95, 0.10: 0.99}
"""Shares of "regressed" to keep below without, and to reach with, a slowdown."""
MACHINES = {"quiet": QUIET, "second load": SECOND_LOAD, "shared": SHARED, "harsh": HARSH}
LOAD_ON_S = LOAD_OFF_S = 8.0
"""Means of the exponential times for which the second load stays and stays away."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the gate on one machine with a known slowdown."""

    machine: str
    slowdown: float
    answer: str
    ratio: float
    low: float | None
    high: float | None
    pairs: int
    seconds: float
    habits: dict[str, bool]
    """For each habit, whether it said "regressed" of the same samples."""


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """All decisions under one set of conditions."""

    conditions: dict[str, Any]
    machines: dict[str, Environment]
    """By the names that the decisions bear; those that :func:`differences` finds alike are one."""
    decisions: list[Decision]


class Recorder:
    """A source that keeps the pairs it has given."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.pairs: list[Pair] = []

    def clock(self) -> float:
        """The source's own."""
        return self._source.clock()

    def pair(self, number: int, seconds: float, until: float) -> Pair:
        """The source's own."""
        self.pairs.append(self._source.pair(number, seconds, until))
        return self.pairs[-1]


def main() -> int:
    """Runs one part; returns 1 where a goal is missed on a machine that has goals."""
    given = _arguments()
    if given.serve:
        _serve_slowed(given.serve, given.slowdown, given.threads, given.compiled)
        return 0
    if given.load is not None:
        _load(given.load)
        return 0
    if given.simulate:
        out = given.out or RESULTS / "gate_simulation.json"
        rows = _simulated(given.simulate, out)
    elif given.measure and given.bundle:
        out = given.out or RESULTS / "gate_study.json"
        rows = rates_measured(_measured(given, out))
    else:
        raise InputError("give --simulate RUNS, or --measure RUNS and --bundle BUNDLE")
    write_plot(out.with_suffix(".png"), rows)
    _show(rows)
    print(f"written to {out} and {out.with_suffix('.png')}")
    return 0 if all(map(_reached, rows)) else 1


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Of one machine and slowdown."""

    machine: str
    slowdown: float
    runs: int
    regressed: dict[str, float]
    """Share of "regressed" for each method, the gate first."""
    answers: dict[str, float]
    """Share of each answer of the gate."""
    seconds: tuple[float, float]
    """That the gate took: median and most."""


def rates(decisions: Sequence[Decision]) -> list[Rates]:
    """One row for each machine and slowdown of which there are decisions."""
    rows = []
    machines = dict.fromkeys(d.machine for d in decisions)
    for machine, slowdown in itertools.product(machines, SLOWDOWNS):
        chosen = [d for d in decisions if (d.machine, d.slowdown) == (machine, slowdown)]
        if not chosen:
            continue
        runs = len(chosen)
        answers = Counter(d.answer for d in chosen)
        habits = {name: sum(d.habits[name] for d in chosen) / runs for name in HABITS}
        seconds = [d.seconds for d in chosen]
        rows.append(
            Rates(
                machine=machine,
                slowdown=slowdown,
                runs=runs,
                regressed={"edgerestore gate": answers["regressed"] / runs, **habits},
                answers={answer: count / runs for answer, count in sorted(answers.items())},
                seconds=(statistics.median(seconds), max(seconds)),
            )
        )
    return rows


def rates_measured(decisions: Sequence[Decision]) -> list[Rates]:
    """Of all machines together and, where there are several, of each."""
    together = [msgspec.structs.replace(d, machine="all machines") for d in decisions]
    several = len({d.machine for d in decisions}) > 1
    return rates([*together, *decisions] if several else decisions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulate", type=int, metavar="RUNS", help="of each machine and slowdown")
    parser.add_argument("--measure", type=int, metavar="RUNS", help="of the bundle against itself")
    parser.add_argument("--slowed", type=int, metavar="RUNS", help="of each slowdown; else as many")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="of the runtime")
    parser.add_argument("--compiled", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--loads", type=int, default=1, help="processes of the second load")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--slowdown", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _simulated(runs: int, out: Path) -> list[Rates]:
    """Writes rates alone: the seeds give every decision again."""
    rows = rates(
        [
            _decide(name, slowdown, NoisyMachine(1 + slowdown, noise, seed))
            for name, noise in MACHINES.items()
            for slowdown in SLOWDOWNS
            for seed in range(runs)
        ]
    )
    document = {"conditions": MACHINES, "seeds": runs, "rates": rows}
    write_beside(out, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    return rows


def _measured(given: argparse.Namespace, out: Path) -> list[Decision]:
    conditions = {"bundle": given.bundle.name, "threads": given.threads, "loads": given.loads,
                  "load_on_s": LOAD_ON_S, "load_off_s": LOAD_OFF_S}  # fmt: skip
    machines, decisions = _continued(out, conditions)
    done = Counter(d.slowdown for d in decisions)
    runs = {s: given.measure if not s or given.slowed is None else given.slowed for s in SLOWDOWNS}
    wanted = [s for s in SLOWDOWNS for _ in range(runs[s] - done[s])]
    # In any order, so that no slowdown meets another machine than the rest.
    random.Random(len(decisions)).shuffle(wanted)
    watch = Watch()
    name = name_of(watch.finish(0.0), machines)
    with _second_load(given.loads):
        for slowdown in wanted:
            with compiled_by_side() as folders:
                sides = [
                    _slowed_worker(given.bundle, share, given.threads, folder)
                    for share, folder in zip((slowdown, 0.0), folders, strict=True)
                ]
                decisions.append(_decide(name, slowdown, Processes(*sides)))
            machines[name] = watch.finish(0.0)
            study = Study(conditions=conditions, machines=machines, decisions=decisions)
            write_beside(out, msgspec.json.encode(study) + b"\n")
            last = decisions[-1]
            print(f"{len(decisions):4} {slowdown:+.0%} {last.answer:12} {last.ratio:.3f} "
                  f"{last.seconds:3.0f} s", flush=True)  # fmt: skip
    return decisions


def name_of(environment: Environment, machines: dict[str, Environment]) -> str:
    """The name under which its decisions are kept; another load or time makes no new one."""
    alike = (name for name, known in machines.items() if not differences(known, environment))
    return next(alike, f"machine {len(machines) + 1}")


def _continued(
    out: Path, conditions: dict[str, Any]
) -> tuple[dict[str, Environment], list[Decision]]:
    if not out.exists():
        return {}, []
    study = msgspec.json.decode(out.read_bytes(), type=Study)
    if study.conditions != conditions:
        raise InputError(f"{out}: a study under other conditions; move it away or give --out")
    return study.machines, study.decisions


def _decide(machine: str, slowdown: float, source: Source) -> Decision:
    recorder = Recorder(source)
    seen = compare_latency(recorder, seconds=DEFAULT_SECONDS, threshold=DEFAULT_THRESHOLD)
    return Decision(
        machine=machine,
        slowdown=slowdown,
        answer=seen.answer,
        ratio=seen.ratio,
        low=seen.low,
        high=seen.high,
        pairs=seen.pairs,
        seconds=seen.seconds,
        habits={name: habit(recorder.pairs) for name, habit in HABITS.items()},
    )


def _slowed_worker(bundle: Path, slowdown: float, threads: int, compiled: Path) -> Candidate:
    command = (sys.executable, str(Path(__file__).resolve()), f"--slowdown={slowdown}",
               f"--threads={threads}", f"--compiled={compiled}",
               "--serve", str(bundle.resolve()))  # fmt: skip
    return Candidate(f"{bundle.name} {slowdown:+.0%}", command)


def _serve_slowed(bundle: Path, slowdown: float, threads: int, compiled: Path) -> None:
    opening = functools.partial(open_ready, compiled=compiled)
    open_candidate, prepare = bundle_candidate(bundle, threads, opening)

    def open_slowed() -> Ready:
        ready = open_candidate()
        return dataclasses.replace(ready, run=lambda: _stretched(ready.run, slowdown))

    serve(open_slowed, prepare)


def _stretched(run: Callable[[], Any], slowdown: float) -> Any:
    began = time.perf_counter_ns()
    output = run()
    end = time.perf_counter_ns()
    end += round(slowdown * (end - began))
    while time.perf_counter_ns() < end:
        pass
    return output


@contextmanager
def _second_load(processes: int) -> Iterator[None]:
    command = (sys.executable, str(Path(__file__).resolve()), "--load")
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    started = [subprocess.Popen((*command, str(seed)), env=alone) for seed in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _load(seed: int) -> None:
    """Multiplies matrices for a while, rests for a while, until its parent has gone."""
    parent, draw = os.getppid(), np.random.default_rng(seed)
    matrix = draw.random((256, 256))
    while os.getppid() == parent:
        until = time.monotonic() + float(draw.exponential(LOAD_ON_S))
        while time.monotonic() < until and os.getppid() == parent:
            matrix = matrix @ matrix
            matrix /= np.abs(matrix).max()
        time.sleep(float(draw.exponential(LOAD_OFF_S)))


def _reached(row: Rates) -> bool:
    """Goals are for machines whose second load comes and goes, not for any machine at all."""
    found = row.answers.get("regressed", 0.0)
    if not row.slowdown:
        return found <= MOST_FALSE
    return row.machine in ("shared", "harsh") or found >= LEAST_FOUND[row.slowdown]


def _show(rows: Sequence[Rates]) -> None:
    print(f"{'machine':14}{'slower by':>9}{'runs':>6}  answers of the gate, seconds")
    for row in rows:
        answers = ", ".join(f"{name} {share:.1%}" for name, share in row.answers.items())
        print(f"{row.machine:14}{row.slowdown:9.0%}{row.runs:6}  {answers}; "
              f"{row.seconds[0]:.0f} s, at most {row.seconds[1]:.0f} s")  # fmt: skip
        others = list(row.regressed.items())[1:]
        said = ", ".join(f"{name}: {share:.1%}" for name, share in others)
        print(f'{"":31}"regressed" by {said}')


if __name__ == "__main__":
    exit_after(main)
