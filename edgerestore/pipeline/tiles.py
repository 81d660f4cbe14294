"""The tile that costs least for each finished pixel, predicted before anything is exported.

The prediction is rough and says so: it counts what the deployable form multiplies and moves,
and divides by the rates that a target declares. It is there to rank tiles; what a tile
really costs is what ``edgerestore bench`` measures.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from edgerestore.compress.rewrites import deployable
from edgerestore.errors import InputError, RecipeError
from edgerestore.export.counting import Work, count_work
from edgerestore.networks import ModelSpec, SizeRule
from edgerestore.recipe import Budget, Target
from edgerestore.recipe.scalars import PrecisionName

SMALLEST, LARGEST = 32, 256
STEP = 8
"""Pixels between candidates, where the size rule has no larger step."""

VALUE_BYTES: dict[PrecisionName, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}

REST_BYTES = 2
"""Of what INT8 leaves alone: softmax, normalisation and all else that multiplies nothing."""

Case = tuple[Target, PrecisionName]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One tile, predicted for the most demanding of a job's cases."""

    tile: int
    macs: int
    activation_mib: float
    """Written by all operators, in FP32."""
    score_mib: float
    """Of attention's score matrices, in FP32."""
    peak_mib: float
    """Weights, and the most that is alive at once."""
    latency_ms: float
    ns_per_pixel: float
    """Latency for each output pixel that no neighbouring tile computes again."""
    fits: bool
    """Whether it keeps every target's budget."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidates and the one that was chosen."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate
    reason: str


def choose_tile(
    spec: ModelSpec,
    load: Callable[[], nn.Module],
    cases: Sequence[Case],
    *,
    overlap: int,
    largest: int,
    budget: Budget,
) -> Choice:
    """Predicts every tile that the size rule takes, up to ``largest``, and chooses one.

    ``budget`` has precedence over the targets' own. Raises InputError where no tile keeps the
    budgets, RecipeError for a target that declares no rates.
    """
    for target, precision in cases:
        if target.rates is None or precision not in target.rates.gmacs_per_s:
            raise RecipeError(
                f"--tile auto: target '{target.name}' declares no [rates] for {precision}"
            )
    tiles = [tile for tile in candidate_tiles(spec) if overlap < tile <= largest]
    if not tiles:
        raise InputError(
            f"--tile auto: no tile is larger than the overlap of {overlap} and at most {largest}, "
            "the side of the smallest calibration picture"
        )
    works = works_of(load(), tiles)
    candidates = tuple(
        _candidate(tile, works[tile], spec.scale, cases, overlap, budget) for tile in tiles
    )
    fitting = [candidate for candidate in candidates if candidate.fits]
    if not fitting:
        least = min(candidates, key=lambda c: c.latency_ms)
        raise InputError(
            f"--tile auto: no tile keeps the budget; the smallest, {least.tile}, is predicted at "
            f"{least.latency_ms:.1f} ms and {least.peak_mib:.0f} MiB"
        )
    chosen = min(fitting, key=lambda c: c.ns_per_pixel)
    return Choice(candidates, chosen, _reason(chosen, candidates, overlap))


def candidate_tiles(spec: ModelSpec) -> list[int]:
    """Tiles from 32 to 256 that the size rule takes, and the model's default one."""
    rule = spec.size_rule
    if rule.maximum is not None and rule.minimum == rule.maximum:
        return [rule.minimum]
    step = rule.multiple_of if rule.multiple_of >= STEP else STEP
    tiles = {tile for tile in range(step, LARGEST + 1, step) if rule.takes(tile)}
    return sorted({tile for tile in tiles if tile >= SMALLEST} | {spec.tile})


def check_tile(name: str, rule: SizeRule, tile: int) -> None:
    """Raises InputError, with the nearest tiles, for one that the size rule does not take."""
    if rule.takes(tile):
        return
    step = rule.multiple_of
    below = min(tile, rule.maximum or tile) // step * step
    above = -(-max(tile, rule.minimum) // step) * step
    nearest = " and ".join(str(side) for side in (below, above) if side and rule.takes(side))
    raise InputError(f"--tile {tile}: '{name}' takes {rule}; the nearest: {nearest}")


def works_of(network: nn.Module, tiles: Sequence[int]) -> dict[int, Work]:
    """What each tile costs the deployable form; on the meta device where it can run there."""
    form, _ = deployable(network)
    weightless = copy.deepcopy(form).to("meta")
    works = {}
    for tile in tiles:
        try:
            works[tile] = count_work(weightless, tile)
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            # A user's network may hold tensors that do not move, or look at values.
            works[tile] = count_work(form, tile)
    return works


def latency_ms(work: Work, target: Target, precision: PrecisionName) -> float:
    """Starting, then multiplying or moving, whichever takes longer, summed over the operators."""
    assert target.rates is not None
    start_ms = target.rates.operator_us / 1e3
    macs_per_ms = target.rates.gmacs_per_s[precision] * 1e6
    bytes_per_ms = target.rates.gbytes_per_s * 1e6
    total = 0.0
    for operator in work.operators:
        wide = precision == "int8" and not operator.macs
        moving = operator.values * (REST_BYTES if wide else VALUE_BYTES[precision]) / bytes_per_ms
        total += max(operator.macs / macs_per_ms, moving) + (0 if operator.fused else start_ms)
    return total


def peak_mib(work: Work, precision: PrecisionName) -> float:
    """Weights and what is alive at once."""
    return (work.peak + work.weights) * VALUE_BYTES[precision] / (1 << 20)


def _candidate(
    tile: int, work: Work, scale: int, cases: Sequence[Case], overlap: int, budget: Budget
) -> Candidate:
    latencies = [latency_ms(work, *case) for case in cases]
    peaks = [peak_mib(work, precision) for _, precision in cases]
    fits = all(
        time <= (budget.latency_ms or target.budget.latency_ms or time)
        and peak <= (budget.memory_mib or target.budget.memory_mib or peak)
        for (target, _), time, peak in zip(cases, latencies, peaks, strict=True)
    )
    useful = ((tile - overlap) * scale) ** 2
    return Candidate(
        tile=tile,
        macs=work.macs,
        activation_mib=work.written * VALUE_BYTES["fp32"] / (1 << 20),
        score_mib=work.scores * VALUE_BYTES["fp32"] / (1 << 20),
        peak_mib=max(peaks),
        latency_ms=max(latencies),
        ns_per_pixel=max(latencies) * 1e6 / useful,
        fits=fits,
    )


def _reason(chosen: Candidate, candidates: Sequence[Candidate], overlap: int) -> str:
    if len(candidates) == 1:
        return f"tile {chosen.tile}: the only one that the network takes"
    left_out = sum(not candidate.fits for candidate in candidates)
    within = f" of those within budget ({left_out} are not)" if left_out else ""
    return (
        f"tile {chosen.tile}: least predicted time for each useful output pixel{within}, "
        f"{chosen.ns_per_pixel:.0f} ns, {overlap} shared pixels counted as waste"
    )
