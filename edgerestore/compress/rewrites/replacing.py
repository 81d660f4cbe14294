"""One kind of module put in the place of another, throughout a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def replace_each(network: nn.Module, kind: type[M], make: Callable[[M], nn.Module]) -> int:
    """Puts ``make(module)`` in the place of every ``kind`` below ``network``; returns how many."""
    changed = 0
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, kind):
                setattr(parent, name, make(child))
                changed += 1
    return changed
