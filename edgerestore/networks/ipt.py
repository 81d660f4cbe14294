"""IPT, Image Processing Transformer (Chen et al., CVPR 2021; arXiv 2012.00364).

The reference form: faithful to the publication, trained in this form and exported
after :mod:`edgerestore.compress.rewrites` has put it into its deployable form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.networks.ipt_specs import TASKS
from edgerestore.networks.layers import BilinearResize, Upsampler

Module = TypeVar("Module", bound=nn.Module)

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K, in [0, 1]."""

RESIDUAL_GAIN = 0.1
"""Factor on fresh weights. Without it the compact variant's loss after 150 steps of denoising,
at a range of 1, was 0.086 in place of 0.052."""


@dataclass(frozen=True, slots=True)
class IPTConfig:
    """Everything that decides the network's shape."""

    tasks: tuple[str, ...] = tuple(TASKS)
    """Each has its own head, tail and task embedding around the one body."""
    features: int = 64
    """Channels of the convolutional part; tokens are ``patch * patch`` times as wide."""
    side: int = 48
    """Height and width of every input, in pixels: positions are learned for this one size."""
    patch: int = 3
    layers: int = 12
    """Layers of the encoder, and as many of the decoder."""
    heads: int = 12
    ffn_ratio: int = 4
    value_range: float = 255.0
    """Values inside lie in [0, value_range]; the published weights want 255."""
    skip: Literal["none", "bilinear"] = "none"
    """Global skip path: none, as published, or the input, resized where the task enlarges.

    With it a fresh network already returns nearly that, where one without first has to learn
    to pass an image through.
    """

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise ValueError(f"tasks must be some of {', '.join(TASKS)}, not {self.tasks}")
        if self.side % self.patch:
            raise ValueError(f"patch must divide {self.side}, not {self.patch}")
        if self.dim % self.heads:
            raise ValueError(f"heads must divide {self.dim}, not {self.heads}")

    @property
    def dim(self) -> int:
        """Width of a token."""
        return self.features * self.patch**2

    @property
    def tokens(self) -> int:
        """Tokens of one input."""
        return (self.side // self.patch) ** 2


class EnterRange(nn.Module):
    """Maps [0, 1] to the values inside, around the mean colour."""

    def __init__(self, value_range: float) -> None:
        super().__init__()
        self.value_range = value_range
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) * self.value_range


class LeaveRange(EnterRange):
    """The inverse of :class:`EnterRange`."""

    def forward(self, image: Tensor) -> Tensor:
        return image / self.value_range + self.mean


class ResidualBlock(nn.Module):
    """``x + conv(ReLU(conv(x)))`` with 5 x 5 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 5, padding=2)
        self.conv2 = nn.Conv2d(channels, channels, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv2(torch.relu(self.conv1(x)))
        return x + residual


class Head(nn.Module):
    """N x 3 x H x W -> N x C x H x W, for one task."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.block1 = ResidualBlock(channels)
        self.block2 = ResidualBlock(channels)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.block2(self.block1(self.conv(image)))
        return features


class Tail(nn.Module):
    """N x C x H x W, and the image N x 3 x H x W -> N x 3 x sH x sW, for one task of scale s."""

    def __init__(self, channels: int, scale: int, skip: str) -> None:
        super().__init__()
        self.up: nn.Module = nn.Identity() if scale == 1 else Upsampler(channels, scale)
        self.conv = nn.Conv2d(channels, 3, 3, padding=1)
        self.resize: nn.Module | None = None
        if skip == "bilinear":
            start_small(self.conv)
            self.resize = nn.Identity() if scale == 1 else BilinearResize(scale)
        # The deployable form convolves and adds at low resolution, before the last pixel shuffle.
        self.phases: nn.Module | None = None
        self.shuffle: nn.Module = nn.Identity()

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        out: Tensor = self.conv(self.up(features))
        if self.phases is not None:
            out = out + self.phases(image)
        out = self.shuffle(out)
        if self.resize is not None:
            out = out + self.resize(image)
        return out


class Attention(nn.Module):
    """Multi-head attention without biases; queries, keys and values may differ in origin."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(dim, 3 * dim, bias=False)
        self.out_proj = start_small(nn.Linear(dim, dim, bias=False))
        nn.init.xavier_uniform_(self.in_proj.weight)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        n, length, width = query.shape
        shape = (n, length, self.heads, width // self.heads)
        weights = self.in_proj.weight.chunk(3)
        q, k, v = (
            F.linear(tokens, weight).reshape(shape).transpose(1, 2)
            for tokens, weight in zip((query, key, value), weights, strict=True)
        )
        out = F.scaled_dot_product_attention(q, k, v)
        joined: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return joined


class EncoderLayer(nn.Module):
    """Self-attention and an MLP, each behind its normalisation and with a residual."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = start_small(nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed, normed)
        out: Tensor = self.fc2(torch.relu(self.fc1(self.norm2(tokens))))
        return tokens + out


class DecoderLayer(nn.Module):
    """A layer like the encoder's, with cross-attention to the encoder's output between the two.

    The task embedding joins the queries, and the keys of self-attention, but no values.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, heads)
        self.norm3 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = start_small(nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor, encoded: Tensor, embedding: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        query = normed + embedding
        tokens = tokens + self.self_attention(query, query, normed)
        query = self.norm2(tokens) + embedding
        tokens = tokens + self.cross_attention(query, encoded, encoded)
        out: Tensor = self.fc2(torch.relu(self.fc1(self.norm3(tokens))))
        return tokens + out


class Body(nn.Module):
    """The transformer: N x C x H x W -> N x L x D, one token a patch, row by row."""

    def __init__(self, config: IPTConfig) -> None:
        super().__init__()
        dim, hidden = config.dim, config.ffn_ratio * config.dim
        self.patch = config.patch
        self.embed = start_small(nn.Linear(dim, dim))
        self.positions = nn.Parameter(torch.empty(config.tokens, dim))
        self.embeddings = nn.ParameterDict(
            {task: nn.Parameter(torch.empty(config.tokens, dim)) for task in config.tasks}
        )
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, config.heads, hidden) for _ in range(config.layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(dim, config.heads, hidden) for _ in range(config.layers)
        )
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = start_small(nn.Linear(hidden, dim))
        for table in (self.positions, *self.embeddings.values()):
            nn.init.normal_(table, std=0.02)

    def forward(self, features: Tensor, task: str) -> Tensor:
        tokens: Tensor = F.unfold(features, self.patch, stride=self.patch).transpose(1, 2)
        tokens = tokens + self.embed(tokens) + self.positions
        for layer in self.encoder:
            tokens = layer(tokens)
        encoded = tokens
        for layer in self.decoder:
            tokens = layer(tokens, encoded, self.embeddings[task])
        out: Tensor = self.fc2(torch.relu(self.fc1(tokens)))
        return tokens + out


class IPT(nn.Module):
    """N x 3 x S x S in [0, 1] -> N x 3 x sS x sS, not clipped; s is the task's scale.

    ``task`` counts in ``config.tasks``. What ``body`` returns is the representation of each
    patch that the contrastive loss of pre-training compares.
    """

    def __init__(self, config: IPTConfig) -> None:
        super().__init__()
        self.config = config
        self.enter: nn.Module = EnterRange(config.value_range)
        self.heads = nn.ModuleDict({task: Head(config.features) for task in config.tasks})
        self.body: nn.Module = Body(config)
        self.tails = nn.ModuleDict(
            {task: Tail(config.features, TASKS[task], config.skip) for task in config.tasks}
        )
        self.leave: nn.Module = LeaveRange(config.value_range)

    def forward(self, image: Tensor, task: int = 0) -> Tensor:
        name = self.config.tasks[task]
        image = self.enter(image)
        features = self.heads[name](image)
        tokens = self.body(features, name)
        grid = self.config.side // self.config.patch
        # Patches do not overlap, so folding them is a pixel shuffle.
        maps = tokens.transpose(1, 2).reshape(image.shape[0], -1, grid, grid)
        deep = F.pixel_shuffle(maps, self.config.patch)
        out: Tensor = self.leave(self.tails[name](features + deep, image))
        return out


def start_small(last: Module) -> Module:
    """Scales down the fresh weights of the last layer of a residual branch."""
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(RESIDUAL_GAIN)
    return last


def each(kind: type[Module], modules: Iterable[nn.Module]) -> Iterator[Module]:
    """The modules of a list or a dict, known to be of one kind."""
    for module in modules:
        assert isinstance(module, kind)
        yield module


def build(task: str = "", **shape: Any) -> IPT:
    """Builds an IPT for one task, or for all six.

    ``shape`` holds fields of :class:`IPTConfig`.
    """
    return IPT(IPTConfig(tasks=(task,) if task else tuple(TASKS), **shape))
