"""The names that DRT's authors gave to their tensors, as their checkpoints hold them."""

from __future__ import annotations

from collections.abc import Iterable

BLOCK = {
    "attention.bias_table": "attn.relative_position_bias_table",
    "attention.qkv": "attn.qkv",
    "attention.proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "norm1": "norm1",
    "norm2": "norm2",
}
NETWORK = {"embed": "patch_embed.proj", "unembed": "patch_unembed.proj"}
DEAD = (
    "input_conv1.weight",
    "input_conv1.bias",
    "output_conv1.weight",
    "output_conv1.bias",
    "mean",
    "std",
)
"""Two convolutions that never run, and the constants of the normalisation."""


def from_reference_names(ours: Iterable[str]) -> dict[str, str | None]:
    """Maps the authors' tensor names to ours, for the state dict whose names are ``ours``.

    What takes no part maps to None: dead convolutions, constants and position indices,
    which a checkpoint may hold or not.
    """
    names: dict[str, str | None] = dict.fromkeys(DEAD)
    for name in ours:
        top, _, rest = name.partition(".")
        if top != "layers":
            names[f"{NETWORK[top]}.{rest}"] = name
            continue
        number, part, inner = rest.split(".", 2)
        layer = f"recursive_layers.{number}"
        if part == "conv":
            names[f"{layer}.conv_out.{inner}"] = name
            continue
        block = f"{layer}.{part}.transformer"
        names[f"{block}.{_renamed(inner)}"] = name
        names[f"{block}.attn.relative_position_index"] = None
    return names


def _renamed(inner: str) -> str:
    if inner in BLOCK:
        return BLOCK[inner]
    module, _, tensor = inner.rpartition(".")
    return f"{BLOCK[module]}.{tensor}"
