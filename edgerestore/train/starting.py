"""The weights that a training goes on from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from edgerestore.errors import CheckpointError
from edgerestore.files import sha256_of
from edgerestore.networks import MODELS, ModelSpec, find_model
from edgerestore.networks.weights import (
    given_or_shipped,
    load_weights,
    model_in,
    spec_in,
    state_shapes,
)

LEAST_SHARE = 0.5
"""Least share of a network's values: with fewer from another model, this hardly goes on from it."""


@dataclass(frozen=True, slots=True)
class Start:
    """What of a network is not drawn at random."""

    tensors: dict[str, Tensor]
    """All of the network's, or those that another model of its family shares with it."""
    facts: dict[str, str | int]
    """The file and its SHA-256, the model in it, and how many of the network's values it gave."""

    def fill(self, network: nn.Module) -> None:
        """Puts the tensors into the network; the others stay as they are."""
        network.load_state_dict({**network.state_dict(), **self.tensors})


def start_file(start: str, folder: Path) -> Path:
    """The file that a recipe in ``folder`` means: a model's shipped weights, or a path.

    Raises InputError for a model that ships none.
    """
    if start not in MODELS:
        return folder / start
    return given_or_shipped(find_model(start), None, "let start name a file")


def spec_to_train(spec: ModelSpec, start: str | None, folder: Path) -> ModelSpec:
    """The entry of what a recipe in ``folder`` trains: pruned as the weights it goes on from."""
    if start is None:
        return spec
    path = start_file(start, folder)
    return spec_in(path, spec) if model_in(path) == spec.name else spec


def read_start(path: Path, spec: ModelSpec) -> Start:
    """Reads the weights of ``spec``, of its parent, or of another model of its family.

    From another model come the tensors of equal name and shape. Raises CheckpointError for a
    model of another family, or one that shares less than half of the values.
    """
    wanted = state_shapes(spec)
    model = model_in(path)
    if model in (spec.pruned_from or spec.name, spec.parent):
        tensors = load_weights(path, spec).tensors
    else:
        held = MODELS.get(model)
        if held is None or held.factory != spec.factory:
            raise CheckpointError(
                f"{path}: holds weights of '{model}', from which '{spec.name}' cannot go on"
            )
        held = spec_in(path, held)
        tensors = {
            name: value
            for name, value in load_weights(path, held).tensors.items()
            if wanted.get(name) == tuple(value.shape)
        }
    taken = sum(value.numel() for value in tensors.values())
    total = sum(math.prod(shape) for shape in wanted.values())
    if taken < LEAST_SHARE * total:
        raise CheckpointError(
            f"{path}: '{model}' shares only {taken:,} of {total:,} values with '{spec.name}'; "
            "leave start out to train from scratch"
        )
    facts: dict[str, str | int] = {
        "file": path.name,
        "sha256": sha256_of(path),
        "model": model,
        "values_taken": taken,
        "values": total,
    }
    return Start(tensors, facts)
