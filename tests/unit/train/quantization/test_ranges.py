from __future__ import annotations

import torch

from edgerestore.train.processes import alone
from edgerestore.train.quantization.ranges import SHRINKS, Ranges

ALONE = alone("cpu")


def test_a_range_widens_at_once_and_shrinks_slowly() -> None:
    ranges = Ranges()
    assert ranges["a#1"] is None
    for low, high in ((-1.0, 2.0), (-3.0, 1.0), (-1.0, 1.0)):
        ranges.see("a#1", torch.tensor([low, 0.0, high]))
        ranges.follow(ALONE)
    expected = [-3 + 2 * SHRINKS, 2 - SHRINKS - (1 - SHRINKS) * SHRINKS]
    torch.testing.assert_close(ranges["a#1"], torch.tensor(expected))


def test_ranges_stay_while_a_step_runs() -> None:
    ranges = Ranges()
    ranges.see("a#1", torch.tensor([0.0, 1.0]))
    ranges.follow(ALONE)
    ranges.see("a#1", torch.tensor([0.0, 9.0]))
    assert ranges["a#1"].tolist() == [0, 1]


def test_maps_in_any_order_have_one_range() -> None:
    ranges = Ranges()
    maps = torch.arange(48.0).reshape(2, 3, 4, 2)
    for site, x in (("plain", maps), ("last", maps.to(memory_format=torch.channels_last))):
        ranges.see(site, x)
    ranges.follow(ALONE)
    assert ranges["plain"].tolist() == ranges["last"].tolist() == [0, 47]


def test_state_goes_on() -> None:
    first, second = Ranges(), Ranges()
    first.see("a#1", torch.tensor([0.5, 1.0]))
    first.follow(ALONE)
    second.load_state_dict(first.state_dict())
    second.see("a#1", torch.tensor([2.0]))
    second.follow(ALONE)
    assert first["a#1"].tolist() == [0.5, 1]
    assert second["a#1"][1] == 2
