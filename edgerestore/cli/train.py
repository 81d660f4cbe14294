"""The verbs that make weights: ``train`` and ``import-weights``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import Data, RecipeName, Resume
from edgerestore.cli.output import Json, console, print_json, progress
from edgerestore.cli.recipes import read_training

if TYPE_CHECKING:
    from edgerestore.networks import ModelSpec
    from edgerestore.recipe.training import TrainSettings


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    app.command("train")(train)
    app.command("import-weights")(import_weights)


def train(
    recipe: RecipeName,
    data: Data,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder that weights, log and checkpoint go into.", show_default="runs/<model>"
        ),
    ] = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Trains a model as a recipe says; under torchrun, in several processes and machines."""
    import time

    from edgerestore.errors import EdgeRestoreError
    from edgerestore.train.starting import spec_to_train

    read = read_training(recipe)
    spec = spec_to_train(read.spec, read.settings.start, read.folder)
    out = out or Path("runs", spec.name)
    started = time.perf_counter()
    try:
        weights = _train(spec, read.settings, read.folder, data, out, resume)
    except KeyboardInterrupt:
        stopped = EdgeRestoreError(f"interrupted; --resume --out {out} continues the run")
        stopped.exit_code = 130
        raise stopped from None
    if weights is None:
        return
    if read.recipe.card is not None:
        from edgerestore.train.card import write_card

        write_card(weights, spec, read.recipe.card)
    seconds = time.perf_counter() - started
    if json:
        print_json({"model": spec.name, "weights": weights, "seconds": round(seconds, 1)})
    else:
        console().print(f"wrote {weights} after {seconds:.0f} s")


def import_weights(
    model: Annotated[str, typer.Argument(help="A name that 'edgerestore models' lists.")],
    file: Annotated[Path, typer.Argument(help="The authors' .pth, .pt or .safetensors file.")],
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    json: Json = False,
) -> None:
    """Converts an authors' checkpoint into weights of this package; runs nothing in it."""
    from edgerestore.errors import InputError
    from edgerestore.networks import find_model
    from edgerestore.networks.checkpoints import import_checkpoint
    from edgerestore.networks.weights import save_weights

    spec = find_model(model)
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out}: must end in .safetensors")
    weights = import_checkpoint(file, spec)
    save_weights(out, spec, weights.tensors, weights.metadata)
    params = sum(tensor.numel() for tensor in weights.tensors.values())
    dropped = len(weights.metadata["imported_from"]["dropped"])
    if json:
        print_json({"model": model, "weights": out, "params": params, "dropped": dropped})
    else:
        console().print(f"wrote {out}: {params:,} values of {model}; {dropped} unused ones dropped")


def _train(
    spec: ModelSpec, settings: TrainSettings, folder: Path, data: Path, out: Path, resume: bool
) -> Path | None:
    """Runs the loop behind a progress bar; returns the weights, in the leading process only."""
    from edgerestore.train.data.crops import TrainingData
    from edgerestore.train.data.leaks import check_leaks
    from edgerestore.train.journal import Progress
    from edgerestore.train.loop import train as run
    from edgerestore.train.processes import joined
    from edgerestore.train.validation import validation_set

    with joined(settings.device) as processes, progress(shown=processes.leads) as bar:
        task = bar.add_task("reading pictures", total=None)
        held_back = [validation_set(data, item, spec) for item in settings.validation]
        pictures = TrainingData(data, settings.source, spec, settings.patch)
        if processes.leads:
            bar.update(task, description="looking for held-back pictures among them")
            check_leaks(pictures.pictures(), [pair for item in held_back for pair in item.pairs])

        def report(at: Progress) -> None:
            scores = "".join(f", {item.psnr_y_db:.2f} dB" for item in at.scores.values())
            text = f"loss {at.loss:.4f}, {at.steps_per_s:.1f} steps/s{scores}"
            bar.update(task, description=text, completed=at.step, total=at.steps)

        with interruptible(insists=processes.count == 1) as stop:
            weights = run(
                spec,
                settings,
                pictures,
                held_back,
                out,
                folder=folder,
                resume=resume or processes.restarted,
                processes=processes,
                report=report,
                stop=stop,
            )
        return weights if processes.leads else None


@contextmanager
def interruptible(*, insists: bool) -> Iterator[Callable[[], bool]]:
    """Lets the first Ctrl-C or SIGTERM end a run between two steps, with its state kept.

    With ``insists`` a second one ends it at once: not in torchrun's processes, to which the
    terminal and torchrun both send it.
    """
    import signal

    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        if insists:
            signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
