"""The models, as facts. Importing this pulls in no framework; building one needs torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import msgspec

from edgerestore.errors import MissingPartError, UnknownNameError
from edgerestore.networks.drsformer_specs import DRSFORMER_SPECS
from edgerestore.networks.drt_specs import DRT_SPECS
from edgerestore.networks.esrt_specs import ESRT_SPECS
from edgerestore.networks.ipt_specs import IPT_SPECS
from edgerestore.networks.spec import PRUNED, ModelSpec, SizeRule

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MODELS", "ModelSpec", "SizeRule", "build_network", "find_model"]

MODELS: dict[str, ModelSpec] = {
    spec.name: spec for spec in (*ESRT_SPECS, *DRT_SPECS, *DRSFORMER_SPECS, *IPT_SPECS)
}


def find_model(name: str) -> ModelSpec:
    """Looks a model up. Raises UnknownNameError, which offers the nearest name."""
    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    return MODELS[name]


def build_network(spec: ModelSpec) -> nn.Module:
    """Builds the reference form with fresh weights, in evaluation mode.

    Raises MissingPartError without torch, ValueError for widths that it cannot have.
    """
    module, function = spec.factory.split(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPartError(
            "building a network needs torch: pip install 'edgerestore[host]'"
        ) from error
    config = dict(spec.config)
    pruned = config.pop(PRUNED, None)
    network: nn.Module = factory(**config)
    if pruned is not None:
        from edgerestore.networks.widths import Widths, narrow

        narrow(network, msgspec.convert(pruned, Widths))
    return network.eval()
