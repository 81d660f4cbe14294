"""Entries of pruned networks: a model's own, with other widths."""

from __future__ import annotations

import dataclasses

import msgspec
import torch

from edgerestore.networks import ModelSpec, build_network
from edgerestore.networks.spec import PRUNED
from edgerestore.networks.widths import Widths


def at_widths(spec: ModelSpec, widths: Widths) -> ModelSpec:
    """The entry of ``spec``'s network at these widths; its name says how many values are left.

    Raises ValueError for widths that the network cannot have, or that do not fit together.
    """
    config = {**spec.config, PRUNED: msgspec.to_builtins(widths)}
    with torch.device("meta"):
        network = build_network(dataclasses.replace(spec, config=config))
        side = spec.size_rule.fitting(1)
        try:
            network(torch.zeros(1, 3, side, side))
        except RuntimeError as error:
            raise ValueError(f"widths that do not fit together: {error}") from error
    params = sum(value.numel() for value in network.parameters())
    dense = spec.pruned_from or spec.name
    return dataclasses.replace(
        spec,
        name=f"{dense}-{round(params / 1000)}k",
        config=config,
        params=params,
        pruned_from=dense,
    )
