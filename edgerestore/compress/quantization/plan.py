"""A calibrated network: which products are quantized, and in which steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx

from edgerestore.compress.quantization.products import Product, Reader
from edgerestore.compress.quantization.steps import Steps


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an emitter needs, the same for every runtime."""

    graph: onnx.ModelProto
    """FP32, smoothed where that was chosen."""
    products: tuple[Product, ...]
    pairs: Mapping[str, Sequence[Reader]]
    """Tensors that are quantized, and who reads the quantized values."""
    steps: Mapping[str, Steps]
    """Steps of each tensor that is quantized."""
    whole_products: bool = False
    """See :attr:`edgerestore.recipe.Int8Rules.whole_products`; pairs only where not."""
    int16_pairs: bool = False
    """See :attr:`edgerestore.recipe.Int8Rules.int16_pairs`."""
