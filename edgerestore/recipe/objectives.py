"""What a training step minimises: fields and tables of ``[train]``."""

from __future__ import annotations

from typing import Literal

PixelLoss = Literal["l1", "mse", "charbonnier"]
"""Mean over all values of |d|, of d^2, or of sqrt(d^2 + 0.001^2), where d is what is missing."""
