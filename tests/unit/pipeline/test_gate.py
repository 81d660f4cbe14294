"""What a build makes of pictures that are met exactly."""

from __future__ import annotations

import math

import msgspec
import pytest

pytest.importorskip("torch", reason="the build's accuracy limits lie in the host ring")

from edgerestore.bundle import Accuracy
from edgerestore.evaluation import Score
from edgerestore.pipeline.gate import judge, verdict

INF = math.inf


def judged(fp32: list[float], own: list[float]) -> Accuracy:
    def scores(figures: list[float]) -> list[Score]:
        return [Score(str(number), figure, None) for number, figure in enumerate(figures)]

    return judge("int8", "pairs", "protocol", scores(fp32), scores(own))


@pytest.mark.parametrize(
    ("fp32", "own", "passes"),
    [
        ([INF, 30.0], [INF, 29.99], True),
        ([INF, 30.0], [83.27, 29.99], True),
        ([INF, 30.0], [55.0, 30.0], False),
        ([INF], [INF], True),
    ],
)
def test_black_pairs_leave_a_finite_manifest(fp32, own, passes) -> None:
    accuracy = judged(fp32, own)
    assert accuracy.passes is passes
    assert math.isfinite(accuracy.mean_drop_db)
    assert math.isfinite(accuracy.worst_drop_db)
    assert msgspec.json.decode(msgspec.json.encode(accuracy), type=Accuracy) == accuracy


def test_refusal_shows_by_how_much_a_limit_is_missed() -> None:
    told = verdict("net-int8", "int8", judged([30.0], [30.0 - 0.0604]))
    assert "mean drop 0.060 dB (allowed 0.030)" in told
    assert "worst 0.0604 dB on '0' (allowed 0.0600)" in told
