"""The names that DRSformer's authors gave to their tensors, as their checkpoints hold them."""

from __future__ import annotations

from collections.abc import Iterable

NETWORK = {"embed": "patch_embed.proj", "tail": "output"}
LEVELS = {
    "encoders.0": "encoder_level1",
    "encoders.1": "encoder_level2",
    "encoders.2": "encoder_level3",
    "latent": "latent",
    "decoders.0": "decoder_level3",
    "decoders.1": "decoder_level2",
    "decoders.2": "decoder_level1",
}
BETWEEN = {
    "downs.0.0": "down1_2.body.0",
    "downs.1.0": "down2_3.body.0",
    "downs.2.0": "down3_4.body.0",
    "ups.0.0": "up4_3.body.0",
    "ups.1.0": "up3_2.body.0",
    "ups.2.0": "up2_1.body.0",
    "reduces.0": "reduce_chan_level3",
    "reduces.1": "reduce_chan_level2",
}
BLOCK = {
    "norm1": "norm1.body",
    "norm2": "norm2.body",
    "attention": "attn",
    "attention.qkv": "attn.qkv",
    "attention.depthwise": "attn.qkv_dwconv",
    "attention.proj": "attn.project_out",
    "feed_forward.expand": "ffn.project_in",
    "feed_forward.small": "ffn.dwconv3x3",
    "feed_forward.large": "ffn.dwconv5x5",
    "feed_forward.mix_small": "ffn.dwconv3x3_1",
    "feed_forward.mix_large": "ffn.dwconv5x5_1",
    "feed_forward.reduce": "ffn.project_out",
}
COMPENSATORS = {"entry": "encoder_level0", "refinement": "refinement"}
COMPENSATOR = {
    "fc1": "layers.0.ca_fc.0",
    "fc2": "layers.0.ca_fc.2",
    "entry": "layers.1.preprocess.op.0",
}


def from_reference_names(ours: Iterable[str]) -> dict[str, str | None]:
    """Maps the authors' tensor names to ours, for the state dict whose names are ``ours``."""
    return {_their_name(name): name for name in ours}


def _their_name(ours: str) -> str:
    for table in (NETWORK, BETWEEN):
        module, _, tensor = ours.rpartition(".")
        if module in table:
            return f"{table[module]}.{tensor}"
    for level, theirs in LEVELS.items():
        if ours.startswith(f"{level}."):
            number, _, inner = ours.removeprefix(f"{level}.").partition(".")
            return f"{theirs}.{number}.{_in_block(inner)}"
    top, _, inner = ours.partition(".")
    return f"{COMPENSATORS[top]}.{_in_compensator(inner)}"


def _in_block(inner: str) -> str:
    module, _, tensor = inner.rpartition(".")
    if module == "attention.weights":
        return f"attn.attn{int(tensor) + 1}"
    return f"{BLOCK[module]}.{tensor}"


def _in_compensator(inner: str) -> str:
    module, _, tensor = inner.rpartition(".")
    if module in COMPENSATOR:
        return f"{COMPENSATOR[module]}.{tensor}"
    _, step, rest = module.split(".", 2)
    if rest == "reduce":
        return f"layers.1._ops.{step}._out.0.{tensor}"
    _, expert, layer = rest.split(".")
    return f"layers.1._ops.{step}._ops.{expert}.op.{layer}.{tensor}"
