"""One plain training loop: seeded, resumable, logged."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edgerestore.errors import CheckpointError, InputError
from edgerestore.files import write_beside
from edgerestore.models import ModelSpec, build_network
from edgerestore.models.weights import load_weights, save_weights
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data import TrainingData
from edgerestore.train.depthwise import quicken
from edgerestore.train.objectives import Objective, objective_of
from edgerestore.train.validation import ValidationSet

LOG = "log.jsonl"
LOG_EVERY = 50


@dataclass(slots=True)
class Progress:
    """Where a run stands; handed to the caller's progress display after each log line."""

    step: int
    steps: int
    loss: float
    steps_per_s: float
    psnr_y_db: dict[str, float]
    """Of the last validation, by set."""


def train(
    spec: ModelSpec,
    settings: TrainSettings,
    data: TrainingData,
    validation: Sequence[ValidationSet],
    out: Path,
    *,
    start: Path | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Trains from scratch, or on from ``start``; returns the weights, ``out/<model>.safetensors``.

    The average of the weights (EMA) is validated and shipped. ``out/last.pt`` continues a
    killed run with ``resume``: with the same settings, data and machine it ends with the
    same weights as an uninterrupted one. ``out/log.jsonl`` holds one JSON object a line.
    ``stop`` is asked after each step; on yes the state is kept and KeyboardInterrupt raised.
    Raises InputError where ``out`` holds another run and where the loss stops being finite.
    """
    torch.manual_seed(settings.seed)
    network = build_network(spec)
    if start is not None:
        network.load_state_dict(load_weights(start, spec).tensors)
    network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    quicken(network)
    average = build_network(spec)
    average.load_state_dict(network.state_dict())
    objective = objective_of(network, settings)
    optimizer = torch.optim.Adam(objective.parameters(), lr=settings.learning_rate, fused=True)
    run = _Run(spec, settings, data, network, average, optimizer, out, objective)
    run.begin(resume)
    started, first = time.perf_counter(), run.step
    while run.step < settings.steps:
        loss = _step(run)
        if validation and (run.step % settings.validate_every == 0 or run.step == settings.steps):
            run.validate(validation)
        if run.step % LOG_EVERY == 0 or run.step == settings.steps:
            rate = (run.step - first) / (time.perf_counter() - started)
            progress = Progress(run.step, settings.steps, loss, rate, run.psnr_y_db)
            run.log(progress)
            report(progress)
        if run.step % settings.checkpoint_every == 0 or run.step == settings.steps:
            run.checkpoint()
        if stop() and run.step < settings.steps:
            run.checkpoint()
            raise KeyboardInterrupt
    if validation and not run.psnr_y_db:
        run.validate(validation)
    return run.finish(validation)


def learning_rate_at(settings: TrainSettings, step: int) -> float:
    """Linear warm-up, then half a cosine down to the final rate; ``step`` counts from 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    span = max(1, settings.steps - settings.warmup_steps)
    cosine = 0.5 + 0.5 * math.cos(math.pi * (step - settings.warmup_steps) / span)
    low = settings.final_learning_rate
    return low + (settings.learning_rate - low) * cosine


@dataclass(slots=True)
class _Run:
    spec: ModelSpec
    settings: TrainSettings
    data: TrainingData
    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    out: Path
    objective: Objective
    step: int = 0
    psnr_y_db: dict[str, float] = field(default_factory=dict)

    def validate(self, sets: Sequence[ValidationSet]) -> None:
        self.psnr_y_db = {item.name: item.psnr_y_db(self.average) for item in sets}

    def begin(self, resume: bool) -> None:
        last = self.out / "last.pt"
        if not last.exists():
            return
        if not resume:
            raise InputError(f"{self.out}: holds a run already; --resume continues it")
        state = _read_state(last)
        if state["settings"] != self._fingerprint():
            raise InputError(f"{last}: was made by other settings; train into a new folder")
        if state["data"] != self.data.digest:
            raise InputError(f"{last}: was made on other pictures; train into a new folder")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.objective.terms.load_state_dict(state["terms"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.psnr_y_db = state["step"], state["psnr_y_db"]
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"{last}: damaged; delete it to start again") from error
        self.forget_later_lines()

    def checkpoint(self) -> None:
        state = {
            "settings": self._fingerprint(),
            "data": self.data.digest,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "terms": self.objective.terms.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "psnr_y_db": self.psnr_y_db,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_beside(self.out / "last.pt", buffer.getvalue())

    def log(self, progress: Progress) -> None:
        line = {name: getattr(progress, name) for name in Progress.__slots__}
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            with (self.out / LOG).open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise InputError(f"{self.out / LOG}: cannot be written: {error.strerror}") from error

    def forget_later_lines(self) -> None:
        """Cuts what a killed run logged behind its last checkpoint, half a line included."""
        log = self.out / LOG
        lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
        kept = [s for s in lines if s.endswith("}\n") and json.loads(s)["step"] <= self.step]
        if kept != lines:
            write_beside(log, "".join(kept).encode())

    def finish(self, validation: Sequence[ValidationSet]) -> Path:
        path = self.out / f"{self.spec.name}.safetensors"
        metadata: dict[str, Any] = {
            "training": msgspec.to_builtins(self.settings),
            "pictures": {"count": self.data.count, "sha256": self.data.digest},
            "torch": torch.__version__,
            "scores": [
                {
                    "set": item.name,
                    "psnr_y_db": self.psnr_y_db[item.name],
                    "images": [pair.name for pair in item.pairs],
                    "border": item.spec.border,
                    "protocol": item.protocol(),
                }
                for item in validation
            ],
        }
        save_weights(path, self.spec, self.average.state_dict(), metadata)
        return path

    def _fingerprint(self) -> str:
        return json.dumps([self.spec.name, msgspec.to_builtins(self.settings)], sort_keys=True)


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        # Damage makes the unpickler raise nearly anything; see models/checkpoints.py.
        raise CheckpointError(f"{path}: damaged; delete it to start again") from error
    if not isinstance(state, dict) or "settings" not in state:
        raise CheckpointError(f"{path}: not a checkpoint of 'edgerestore train'")
    return state


def _step(run: _Run) -> float:
    """One update of the network and its average; returns the loss before it."""
    settings = run.settings
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate_at(settings, run.step)
    batch = run.data.batch(settings.seed, run.step, range(settings.batch))
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.amp == "bf16"):
        loss = run.objective(batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise InputError(
            f"training diverged: the loss of step {run.step + 1} is {value}; lower "
            "learning_rate in the recipe and train into a new folder"
        )
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(run.objective.parameters(), settings.clip_norm)
    run.optimizer.step()
    run.step += 1
    with torch.no_grad():
        # A young average forgets its random start faster than the full decay would.
        decay = min(settings.ema, (1 + run.step) / (10 + run.step))
        averages: list[Any] = list(run.average.parameters())
        torch._foreach_lerp_(averages, list(run.network.parameters()), 1 - decay)
    return value
