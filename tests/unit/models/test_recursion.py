from __future__ import annotations

import dataclasses

import pytest
import torch

from edgerestore.models import build_network, find_model
from edgerestore.models.recursion import recur, recursions_of


@pytest.mark.parametrize(
    ("model", "field", "own"),
    [("drt", "recursions", 3), ("drt_s", "recursions", 3), ("esrt_s_x2", "low_repeats", 5)],
)
def test_network_at_a_depth_is_the_network_built_for_it(
    model: str, field: str, own: int, filled_network
) -> None:
    spec = find_model(model)
    side = spec.size_rule.fitting(16)
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    network = filled_network(model)
    with torch.inference_mode():
        as_published = network(image)
        for times in (1, 2, own):
            built = build_network(dataclasses.replace(spec, config={**spec.config, field: times}))
            built.load_state_dict(network.state_dict())
            recur(network, times)
            assert recursions_of(network) == recursions_of(built) == times
            assert torch.equal(network(image), built(image))
            assert torch.equal(network(image), as_published) == (times == own)


def test_network_without_recursion_has_none() -> None:
    assert recursions_of(build_network(find_model("drsformer_s"))) is None


@pytest.mark.parametrize(("model", "field"), [("drt_s", "recursions"), ("esrt_x2", "low_repeats")])
def test_recursion_of_no_times_is_refused(model: str, field: str) -> None:
    spec = find_model(model)
    with pytest.raises(ValueError, match=f"{field} must be 1 or more"):
        build_network(dataclasses.replace(spec, config={**spec.config, field: 0}))
