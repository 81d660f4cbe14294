"""ESRT's entries in the table of models."""

from __future__ import annotations

from typing import Any

from edgerestore.networks.spec import ModelSpec, SizeRule

_COMMON: dict[str, Any] = {
    "task": "super-resolution",
    "pictures": "photos",
    "factory": "edgerestore.networks.esrt:build",
    "tile": 48,
    "size_rule": SizeRule(minimum=4),
    "keep_float": ("head", "reduce", "body_conv", "tail", "skip"),
}
_PARAMS = {2: 677_771, 3: 770_251, 4: 751_755}
"""Parameters of the published networks, by scale."""
_COMPACT_PARAMS = {2: 128_467, 4: 137_747}

ESRT_SPECS = (
    *(
        ModelSpec(
            name=f"esrt_x{scale}",
            scale=scale,
            config={"scale": scale},
            params=params,
            dead_params=12,
            border=scale,
            source="Lu et al., Transformer for Single Image Super-Resolution, arXiv 2108.11084",
            reference_names="edgerestore.networks.esrt_names:from_reference_names",
            **_COMMON,
        )
        for scale, params in _PARAMS.items()
    ),
    *(
        ModelSpec(
            name=f"esrt_s_x{scale}",
            scale=scale,
            config={"scale": scale, "features": 16, "blocks": 2, "heads": 4, "skip": "bilinear"},
            params=params,
            dead_params=0,
            border=scale,
            source="compact variant of ESRT, for two CPU cores",
            **_COMMON,
        )
        for scale, params in _COMPACT_PARAMS.items()
    ),
)
