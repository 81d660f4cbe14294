"""One set of weights at several numbers of recursions, each a network of its own latency."""

from __future__ import annotations

import dataclasses

from torch import nn

from edgerestore.errors import InputError
from edgerestore.networks.recursion import at_depth, recur, recursions_of
from edgerestore.networks.weights import metadata_in
from edgerestore.pipeline.origin import Origin


def origin_at_depth(origin: Origin, recursions: int) -> Origin:
    """The origin with its network cut to, or kept at, a number of recursions.

    Its name says the number, as in ``drt_s-r2``. Raises InputError where nothing recurs, and
    for a number that the weights were not trained for: what such a network computes is noise
    that no gate would see, since bundles are held against the network itself.
    """
    spec = origin.spec
    own = recursions_of(origin.load())
    if own is None:
        raise InputError(f"--recursions {recursions}: nothing recurs in '{spec.name}'")
    served = _trained(origin) or (own, own)
    if not served[0] <= recursions <= served[1]:
        low, high = served
        depths = f"{low} to {high}" if low < high else f"{low} only"
        raise InputError(
            f"--recursions {recursions}: {origin.weights} was trained for {depths}; a recipe's "
            "'recursions' trains for several"
        )

    def load() -> nn.Module:
        network = origin.load()
        recur(network, recursions)
        return network

    return dataclasses.replace(origin, spec=at_depth(spec, recursions), load=load)


def _trained(origin: Origin) -> tuple[int, int] | None:
    """Fewest and most, as the weights' header holds them; None where they were not drawn."""
    match metadata_in(origin.weights) if origin.weights else {}:
        case {"training": {"recursions": [int(fewest), int(most)]}}:
            return fewest, most
    return None
