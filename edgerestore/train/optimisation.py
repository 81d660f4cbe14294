"""How a loss moves weights: optimiser, schedule, precision, clipping and averaging."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from edgerestore.errors import InputError
from edgerestore.recipe.optimisation import Constant, Cosine, Steps
from edgerestore.recipe.training import TrainSettings

AMP_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NO_LIMIT = math.inf


class Updates:
    """Moves parameters down a loss, as a recipe says.

    Raises InputError for a precision that the device does not train in.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: TrainSettings, device: torch.device
    ) -> None:
        if settings.amp == "fp16" and device.type == "cpu":
            raise InputError("amp fp16 needs a CUDA device; on a CPU say 'bf16' or 'fp32'")
        self._parameters = list(parameters)
        self._settings = settings
        self._device = device
        self._optimizer = _optimizer(self._parameters, settings)
        # Gradients of float16 would vanish unscaled; bfloat16 has float32's range.
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.amp == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that the forward pass and the loss are to run in."""
        amp = self._settings.amp
        return torch.autocast(self._device.type, AMP_TYPES[amp], enabled=amp != "fp32")

    def make(self, loss: Tensor, step: int) -> float:
        """One update; returns the norm of the gradient before it was clipped.

        An update whose float16 gradients overflow is left out, and the next is scaled less.
        Raises InputError, and leaves the weights alone, for other gradients without a norm.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(self._settings, step)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.unscale_(self._optimizer)
        limit = self._settings.clip_norm or NO_LIMIT
        norm = float(nn.utils.clip_grad_norm_(self._parameters, limit))
        if not self._scaler.is_enabled():
            require_finite("gradient", norm, step)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` continues from."""
        return {"optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from another's state. Raises KeyError or ValueError for one that differs."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])


def require_finite(what: str, value: float, step: int) -> None:
    """Raises InputError for NaN and infinity; ``step`` counts from 0."""
    if not math.isfinite(value):
        raise InputError(
            f"training diverged: the {what} of step {step + 1} is {value}; lower "
            "learning_rate in the recipe and train into a new folder"
        )


def learning_rate_at(settings: TrainSettings, step: int) -> float:
    """Linear warm-up, then as the recipe's schedule says; ``step`` counts from 0."""
    full, warmup = settings.learning_rate, settings.warmup_steps
    if step < warmup:
        return full * (step + 1) / warmup
    match settings.schedule:
        case Constant():
            return full
        case Steps(every=every, factor=factor):
            return full * factor ** (step // every)
        case Cosine(constant_steps=constant, final_learning_rate=final):
            start = max(warmup, constant)
            angle = math.pi * max(0, step - start) / max(1, settings.steps - start)
            return final + (full - final) * (0.5 + 0.5 * math.cos(angle))


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the average's parameters towards the network's after the update of ``step``."""
    # A young average forgets its random start faster than the full decay would.
    decay = min(decay, (2 + step) / (11 + step))
    averages: list[Any] = list(average.parameters())
    torch._foreach_lerp_(averages, list(network.parameters()), 1 - decay)


def _optimizer(parameters: list[nn.Parameter], settings: TrainSettings) -> torch.optim.Optimizer:
    wanted = settings.optimizer
    kind = torch.optim.AdamW if wanted.kind == "adamw" else torch.optim.Adam
    return kind(
        parameters,
        lr=settings.learning_rate,
        betas=wanted.betas,
        weight_decay=wanted.weight_decay,
        fused=True,
    )
