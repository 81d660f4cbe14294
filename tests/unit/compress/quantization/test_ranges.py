from __future__ import annotations

import numpy as np
import onnx
import pytest

from edgerestore.compress.quantization.estimators import ESTIMATORS
from edgerestore.compress.quantization.ranges import BINS, Seen, collect, largest_by_channel
from edgerestore.compress.quantization.steps import int8_weight, steps_of
from edgerestore.compress.running import values_over
from edgerestore.export.onnx import INPUT


def seen_of(*crops: np.ndarray) -> Seen:
    low, high = min(c.min() for c in crops), max(c.max() for c in crops)
    counts = [np.histogram(c, BINS, (low, high))[0] for c in crops]
    return Seen(float(low), float(high), np.array(counts, np.int32))


def test_collected_ranges_are_those_of_the_values(
    graph16: onnx.ModelProto, crops16: np.ndarray
) -> None:
    inner = graph16.graph.node[5].output[0]
    found = collect(graph16, [inner, INPUT], crops16)
    values = [each[inner] for each in values_over(graph16, [inner], crops16)]
    assert found[INPUT].low == crops16.min()
    assert found[inner].high == max(v.max() for v in values)
    assert found[inner].counts.shape == (len(crops16), BINS)
    assert list(found[inner].counts.sum(axis=1)) == [v.size for v in values]
    axis = largest_by_channel(graph16, {inner: 1}, crops16)[inner]
    assert np.array_equal(axis, np.max([np.abs(v).max(axis=(0, 2, 3)) for v in values], axis=0))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_range_lies_within_what_was_seen_and_steps_hold_it(name: str, symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    seen = seen_of(rng.normal(1, 2, 4000), rng.normal(0, 1, 4000))
    steps = steps_of(ESTIMATORS[name](seen, symmetric), symmetric=symmetric)
    low, high = steps.bounds
    most = max(-seen.low, seen.high) * 129 / 127
    assert (-most if symmetric else seen.low * 1.01) <= low < -1
    assert 1 < high <= (most if symmetric else seen.high * 1.01)
    assert steps.zero_point == 0 if symmetric else 0 < steps.zero_point < 255


def test_one_picture_with_large_values_is_cut_by_all_but_two() -> None:
    """Ninety-nine crops between -1 and 1, and one with a few values of 20."""
    rng = np.random.default_rng(0)
    quiet = [rng.uniform(-1, 1, 10_000) for _ in range(99)]
    loud = rng.uniform(-1, 1, 10_000)
    loud[:9] = 20.0
    seen = seen_of(*quiet, loud)
    highs = {name: ESTIMATORS[name](seen, False)[1] for name in ESTIMATORS}
    assert highs["minmax"] == 20
    assert highs["worst-crop"] > 19
    assert highs["percentile"] < 2
    assert highs["worst-crop"] >= highs["mse"]


def test_nothing_but_zeros_has_steps_all_the_same() -> None:
    seen = Seen(0.0, 0.0, np.array([[10] + [0] * (BINS - 1)], np.int32))
    for name, estimate in ESTIMATORS.items():
        for symmetric in (False, True):
            assert steps_of(estimate(seen, symmetric), symmetric=symmetric).scale > 0, name


def test_zero_is_said_exactly() -> None:
    for bounds in ((0.3, 5.0), (-3.0, -1.0), (-0.37, 2.2)):
        steps = steps_of(bounds, symmetric=False)
        low, high = steps.bounds
        assert low <= 0 <= high
        assert low / steps.scale == pytest.approx(-steps.zero_point)


def test_weights_are_rounded_by_output_channel() -> None:
    weight = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    weight[2] *= 100
    found = int8_weight(weight, 0)
    assert found.values.dtype == np.int8
    assert np.abs(found.values).reshape(6, -1).max(axis=1).tolist() == [127] * 6
    error = np.abs(found.values * found.shaped_scales - weight).reshape(6, -1).max(axis=1)
    assert (error <= found.scales / 2 * 1.001).all()
    assert int8_weight(weight[:, :, 0, 0], 1).scales.shape == (4,)


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 5, 1, 1), (6, 1, 3, 3), (6, 7)])
@pytest.mark.parametrize("axis", [0, 1])
def test_two_neighbouring_inputs_fit_into_16_bits(shape: tuple[int, ...], axis: int) -> None:
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weight[1, :2] = 1.0
    weight = np.moveaxis(weight, 0, axis)
    found = int8_weight(weight, axis, int16_pairs=True)
    inputs = np.moveaxis(found.values, 1 - axis, 0).astype(int)
    for one, other in zip(inputs[0::2], inputs[1::2], strict=False):
        assert 255 * np.abs(one + other).max() < 2**15
    error = np.abs(found.values * found.shaped_scales - weight).max(
        axis=tuple(i for i in range(weight.ndim) if i != axis)
    )
    assert (error <= found.scales / 2 * 1.001).all()
    assert (found.scales <= 2.001 * int8_weight(weight, axis).scales).all()
