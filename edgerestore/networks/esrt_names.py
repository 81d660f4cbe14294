"""The names that ESRT's authors gave to their tensors, as their checkpoints hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

UNIT = {
    "squeeze": "conv",
    "expand": "conv1",
    "act": "relu",
    "identity_scale": "weight1",
    "residual_scale": "weight2",
}
RESIDUAL_BLOCK = {
    **{
        f"unit{number}.{ours}": f"layer{number}.{theirs}"
        for number in (1, 2)
        for ours, theirs in UNIT.items()
    },
    "conv": "layer4.conv",
    "fuse": "alise.conv",
    "attention.squeeze": "atten.conv_du.0",
    "attention.excite": "atten.conv_du.2",
    "unit2_scale": "weight2",
    "unit1_scale": "weight3",
    "identity_scale": "weight4",
    "residual_scale": "weight5",
}
RESIDUAL_BLOCKS = {
    "entry": "encoder",
    "low": "decoder_low",
    "high": "decoder_high",
    "exit": "alise",
}
PRESERVING_BLOCK = {
    **{
        f"{block}.{ours}": f"{their_block}.{theirs}"
        for block, their_block in RESIDUAL_BLOCKS.items()
        for ours, theirs in RESIDUAL_BLOCK.items()
    },
    "fuse": "alise2.conv",
    "attention.squeeze": "att.conv_du.0",
    "attention.excite": "att.conv_du.2",
}
NETWORK = {
    "head": "head.0",
    "reduce": "body.0.reduce",
    "skip_scale": "body.0.weight1",
    "body_scale": "body.0.weight2",
    "transformer.attention": "body.0.attention.atten",
    "transformer.norm1": "body.0.attention.norm1",
    "transformer.norm2": "body.0.attention.norm2",
    "transformer.fc1": "body.0.attention.mlp.fc1",
    "transformer.fc2": "body.0.attention.mlp.fc2",
    "mix": "body.0.alise",
    "body_conv": "reduce",
    "tail_up": "tail.0",
    "tail": "tail.1",
    "skip_up": "up.0",
    "skip": "up.1.conv",
}
DEAD = "weight1.scale"
"""Each residual block declares this scalar and never uses it: 12 in the published networks."""


def from_reference_names(ours: Iterable[str]) -> dict[str, str | None]:
    """Maps the authors' tensor names to ours, for the state dict whose names are ``ours``.

    Tensors that the authors' network declares but never uses map to None.
    """
    names: dict[str, str | None] = {}
    for name in ours:
        theirs = _their_name(name)
        names[theirs] = name
        block, _, rest = theirs.partition(f".{RESIDUAL_BLOCK['fuse']}.")
        if rest:
            names[f"{block}.{DEAD}"] = None
    return names


def _their_name(ours: str) -> str:
    top, _, rest = ours.partition(".")
    if top == "blocks":
        number, _, inner = rest.partition(".")
        return f"body.0.encoder{int(number) + 1}.{_renamed(inner, PRESERVING_BLOCK)}"
    return _renamed(ours, NETWORK)


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """Replaces the longest leading part of a dotted name that the table holds."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        known = ".".join(parts[:end])
        if known in table:
            return ".".join([table[known], *parts[end:]])
    raise KeyError(f"no reference name for '{name}'")
