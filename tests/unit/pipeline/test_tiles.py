from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.errors import InputError, RecipeError
from edgerestore.export.cost import costs_of_graph
from edgerestore.export.counting import count_work
from edgerestore.networks import SizeRule, find_model
from edgerestore.pipeline.request import find_target, job_from
from edgerestore.pipeline.tiles import (
    candidate_tiles,
    check_tile,
    choose_tile,
    latency_ms,
    peak_mib,
    works_of,
)
from edgerestore.recipe import Budget, Rates, Target

SPEC = find_model("esrt_s_x2")
TARGET = msgspec.structs.replace(
    find_target("x86-openvino"),
    rates=Rates(gmacs_per_s={"fp32": 100, "int8": 400}, gbytes_per_s=20, operator_us=10),
)
FP32 = ((TARGET, "fp32"),)


def test_count_on_meta_is_that_of_the_exported_graph(
    graph16: onnx.ModelProto, filled_network: Callable[[str], nn.Module]
) -> None:
    costs = costs_of_graph(graph16, 0)
    network = filled_network(SPEC.name)
    work = works_of(network, [16])[16]
    assert work.macs == pytest.approx(costs.macs, rel=0.01)
    assert 4 * work.scores == costs.attention_score_bytes
    # What the exporter folds away is written here: the constants of the border.
    assert work.written == pytest.approx(costs.activations, rel=0.25)
    assert count_work(network, 16).end_convolutions() == ("head", "tail")


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)[:, None]
        return F.scaled_dot_product_attention(tokens, tokens, tokens).sum() + x


class OnTheCpu(nn.Module):
    """Holds a tensor that moves nowhere, and looks at a value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.gain = torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.gain if self.gain.item() > 0 else x


HAND_COUNTED: dict[str, tuple[nn.Module, int, int]] = {
    "grouped": (nn.Conv2d(3, 6, 3, padding=1, groups=3), 64 * 6 * 9, 0),
    "transposed": (nn.ConvTranspose2d(3, 5, 2, stride=2), 64 * 3 * 5 * 4, 0),
    "linear": (nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), 1920, 0),
    "attention": (Attention(), 2 * 64 * 64 * 3, 64 * 64),
    "not for meta": (OnTheCpu(), 64 * 9, 0),
}


@pytest.mark.parametrize("case", HAND_COUNTED)
def test_count_is_what_a_hand_counts(case: str) -> None:
    network, macs, scores = HAND_COUNTED[case]
    work = works_of(network, [8])[8]
    assert (work.macs, work.scores) == (macs, scores)


def test_peak_counts_what_is_alive_and_not_what_was() -> None:
    """Input, output and one value between: a chain of ten needs no more than one of two."""
    peaks = [count_work(nn.Sequential(*[nn.AvgPool2d(1)] * n), 8).peak for n in (2, 10)]
    assert peaks == [3 * 192, 3 * 192]
    widest = nn.Sequential(nn.Conv2d(3, 30, 1), nn.Conv2d(30, 3, 1))
    assert count_work(widest, 8).peak == 192 + 30 * 64 + 192


def test_latency_is_starts_and_the_slower_of_multiplying_and_moving() -> None:
    work = count_work(nn.Sequential(nn.Conv2d(3, 30, 1), nn.ReLU()), 100)
    macs, values = 90 * 10_000, 33 * 10_000 + 30 * 3 + 30
    assert [o.fused for o in work.operators if o.name != "zeros"] == [False, True]
    moving = work.operators[-2]
    assert (moving.macs, moving.values) == (macs, values)
    expected = max(macs / 100e6, values * 4 / 20e6) + 0.01
    zeros = 30_000 * 4 / 20e6 + 0.01
    assert latency_ms(work, TARGET, "fp32") == pytest.approx(expected + zeros)
    assert latency_ms(work, TARGET, "int8") < latency_ms(work, TARGET, "fp32")
    assert peak_mib(work, "fp32") == 4 * peak_mib(work, "int8")


RULES: dict[str, tuple[SizeRule, int, list[int]]] = {
    "any": (SizeRule(4), 48, [*range(32, 257, 8)]),
    "default between": (SizeRule(), 50, sorted([*range(32, 257, 8), 50])),
    "windows": (SizeRule(16, 16), 48, [*range(32, 257, 16)]),
    "small multiple": (SizeRule(12, 12), 48, [*range(36, 257, 12)]),
    "odd multiple": (SizeRule(3, 3), 48, [*range(48, 257, 24)]),
    "one size": (SizeRule(112, 112, 112), 112, [112]),
    "bounded": (SizeRule(8, 8, 64), 48, [32, 40, 48, 56, 64]),
}


@pytest.mark.parametrize("case", RULES)
def test_candidates_are_tiles_that_the_rule_takes(case: str) -> None:
    rule, tile, expected = RULES[case]
    assert candidate_tiles(dataclasses.replace(SPEC, size_rule=rule, tile=tile)) == expected


NEAREST: dict[str, tuple[SizeRule, int, str]] = {
    "between": (SizeRule(8, 8), 50, "takes multiples of 8, at least 8; the nearest: 48 and 56"),
    "below": (SizeRule(20, 8), 16, "takes multiples of 8, at least 20; the nearest: 24$"),
    "one size": (SizeRule(112, 112, 112), 48, "takes 112; the nearest: 112$"),
    "beyond": (
        SizeRule(8, 8, 64),
        80,
        "takes multiples of 8, at least 8, at most 64; the nearest: 64$",
    ),
}


@pytest.mark.parametrize("case", NEAREST)
def test_tile_that_the_rule_does_not_take_names_the_nearest(case: str) -> None:
    rule, tile, message = NEAREST[case]
    with pytest.raises(InputError, match=f"--tile {tile}: 'net' {message}"):
        check_tile("net", rule, tile)
    check_tile("net", SizeRule(), tile)


def choose(**changes: object):
    given = {"overlap": 8, "largest": 64, "budget": Budget()} | changes
    cases = given.pop("cases", FP32)
    return choose_tile(SPEC, Attention, cases, **given)


def test_chosen_tile_has_the_least_time_for_a_useful_pixel() -> None:
    choice = choose()
    assert [c.tile for c in choice.candidates] == [32, 40, 48, 56, 64]
    assert choice.chosen == min(choice.candidates, key=lambda c: c.ns_per_pixel)
    assert choice.reason.startswith(f"tile {choice.chosen.tile}: least predicted time")
    first = choice.candidates[0]
    assert first.ns_per_pixel == pytest.approx(first.latency_ms * 1e6 / (2 * 24) ** 2)


def test_budget_leaves_large_tiles_out() -> None:
    free = choose().candidates
    limit = (free[0].latency_ms + free[1].latency_ms) / 2
    choice = choose(budget=Budget(latency_ms=limit))
    assert [c.fits for c in choice.candidates] == [True, False, False, False, False]
    assert choice.chosen.tile == 32
    assert "of those within budget (4 are not)" in choice.reason
    limit = (free[1].peak_mib + free[2].peak_mib) / 2
    assert max(c.tile for c in choose(budget=Budget(memory_mib=limit)).candidates if c.fits) == 40


def test_budget_of_a_target_counts_and_the_given_one_has_precedence() -> None:
    tight = msgspec.structs.replace(TARGET, budget=Budget(latency_ms=1e-3))
    with pytest.raises(InputError, match=r"no tile keeps the budget; the smallest, 32, is"):
        choose(cases=((tight, "fp32"),))
    assert choose(cases=((tight, "fp32"),), budget=Budget(latency_ms=1e3)).chosen.fits


def test_most_demanding_case_counts() -> None:
    alone = choose(cases=((TARGET, "int8"),)).candidates
    both = choose(cases=((TARGET, "int8"), (TARGET, "fp32"))).candidates
    assert [c.latency_ms for c in both] == [c.latency_ms for c in choose().candidates]
    assert all(a.latency_ms < b.latency_ms for a, b in zip(alone, both, strict=True))


def test_target_without_rates_and_tiles_without_pictures_are_refused() -> None:
    bare = Target(
        name="bare", description="", backend="openvino", device="CPU", executes_on="",
        precisions=("fp32",),
    )  # fmt: skip
    with pytest.raises(RecipeError, match="target 'bare' declares no \\[rates\\] for fp32"):
        choose(cases=((bare, "fp32"),))
    with pytest.raises(InputError, match="larger than the overlap of 8 and at most 24"):
        choose(largest=24)


def job(tmp_path: Path, weights: Path, pairs: Path, **changes: object):
    options = {
        "targets": ["x86-onnxruntime"], "precisions": ["fp32"], "weights": weights,
        "tile": None, "overlap": None, "calibration": None, "data": pairs, "keep_float": [],
        "out": tmp_path / "out",
    }  # fmt: skip
    return job_from("esrt_s_x2", **(options | changes))


def test_job_takes_the_chosen_tile(tmp_path: Path, weights: Path, pairs: Path) -> None:
    made = job(tmp_path, weights, pairs, tile="auto", overlap=4, precisions=["int8"])
    assert made.tile == made.choice.chosen.tile
    assert max(c.tile for c in made.choice.candidates) == 64, "side of the calibration pictures"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'model = "esrt_s_x2"\nweights = "{weights}"\n'
        '[build]\ntargets = ["x86-openvino"]\nprecisions = ["int8"]\ntile = "auto"\n'
    )
    options = dict.fromkeys(["targets", "precisions", "weights", "tile", "overlap", "calibration"])
    made = job_from(str(recipe), **options, data=pairs, keep_float=[], out=tmp_path / "out")
    assert made.choice is not None


def test_job_refuses_tiles_and_budgets_that_mean_nothing(
    tmp_path: Path, weights: Path, pairs: Path
) -> None:
    with pytest.raises(InputError, match="--tile 2: 'esrt_s_x2' takes multiples of 1, at least 4"):
        job(tmp_path, weights, pairs, tile=2, overlap=0)
    with pytest.raises(InputError, match="choose a tile: give --tile auto"):
        job(tmp_path, weights, pairs, tile=48, budget=Budget(latency_ms=3))


def test_every_shipped_target_declares_rates_for_each_of_its_precisions() -> None:
    for name in ("jetson-tensorrt", "rtx-tensorrt", "x86-onnxruntime", "x86-openvino"):
        target = find_target(name)
        assert set(target.rates.gmacs_per_s) == set(target.precisions)
