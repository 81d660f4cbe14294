"""What a run has come to, and the file from which it continues."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edgerestore.errors import CheckpointError, InputError
from edgerestore.files import write_beside
from edgerestore.networks import ModelSpec
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.objectives import Objective
from edgerestore.train.optimisation import Updates
from edgerestore.train.validation import Figures

LAST = "last.pt"


@dataclass(slots=True)
class State:
    """All that a run carries from one step to the next."""

    network: nn.Module
    average: nn.Module
    objective: Objective
    updates: Updates
    facts: dict[str, Any] = field(default_factory=dict)
    """What the weights should say of how they came about; JSON's types."""
    step: int = 0
    """Updates made."""
    seconds: float = 0.0
    """Seconds taken, in all sessions."""
    scores: dict[str, Figures] = field(default_factory=dict)
    """Figures of the last validation, by set."""
    best_psnr_y_db: float | None = None
    """The best mean over all sets."""

    def save(self, path: Path, spec: ModelSpec, settings: TrainSettings, digest: str) -> None:
        """Writes all of it, and what it belongs to: model, settings and digest of the data."""
        buffer = io.BytesIO()
        torch.save(
            {
                "model": spec.name,
                "settings": msgspec.json.encode(settings).decode(),
                "data": digest,
                **{name: getattr(self, name).state_dict() for name in ("network", "average")},
                "terms": self.objective.terms.state_dict(),
                "updates": self.updates.state_dict(),
                "ranges": self.objective.ranges.state_dict(),
                **{name: getattr(self, name) for name in _PLAIN},
                "scores": msgspec.to_builtins(self.scores),
            },
            buffer,
        )
        write_beside(path, buffer.getvalue())

    def load(self, path: Path, spec: ModelSpec, settings: TrainSettings, digest: str) -> None:
        """Continues from what :meth:`save` wrote.

        Raises InputError for a run of another model, other settings or other pictures, and
        CheckpointError for damage.
        """
        device = next(self.network.parameters()).device
        state = _read(path, device)
        if state.get("model") != spec.name or not _alike(state["settings"], settings):
            raise InputError(f"{path}: was made by other settings; train into a new folder")
        if state.get("data") != digest:
            raise InputError(f"{path}: was made on other pictures; train into a new folder")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.objective.terms.load_state_dict(state["terms"])
            self.updates.load_state_dict(state["updates"])
            self.objective.ranges.load_state_dict(state["ranges"])
            for name in _PLAIN:
                setattr(self, name, state[name])
            self.scores = msgspec.convert(state["scores"], dict[str, Figures])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{path}: damaged; delete it to start again") from error


_PLAIN = ("facts", "step", "seconds", "best_psnr_y_db")


def _alike(stored: str, settings: TrainSettings) -> bool:
    """Whether settings lead to the same weights; how many processes make batches is no matter."""
    try:
        before = msgspec.json.decode(stored, type=TrainSettings)
    except (msgspec.DecodeError, TypeError):
        return False
    return msgspec.structs.replace(before, workers=settings.workers) == settings


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        # Damage makes the unpickler raise nearly anything; see models/checkpoints.py.
        raise CheckpointError(f"{path}: damaged; delete it to start again") from error
    if not isinstance(state, dict) or "settings" not in state:
        raise CheckpointError(f"{path}: not a checkpoint of 'edgerestore train'")
    return state
