"""What of a network can go, and what goes with it: read off Torch-Pruning's dependency graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edgerestore.errors import InputError, MissingPartError
from edgerestore.networks.layers import MultiHead, Scale
from edgerestore.networks.widths import Kept, Selection, widths_of
from edgerestore.recipe.pruning import Part


@dataclass(frozen=True, slots=True)
class Slot:
    """One side of one layer, as an axis runs through it."""

    module: str
    reads: bool
    """Whether the axis is among its inputs."""
    places: tuple[int, ...]
    units: tuple[int, ...]
    """The unit of the axis that each place belongs to."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Units that many layers have in common: what one writes, all others read.

    A layer that runs several times over is in it once, whatever reads its results each time.
    """

    name: str
    """The layer that writes one place for each unit, or, with ``(read)``, that reads one."""
    units: int
    slots: tuple[Slot, ...]
    parts: frozenset[Part]
    """What removing some of it is called."""
    attention: str | None = None
    """The attention whose heads the units are, head by head."""
    heads: int = 0

    def head_of(self, unit: int) -> int:
        """The head that a unit belongs to."""
        return unit // (self.units // self.heads)


def axes_of(network: nn.Module, side: int) -> list[Axis]:
    """All axes of a network that takes 1 x 3 x side x side, in the order in which it runs.

    Axes that reach the image itself, or a layer that cannot be narrowed, are left out. Raises
    InputError for a network with grouped convolutions, whose groups the graph does not follow.
    """
    widths = widths_of(network).layers
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and name not in widths:
            raise InputError(f"cannot be pruned: its convolution '{name}' is grouped")
    found = _Tracer(network, side).axes()
    order = {name: place for place, (name, _) in enumerate(network.named_modules())}
    return sorted(found, key=lambda axis: order[axis.name.removesuffix(" (read)")])


def selection_without(network: nn.Module, removed: Mapping[Axis, Iterable[int]]) -> Selection:
    """What to keep of a network when some units of its axes go."""
    widths = widths_of(network).layers
    gone: dict[tuple[str, bool], set[int]] = {}
    selection = Selection()
    for axis, units in removed.items():
        lost = set(units)
        for slot in axis.slots:
            places = {p for p, unit in zip(slot.places, slot.units, strict=True) if unit in lost}
            gone.setdefault((slot.module, slot.reads), set()).update(places)
        if axis.attention is not None:
            heads = {axis.head_of(unit) for unit in range(axis.units) if unit not in lost}
            if len(heads) < axis.heads:
                selection.heads[axis.attention] = sorted(heads)
    for module in {name for name, _ in gone}:
        read, written = (
            [place for place in range(width) if place not in gone.get((module, reads), ())]
            for width, reads in zip(widths[module], (True, False), strict=True)
        )
        selection.layers[module] = Kept(read, written)
    return selection


class _Tracer:
    """Torch-Pruning's graph of one network, with the layers that only reorder channels."""

    def __init__(self, network: nn.Module, side: int) -> None:
        try:
            import torch_pruning
        except ImportError as error:
            raise MissingPartError(
                "pruning needs torch-pruning: pip install 'edgerestore[host]'"
            ) from error
        self._network = network
        self._library = torch_pruning
        self._names = {module: name for name, module in network.named_modules()}
        self._heads = {m.proj: name for m, name in self._names.items() if isinstance(m, MultiHead)}
        self._widths = widths_of(network).layers
        frozen = [value for value in network.parameters() if not value.requires_grad]
        network.requires_grad_(True)
        # Scalars have no channels, and of a table with heads `select` knows.
        ours = [
            value
            for module in network.modules()
            if isinstance(module, (MultiHead, Scale))
            for value in module.parameters(recurse=False)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._graph = torch_pruning.DependencyGraph().build_dependency(
                network,
                torch.zeros(1, 3, side, side),
                ignored_params=ours,
                verbose=False,
            )
        for value in frozen:
            value.requires_grad_(False)
        for node in self._graph.module2node.values():
            _know_reordering(node)

    def axes(self) -> list[Axis]:
        known: set[tuple[str, bool]] = set()
        axes = []
        for module in list(self._graph.module2node):
            name = self._names.get(module, "")
            changes = name in self._widths and type(module) in (nn.Conv2d, nn.Linear)
            if not changes or (name, False) in known:
                continue
            slots = self._slots(module, reads=False)
            narrowest = min(slots, key=lambda slot: (len(slot.places), slot.reads))
            root = self._network.get_submodule(narrowest.module)
            group = self._group(root, reads=narrowest.reads)
            slots = self._read(group)
            known.update((slot.module, slot.reads) for slot in slots)
            if self._can_go(group, slots):
                axes.append(self._axis(narrowest, slots))
        return axes

    def _slots(self, module: nn.Module, *, reads: bool) -> list[Slot]:
        return self._read(self._group(module, reads=reads))

    def _group(self, module: nn.Module, *, reads: bool) -> Any:
        """Everything that goes when all places on one side of a layer go."""
        pruner = self._graph.get_pruner_of_module(module)
        function = pruner.prune_in_channels if reads else pruner.prune_out_channels
        width = self._widths[self._names[module]][0 if reads else 1]
        return self._graph.get_pruning_group(module, function, list(range(width)))

    def _read(self, group: Any) -> list[Slot]:
        """The group's layers of ours; what only passes values on is left out."""
        return [
            Slot(
                self._names[item.dep.target.module],
                self._graph.is_in_channel_pruning_fn(item.dep.handler)
                and not self._graph.is_out_channel_pruning_fn(item.dep.handler),
                tuple(item.idxs),
                tuple(item.root_idxs),
            )
            for item in group
            if item.dep.target.module in self._names
        ]

    def _can_go(self, group: Any, slots: list[Slot]) -> bool:
        """Whether all that is concerned can be narrowed, and neither image nor table is."""
        operators = self._library.ops.OPTYPE
        ends = (operators.OUTPUT, operators.PARAMETER, operators.CUSTOMIZED)
        if any(item.dep.target.type in ends for item in group):
            return False
        # Of a layer that reads several axes side by side, this one is a part.
        return all(
            slot.module in self._widths
            and (slot.reads or len(slot.places) == self._widths[slot.module][1])
            for slot in slots
        )

    def _axis(self, narrowest: Slot, slots: list[Slot]) -> Axis:
        units = len(narrowest.places)
        title = narrowest.module + " (read)" * narrowest.reads
        layers = {self._network.get_submodule(slot.module) for slot in slots if slot.reads}
        for layer in layers:
            if layer in self._heads:
                name = self._heads[layer]
                heads = widths_of(self._network).heads[name]
                parts: frozenset[Part] = frozenset(("heads", "head-widths"))
                return Axis(title, units, tuple(slots), parts, name, heads)
        convolves = any(isinstance(layer, nn.Conv2d) for layer in layers)
        parts = frozenset(("channels",) if convolves else ("hidden",))
        return Axis(title, units, tuple(slots), parts)


class _Groups:
    """Index mapping between channels and the groups of places that each of them becomes."""

    def __init__(self, size: int, *, joins: bool) -> None:
        self._size, self._joins = size, joins

    def __call__(self, places: list[Any]) -> list[Any]:
        if self._joins:
            joined = {place.idx // self._size: place for place in reversed(places)}
            return [joined[idx]._replace(idx=idx) for idx in sorted(joined)]
        return [
            place._replace(idx=place.idx * self._size + offset)
            for place in places
            for offset in range(self._size)
        ]


def _know_reordering(node: Any) -> None:
    """Lets the graph know that Unfold, Fold and PixelShuffle put channels into groups.

    An unfolded channel is ``k * k`` features in a row, and a shuffled one comes of ``s * s``.
    """
    name = node.grad_fn.name() if hasattr(node.grad_fn, "name") else ""
    if name.startswith(("Im2Col", "Col2Im")):
        height, width = node.grad_fn._saved_kernel_size
        size, splits = height * width, name.startswith("Im2Col")
    elif name.startswith("PixelShuffle"):
        size, splits = node.grad_fn._saved_upscale_factor**2, False
    else:
        return
    outputs = list(node.outputs)
    for dependency in node.dependencies:
        if dependency.target in outputs:
            dependency.index_mapping[0] = _Groups(size, joins=not splits)
    for output in outputs:
        for dependency in output.dependencies:
            if dependency.target is node:
                dependency.index_mapping[0] = _Groups(size, joins=splits)
