"""Recipes as the verbs take them that train or show what is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgerestore.networks import ModelSpec
    from edgerestore.recipe import Recipe
    from edgerestore.recipe.training import TrainSettings


@dataclass(frozen=True, slots=True)
class Training:
    """A recipe that has a ``[train]`` table."""

    recipe: Recipe
    settings: TrainSettings
    """That table."""
    spec: ModelSpec
    """The model that the recipe names."""
    folder: Path
    """Where the recipe lies: what it names is relative to that."""


def read_training(name: str) -> Training:
    """Reads a recipe by its shipped name or from a file.

    Raises RecipeError where it has no ``[train]`` table, UnknownNameError for an unknown model.
    """
    from edgerestore.errors import RecipeError
    from edgerestore.networks import find_model
    from edgerestore.recipe import Recipe, read_toml
    from edgerestore.shipped import shipped_toml

    path = shipped_toml("recipes", name)
    recipe = read_toml(path, Recipe)
    if recipe.train is None:
        raise RecipeError(f"{path}: has no [train] table")
    return Training(recipe, recipe.train, find_model(recipe.model), path.parent)
