"""What a training step minimises."""

from __future__ import annotations

from torch import nn

from edgerestore.recipe.training import TrainSettings
from edgerestore.train.objectives.contrastive import PatchContrast
from edgerestore.train.objectives.objective import Objective, Term

__all__ = ["Objective", "objective_of"]


def objective_of(network: nn.Module, settings: TrainSettings) -> Objective:
    """What a recipe says that ``network`` is to learn.

    Raises InputError for a network that a term does not suit.
    """
    terms: list[Term] = []
    if settings.contrastive is not None:
        terms.append(PatchContrast(network, settings.contrastive.weight))
    return Objective(network, settings.loss, terms)
