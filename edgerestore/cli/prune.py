"""The verb ``prune``: a network to a smaller one that does nearly as well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgerestore.cli.options import Data, RecipeName, Resume
from edgerestore.cli.output import Json, console, count, print_json, progress, table
from edgerestore.cli.recipes import Training, read_training

if TYPE_CHECKING:
    from edgerestore.pruning.rounds import Journal
    from edgerestore.recipe.pruning import PruneSettings


def register(app: typer.Typer) -> None:
    """Adds the verb of this file to the command line."""
    app.command("prune")(prune)


def prune(
    recipe: RecipeName,
    data: Data,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder that the rounds go into.", show_default="runs/<model>-pruned"),
    ] = None,
    macs: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=0.99, help="Share of the MACs to remove.", show_default="the recipe's"
        ),
    ] = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Prunes a model's trained network in rounds, and trains what is left after each."""
    import msgspec

    from edgerestore.errors import EdgeRestoreError, RecipeError

    read = read_training(recipe)
    if read.recipe.prune is None:
        raise RecipeError(f"{recipe}: has no [prune] table")
    settings = read.recipe.prune
    if macs is not None:
        settings = msgspec.structs.replace(settings, macs=macs, latency=None)
    spec = read.spec
    out = out or Path("runs", f"{spec.name}-pruned")
    try:
        journal = _prune(read, settings, data, out, resume)
    except KeyboardInterrupt:
        stopped = EdgeRestoreError(f"interrupted; --resume --out {out} continues the run")
        stopped.exit_code = 130
        raise stopped from None
    if json:
        print_json({"model": spec.name, "stages": journal.stages, "out": out})
        return
    dense = journal.stages[0]
    shown = table(spec.name, "stage", "MACs", "", "params", "dB pruned", "dB trained", "loss dB")
    for number, stage in enumerate(journal.stages):
        shown.add_row(
            f"round {number}" if number else "dense",
            count(stage.macs),
            f"{stage.macs / dense.macs - 1:+.1%}",
            count(stage.params),
            _db(stage.pruned_db),
            _db(stage.psnr_y_db),
            _db(_difference(dense.psnr_y_db, stage.psnr_y_db)),
        )
    console().print(shown)
    console().print(f"wrote {out / journal.stages[-1].weights}")


def _prune(read: Training, settings: PruneSettings, data: Path, out: Path, resume: bool) -> Journal:
    """Runs the rounds behind a progress bar."""
    from edgerestore.cli.train import interruptible
    from edgerestore.pruning.rounds import Telling
    from edgerestore.pruning.rounds import prune as run
    from edgerestore.train.data.crops import TrainingData
    from edgerestore.train.data.leaks import check_leaks
    from edgerestore.train.journal import Progress
    from edgerestore.train.validation import validation_set

    spec, training = read.spec, read.settings
    with progress() as bar:
        task = bar.add_task("reading pictures", total=None)
        held_back = [validation_set(data, item, spec) for item in training.validation]
        pictures = TrainingData(data, training.source, spec, training.patch)
        bar.update(task, description="looking for held-back pictures among them")
        check_leaks(pictures.pictures(), [pair for item in held_back for pair in item.pairs])

        def pruning(number: int, macs: float) -> None:
            text = f"round {number} of {settings.rounds}: {count(macs)} MACs"
            bar.update(task, description=text, total=None)

        def learning(number: int, at: Progress) -> None:
            scores = "".join(f", {item.psnr_y_db:.2f} dB" for item in at.scores.values())
            text = f"round {number} of {settings.rounds}: loss {at.loss:.4f}{scores}"
            bar.update(task, description=text, completed=at.step, total=at.steps)

        with interruptible(insists=True) as stop:
            return run(
                spec,
                settings,
                training,
                pictures,
                held_back,
                out,
                folder=read.folder,
                resume=resume,
                telling=Telling(pruning, learning, stop),
            )


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
