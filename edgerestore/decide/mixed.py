"""Which modules a mixed candidate leaves in float."""

from __future__ import annotations

from edgerestore.build.job import SENSITIVITY_CROPS, Builder
from edgerestore.compress.int8 import Int8
from edgerestore.compress.sensitivity import module_sensitivities
from edgerestore.recipe import Target

SIZES = (2, 6)
"""How many of the most sensitive modules the candidates leave in float."""


def float_sets(builder: Builder, target: Target) -> list[tuple[str, ...]]:
    """Sets of modules to leave in float, fewest first: those whose return wins most."""
    emitter = builder.emitter
    ranked = module_sensitivities(
        builder.source.graph,
        emitter.quantized(Int8(emitter.keep_float, target.int8.symmetric)),
        emitter.crops[:SENSITIVITY_CROPS],
    )
    wanted = [item.module for item in ranked if item.gain_db > 0]
    sizes = sorted({min(size, len(wanted)) for size in SIZES} - {0})
    return [tuple(wanted[:size]) for size in sizes]
