from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

import edgerestore as package
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


SCRIPT = """
import sys
import torch
from torch import distributed
from edgerestore.train.processes import Processes
from edgerestore.train.quantization.ranges import Ranges

rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method=sys.argv[2], rank=rank, world_size=2)
ranges = Ranges()
ranges.see("a#1", torch.tensor([[-1.0, 0.5], [-0.5, 2.0]])[rank])
ranges.see("b#1", torch.tensor([[1.0, 3.0], [2.0, 2.5]])[rank])
ranges.follow(Processes(torch.device("cpu"), rank, 2))
print([both.tolist() for both in ranges.state_dict().values()])
distributed.destroy_process_group()
"""


def test_processes_agree_on_what_all_of_them_saw(tmp_path: Path) -> None:
    meeting = f"file://{tmp_path / 'meeting'}"
    root = str(Path(package.__file__).parents[1])
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), meeting],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root},
        )
        for rank in range(2)
    ]
    found = [process.communicate(timeout=120)[0] for process in both]
    assert found == ["[[-1.0, 2.0], [1.0, 3.0]]\n"] * 2
