"""Where the network of a build comes from: one of ours, or the user's own."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edgerestore.errors import InputError
from edgerestore.export.counting import count_work
from edgerestore.files import sha256_of
from edgerestore.networks import MODELS, ModelSpec, SizeRule
from edgerestore.networks.user import UnitRange, call_factory, first_line, load_tensors
from edgerestore.networks.weights import given_or_shipped, load_network, spec_in
from edgerestore.pipeline.trying import SHIPPED_SCALES, Facts, facts_of
from edgerestore.recipe import NetworkSettings

DEFAULT_TILE = 48
"""Of a user's network, where its size rule takes it: that of our own models."""

SHIPPED_PICTURES = {"super-resolution": "photos", "deraining": "rain"}
"""What a user's network of such a task is calibrated and judged on. Noise has no one strength."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Origin:
    """A network as facts, and what loads it in its reference form."""

    spec: ModelSpec
    weights: Path | None
    """File that the weights lie in; None for a network in memory."""
    load: Callable[[], nn.Module]
    """Takes and gives values from 0 to 1, in evaluation mode."""
    notes: tuple[str, ...] = ()
    """What was found or assumed and nobody declared, for people."""

    def weights_sha256(self) -> str:
        """SHA-256 of the weights file, or of the tensors of a network in memory."""
        return tensors_sha256(self.load()) if self.weights is None else sha256_of(self.weights)


def origin_of_model(spec: ModelSpec, weights: Path | None) -> Origin:
    """One of our models, as pruned as its weights are.

    Raises InputError where there are no weights, or several tasks.
    """
    if spec.tasks:
        raise InputError(
            f"'{spec.name}' holds several tasks, and a bundle is of one; "
            f"build {', '.join(spec.tasks)}"
        )
    source = given_or_shipped(spec, weights)
    _require_weights(source)
    spec = spec_in(source, spec)
    return Origin(spec, source, functools.partial(load_network, spec, source))


def origin_of_file(
    name: str, settings: NetworkSettings, weights: Path | None, folder: Path
) -> Origin:
    """A network that a function in the user's file builds; ``settings`` are relative to ``folder``.

    Executes the file and tries the network out. Raises InputError for whatever is wrong.
    """
    _check_name(name)
    file, _, function = settings.factory.rpartition(":")
    if not file or not function.isidentifier():
        raise InputError(f"--network '{settings.factory}': must be FILE.py:FUNCTION")
    if weights is None:
        raise InputError(f"no weights are shipped for '{name}'; give --weights FILE")
    _require_weights(weights)
    path = folder / file
    network = call_factory(path, function)
    load_tensors(network, name, weights)
    code = {"network": f"{path.name}:{function}", "network_sha256": sha256_of(path)}
    return _user_origin(name, settings, network, weights, code)


def origin_of_module(name: str, settings: NetworkSettings, module: nn.Module) -> Origin:
    """A network in memory with the weights that are in it; the module itself is not changed.

    Raises InputError for one that cannot be copied or whose tensors are not finite, and for
    whatever trying it out shows.
    """
    _check_name(name)
    try:
        network = copy.deepcopy(module).to("cpu", torch.float32).eval().requires_grad_(False)
    except Exception as error:
        # A user's network may hold anything, and copying it raise anything.
        raise InputError(
            f"{name}: the network cannot be copied: {first_line(error)}; give a network without "
            "computed tensors in its attributes"
        ) from error
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name}: '{key}' holds values that are not finite")
    code = {"network": f"in memory: {type(module).__module__}.{type(module).__qualname__}"}
    return _user_origin(name, settings, network, None, code)


def tensors_sha256(network: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a network's tensors, in their order."""
    digest = hashlib.sha256()
    for key, tensor in network.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _user_origin(
    name: str,
    settings: NetworkSettings,
    network: nn.Module,
    weights: Path | None,
    code: dict[str, str],
) -> Origin:
    facts = facts_of(network, name, settings)
    if facts.value_range != (0.0, 1.0):
        network = UnitRange(network, *facts.value_range)
    spec = _spec(name, settings, facts, network)
    spec = dataclasses.replace(
        spec,
        config={
            **code,
            "minimum": spec.size_rule.minimum,
            "multiple_of": spec.size_rule.multiple_of,
            "maximum": spec.size_rule.maximum,
            "value_range": list(facts.value_range),
            "found_by_trying": list(facts.found),
        },
    )
    return Origin(spec, weights, lambda: network, facts.notes)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"--name '{name}': letters, digits, '.', '_' and '-' only")
    if name in MODELS:
        raise InputError(f"'{name}' is a model of edgerestore; give another --name")


def _spec(name: str, settings: NetworkSettings, facts: Facts, network: nn.Module) -> ModelSpec:
    enlarges = facts.scale > 1
    tile = settings.tile or default_tile(facts.size_rule)
    work = count_work(network, tile)
    border = facts.scale if enlarges else 0
    task = settings.task or ("super-resolution" if enlarges else "restoration")
    shipped = facts.scale in SHIPPED_SCALES if enlarges else True
    return ModelSpec(
        name=name,
        task=task,
        pictures=SHIPPED_PICTURES.get(task, "") if shipped else "",
        scale=facts.scale,
        factory=settings.factory,
        config={},
        params=sum(p.numel() for p in network.parameters()),
        dead_params=0,
        tile=tile,
        size_rule=facts.size_rule,
        border=border if settings.border is None else settings.border,
        keep_float=work.end_convolutions() if settings.keep_float is None else settings.keep_float,
    )


def default_tile(rule: SizeRule) -> int:
    """The tile of a network of which only its size rule is known."""
    return rule.maximum or rule.fitting(DEFAULT_TILE)


def _require_weights(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
