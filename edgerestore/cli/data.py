"""The verbs of ``edgerestore data``: what a recipe trains and validates on."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from edgerestore.cli.options import Data, RecipeName
from edgerestore.cli.output import Json, console, print_json, progress
from edgerestore.cli.recipes import read_training

NO = 1
SHOWN_CROPS = 5


def register(app: typer.Typer) -> None:
    """Adds the verbs of this file to the command line."""
    data = typer.Typer(
        help="Look at, check and write what a recipe trains and validates on.",
        no_args_is_help=True,
    )
    data.command("sheet")(sheet)
    data.command("leaks")(leaks)
    data.command("pairs")(pairs)
    data.command("shards")(shards)
    app.add_typer(data, name="data")


def sheet(
    recipe: RecipeName,
    data: Data,
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    json: Json = False,
) -> None:
    """Draw crops of every source and validation set, clean above degraded, to look at."""
    import numpy as np

    from edgerestore.evaluation import ImagePair
    from edgerestore.files import write_beside
    from edgerestore.train.data.crops import TrainingData
    from edgerestore.train.data.pairs import png
    from edgerestore.train.data.sheet import Row, label_of
    from edgerestore.train.data.sheet import sheet as drawn
    from edgerestore.train.validation import validation_set

    read = read_training(recipe)
    spec, settings = read.spec, read.settings
    rows = []
    with progress() as bar:
        task = bar.add_task("drawing", total=len(settings.source) + len(settings.validation))
        for source in settings.source:
            crops = TrainingData(data, [source], spec, settings.patch)
            batch = crops.batch(settings.seed, 0, range(SHOWN_CROPS))
            low, high = (
                np.rint(side.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
                for side in (batch.low, batch.high)
            )
            shown = [ImagePair("", *sides) for sides in zip(low, high, strict=True)]
            rows.append(Row(f"train: {label_of(source)}", shown))
            bar.advance(task)
        for wanted in settings.validation:
            held_back = validation_set(data, wanted, spec)
            rows.append(Row(f"validate: {label_of(wanted)}", held_back.pairs[:SHOWN_CROPS]))
            bar.advance(task)
    write_beside(out, png(drawn(rows)))
    if json:
        print_json({"sheet": out, "rows": [row.label for row in rows]})
    else:
        console().print(f"wrote {out}", soft_wrap=True)


def leaks(recipe: RecipeName, data: Data, json: Json = False) -> int:
    """Find training pictures that show what validation holds back; exit 1 where there are any."""
    from edgerestore.train.data.crops import TrainingData
    from edgerestore.train.data.leaks import find_leaks
    from edgerestore.train.validation import validation_set

    read = read_training(recipe)
    spec, settings = read.spec, read.settings
    with progress() as bar:
        task = bar.add_task("reading pictures", total=None)
        held_back = [
            pair for item in settings.validation for pair in validation_set(data, item, spec).pairs
        ]
        training = TrainingData(data, settings.source, spec, settings.patch)
        shards = training.shards()
        total = None if shards else training.count
        bar.update(task, description="comparing", total=total)
        every = itertools.chain(training.pictures(), *(item.pictures() for item in shards))
        compared = 0

        def report(name: str) -> None:
            nonlocal compared
            compared += 1
            bar.advance(task)

        found = find_leaks(every, held_back, report)
    if json:
        counts = {"held_back": len(held_back), "compared": compared}
        print_json({"recipe": recipe, **counts, "leaks": found})
    else:
        for leak in found:
            console().print(f"{leak.training} shows {leak.held_back} ({leak.likeness:.3f})")
        console().print(
            f"{len(found)} leaks from {compared} training pictures to {len(held_back)} "
            "that validation holds back"
        )
    return NO if found else 0


def pairs(
    recipe: RecipeName,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder that one folder for each set goes into.")],
    json: Json = False,
) -> None:
    """Write the validation sets as PNG pairs, for 'evaluate' to measure bundles on."""
    from edgerestore.train.data.pairs import folder_name, write_pairs
    from edgerestore.train.validation import validation_set

    read = read_training(recipe)
    spec, settings = read.spec, read.settings
    written = []
    with progress() as bar:
        task = bar.add_task("writing", total=len(settings.validation))
        for wanted in settings.validation:
            made = validation_set(data, wanted, spec)
            folder = out / folder_name(made.name)
            write_pairs(folder, made.pairs, made.spec.scale)
            written.append({"set": made.name, "folder": folder, "pairs": len(made.pairs)})
            bar.advance(task)
    if json:
        print_json({"sets": written})
    else:
        for item in written:
            console().print(f"{item['folder']}: {item['pairs']} pairs", soft_wrap=True)


def shards(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    out: Annotated[Path, typer.Option(help="Folder that the shards go into.")],
    pictures_per_shard: Annotated[
        int, typer.Option(min=1, help="Pictures in each tar file.")
    ] = 1000,
    json: Json = False,
) -> None:
    """Pack pictures into WebDataset shards, for a recipe to read with 'shards = ...'."""
    from edgerestore.pictures import picture_files
    from edgerestore.train.data.shards import write_shards

    with progress() as bar:
        task = bar.add_task("packing", total=sum(len(picture_files(item)) for item in folders))
        written = write_shards(folders, out, pictures_per_shard, lambda name: bar.advance(task))
    if json:
        print_json({"shards": written})
    else:
        console().print(f"wrote {len(written)} shards into {out}", soft_wrap=True)
