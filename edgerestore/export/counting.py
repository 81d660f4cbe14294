"""What one tile costs a network, counted while it runs: quick, without exporting."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SOFTMAX = ("_softmax", "_safe_softmax")
"""What reads score matrices, with and without a guard for rows that are all masked."""

COPIES = ("_to_copy", "clone", "copy_")
"""Tagged as pointwise, but what they copy is seldom fused away."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One call: what it multiplies, and how many values it reads and writes."""

    name: str
    macs: int
    values: int
    fused: bool
    """Runs within what writes its first operand, as runtimes do with pointwise operators."""


@dataclass(frozen=True, slots=True)
class Work:
    """One tile through one network; values times their size are bytes."""

    operators: tuple[Operator, ...]
    written: int
    """Values written by all operators."""
    scores: int
    """Values of attention's score matrices."""
    peak: int
    """Most values alive at once, weights left out."""
    weights: int
    convolutions: tuple[str, ...]
    """Modules of the convolutions, in the order in which they run."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products, attention's included."""
        return sum(operator.macs for operator in self.operators)

    def end_convolutions(self) -> tuple[str, ...]:
        """The first and the last convolution: they touch the image itself."""
        return tuple(dict.fromkeys((*self.convolutions[:1], *self.convolutions[-1:])))


def count_work(network: nn.Module, tile: int) -> Work:
    """Runs ``network`` once on 1 x 3 x tile x tile, on the device that its weights are on.

    On the meta device nothing is computed.
    """
    weights = {id(value): name for name, value in network.named_parameters()}
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    counter = _Counter(weights)
    with torch.no_grad(), device, counter:
        # Bound until the counter has left, as a runtime's output is.
        given = torch.zeros(1, 3, tile, tile)
        out = network(given)
    del given, out
    return Work(
        operators=tuple(counter.operators),
        written=counter.written,
        scores=counter.scores,
        peak=counter.peak,
        weights=sum(p.numel() for p in network.parameters()),
        convolutions=tuple(counter.convolutions),
    )


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator below autograd, composite ones taken apart."""

    def __init__(self, weights: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._weights = weights
        self._alive: Counter[int] = Counter()
        """Tensors that share one memory, by memory."""
        self._sizes: dict[int, int] = {}
        self.operators: list[Operator] = []
        self.convolutions: list[str] = []
        self.written = self.scores = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self:
            taken_apart = func.decompose(*args, **kwargs)
        if taken_apart is not NotImplemented:
            return taken_apart
        out = func(*args, **kwargs)
        results = _tensors(out)
        for result in results:
            self._watch(result)
        name = func._schema.name.removeprefix("aten::")
        if not func.is_view and name != "_unsafe_view":
            pointwise = torch.Tag.pointwise in func.tags and name not in COPIES
            self._count(name, pointwise, args, _tensors((args, kwargs)), results)
        return out

    def _count(
        self,
        name: str,
        pointwise: bool,
        args: tuple[Any, ...],
        inputs: list[Tensor],
        results: list[Tensor],
    ) -> None:
        written = sum(result.numel() for result in results)
        read = sum(given.numel() for given in inputs[pointwise:])
        moved = read if pointwise else read + written
        self.operators.append(Operator(name, _macs(name, args, results), moved, pointwise))
        self.written += written
        if name in SOFTMAX:
            self.scores += args[0].numel()
        elif name.startswith("_scaled_dot_product"):
            self.scores += args[0].shape[:-1].numel() * args[1].shape[-2]
        elif name == "convolution" and id(args[1]) in self._weights:
            self.convolutions.append(self._weights[id(args[1])].rpartition(".")[0])

    def _watch(self, result: Tensor) -> None:
        """Counts a memory from its first tensor to the death of its last."""
        memory = result.untyped_storage()._cdata
        self._alive[memory] += 1
        self._sizes.setdefault(memory, result.numel())
        self.peak = max(self.peak, sum(self._sizes.values()))
        weakref.finalize(result, self._release, memory).atexit = False

    def _release(self, memory: int) -> None:
        self._alive[memory] -= 1
        if not self._alive[memory]:
            del self._alive[memory], self._sizes[memory]


def _macs(name: str, args: tuple[Any, ...], results: list[Tensor]) -> int:
    if name == "convolution":
        transposed = args[6]
        places = args[0] if transposed else results[0]
        return int(places.numel() * args[1].shape[1:].numel())
    if name in ("mm", "bmm"):
        return int(results[0].numel() * args[0].shape[-1])
    if name in ("addmm", "baddbmm"):
        return int(results[0].numel() * args[1].shape[-1])
    if name.startswith("_scaled_dot_product"):
        query, key, value = args[:3]
        scores = query.shape[:-1].numel() * key.shape[-2]
        return int(scores * (query.shape[-1] + value.shape[-1]))
    return 0


def _tensors(values: Any) -> list[Tensor]:
    leaves: Iterable[Any] = tree_leaves(values)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]
