"""The names that IPT's authors gave to their tensors, as their checkpoints hold them."""

from __future__ import annotations

from collections.abc import Iterable

from edgerestore.networks.ipt_specs import TASKS

HEAD = {
    "conv": "0",
    "block1.conv1": "1.body.0",
    "block1.conv2": "1.body.2",
    "block2.conv1": "2.body.0",
    "block2.conv2": "2.body.2",
}
TAIL = {"up.0": "0.0", "up.2": "0.2", "conv": "1"}
LAYER = {
    "attention.in_proj.weight": "self_attn.in_proj_weight",
    "attention.out_proj.weight": "self_attn.out_proj.weight",
    "self_attention.in_proj.weight": "self_attn.in_proj_weight",
    "self_attention.out_proj.weight": "self_attn.out_proj.weight",
    "cross_attention.in_proj.weight": "multihead_attn.in_proj_weight",
    "cross_attention.out_proj.weight": "multihead_attn.out_proj.weight",
    **{
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in {
            "norm1": "norm1",
            "norm2": "norm2",
            "norm3": "norm3",
            "fc1": "linear1",
            "fc2": "linear2",
        }.items()
        for kind in ("weight", "bias")
    },
}
BODY = {
    "embed": "linear_encoding",
    "fc1": "mlp_head.0",
    "fc2": "mlp_head.3",
}
CONSTANTS = (
    "sub_mean.weight",
    "sub_mean.bias",
    "add_mean.weight",
    "add_mean.bias",
    "body.position_encoding.position_ids",
)
"""What the authors store although it never changes; a checkpoint may hold it or not."""


def from_reference_names(ours: Iterable[str]) -> dict[str, str | tuple[str, ...] | None]:
    """Maps the authors' tensor names to ours, for the state dict whose names are ``ours``.

    Heads and tails are numbered by their place among the network's tasks, so that a network
    of one task has number 0 alone. Task embeddings are the rows of one table.
    """
    ours = list(ours)
    found = {name.split(".")[1] for name in ours if name.startswith("heads.")}
    tasks = [task for task in TASKS if task in found]
    names: dict[str, str | tuple[str, ...] | None] = dict.fromkeys(CONSTANTS)
    names["body.query_embed.weight"] = tuple(f"body.embeddings.{task}" for task in tasks)
    for name in ours:
        if not name.startswith("body.embeddings."):
            names[_their_name(name, tasks)] = name
    return names


def _their_name(ours: str, tasks: list[str]) -> str:
    top, _, rest = ours.partition(".")
    if top == "body":
        return f"body.{_their_body_name(rest)}"
    task, _, inner = rest.partition(".")
    module, _, kind = inner.rpartition(".")
    table = {"heads": HEAD, "tails": TAIL}[top]
    return f"{top[:-1]}.{tasks.index(task)}.{table[module]}.{kind}"


def _their_body_name(ours: str) -> str:
    if ours == "positions":
        return "position_encoding.pe.weight"
    top, _, rest = ours.partition(".")
    if top in BODY:
        return f"{BODY[top]}.{rest}"
    number, _, inner = rest.partition(".")
    return f"{top}.layers.{number}.{LAYER[inner]}"
