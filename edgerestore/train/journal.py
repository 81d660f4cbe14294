"""What a run leaves to read while it lasts: a log of JSON lines, and TensorBoard's events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgerestore.errors import InputError, MissingPartError
from edgerestore.files import write_beside
from edgerestore.train.validation import Figures, Measurement

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG = "log.jsonl"
EVENTS = "tensorboard"
FLUSH_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    steps: int
    loss: float
    """Mean over the steps since the last line of the log."""
    learning_rate: float
    gradient_norm: float
    """Norm of the gradient before it was clipped."""
    steps_per_s: float
    """Steps a second since the last line of the log, validation included."""
    scores: Mapping[str, Figures] = field(default_factory=dict)
    """Figures of the last validation, by set."""


class Journal:
    """Writes the log and the events of a run that stands at ``step``.

    What a killed session wrote of later steps is dropped. Raises InputError where the folder
    cannot be written to and MissingPartError without TensorBoard's package.
    """

    def __init__(self, out: Path, step: int) -> None:
        self._log = out / LOG
        try:
            out.mkdir(parents=True, exist_ok=True)
            _drop_lines_after(step, self._log)
            self._events = _writer(out / EVENTS, step)
        except OSError as error:
            raise InputError(f"{out}: cannot be written: {error.strerror}") from error

    def note(self, at: Progress) -> None:
        """Adds a line to the log, and the scalars to the events."""
        line = {name: getattr(at, name) for name in Progress.__slots__}
        try:
            with self._log.open("a") as file:
                file.write(json.dumps(line | {"scores": msgspec.to_builtins(at.scores)}) + "\n")
        except OSError as error:
            raise InputError(f"{self._log}: cannot be written: {error.strerror}") from error
        for name in ("loss", "learning_rate", "gradient_norm", "steps_per_s"):
            self._events.add_scalar(f"training/{name}", getattr(at, name), at.step)

    def show(self, step: int, measured: Mapping[str, Measurement]) -> None:
        """Adds a validation's figures, and one picture of each set, to the events."""
        for name, measurement in measured.items():
            figures: dict[str, Any] = msgspec.to_builtins(measurement.figures)
            for figure, value in figures.items():
                if value is not None:
                    self._events.add_scalar(f"{figure}/{name}", value, step)
            self._events.add_image(name, measurement.picture, step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is still in memory."""
        self._events.close()


def _drop_lines_after(step: int, log: Path) -> None:
    lines = log.read_text().splitlines(keepends=True) if log.is_file() else []
    # A killed session may have left half a line.
    kept = [s for s in lines if s.endswith("}\n") and json.loads(s)["step"] <= step]
    if kept != lines:
        write_beside(log, "".join(kept).encode())


def _writer(folder: Path, step: int) -> SummaryWriter:
    try:
        # Only training wants it, and it takes a second to import.
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPartError(
            "training logs to TensorBoard: pip install 'edgerestore[host]'"
        ) from error
    return SummaryWriter(folder, purge_step=step + 1 if step else None, flush_secs=FLUSH_SECONDS)
