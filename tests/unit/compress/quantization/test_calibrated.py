from __future__ import annotations

import msgspec
import numpy as np
import onnx
import pytest

from edgerestore.compress.quantization.calibrated import SCHEMES, Calibrated, Trial, calibrate
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.compress.quantization.sensitivity import module_sensitivities
from edgerestore.compress.running import run_graph
from edgerestore.metrics import psnr_db
from edgerestore.recipe import Int8Rules

KEEP = ("head", "tail")


@pytest.fixture(scope="module")
def calibrated(graph16: onnx.ModelProto, crops16: np.ndarray) -> Calibrated:
    return calibrate(graph16, crops16[:3], KEEP)


def test_the_scheme_that_came_nearest_is_chosen(
    calibrated: Calibrated, graph16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    plain = [trial.scheme for trial in calibrated.trials if not trial.scheme.bias_correction]
    assert len(plain) == len(SCHEMES)
    assert set(plain) == set(SCHEMES)
    # Of the best of them alone.
    (biased,) = [trial.scheme for trial in calibrated.trials if trial.scheme.bias_correction]
    assert msgspec.structs.replace(biased, bias_correction=False) == plain[0]
    scores = [trial.score for trial in calibrated.trials]
    assert scores == sorted(scores, reverse=True)
    best = calibrated.trials[0]
    assert calibrated.scheme == best.scheme
    found = psnr_db(
        run_graph(qdq_from_plan(calibrated.plan(Int8Rules())), crops16[:3]),
        run_graph(graph16, crops16[:3]),
        axis=(1, 2, 3),
    )
    assert (found.mean(), found.min()) == pytest.approx((best.mean_db, best.worst_db))


def test_a_scheme_that_ruins_one_crop_does_not_win() -> None:
    scheme = SCHEMES[0]
    assert Trial(scheme, 50.0, 48.0).score > Trial(scheme, 55.0, 40.0).score


def test_module_with_coarse_steps_is_found_to_hurt_most(
    calibrated: Calibrated, crops16: np.ndarray
) -> None:
    calls: list[tuple[int, int]] = []
    before = module_sensitivities(
        calibrated,
        Int8Rules(),
        crops16[:1],
        report=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (len(before), len(before))
    assert [item.psnr_db for item in before] == sorted(item.psnr_db for item in before)
    assert {item.module for item in before} == {p.module for p in calibrated.products}
    assert sum(item.calls for item in before) == len(calibrated.products)
    assert before[0].module != "reduce"
    tensor = next(p for p in calibrated.products if p.module == "reduce").activations[0]
    wide = calibrated.seen[tensor]
    calibrated.seen[tensor] = type(wide)(wide.low * 300, wide.high * 300, wide.counts)
    try:
        after = module_sensitivities(calibrated, Int8Rules(), crops16[:1])
    finally:
        calibrated.seen[tensor] = wide
    assert after[0].module == "reduce"


def test_drop_is_told_where_the_truth_is_known(
    calibrated: Calibrated, graph16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    truth = run_graph(graph16, crops16[:1]).clip(0, 1) + np.float32(0.01)
    found = module_sensitivities(calibrated, Int8Rules(), crops16[:1], truth)
    assert all(item.drop_db is not None for item in found)
    assert max(abs(item.drop_db) for item in found) > 0


def test_corrected_biases_must_win_more_than_luck() -> None:
    plain = SCHEMES[0]
    biased = msgspec.structs.replace(plain, bias_correction=True)
    best = Trial(plain, 50.0, 48.0)
    assert Trial(biased, 50.2, 48.2).score < best.score < Trial(biased, 50.3, 48.3).score
