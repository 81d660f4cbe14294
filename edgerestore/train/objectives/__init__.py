"""What a training step minimises."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgerestore.models import ModelSpec
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.objectives.contrastive import PatchContrast
from edgerestore.train.objectives.distillation import TeacherMatch
from edgerestore.train.objectives.objective import Objective, Term

__all__ = ["Objective", "objective_of"]


def objective_of(
    network: nn.Module, spec: ModelSpec, settings: TrainSettings, folder: Path
) -> Objective:
    """What a recipe in ``folder`` says that ``network`` is to learn.

    Raises InputError for a network that a term does not suit.
    """
    terms: list[Term] = []
    if settings.contrastive is not None:
        terms.append(PatchContrast(network, settings.contrastive.weight))
    if settings.distillation is not None:
        taught = settings.distillation
        terms.append(TeacherMatch(network, spec, taught, folder, settings.patch))
    return Objective(network, settings.loss, terms)
