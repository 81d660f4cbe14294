"""Which modules a mixed candidate leaves in float."""

from __future__ import annotations

from edgerestore.build.job import SENSITIVITY_CROPS, Builder
from edgerestore.compress.quantization.sensitivity import module_sensitivities
from edgerestore.recipe import Target

SIZES = (2, 6)
"""How many of the most sensitive modules the candidates leave in float."""


def float_sets(builder: Builder, target: Target) -> list[tuple[str, ...]]:
    """Sets of modules to leave in float, fewest first: those that alone hurt most."""
    quantizer = builder.emitter.quantizer
    ranked = module_sensitivities(
        quantizer.calibration.done, target.int8, quantizer.crops[:SENSITIVITY_CROPS]
    )
    modules = [item.module for item in ranked]
    # All of them in float would be no mixture.
    sizes = sorted({size for size in SIZES if size < len(modules)})
    return [tuple(modules[:size]) for size in sizes]
