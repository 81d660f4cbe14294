"""Images of any size through a network that takes only some."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from edgerestore.networks import SizeRule


def run_padded(
    network: Callable[[Tensor], Tensor], image: Tensor, rule: SizeRule, scale: int
) -> Tensor:
    """N x C x H x W -> N x C x scale*H x scale*W, whatever H and W are.

    What the rule does not take is continued by reflection at the bottom and the right, and
    cropped off the output. Raises InputError for an image beyond the rule's maximum.
    """
    height, width = image.shape[2:]
    padded = reflect_to(image, rule.fitting(height), rule.fitting(width))
    out = network(padded)
    return out[:, :, : scale * height, : scale * width]


def reflect_to(image: Tensor, height: int, width: int) -> Tensor:
    """Continues an image by reflection, repeatedly where it is narrower than what it lacks."""
    for axis, side in ((2, height), (3, width)):
        length = image.shape[axis]
        if side > length:
            index = np.pad(np.arange(length), (0, side - length), mode="reflect")
            image = image.index_select(axis, torch.from_numpy(index).to(image.device))
    return image
