from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgerestore.evaluation import read_pairs
from edgerestore.recipe.pictures import Rain
from edgerestore.train.data.degradations.rain import add_rain, rain_of

GREY = np.full((96, 96, 3), 90, np.uint8)


def drawn(seed: int = 0, image: np.ndarray = GREY, **chosen: object) -> np.ndarray:
    return add_rain(image, Rain(**chosen), np.random.default_rng(seed))


def angle_of(layer: np.ndarray) -> float:
    """The main direction in degrees from the vertical, from the structure tensor."""
    down, right = np.gradient(layer.astype(float))
    twice = np.arctan2(2 * (down * right).mean(), (right**2).mean() - (down**2).mean())
    # Gradients point across streaks: one that falls to the right brightens to the upper right.
    return float(-np.degrees(twice) / 2)


def half_width(layer: np.ndarray, axis: int) -> float:
    """Shift at which the autocorrelation along an axis falls below a half."""
    flat = layer - layer.mean()
    spectrum = np.abs(np.fft.fft2(flat)) ** 2
    correlation = np.fft.ifft2(spectrum).real
    line = correlation[:, 0] if axis == 0 else correlation[0]
    return int(np.argmax(line < line[0] / 2))


def test_rain_depends_on_the_generator_alone() -> None:
    assert np.array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))


def test_rain_is_eight_bit_and_only_brightens() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    for seed in range(20):
        rainy = drawn(seed, image, brightness=(0.8, 1.0))
        assert rainy.dtype == np.uint8
        assert rainy.shape == image.shape
        assert (rainy >= image).all()
        assert rainy.mean() > image.mean()


def test_rain_is_grey() -> None:
    gain = drawn(1).astype(int) - GREY
    assert (gain == gain[..., :1]).all()


def test_no_density_leaves_the_picture_clean() -> None:
    assert np.array_equal(drawn(density=(0, 0)), GREY)


def test_density_grows_the_covered_area() -> None:
    covered = [
        np.mean([(drawn(seed, density=(d, d)) > GREY + 8).mean() for seed in range(20)])
        for d in (0.0005, 0.001, 0.002, 0.004)
    ]
    assert all(more > 1.5 * less for less, more in itertools.pairwise(covered))


@pytest.mark.parametrize("angle", [-50, -20, 0, 35])
def test_streaks_fall_at_the_angle_asked_for(angle: int) -> None:
    # Differences of neighbours tell the angle of lines that are a few pixels wide.
    rain = Rain(angle=(angle, angle), width=(2, 2), length=(40, 40))
    layer = rain_of(300, 300, rain, np.random.default_rng(0))
    assert angle_of(layer) == pytest.approx(angle, abs=3)


def test_streaks_grow_with_length_and_width() -> None:
    def sides(length: float, width: float) -> tuple[float, float]:
        rain = Rain(
            length=(length, length), width=(width, width), angle=(0, 0), density=(0.002, 0.002)
        )
        layer = rain_of(300, 300, rain, np.random.default_rng(5))
        return half_width(layer, 0), half_width(layer, 1)

    short, thin = sides(10, 0.6)
    long, thick = sides(60, 2.4)
    assert long > 3 * short
    assert thick >= 2 * thin


def test_layers_add_fainter_and_thinner_streaks() -> None:
    one, three = (rain_of(300, 300, Rain(layers=(n, n)), np.random.default_rng(2)) for n in (1, 3))
    assert (three > 8).mean() > 2 * (one > 8).mean()
    assert (three >= one).all()


def test_streaks_come_in_over_the_edges() -> None:
    layers = [
        rain_of(64, 64, Rain(length=(40, 40), density=(0.002, 0.002)), np.random.default_rng(seed))
        for seed in range(150)
    ]
    mean = np.mean(layers, axis=0)
    edges = [mean[:4].mean(), mean[-4:].mean(), mean[:, :4].mean(), mean[:, -4:].mean()]
    # About a hundred streaks cross each edge strip, so its mean is known within some 15 %.
    assert edges == pytest.approx([mean.mean()] * 4, rel=0.3)


def test_screened_rain_leaves_white_alone_and_is_full_on_black() -> None:
    for level, same in ((0, True), (128, False)):
        image = np.full_like(GREY, level)
        added, screened = (drawn(1, image, blend=blend) for blend in ("add", "screen"))
        assert (screened <= added).all()
        assert np.array_equal(screened, added) == same
    white = np.full_like(GREY, 255)
    assert np.array_equal(drawn(1, white, blend="screen"), white)


def test_default_rain_measures_like_rain100l() -> None:
    layers = [rain_of(160, 160, Rain(), np.random.default_rng(seed)) for seed in range(60)]
    means = np.array([layer.mean() for layer in layers])
    # Rain100L: 1.9, 5.4 and 9.6 grey levels at the 5th, 50th and 95th percentile.
    assert 4 < np.median(means) < 8
    assert 0.5 < np.percentile(means, 5) < 3
    assert 8 < np.percentile(means, 95) < 20


def test_shared_rain_pairs_are_like_the_drawn_ones(shared) -> None:
    folder = shared / "data" / "derain" / "Rain100"
    pairs = read_pairs(folder, 1, degraded="rainL", takes=lambda name: name < "norain-030")
    rng = np.random.default_rng(0)
    real = [(pair.low.astype(float) - pair.high).mean(2) for pair in pairs]
    ours = [(add_rain(pair.high, Rain(), rng).astype(float) - pair.high).mean(2) for pair in pairs]
    for measure in (np.mean, np.std, lambda gain: (gain > 8).mean()):
        theirs, mine = (np.median([measure(gain) for gain in side]) for side in (real, ours))
        assert mine == pytest.approx(theirs, rel=0.5)
