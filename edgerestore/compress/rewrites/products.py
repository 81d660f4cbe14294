"""Matrix products as the deployable forms compute them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Product(nn.Module):
    """``x @ weight + bias``, the weight stored as the graph's MatMul wants it.

    Takes the weight as torch's Linear stores it; ``bias`` may differ by token.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().t().contiguous())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x @ self.weight
        if self.bias is not None:
            out = out + self.bias
        return out


def convolution(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Conv2d:
    """One that keeps height and width; weights are O x C x KH x KW of odd sides."""
    out, channels, height, width = weight.shape
    conv = nn.Conv2d(
        channels,
        out,
        (height, width),
        padding=(height // 2, width // 2),
        bias=bias is not None,
        dtype=dtype,
    ).requires_grad_(False)
    conv.weight.copy_(weight)
    if conv.bias is not None and bias is not None:
        conv.bias.copy_(bias)
    return conv
