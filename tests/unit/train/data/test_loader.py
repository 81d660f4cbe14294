from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
import torch

from edgerestore.errors import EdgeRestoreError, InputError
from edgerestore.networks import find_model
from edgerestore.recipe.pictures import Bicubic, Noise, Source
from edgerestore.train.data.crops import Batch, TrainingData
from edgerestore.train.data.loader import batches


@pytest.fixture
def data(pictures: Path) -> TrainingData:
    sources = (
        Source(clean=("pictures",), degradation=Bicubic(), task="ipt_s_x2"),
        Source(clean=("pictures",), degradation=Noise(sigma=(5, 50)), task="ipt_s_denoise30"),
    )
    return TrainingData(pictures.parent, sources, find_model("ipt_s"), 16)


def same(ours: Batch, theirs: Batch) -> bool:
    sides = (torch.equal(ours.low, theirs.low), torch.equal(ours.high, theirs.high))
    return all(sides) and ours.task == theirs.task


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_make_the_batches_that_the_data_gives(workers: int, data: TrainingData) -> None:
    made = list(batches(data, 7, 5, 12, range(1, 4), workers))
    assert len(made) == 7
    for step, batch in enumerate(made, start=5):
        assert same(batch, data.batch(7, step, range(1, 4)))


@pytest.mark.parametrize("workers", [0, 2])
def test_torchs_own_generator_is_left_alone(workers: int, data: TrainingData) -> None:
    before = torch.get_rng_state()
    next(batches(data, 0, 0, 3, range(2), workers))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_run_that_is_done_needs_no_batch(workers: int, data: TrainingData) -> None:
    assert list(batches(data, 0, 5, 5, range(2), workers)) == []


class Faulty(TrainingData):
    def __init__(self, data: TrainingData) -> None:
        self.sound = data

    def batch(self, seed: int, step: int, places: range) -> Batch:
        if step == 2:
            raise InputError("x.tar: damaged")
        if step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.sound.batch(seed, step, places)


@pytest.mark.parametrize("workers", [0, 2])
def test_error_in_a_worker_arrives_as_it_was_raised(workers: int, data: TrainingData) -> None:
    made = batches(Faulty(data), 0, 0, 4, range(2), workers)
    assert len(list(itertools.islice(made, 2))) == 2
    with pytest.raises(InputError, match=r"^x\.tar: damaged$"):
        next(made)


def test_killed_worker_is_reported(data: TrainingData) -> None:
    with pytest.raises(EdgeRestoreError, match="makes batches was killed; if memory ran out"):
        list(batches(Faulty(data), 0, 3, 6, range(2), 1))
