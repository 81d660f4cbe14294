"""ESRT's entries in the table of models."""

from __future__ import annotations

from edgerestore.models.spec import ModelSpec, SizeRule

_PAPER = "Lu et al., Transformer for Single Image Super-Resolution, arXiv 2108.11084"
_ENDS = ("head", "tail", "skip")
_FACTORY = "edgerestore.models.esrt:build"
_NAMES = "edgerestore.models.esrt_names:from_reference_names"

ESRT_SPECS = (
    ModelSpec(
        name="esrt_x2",
        task="super-resolution",
        scale=2,
        factory=_FACTORY,
        config={"scale": 2},
        params=677_771,
        dead_params=12,
        tile=48,
        size_rule=SizeRule(minimum=4),
        keep_float=_ENDS,
        border=2,
        source=_PAPER,
        reference_names=_NAMES,
    ),
    ModelSpec(
        name="esrt_x3",
        task="super-resolution",
        scale=3,
        factory=_FACTORY,
        config={"scale": 3},
        params=770_251,
        dead_params=12,
        tile=48,
        size_rule=SizeRule(minimum=4),
        keep_float=_ENDS,
        border=3,
        source=_PAPER,
        reference_names=_NAMES,
    ),
    ModelSpec(
        name="esrt_x4",
        task="super-resolution",
        scale=4,
        factory=_FACTORY,
        config={"scale": 4},
        params=751_755,
        dead_params=12,
        tile=48,
        size_rule=SizeRule(minimum=4),
        keep_float=_ENDS,
        border=4,
        source=_PAPER,
        reference_names=_NAMES,
    ),
    ModelSpec(
        name="esrt_s_x2",
        task="super-resolution",
        scale=2,
        factory=_FACTORY,
        config={"scale": 2, "features": 16, "blocks": 2, "heads": 4, "skip": "bilinear"},
        params=128_467,
        dead_params=0,
        tile=48,
        size_rule=SizeRule(minimum=4),
        keep_float=_ENDS,
        border=2,
        source="compact variant of ESRT, for two CPU cores",
    ),
)
