"""A simulated shared machine, to try rules of decision on thousands of runs in minutes.

Its speed jumps by up to a factor of six and stays for seconds to minutes, a second load comes
and goes, bursts hit single runs, every process is a little faster or slower than its twins,
more so beside the second load, and opening a process takes as long as the machine lets it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerestore.measure.bench.harness import MAX_TURN, MIN_ROUNDS
from edgerestore.measure.gate.pairs import TURN_S, WARM_UP_S, Pair


@dataclass(frozen=True, slots=True)
class Noise:
    """What disturbs; times in seconds, spreads as standard deviations of logarithms."""

    speeds: tuple[float, ...] = (1.0, 1.0, 1.3, 2.0, 6.0)
    """Slowdowns of the whole machine, drawn anew after each stay."""
    stay_s: float = 20.0
    load_on_s: float = 6.0
    load_off_s: float = 9.0
    load_slowdown: float = 1.7
    run: float = 0.02
    run_loaded: float = 0.12
    burst_chance: float = 0.03
    burst: float = 0.5
    """Mean of the exponential slowdown that a burst adds to one run."""
    process: float = 0.006
    odd_chance: float = 0.1
    """Of a process that is slower for all its life, by its place in memory for one."""
    odd: float = 0.02
    process_loaded: float = 0.015
    """Further difference of a process while the load is on."""
    opening_s: float = 1.2
    """On the undisturbed machine."""


QUIET = Noise(speeds=(1.0,), load_on_s=1e-9, load_off_s=1e9)
SECOND_LOAD = Noise(
    speeds=(1.0, 1.1), load_on_s=8.0, load_off_s=8.0, load_slowdown=1.8, run_loaded=0.2
)
"""A runner whose only other work comes and goes."""
SHARED = Noise()
"""Speed in jumps of up to six as well."""
HARSH = Noise(
    load_on_s=8.0, load_off_s=4.0, load_slowdown=3.0, run_loaded=0.25, process_loaded=0.025
)
"""A machine with more work than cores for most of the time."""


class NoisyMachine:
    """A source of pairs whose candidate takes ``ratio`` times as long as its baseline."""

    def __init__(self, ratio: float, noise: Noise, seed: int, run_ms: float = 8.0) -> None:
        self._ratio, self._noise, self._run_s = ratio, noise, run_ms / 1e3
        self._random = np.random.default_rng(seed)
        self._now = 0.0
        self._speed, self._speed_until = 1.0, 0.0
        self._load, self._load_until = False, 0.0

    def clock(self) -> float:
        """Simulated seconds."""
        return self._now

    def pair(self, number: int, seconds: float, until: float) -> Pair:
        """See :class:`edgerestore.measure.gate.pairs.Source`."""
        began = self._now
        self._now += self._noise.opening_s * self._slowdown()
        self._now += 2 * WARM_UP_S
        opening = self._now - began
        sides = [self._process(self._ratio), self._process(1.0)]
        turns: list[list[list[int]]] = [[], []]
        first = number % 2
        turn_s = min(TURN_S, seconds / 2 / MIN_ROUNDS)
        while self._now - began - opening < seconds:
            for side in (first, 1 - first, 1 - first, first):
                turns[side].append(self._turn(*sides[side], turn_s))
            if self._now >= until:
                break
            first = 1 - first
        return Pair(turns[0], turns[1], opening, self._now - began)

    def _process(self, ratio: float) -> tuple[float, float]:
        """How long a run of a fresh process takes, in seconds, and beside the load."""
        noise, draw = self._noise, self._random
        factor = np.exp(
            draw.normal(0, noise.process) + noise.odd * (draw.random() < noise.odd_chance)
        )
        alone = self._run_s * ratio * float(factor)
        return alone, alone * float(np.exp(draw.normal(0, noise.process_loaded)))

    def _turn(self, alone: float, loaded: float, turn_s: float) -> list[int]:
        noise, draw = self._noise, self._random
        slowdown = self._slowdown()
        base = (loaded if self._load else alone) * slowdown
        count = max(1, min(MAX_TURN, round(turn_s / base))) + 1
        spread = noise.run_loaded if self._load else noise.run
        seconds = base * np.exp(np.abs(draw.normal(0, spread, count)))
        bursts = draw.random(count) < noise.burst_chance
        seconds = seconds * (1 + bursts * draw.exponential(noise.burst, count))
        self._now += float(seconds.sum())
        return [int(1e9 * s) for s in seconds[1:]]

    def _slowdown(self) -> float:
        noise, draw = self._noise, self._random
        while self._now >= self._speed_until:
            self._speed = float(draw.choice(noise.speeds))
            self._speed_until += float(draw.exponential(noise.stay_s))
        while self._now >= self._load_until:
            self._load = not self._load
            stay = noise.load_on_s if self._load else noise.load_off_s
            self._load_until += float(draw.exponential(stay))
        return self._speed * (noise.load_slowdown if self._load else 1.0)
