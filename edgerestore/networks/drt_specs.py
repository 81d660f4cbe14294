"""DRT's entries in the table of models."""

from __future__ import annotations

from edgerestore.networks.spec import ModelSpec, SizeRule

_PAPER = "Liang et al., DRT: A Lightweight Single Image Deraining Recursive Transformer, 2204.11385"
_ENDS = ("embed", "unembed")

DRT_SPECS = (
    ModelSpec(
        name="drt",
        task="deraining",
        pictures="rain",
        scale=1,
        factory="edgerestore.networks.drt:build",
        config={},
        params=1_180_347,
        dead_params=5_283,
        tile=56,
        size_rule=SizeRule(minimum=7, multiple_of=7),
        keep_float=_ENDS,
        source=_PAPER,
        reference_names="edgerestore.networks.drt_names:from_reference_names",
    ),
    ModelSpec(
        name="drt_s",
        task="deraining",
        pictures="rain",
        scale=1,
        factory="edgerestore.networks.drt:build",
        # Tokens of 2x2 pixels and windows of 8: sides that vector units and tiles divide by.
        config={"dim": 48, "layers": 3, "window": 8, "patch": 2, "inverse": True},
        params=156_696,
        dead_params=0,
        tile=64,
        size_rule=SizeRule(minimum=16, multiple_of=16),
        keep_float=_ENDS,
        source="compact variant of DRT for light rain on two CPU cores: 1/26 of its MACs a pixel",
    ),
)
