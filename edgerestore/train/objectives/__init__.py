"""What a training step minimises."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgerestore.errors import InputError
from edgerestore.networks import ModelSpec
from edgerestore.networks.recursion import recursions_of
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.objectives.contrastive import PatchContrast
from edgerestore.train.objectives.distillation import TeacherMatch
from edgerestore.train.objectives.objective import Objective, Term
from edgerestore.train.quantization import Ranges, fake_quantized

__all__ = ["Objective", "objective_of"]


def objective_of(
    network: nn.Module, spec: ModelSpec, settings: TrainSettings, folder: Path
) -> Objective:
    """What a recipe in ``folder`` says that ``network`` is to learn.

    Raises InputError for a network that a term, or training for INT8, does not suit.
    """
    terms: list[Term] = []
    if settings.contrastive is not None:
        terms.append(PatchContrast(network, settings.contrastive.weight))
    if settings.distillation is not None:
        taught = settings.distillation
        terms.append(TeacherMatch(network, spec, taught, folder, settings.patch))
    recursions = _recursions(network, spec, settings)
    if settings.quantization is not None:
        network = fake_quantized(network, spec, settings.quantization, folder, Ranges())
    return Objective(network, settings.loss, terms, recursions)


def _recursions(
    network: nn.Module, spec: ModelSpec, settings: TrainSettings
) -> tuple[int, int] | None:
    if settings.recursions is None:
        return None
    fewest, most = settings.recursions
    own = recursions_of(network)
    if own is None:
        raise InputError(f"recursions: nothing recurs in '{spec.name}'")
    if not fewest <= own <= most:
        raise InputError(
            f"recursions: '{spec.name}' recurs {own} times where nobody says otherwise, and is "
            f"to learn that too; {fewest} to {most} leave it out"
        )
    return settings.recursions
