"""IPT's entries in the table of models: the network of all tasks, and one for each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerestore.networks.spec import ModelSpec, SizeRule

TASKS = {"x2": 2, "x3": 3, "x4": 4, "denoise30": 1, "denoise50": 1, "derain": 1}
"""Scale of every task, in the order in which the published network numbers them."""

KINDS = {
    "x2": "super-resolution",
    "x3": "super-resolution",
    "x4": "super-resolution",
    "denoise30": "denoising",
    "denoise50": "denoising",
    "derain": "deraining",
}


PICTURES = {
    "x2": "photos",
    "x3": "photos",
    "x4": "photos",
    "denoise30": "noise30",
    "denoise50": "noise50",
    "derain": "rain",
}


def _family(
    name: str, config: Mapping[str, Any], params: Mapping[str, int], **facts: Any
) -> tuple[ModelSpec, ...]:
    """The entry of the network of all tasks, then one entry a task.

    ``params`` holds parameters by task; "all" are those of all tasks together.
    """
    children = {task: f"{name}_{task}" for task in TASKS}
    common: dict[str, Any] = {
        "factory": "edgerestore.networks.ipt:build",
        "tile": 48,
        "size_rule": SizeRule(minimum=48, multiple_of=48, maximum=48),
        # The deployable form's embedding is the identity plus small weights, which 8 bits lose:
        # it alone costs the compact variant 5 dB, for 1 in 100 of its work.
        "keep_float": ("heads.*", "tails.*", "body.embed"),
        **facts,
    }
    parent = ModelSpec(
        name=name,
        task="several",
        scale=1,
        config=config,
        params=params["all"],
        tasks=tuple(children.values()),
        **common,
    )
    return (
        parent,
        *(
            ModelSpec(
                name=child,
                task=KINDS[task],
                scale=TASKS[task],
                config={"task": task, **config},
                params=params[task],
                pictures=PICTURES[task],
                border=TASKS[task] if TASKS[task] > 1 else 0,
                parent=name,
                **common,
            )
            for task, child in children.items()
        ),
    )


IPT_SPECS = (
    *_family(
        "ipt",
        {"features": 64},
        {
            "all": 118_892_370,
            "x2": 115_460_419,
            "x3": 115_645_059,
            "x4": 115_608_131,
            "denoise30": 115_312_707,
            "denoise50": 115_312_707,
            "derain": 115_312_707,
        },
        # Two 1x1 convolutions that shift the image by its mean colour and never learn.
        dead_params=24,
        source="Chen et al., Pre-Trained Image Processing Transformer, arXiv 2012.00364",
        reference_names="edgerestore.networks.ipt_names:from_reference_names",
    ),
    *_family(
        "ipt_s",
        {
            "features": 16,
            "layers": 3,
            "heads": 4,
            "ffn_ratio": 2,
            "value_range": 1.0,
            "skip": "bilinear",
        },
        {
            "all": 1_821_378,
            "x2": 1_464_883,
            "x3": 1_476_483,
            "x4": 1_474_163,
            "denoise30": 1_455_603,
            "denoise50": 1_455_603,
            "derain": 1_455_603,
        },
        dead_params=0,
        source="compact variant of IPT: all six tasks, at under 1/30 of its work",
    ),
)
