"""Batches made ahead of the loop, by processes of their own."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from edgerestore.errors import EdgeRestoreError
from edgerestore.train.data.crops import Batch, TrainingData


def batches(
    data: TrainingData, seed: int, first_step: int, steps: int, places: range, workers: int
) -> Iterator[Batch]:
    """The batches of steps ``first_step`` to ``steps`` - 1, each with the crops at ``places``.

    They are made by ``workers`` processes, or as they are asked for where that is 0; the
    result is the same to the bit. Workers are forked, so that they share the pictures in
    memory. Raises what :meth:`TrainingData.batch` raises, and EdgeRestoreError where a worker
    is killed.
    """
    made = _started(_Steps(data, seed, first_step, steps, places), workers)
    while True:
        try:
            batch = next(made)
        except StopIteration:
            return
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise EdgeRestoreError(
                "a process that makes batches was killed; if memory ran out, lower workers in "
                "the recipe; --resume continues the run"
            ) from error
        if isinstance(batch, EdgeRestoreError):
            raise batch
        yield batch


@dataclass(frozen=True, slots=True)
class _Steps(Dataset[Batch | EdgeRestoreError]):
    data: TrainingData
    seed: int
    first: int
    end: int
    places: range

    def __len__(self) -> int:
        return max(0, self.end - self.first)

    def __getitem__(self, index: int) -> Batch | EdgeRestoreError:
        try:
            return self.data.batch(self.seed, self.first + index, self.places)
        except EdgeRestoreError as error:
            # Raised here, it would arrive with a traceback in its message.
            return error


def _started(steps: _Steps, workers: int) -> Iterator[Batch | EdgeRestoreError]:
    before = signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
    with warnings.catch_warnings():
        # More workers than cores, which is the recipe's to say; and, from Python 3.12 on,
        # threads at a fork: a worker runs none of torch's.
        warnings.filterwarnings("ignore", "This DataLoader will create")
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        loader = DataLoader(
            steps,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context=multiprocessing.get_context("fork") if workers else None,
            # Else it draws from torch's own, which a network's dropout draws from.
            generator=torch.Generator(),
        )
        made = iter(loader)
    if workers:
        # Torch's handler would raise in the middle of whatever the main process is doing;
        # without it a dead worker shows when its batch is asked for.
        signal.signal(signal.SIGCHLD, before)
    return made
