"""A larger network teaches the one that learns: its outputs, and features inside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.errors import InputError
from edgerestore.files import sha256_of
from edgerestore.networks import ModelSpec, find_model
from edgerestore.networks.weights import given_or_shipped, load_network
from edgerestore.recipe.objectives import Distillation
from edgerestore.train.data.crops import Batch
from edgerestore.train.objectives.objective import Term, run_network
from edgerestore.train.objectives.taps import Tap

TABLE = "[train.distillation]"
SMALLEST_MAGNITUDE = 1e-6
"""What features of a teacher are taken to be at least, on average: dead ones divide nothing."""

MAPS_NDIM, TOKENS_NDIM = 4, 3


class TeacherMatch(Term):
    """How far a network's output and features are from a teacher's, which never change.

    Outputs are compared by mean absolute difference. So are features, in units of the mean
    magnitude of the teacher's, so that a weight means the same for every network and depth.
    The student's pass a learned 1x1 convolution first where their width is another, and the
    teacher's are resized where they are of another height and width. Features are maps,
    N x C x H x W, or the tokens of a square, N x L x C.

    ``settings`` are of a recipe in ``folder``; ``patch`` is the side of every input in pixels.
    Raises InputError for a teacher that does not suit the student or the patch, and for
    modules that either does not have or that return something else.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        settings: Distillation,
        folder: Path,
        patch: int,
    ) -> None:
        super().__init__()
        self.settings = settings
        held = find_model(settings.teacher)
        _require_fit(spec, held, patch)
        weights = given_or_shipped(
            held,
            folder / settings.weights if settings.weights else None,
            f"name a file in {TABLE}",
        )
        device = next(network.parameters()).device
        teacher = load_network(held, weights).requires_grad_(False).to(device)
        self._weights_sha256 = sha256_of(weights)
        # In a tuple it is no part of this module: neither trained nor kept in checkpoints.
        self._teacher = (teacher,)
        self._student_tap = Tap(network, settings.features.keys())
        self._teacher_tap = Tap(teacher, settings.features.values())
        self.projections = self._projections(network, spec, patch).to(device)

    def forward(self, output: Tensor, batch: Batch) -> Tensor:
        """Gives the loss as :class:`Term` says."""
        with torch.no_grad():
            taught = run_network(self._teacher[0], batch)
        loss = self.settings.output_weight * F.l1_loss(output, taught)
        if self.projections:
            losses = [
                _relative_difference(projection(own), other)
                for projection, (own, other) in zip(self.projections, self._maps(), strict=True)
            ]
            loss = loss + self.settings.feature_weight * torch.stack(losses).mean()
        return loss

    def get_extra_state(self) -> str:
        """Keeps the digest of the teacher's weights in checkpoints."""
        return self._weights_sha256

    def set_extra_state(self, state: object) -> None:
        """Raises InputError where a run goes on with another teacher."""
        if state != self._weights_sha256:
            raise InputError(
                f"{TABLE}: the run was begun with other weights of '{self.settings.teacher}'; "
                "train into a new folder"
            )

    def facts(self) -> dict[str, Any]:
        """Which teacher it was."""
        held = {"model": self.settings.teacher, "weights_sha256": self._weights_sha256}
        return {"teacher": held}

    def _projections(self, network: nn.Module, spec: ModelSpec, patch: int) -> nn.ModuleList:
        """What makes the student's features as wide as the teacher's, found by trying both."""
        if not self.settings.features:
            return nn.ModuleList()
        image = torch.zeros(1, 3, patch, patch, device=next(network.parameters()).device)
        trial = Batch(image, image, 0 if spec.tasks else None)
        with torch.no_grad():
            for module in (network, *self._teacher):
                run_network(module, trial)
        widths = [(own.shape[1], other.shape[1]) for own, other in self._maps()]
        return nn.ModuleList(
            nn.Identity() if own == other else nn.Conv2d(own, other, 1) for own, other in widths
        )

    def _maps(self) -> list[tuple[Tensor, Tensor]]:
        """Features of the last run, the student's beside the teacher's."""
        own, others = self._student_tap.take(), self._teacher_tap.take()
        return [
            (_as_maps(path, own[path]), _as_maps(model, others[model]))
            for path, model in self.settings.features.items()
        ]


def _relative_difference(own: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference over the mean magnitude of ``other``, resized to ``own``."""
    own = own.float()
    if own.shape[2:] != other.shape[2:]:
        size = own.shape[2:]
        other = F.interpolate(other, size=size, mode="bilinear", antialias=True)
    return F.l1_loss(own, other) / other.abs().mean().clamp_min(SMALLEST_MAGNITUDE)


def _as_maps(path: str, features: Tensor) -> Tensor:
    """Maps, N x C x H x W, in float32."""
    # Inputs are square, so another order of axes shows.
    if features.ndim == MAPS_NDIM and features.shape[2] == features.shape[3]:
        return features.float()
    if features.ndim == TOKENS_NDIM:
        n, length, width = features.shape
        side = math.isqrt(length)
        if side * side == length:
            return features.float().transpose(1, 2).reshape(n, width, side, side)
    raise InputError(
        f"{TABLE}: module '{path}' returns {tuple(features.shape)}; features are maps, "
        "N x C x H x W, or tokens of a square, N x L x C"
    )


def _require_fit(student: ModelSpec, teacher: ModelSpec, patch: int) -> None:
    def kinds(spec: ModelSpec) -> list[tuple[str, int]]:
        entries = [find_model(name) for name in spec.tasks] or [spec]
        return [(entry.task, entry.scale) for entry in entries]

    def described(spec: ModelSpec) -> str:
        return ", ".join(f"{task} x{scale}" for task, scale in kinds(spec))

    if kinds(student) != kinds(teacher) or bool(student.tasks) != bool(teacher.tasks):
        raise InputError(
            f"{TABLE}: '{teacher.name}' does {described(teacher)}, but '{student.name}' learns "
            f"{described(student)}"
        )
    if not teacher.size_rule.takes(patch):
        raise InputError(
            f"{TABLE}: '{teacher.name}' takes inputs of {teacher.size_rule} pixels a side; "
            f"patch is {patch}"
        )
