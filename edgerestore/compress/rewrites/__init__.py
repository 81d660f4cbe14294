"""Exact rewrites: the same function in operators that every backend runs well.

Each rewrite edits a copy of the network in place and returns how many places it changed.
All of them together are the deployable form: equal to the reference form within float
rounding at every input size.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable

from torch import nn

Rewrite = Callable[[nn.Module], int]

REWRITES: dict[str, str] = {
    "fold_scales": "edgerestore.compress.rewrites.scales:fold_scales",
    "fold_norms": "edgerestore.compress.rewrites.normalisation:fold_norms",
    "fold_statistics": "edgerestore.compress.rewrites.normalisation:fold_statistics",
    "fold_value_range": "edgerestore.compress.rewrites.patches:fold_value_range",
    "shift_tokens": "edgerestore.compress.rewrites.tokens:shift_tokens",
    "fold_patches": "edgerestore.compress.rewrites.patches:fold_patches",
    "enter_windows": "edgerestore.compress.rewrites.windows:enter_windows",
    "sort_scores_once": "edgerestore.compress.rewrites.sparse:sort_scores_once",
    "pair_depthwise": "edgerestore.compress.rewrites.sparse:pair_depthwise",
    "join_experts": "edgerestore.compress.rewrites.sparse:join_experts",
    "sink_pixel_shuffle": "edgerestore.compress.rewrites.shuffle:sink_pixel_shuffle",
    "join_convolutions": "edgerestore.compress.rewrites.joining:join_convolutions",
    "part_fusions": "edgerestore.compress.rewrites.fusion:part_fusions",
}
"""Applied in this order; each is exact alone, too."""


def deployable(network: nn.Module, names: tuple[str, ...] = ()) -> tuple[nn.Module, dict[str, int]]:
    """Copies ``network`` into its deployable form, in evaluation mode.

    ``names`` picks some of :data:`REWRITES`; none means all. Returns the copy and how many
    places each rewrite changed.
    """
    rewritten = copy.deepcopy(network).eval().requires_grad_(False)
    changed = {name: find_rewrite(name)(rewritten) for name in names or REWRITES}
    return rewritten, changed


def find_rewrite(name: str) -> Rewrite:
    """Looks a rewrite up in :data:`REWRITES`."""
    module, function = REWRITES[name].split(":")
    rewrite: Rewrite = getattr(importlib.import_module(module), function)
    return rewrite
