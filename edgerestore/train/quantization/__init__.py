"""Training for INT8: what a target's graph will round is rounded while the weights learn."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgerestore.errors import InputError
from edgerestore.networks import ModelSpec
from edgerestore.recipe import Target, read_toml
from edgerestore.recipe.quantization import Quantization
from edgerestore.shipped import shipped_toml
from edgerestore.train.quantization.network import FakeQuantized
from edgerestore.train.quantization.ranges import Ranges

__all__ = ["FakeQuantized", "Ranges", "fake_quantized"]


def fake_quantized(
    network: nn.Module, spec: ModelSpec, settings: Quantization, folder: Path, ranges: Ranges
) -> FakeQuantized:
    """``network`` with its products rounded as a recipe in ``folder`` says.

    Raises InputError for a network of several tasks, whose ranges would differ by task, and
    for a target or a pattern that is not there.
    """
    if spec.tasks:
        raise InputError(
            f"[train.quantization]: '{spec.name}' holds several tasks; train "
            f"{', '.join(spec.tasks)}, which start from its weights"
        )
    name = settings.target
    path = shipped_toml("targets", str(folder / name) if name.endswith(".toml") else name)
    rules = read_toml(path, Target).int8
    keep = (*spec.keep_float, *settings.keep_float)
    return FakeQuantized(network, ranges, rules, keep, settings.tie_noise)
