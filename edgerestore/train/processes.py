"""The processes that train together: one alone, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from edgerestore.errors import EdgeRestoreError, InputError, MissingPartError
from edgerestore.recipe.scalars import DeviceName

PATIENCE = timedelta(hours=2)
"""How long the others wait for the first process, which validates alone."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that share every batch."""

    device: torch.device
    rank: int = 0
    count: int = 1
    restarted: bool = False
    """Whether torchrun started them again after one of them was lost."""

    @property
    def leads(self) -> bool:
        """Whether this is the one that validates, logs and writes."""
        return self.rank == 0

    def places(self, batch: int) -> range:
        """This process's places in a batch. Raises InputError where they are not equally many."""
        if batch % self.count:
            raise InputError(
                f"a batch of {batch} cannot be shared by {self.count} processes; make it a "
                f"multiple of {self.count}"
            )
        share = batch // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def share(self, module: nn.Module, *, some_rest: bool) -> nn.Module:
        """The module with its gradients averaged over all processes.

        Its parameters become the first process's. ``some_rest``: not every step uses all of
        them.
        """
        if self.count == 1:
            return module
        return DistributedDataParallel(
            module, forward_sync_buffers=False, find_unused_parameters=some_rest
        )

    def agree(self, loss: Tensor, stop: bool) -> tuple[float, bool]:
        """The mean of all processes' losses, and whether any of them is to stop."""
        if self.count == 1:
            return float(loss.detach()), stop
        both = torch.stack((loss.detach().float(), loss.new_tensor(float(stop))))
        distributed.all_reduce(both)
        return float(both[0]) / self.count, bool(both[1] > 0)

    def extremes(self, lows: Tensor, highs: Tensor) -> tuple[Tensor, Tensor]:
        """The least of all processes' lows and the most of their highs, place by place."""
        if self.count > 1:
            distributed.all_reduce(lows, distributed.ReduceOp.MIN)
            distributed.all_reduce(highs, distributed.ReduceOp.MAX)
        return lows, highs


def alone(device: DeviceName) -> Processes:
    """This process without others. Raises MissingPartError where the device is absent."""
    return Processes(_device(device, 0))


@contextmanager
def joined(device: DeviceName) -> Iterator[Processes]:
    """Joins the processes that torchrun started with this one; without torchrun it is alone.

    Raises EdgeRestoreError, inside the block, where another process is lost.
    """
    if not distributed.is_torchelastic_launched():
        yield alone(device)
        return
    chosen = _device(device, int(os.environ["LOCAL_RANK"]))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    store, rank, count = _meeting_place()
    distributed.init_process_group(
        "nccl" if chosen.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=count,
        timeout=PATIENCE,
    )
    try:
        restarted = torch.tensor(float(int(os.environ["TORCHELASTIC_RESTART_COUNT"]) > 0))
        restarted = restarted.to(chosen)
        distributed.all_reduce(restarted)
        yield Processes(chosen, rank, count, restarted=bool(restarted > 0))
    except RuntimeError as error:
        if not _is_loss_of_another(error):
            raise
        raise EdgeRestoreError(
            "another process of this run was lost; torchrun says which, and with --max-restarts "
            "starts all of them again from the last checkpoint"
        ) from error
    finally:
        distributed.destroy_process_group()


def _meeting_place() -> tuple[Store, int, int]:
    """Where the processes find each other, this one's rank and how many they are."""
    environment = os.environ
    shared = environment["TORCHELASTIC_USE_AGENT_STORE"] == str(True)
    several_machines = int(environment["GROUP_WORLD_SIZE"]) > 1
    if shared and several_machines:
        raise InputError(
            "several machines: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun on each of "
            "them; without it, restarted processes cannot find each other"
        )
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    if shared:
        # Torchrun's own store outlives a restart, with the addresses of the processes before:
        # https://github.com/pytorch/pytorch/issues/135712. Several machines may count
        # differently, and so cannot be told apart by this.
        attempt = environment["TORCHELASTIC_RESTART_COUNT"]
        store = PrefixStore(f"attempt {attempt}", store)
    return store, rank, count


def _device(name: DeviceName, number: int) -> torch.device:
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise MissingPartError(
            "no CUDA device that torch can use; install a driver and a CUDA build of torch, or "
            'say device = "cpu" in the recipe'
        )
    if name == "cpu" or not there:
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise InputError(
            f"process {number} of this machine has no GPU of its own: there are "
            f"{torch.cuda.device_count()}; lower --nproc-per-node"
        )
    return torch.device("cuda", number)


def _is_loss_of_another(error: RuntimeError) -> bool:
    # Gloo raises plain RuntimeErrors that begin with where in its sources they arose.
    return isinstance(error, distributed.DistError) or "gloo" in str(error)
