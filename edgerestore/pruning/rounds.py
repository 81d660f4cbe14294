"""Pruning in rounds: some units go, the rest learns to do without, and again."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites import deployable
from edgerestore.errors import InputError
from edgerestore.export.counting import count_work
from edgerestore.files import replacing, sha256_of, write_beside
from edgerestore.networks import ModelSpec, build_network
from edgerestore.networks.pruned import at_widths
from edgerestore.networks.weights import given_or_shipped, load_network, save_weights, spec_in
from edgerestore.networks.widths import changed, widths_of
from edgerestore.pruning.axes import axes_of
from edgerestore.pruning.budget import Limits, choose
from edgerestore.pruning.depth import with_blocks, with_recursions
from edgerestore.pruning.importance import contributions_of
from edgerestore.pruning.latency import Stopwatch
from edgerestore.recipe.objectives import Distillation
from edgerestore.recipe.pruning import PruneSettings
from edgerestore.recipe.training import TrainSettings
from edgerestore.train.data.crops import Batch, TrainingData
from edgerestore.train.data.loader import batches
from edgerestore.train.journal import Progress
from edgerestore.train.loop import train
from edgerestore.train.objectives.objective import run_network
from edgerestore.train.objectives.pixels import pixel_loss
from edgerestore.train.validation import ValidationSet

DENSE, PRUNED, JOURNAL = "dense.safetensors", "pruned.safetensors", "prune.json"
SLOWEST = 0.97
"""Share of the MACs that the next attempt at a latency keeps at most."""
TRACED_SIDE = 16
"""Side of the image, in pixels, with which dependencies are found; they do not depend on it."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A network on the way: the dense one, or what a round made of it."""

    macs: int
    """Multiply-accumulates of one default tile in the deployable form."""
    params: int
    pruned_db: float | None = None
    """Mean PSNR-Y before it learned again; None for the dense one, or without validation."""
    psnr_y_db: float | None = None
    """Mean PSNR-Y over the validation sets; None without any."""
    weights: str
    """The file, relative to the folder of the run."""


class Journal(msgspec.Struct, kw_only=True):
    """What a run has come to; in ``prune.json``, from which it continues."""

    model: str
    settings: PruneSettings
    training: TrainSettings
    data: str
    """Digest of the training's pictures."""
    dense_sha256: str
    stages: list[Stage] = []
    """The dense network, then one for each round that is done."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Whom a run tells how it goes, and asks whether to stop."""

    pruning: Callable[[int, float], None] = lambda round_, macs: None
    """Called with the number of the round and the MACs that are left."""
    training: Callable[[int, Progress], None] = lambda round_, progress: None
    stop: Callable[[], bool] = lambda: False


def prune(
    spec: ModelSpec,
    settings: PruneSettings,
    training: TrainSettings,
    data: TrainingData,
    validation: Sequence[ValidationSet],
    out: Path,
    *,
    folder: Path = Path(),
    resume: bool = False,
    telling: Telling = Telling(),
) -> Journal:
    """Prunes as a recipe in ``folder`` says; the last stage's weights are the result.

    Each round has a folder in ``out``, with what was pruned and what it learned. A killed run
    goes on with ``resume`` where it was, in the middle of a round's training too. Raises
    InputError where ``out`` holds another run, for a share that the limits do not allow and
    for a network that cannot be pruned.
    """
    if spec.tasks:
        raise InputError(f"'{spec.name}' holds several tasks; prune {', '.join(spec.tasks)}")
    run = _Run(spec, settings, training, data, validation, out, telling)
    run.begin(
        given_or_shipped(spec, folder / settings.weights if settings.weights else None), resume
    )
    for number in range(len(run.journal.stages), settings.rounds + 1):
        run.round(number)
    return run.journal


def macs_of(network: nn.Module, tile: int) -> int:
    """Multiply-accumulates of one tile in the deployable form, attention's included."""
    return count_work(deployable(network)[0], tile).macs


class _Run:
    def __init__(
        self,
        spec: ModelSpec,
        settings: PruneSettings,
        training: TrainSettings,
        data: TrainingData,
        validation: Sequence[ValidationSet],
        out: Path,
        telling: Telling,
    ) -> None:
        self.spec, self.settings, self.training = spec, settings, training
        self.data, self.validation, self.out, self.telling = data, validation, out, telling
        self.journal = Journal(
            model=spec.name, settings=settings, training=training, data=data.digest, dense_sha256=""
        )

    def begin(self, dense: Path, resume: bool) -> None:
        """Copies the dense weights and measures them, or finds where a killed run stood."""
        journal = self.out / JOURNAL
        self.journal.dense_sha256 = sha256_of(dense)
        if journal.exists():
            if not resume:
                raise InputError(f"{self.out}: holds a run already; --resume continues it")
            known = _read(journal)
            stages, known.stages = known.stages, []
            if known != self.journal:
                raise InputError(
                    f"{journal}: was made by other settings, weights or pictures; prune into a "
                    "new folder"
                )
            self.journal.stages = stages
            return
        network = load_network(self.spec, dense)
        with replacing(self.out / DENSE) as beside:
            shutil.copyfile(dense, beside)
        self._note(
            Stage(
                macs=macs_of(network, self.spec.tile),
                params=_params(network),
                psnr_y_db=self._psnr(network),
                weights=DENSE,
            )
        )

    def round(self, number: int) -> None:
        """Prunes what the last round left, unless that is done, and trains it."""
        place = self.out / f"round-{number}"
        pruned = place / PRUNED
        if not pruned.exists():
            self._prune(number, pruned)
        spec = spec_in(pruned, self.spec)
        before = load_network(self.spec, pruned)
        weights = train(
            spec,
            self._training(),
            self.data,
            self.validation,
            place,
            folder=place,
            resume=True,
            report=functools.partial(self.telling.training, number),
            stop=self.telling.stop,
        )
        network = load_network(self.spec, weights)
        self._note(
            Stage(
                macs=macs_of(network, spec.tile),
                params=spec.params,
                pruned_db=self._psnr(before),
                psnr_y_db=self._psnr(network),
                weights=str(weights.relative_to(self.out)),
            )
        )

    def _prune(self, number: int, path: Path) -> None:
        last = self.journal.stages[-1]
        network = load_network(self.spec, self.out / last.weights)
        settings, losses = self.settings, self._losses()
        if number == 1 and settings.blocks is not None:
            network = with_blocks(network, settings.blocks, losses)
        if number == 1 and settings.recursions is not None:
            network = with_recursions(network, settings.recursions)
        axes = axes_of(network, self.spec.size_rule.fitting(TRACED_SIDE))
        contributions = contributions_of(network, axes, losses)

        def chosen(budget: float) -> nn.Module:
            return choose(
                network,
                contributions,
                functools.partial(macs_of, tile=self.spec.tile),
                budget,
                Limits(settings.parts, settings.least, settings.multiple_of),
                functools.partial(self.telling.pruning, number),
            )

        done, doing = (_left(settings, at) for at in (number - 1, number))
        if settings.latency is None:
            pruned = chosen(doing * self.journal.stages[0].macs)
        else:
            pruned = self._within(doing, chosen, last.macs * doing / done)
        metadata = {"pruned_from": {"sha256": sha256_of(self.out / last.weights)}}
        self._save(path, pruned, metadata)

    def _within(
        self, wanted: float, chosen: Callable[[float], nn.Module], budget: float
    ) -> nn.Module:
        """Prunes to fewer and fewer MACs until the latency that is left is the one wanted.

        It begins with ``budget``, as if latency followed MACs, which it seldom does.
        """
        settings = self.settings
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            watch = Stopwatch(
                self.spec, self.out / DENSE, settings.target, settings.precision, folder
            )
            while True:
                pruned = chosen(budget)
                self._save(folder / PRUNED, pruned, {})
                left = watch.share(folder / PRUNED)
                if left <= wanted:
                    return pruned
                budget *= min(wanted / left, SLOWEST)

    def _save(self, path: Path, pruned: nn.Module, metadata: Mapping[str, Any]) -> None:
        widths = changed(widths_of(build_network(self.spec)), widths_of(pruned))
        save_weights(path, at_widths(self.spec, widths), pruned.state_dict(), metadata)

    def _losses(self) -> list[Callable[[nn.Module], Tensor]]:
        count = self.settings.batches
        drawn = batches(
            self.data, self.training.seed, 0, count, range(self.training.batch), workers=0
        )
        return [functools.partial(_loss, batch=batch, kind=self.training.loss) for batch in drawn]

    def _training(self) -> TrainSettings:
        """The recipe's, from what was pruned, taught by the dense network if that is wanted."""
        settings = msgspec.structs.replace(self.training, start=PRUNED)
        if not self.settings.dense_weight:
            return settings
        taught = Distillation(
            teacher=self.spec.name,
            weights=f"../{DENSE}",
            output_weight=self.settings.dense_weight,
        )
        return msgspec.structs.replace(settings, distillation=taught)

    def _psnr(self, network: nn.Module) -> float | None:
        if not self.validation:
            return None
        device = torch.device("cpu")
        scores = [item.measure(network, device).figures.psnr_y_db for item in self.validation]
        return sum(scores) / len(scores)

    def _note(self, stage: Stage) -> None:
        self.journal.stages.append(stage)
        write_beside(self.out / JOURNAL, msgspec.json.format(msgspec.json.encode(self.journal)))


def _loss(network: nn.Module, *, batch: Batch, kind: str) -> Tensor:
    return pixel_loss(kind, run_network(network, batch), batch.high)  # type: ignore[arg-type]


def _left(settings: PruneSettings, round_: int) -> float:
    """Share of MACs or latency that a round leaves."""
    return 1 - (settings.latency or settings.macs or 0.0) * round_ / settings.rounds


def _params(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def _read(path: Path) -> Journal:
    try:
        journal = msgspec.json.decode(path.read_bytes(), type=Journal)
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: damaged; delete it to start again") from error
    if not journal.stages:
        raise InputError(f"{path}: damaged; delete it to start again")
    return journal
