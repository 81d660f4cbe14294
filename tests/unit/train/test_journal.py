from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edgerestore.errors import InputError, MissingPartError
from edgerestore.train.journal import Journal, Progress
from edgerestore.train.validation import Figures, Measurement

FIGURES = Figures(psnr_y_db=30.5, psnr_rgb_db=28.5, ssim_y=None)
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 24, 3), np.uint8)


def at(step: int) -> Progress:
    return Progress(
        step=step,
        steps=9,
        loss=1 / step,
        learning_rate=1e-3,
        gradient_norm=0.5,
        steps_per_s=2.0,
        scores={"set": FIGURES},
    )


def write(out: Path, begun_at: int, *steps: int) -> None:
    journal = Journal(out, begun_at)
    for step in steps:
        journal.note(at(step))
        journal.show(step, {"set": Measurement(FIGURES, PICTURE)})
    journal.close()


def events(out: Path) -> EventAccumulator:
    return EventAccumulator(str(out / "tensorboard")).Reload()


def test_tensorboard_reads_scalars_and_pictures(tmp_path: Path) -> None:
    write(tmp_path, 0, 2, 4)
    read = events(tmp_path)
    scalars = {
        "training/loss",
        "training/learning_rate",
        "training/gradient_norm",
        "training/steps_per_s",
        "psnr_y_db/set",
        "psnr_rgb_db/set",
    }
    assert set(read.Tags()["scalars"]) == scalars
    assert [(event.step, event.value) for event in read.Scalars("training/loss")] == [
        (2, 0.5),
        (4, 0.25),
    ]
    assert read.Scalars("psnr_y_db/set")[0].value == 30.5
    image = read.Images("set")[0]
    assert (image.height, image.width) == (8, 24)


def test_log_holds_a_line_each(tmp_path: Path) -> None:
    write(tmp_path, 0, 2, 4)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[0]["loss"] == 0.5
    assert lines[0]["scores"]["set"] == {"psnr_y_db": 30.5, "psnr_rgb_db": 28.5, "ssim_y": None}


def test_resumed_run_drops_what_was_written_after_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 0, 2, 4, 6)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    # TensorBoard reads files by the second in their names; of one process's within a second the
    # tenth comes before the ninth.
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began + 60)
    write(tmp_path, 4, 8)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 8]
    assert [event.step for event in events(tmp_path).Scalars("training/loss")] == [2, 4, 8]


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="run: cannot be written"):
        Journal(tmp_path / "file" / "run", 0)


def test_absent_tensorboard_names_the_extra(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingPartError, match=r"pip install 'edgerestore\[host\]'"):
        Journal(tmp_path, 0)
