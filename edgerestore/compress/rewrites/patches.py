"""IPT without Unfold and Fold, with its constants computed once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites.products import Product
from edgerestore.networks.ipt import (
    IPT,
    Attention,
    Body,
    DecoderLayer,
    EncoderLayer,
    EnterRange,
    Head,
    LeaveRange,
    Tail,
    each,
)


def fold_value_range(network: nn.Module) -> int:
    """Folds the range of the values inside, and the mean colour at the end, into convolutions.

    The mean colour at the start stays: a zero border after its subtraction is not a zero
    border before.
    """
    if not isinstance(network, IPT) or not isinstance(network.leave, LeaveRange):
        return 0
    assert isinstance(network.enter, EnterRange)
    value_range = network.enter.value_range
    for head in each(Head, network.heads.values()):
        head.conv.weight.mul_(value_range)
    for tail in each(Tail, network.tails.values()):
        # Three channels, or several in a row for each of them, if the shuffle comes later.
        mean = network.leave.mean.reshape(3).repeat_interleave(tail.conv.out_channels // 3)
        assert tail.conv.bias is not None
        tail.conv.weight.div_(value_range)
        tail.conv.bias.div_(value_range).add_(mean)
    network.enter = SubtractMean(network.enter.mean)
    network.leave = nn.Identity()
    return 2


def fold_patches(network: nn.Module) -> int:
    """Puts :class:`FoldedBody` in the place of a network's body, if it has a single task."""
    if not isinstance(network, IPT) or not isinstance(network.body, Body):
        return 0
    if len(network.config.tasks) > 1:
        return 0
    network.body = FoldedBody(network.body, network.config.features)
    return 1


class SubtractMean(nn.Module):
    """Centres an image around the mean colour."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", mean)

    def forward(self, image: Tensor) -> Tensor:
        return image - self.mean


class FoldedBody(nn.Module):
    """The same function as the body it is made from, for one task.

    - Cutting into patches, the first linear layer and its residual are one strided
      convolution; positions and its bias are one constant.
    - Normalisation's gain and offset, the task embedding and the score scale are in the
      matrices and the biases behind them. What the embedding adds differs by token.
    - Queries, keys and values of self-attention come from one product. What differs by token
      is added to its parts: TensorRT cannot build it as the bias of a product that is split.
    """

    def __init__(self, source: Body, features: int) -> None:
        super().__init__()
        dim, patch = source.embed.out_features, source.patch
        (embedding,) = source.embeddings.values()
        residual = torch.eye(dim, dtype=source.embed.weight.dtype)
        self.embed = nn.Conv2d(features, dim, patch, stride=patch, bias=False)
        kernel = (source.embed.weight + residual).reshape(dim, features, patch, patch)
        self.embed.weight = nn.Parameter(kernel.detach())
        self.positions = nn.Parameter(source.positions + source.embed.bias)
        self.encoder = nn.ModuleList(
            FoldedEncoderLayer(layer) for layer in each(EncoderLayer, source.encoder)
        )
        self.decoder = nn.ModuleList(
            FoldedDecoderLayer(layer, embedding) for layer in each(DecoderLayer, source.decoder)
        )
        self.mlp = FoldedMLP(source.fc1, source.fc2)
        self.eval().requires_grad_(False)

    def forward(self, features: Tensor, task: str) -> Tensor:
        tokens: Tensor = self.embed(features).flatten(2).transpose(1, 2) + self.positions
        for layer in self.encoder:
            tokens = layer(tokens)
        encoded = tokens
        for layer in self.decoder:
            tokens = layer(tokens, encoded)
        out: Tensor = self.mlp(tokens)
        return tokens + out


class FoldedEncoderLayer(nn.Module):
    """Computes what :class:`EncoderLayer` does."""

    def __init__(self, source: EncoderLayer) -> None:
        super().__init__()
        self.attention = FoldedSelfAttention(source.attention, source.norm1)
        self.mlp = FoldedMLP(source.fc1, source.fc2, source.norm2)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(tokens)
        out: Tensor = self.mlp(tokens)
        return tokens + out


class FoldedDecoderLayer(nn.Module):
    """Computes what :class:`DecoderLayer` does, with the task embedding inside."""

    def __init__(self, source: DecoderLayer, embedding: Tensor) -> None:
        super().__init__()
        self.self_attention = FoldedSelfAttention(source.self_attention, source.norm1, embedding)
        self.cross_attention = FoldedCrossAttention(source.cross_attention, source.norm2, embedding)
        self.mlp = FoldedMLP(source.fc1, source.fc2, source.norm3)

    def forward(self, tokens: Tensor, encoded: Tensor) -> Tensor:
        tokens = tokens + self.self_attention(tokens)
        tokens = tokens + self.cross_attention(tokens, encoded)
        out: Tensor = self.mlp(tokens)
        return tokens + out


class FoldedSelfAttention(nn.Module):
    """Normalisation and self-attention; an embedding joins queries and keys, not values."""

    def __init__(
        self, source: Attention, norm: nn.LayerNorm, embedding: Tensor | None = None
    ) -> None:
        super().__init__()
        self.heads = source.heads
        q, k, v = _projections(source)
        weight = torch.cat([q, k, v])
        self.norm = _plain(norm)
        self.qkv = Product(weight * norm.weight, weight @ norm.bias)
        added = [] if embedding is None else [embedding @ q.t(), embedding @ k.t()]
        self.added = nn.ParameterList(table.detach() for table in added)
        self.out = Product(source.out_proj.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(tokens)).chunk(3, dim=-1)
        if self.added:
            q, k = q + self.added[0], k + self.added[1]
        out: Tensor = self.out(_attend(q, k, v, self.heads))
        return out


class FoldedCrossAttention(nn.Module):
    """Normalisation and attention to the encoder's output; an embedding joins the queries."""

    def __init__(self, source: Attention, norm: nn.LayerNorm, embedding: Tensor) -> None:
        super().__init__()
        self.heads = source.heads
        q, k, v = _projections(source)
        self.norm = _plain(norm)
        self.q = Product(q * norm.weight, (norm.bias + embedding) @ q.t())
        self.kv = Product(torch.cat([k, v]))
        self.out = Product(source.out_proj.weight)

    def forward(self, tokens: Tensor, encoded: Tensor) -> Tensor:
        k, v = self.kv(encoded).chunk(2, dim=-1)
        out: Tensor = self.out(_attend(self.q(self.norm(tokens)), k, v, self.heads))
        return out


class FoldedMLP(nn.Module):
    """Normalisation, if there is one, and an MLP with ReLU."""

    def __init__(self, fc1: nn.Linear, fc2: nn.Linear, norm: nn.LayerNorm | None = None) -> None:
        super().__init__()
        weight: Tensor = fc1.weight
        bias: Tensor = fc1.bias
        if norm is not None:
            weight, bias = weight * norm.weight, bias + weight @ norm.bias
        self.norm = nn.Identity() if norm is None else _plain(norm)
        self.fc1 = Product(weight, bias)
        self.fc2 = Product(fc2.weight, fc2.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(torch.relu(self.fc1(self.norm(tokens))))
        return out


def _projections(attention: Attention) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices that make queries, keys and values, the score scale in the first."""
    q, k, v = attention.in_proj.weight.chunk(3)
    return q * (q.shape[0] // attention.heads) ** -0.5, k, v


def _plain(norm: nn.LayerNorm) -> nn.LayerNorm:
    """The normalisation without its gain and offset, which went into what reads it."""
    return nn.LayerNorm(norm.normalized_shape, eps=norm.eps, dtype=norm.weight.dtype)


def _attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    n, _, width = q.shape
    shape = (n, -1, heads, width // heads)
    scores = q.reshape(shape).transpose(1, 2) @ k.reshape(shape).permute(0, 2, 3, 1)
    out = torch.softmax(scores, dim=-1) @ v.reshape(shape).transpose(1, 2)
    joined: Tensor = out.transpose(1, 2).reshape(n, -1, width)
    return joined
