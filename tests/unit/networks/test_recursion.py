from __future__ import annotations

import pytest
import torch

from edgerestore.networks import build_network, find_model
from edgerestore.networks.recursion import at_depth, recur, recursions_of


@pytest.mark.parametrize(
    ("model", "own"),
    [("drt", 3), ("drt_s", 3), ("esrt_s_x2", 5)],
)
def test_network_at_a_depth_is_the_network_built_for_it(
    model: str, own: int, filled_network
) -> None:
    spec = find_model(model)
    side = spec.size_rule.fitting(16)
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    network = filled_network(model)
    with torch.inference_mode():
        as_published = network(image)
        for times in (1, 2, own):
            built = build_network(at_depth(spec, times))
            built.load_state_dict(network.state_dict())
            recur(network, times)
            assert recursions_of(network) == recursions_of(built) == times
            assert torch.equal(network(image), built(image))
            assert torch.equal(network(image), as_published) == (times == own)


def test_network_without_recursion_has_none() -> None:
    assert recursions_of(build_network(find_model("drsformer_s"))) is None


@pytest.mark.parametrize("model", ["drt_s", "esrt_x2"])
def test_recursion_of_no_times_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="recursions must be 1 or more"):
        build_network(at_depth(find_model(model), 0))
