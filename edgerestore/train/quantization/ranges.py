"""Between which values each call site's activations lie, as a training goes on."""

from __future__ import annotations

import torch
from torch import Tensor

from edgerestore.train.processes import Processes

MAPS_NDIM = 4

SHRINKS = 0.01
"""Share of the way back to a step's own extremes that a wider range goes in that step."""


class Ranges:
    """Lowest and highest value of every tensor that is rounded, by call site.

    A range widens to whatever a step shows and shrinks slowly: so it stands near the extremes
    of the last few hundred crops, which is what calibration will see of the trained network.
    It is not learned by gradient, as calibration would not take over what was learned.
    """

    def __init__(self) -> None:
        self._known: dict[str, Tensor] = {}
        """Lowest and highest value by site."""
        self._seen: dict[str, Tensor] = {}
        """Lowest and highest value by site in the step that runs."""

    def __getitem__(self, site: str) -> Tensor | None:
        """Lowest and highest; None before the first step."""
        return self._known.get(site)

    def see(self, site: str, x: Tensor) -> None:
        """Notes what a site was given in this step."""
        x = x.detach()
        if x.ndim == MAPS_NDIM and not x.is_contiguous():
            # Channels last, most likely: in this order torch need not copy them.
            x = x.permute(0, 2, 3, 1)
        self._seen[site] = torch.stack(torch.aminmax(x)).float()

    def follow(self, processes: Processes) -> None:
        """Moves the ranges after what all processes saw in this step."""
        if not self._seen:
            return
        seen = torch.stack(list(self._seen.values()))
        lows, highs = processes.extremes(*seen.t().contiguous())
        for site, low, high in zip(self._seen, lows, highs, strict=True):
            known = self._known.get(site, torch.stack((low, high)))
            self._known[site] = torch.stack(
                (
                    torch.minimum(low, torch.lerp(known[0], low, SHRINKS)),
                    torch.maximum(high, torch.lerp(known[1], high, SHRINKS)),
                )
            )
        self._seen.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """What :meth:`load_state_dict` continues from."""
        return self._known

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continues from another's state."""
        self._known = dict(state)
