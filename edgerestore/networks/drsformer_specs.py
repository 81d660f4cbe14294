"""DRSformer's entries in the table of models."""

from __future__ import annotations

from typing import Any

from edgerestore.networks.spec import ModelSpec, SizeRule

_PAPER = (
    "Chen et al., Learning A Sparse Transformer Network for Effective Image Deraining, 2303.11950"
)
_NAMES = "edgerestore.networks.drsformer_names:from_reference_names"
_COMMON: dict[str, Any] = {
    "task": "deraining",
    "pictures": "rain",
    "scale": 1,
    "factory": "edgerestore.networks.drsformer:build",
    "dead_params": 0,
    "tile": 64,
    "size_rule": SizeRule(minimum=8, multiple_of=8),
    # Attention's products decide which scores are kept: a step of 8 bits swaps them.
    "keep_float": ("embed", "tail", "*.matmul"),
}

DRSFORMER_SPECS = (
    ModelSpec(
        name="drsformer",
        config={},
        params=33_655_424,
        source=_PAPER,
        reference_names=_NAMES,
        **_COMMON,
    ),
    ModelSpec(
        name="drsformer_light",
        config={"mefc": False},
        params=32_610_304,
        source=f"{_PAPER}; without mixtures of experts, for light rain",
        reference_names=_NAMES,
        **_COMMON,
    ),
    ModelSpec(
        name="drsformer_s",
        # Heads of 16 channels at every level, and hidden widths that vector units divide by.
        config={"dim": 16, "blocks": (2, 2, 2, 2), "expansion": 2.0, "mefc": False},
        params=1_315_604,
        source="compact variant of DRSformer for light rain on two CPU cores: 1/26 of its MACs",
        **_COMMON,
    ),
)
