"""How weights are trained: the ``[train]`` table of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgerestore.recipe.objectives import Contrastive, Distillation, PixelLoss
from edgerestore.recipe.optimisation import Cosine, Decay, Optimizer, Schedule
from edgerestore.recipe.pictures import Pictures, Source
from edgerestore.recipe.quantization import Quantization
from edgerestore.recipe.scalars import Count, DeviceName, Positive, Rate


class TrainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How weights are trained; one seed gives one result on one machine."""

    source: tuple[Source, ...]
    validation: tuple[Pictures, ...] = ()
    """What PSNR is measured on, and what no training picture may show."""
    steps: Positive
    start: str | None = None
    """Weights to go on from, relative to the recipe; fresh ones where absent."""
    batch: Positive = 8
    patch: Positive = 32
    """Side of the input crop, in pixels."""
    sparsity: Literal["2:4"] | None = None
    """Zeros among weights: the two smallest of every four that an output reads in a row become
    zero at the start and stay so, for TensorRT's sparse kernels. Go on from trained weights."""
    loss: PixelLoss = "l1"
    contrastive: Contrastive | None = None
    distillation: Distillation | None = None
    quantization: Quantization | None = None
    recursions: tuple[Positive, Positive] | None = None
    """Fewest and most times that a recursive network recurs: drawn anew for every step, so that
    one set of weights serves several latencies. Its own number where absent."""
    optimizer: Optimizer = Optimizer()
    learning_rate: Rate = 1e-3
    warmup_steps: Count = 200
    """Steps over which the rate grows evenly from nearly nothing."""
    schedule: Schedule = Cosine()
    clip_norm: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """The largest norm of a gradient; longer ones are shortened to it. 0 for no limit."""
    ema: Decay = 0.999
    """Decay of the weight average, which is what validates and ships. 0 for the last weights."""
    amp: Literal["fp32", "bf16", "fp16"] = "bf16"
    """What the forward pass computes in; weights stay in float32. ``fp16`` needs CUDA."""
    compile: bool = False
    """Run the network through ``torch.compile``: minutes at first, then faster steps."""
    device: DeviceName = "auto"
    workers: Count = 0
    """Processes that make batches ahead. 0 makes them in between, which is right on a CPU,
    whose cores the network needs."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)] = 0
    validate_every: Positive = 1000
    checkpoint_every: Positive = 250

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("no source of pictures")
        if len({item.task is None for item in self.source}) > 1:
            raise ValueError("either every source names its task or none does")
        if self.contrastive is not None and self.batch == 1:
            raise ValueError("contrastive compares images of a batch, which holds only one")
        if self.recursions is not None and self.recursions[0] > self.recursions[1]:
            raise ValueError("recursions are the fewest and the most, in this order")
        if self.quantization is not None and self.compile:
            raise ValueError("quantization finds products as they are called: leave compile out")
