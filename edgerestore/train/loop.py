"""One plain training loop: seeded, resumable, logged; alone or in several processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from edgerestore.compress.sparsity import sparsify
from edgerestore.errors import InputError
from edgerestore.networks import ModelSpec, build_network
from edgerestore.networks.weights import save_weights
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import Batch, TrainingData
from edgerestore.train.data.loader import batches
from edgerestore.train.depthwise import quicken
from edgerestore.train.journal import Journal, Progress
from edgerestore.train.objectives import objective_of
from edgerestore.train.optimisation import Updates, learning_rate_at, move_average, require_finite
from edgerestore.train.processes import Processes, alone
from edgerestore.train.provenance import code_version, hardware
from edgerestore.train.quantization import FakeQuantized, fake_quantized
from edgerestore.train.starting import read_start, start_file
from edgerestore.train.state import LAST, State
from edgerestore.train.validation import ValidationSet, at_each_depth, in_int8_too

BEST = "best.safetensors"
LOG_EVERY = 50


def train(
    spec: ModelSpec,
    settings: TrainSettings,
    data: TrainingData,
    validation: Sequence[ValidationSet],
    out: Path,
    *,
    folder: Path = Path(),
    resume: bool = False,
    processes: Processes | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Trains as a recipe in ``folder`` says; returns the weights, ``out/<model>.safetensors``.

    The average of the weights (EMA) is validated and shipped; ``out/best.safetensors`` is the
    one of the best mean PSNR-Y. ``out/last.pt`` continues a killed run with ``resume``: with
    the same settings, data, machine and number of processes, it ends on a CPU with the same
    weights as an uninterrupted one, to the bit. ``out/log.jsonl`` and ``out/tensorboard`` tell
    how it goes.

    All ``processes`` of a run call this alike, and each takes its share of every batch.
    ``stop`` is asked at each step; on yes the state is kept and KeyboardInterrupt raised.
    Raises InputError where ``out`` holds another run and where training diverges.
    """
    processes = processes or alone(settings.device)
    places = processes.places(settings.batch)
    last = out / LAST
    goes_on = last.exists()
    if goes_on and not resume:
        raise InputError(f"{out}: holds a run already; --resume continues it")
    start = None if goes_on else settings.start
    state = _first_state(spec, settings, start, folder, processes)
    if goes_on:
        state.load(last, spec, settings, data.digest)
    if settings.sparsity:
        for network in (state.network, state.average):
            sparsify(network)
    sets = at_each_depth(validation, settings.recursions)
    rounded = None
    if settings.quantization is not None:
        sets = in_int8_too(sets)
        rounded = fake_quantized(
            state.average, spec, settings.quantization, folder, state.objective.ranges
        )
    run = _Run(spec, settings, data, sets, out, processes, state, rounded)
    run.begin()
    learner = processes.share(state.objective, some_rest=bool(spec.tasks))
    ahead = batches(data, settings.seed, state.step, settings.steps, places, settings.workers)
    try:
        for batch in ahead:
            # Whatever draws at random draws alike in a resumed run, and in every process.
            torch.manual_seed(settings.seed << 32 | state.step)
            with state.updates.autocast():
                loss = learner(_on(processes.device, batch))
            mean, stops = processes.agree(loss, stop())
            require_finite("loss", mean, state.step)
            norm = state.updates.make(loss, state.step)
            state.objective.ranges.follow(processes)
            move_average(state.average, state.network, settings.ema, state.step)
            state.step += 1
            report(run.after_step(mean, norm))
            if stops and state.step < settings.steps:
                run.checkpoint()
                raise KeyboardInterrupt
        return run.finish()
    finally:
        run.close()


def _first_state(
    spec: ModelSpec, settings: TrainSettings, start: str | None, folder: Path, processes: Processes
) -> State:
    device = processes.device
    torch.manual_seed(settings.seed)
    network = build_network(spec).train()
    facts: dict[str, Any] = {}
    if start is not None:
        given = read_start(start_file(start, folder), spec)
        given.fill(network)
        facts["start"] = given.facts
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = build_network(spec).to(device)
    average.load_state_dict(network.state_dict())
    if settings.compile:
        network.compile()
    elif device.type == "cpu":
        quicken(network)
    objective = objective_of(network, spec, settings, folder).to(device)
    facts.update(objective.facts())
    return State(
        network=network,
        average=average,
        objective=objective,
        updates=Updates(objective.parameters(), settings, device),
        facts=facts,
    )


@dataclass(slots=True)
class _Run:
    """One session of a run: all but the updates. Only the leading process writes."""

    spec: ModelSpec
    settings: TrainSettings
    data: TrainingData
    validation: Sequence[ValidationSet]
    out: Path
    processes: Processes
    state: State
    rounded: FakeQuantized | None
    """The average with its products rounded, where it is to bear INT8."""
    journal: Journal | None = None
    losses: list[float] = field(default_factory=list)
    """Losses since the last line of the log."""
    line_at: float = 0.0
    """When the last line of the log was written."""
    begun_at: float = 0.0
    """When the session began, less the seconds of those before."""

    def begin(self) -> None:
        self.line_at = time.perf_counter()
        self.begun_at = self.line_at - self.state.seconds
        place = hardware(self.processes.device, self.processes.count)
        for fact, value in (("code", code_version()), ("hardware", place)):
            known = self.state.facts.setdefault(fact, value)
            if value not in known:
                self.state.facts[fact] = f"{known}; resumed by {value}"
        if self.processes.leads:
            self.journal = Journal(self.out, self.state.step)

    def after_step(self, loss: float, gradient_norm: float) -> Progress:
        """Validates, logs and keeps the state where it is time to."""
        step, settings = self.state.step, self.settings
        last = step == settings.steps
        validates = bool(self.validation) and (last or step % settings.validate_every == 0)
        if validates:
            self.validate()
        self.losses.append(loss)
        now = time.perf_counter()
        progress = Progress(
            step=step,
            steps=settings.steps,
            loss=sum(self.losses) / len(self.losses),
            learning_rate=learning_rate_at(settings, step - 1),
            gradient_norm=gradient_norm,
            steps_per_s=len(self.losses) / (now - self.line_at),
            scores=self.state.scores,
        )
        if last or validates or step % LOG_EVERY == 0:
            if self.journal:
                self.journal.note(progress)
            self.losses.clear()
            self.line_at = now
        if last or step % settings.checkpoint_every == 0:
            self.checkpoint()
        return progress

    def validate(self) -> None:
        if not self.journal:
            return
        state = self.state
        measured = {}
        for item in self.validation:
            network = self.rounded if item.int8 else state.average
            assert network is not None
            measured[item.name] = item.measure(network, self.processes.device)
        state.scores = {name: item.figures for name, item in measured.items()}
        self.journal.show(state.step, measured)
        mean = sum(item.psnr_y_db for item in state.scores.values()) / len(state.scores)
        if state.best_psnr_y_db is None or mean > state.best_psnr_y_db:
            state.best_psnr_y_db = mean
            self.write_weights(self.out / BEST)

    def checkpoint(self) -> None:
        if self.journal:
            self.state.seconds = time.perf_counter() - self.begun_at
            self.state.save(self.out / LAST, self.spec, self.settings, self.data.digest)

    def finish(self) -> Path:
        if self.validation and not self.state.scores:
            self.validate()
        path = self.out / f"{self.spec.name}.safetensors"
        if self.journal:
            self.write_weights(path)
        return path

    def write_weights(self, path: Path) -> None:
        state = self.state
        shards = sum(len(item.paths) for item in self.data.shards())
        metadata: dict[str, Any] = {
            "training": msgspec.to_builtins(self.settings),
            "step": state.step,
            "pictures": {
                "count": self.data.count,
                **({"shards": shards} if shards else {}),
                "sha256": self.data.digest,
            },
            **state.facts,
            "torch": torch.__version__,
            "wall_time_s": round(time.perf_counter() - self.begun_at, 1),
            "scores": [
                {
                    "set": item.name,
                    **({"recursions": item.recursions} if item.recursions else {}),
                    **msgspec.to_builtins(state.scores[item.name]),
                    "input_psnr_y_db": item.input_psnr_y_db,
                    "images": [pair.name for pair in item.pairs],
                    "border": item.spec.border,
                    "protocol": item.protocol(),
                }
                for item in self.validation
            ],
        }
        save_weights(path, self.spec, state.average.state_dict(), metadata)

    def close(self) -> None:
        if self.journal:
            self.journal.close()


def _on(device: torch.device, batch: Batch) -> Batch:
    return replace(batch, low=batch.low.to(device), high=batch.high.to(device))
