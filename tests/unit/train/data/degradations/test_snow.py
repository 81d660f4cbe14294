from __future__ import annotations

import numpy as np
import pytest

from edgerestore.recipe.pictures import Snow
from edgerestore.train.data.degradations.snow import add_snow, snow_of

GREY = np.full((96, 96, 3), 90, np.uint8)


def drawn(seed: int = 0, image: np.ndarray = GREY, **chosen: object) -> np.ndarray:
    return add_snow(image, Snow(**chosen), np.random.default_rng(seed))


def opacity(seed: int = 0, side: int = 200, **chosen: object) -> np.ndarray:
    return snow_of(side, side, Snow(veil=(0, 0), **chosen), np.random.default_rng(seed))


def test_snow_depends_on_the_generator_alone() -> None:
    assert np.array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))


def test_snow_is_eight_bit_and_only_brightens() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 80, 3), dtype=np.uint8)
    for seed in range(20):
        snowy = drawn(seed, image)
        assert snowy.dtype == np.uint8
        assert snowy.shape == image.shape
        assert (snowy >= image).all()
        assert snowy.mean() > image.mean()


def test_neither_flakes_nor_veil_leave_the_picture_clean() -> None:
    assert np.array_equal(drawn(density=(0, 0), veil=(0, 0)), GREY)


def test_veil_lies_evenly_and_moves_towards_white() -> None:
    veiled = drawn(density=(0, 0), veil=(0.2, 0.2))
    assert np.unique(veiled).tolist() == [round(90 + 0.2 * (255 - 90))]


def test_density_and_size_grow_the_covered_area() -> None:
    def covered(**chosen: object) -> float:
        return float(np.mean([(opacity(seed, **chosen) > 0.2).mean() for seed in range(10)]))

    few, many = (covered(density=(d, d)) for d in (0.0005, 0.002))
    assert many > 2 * few
    small, large = (covered(size=(s, s)) for s in (1, 3))
    assert large > 2 * small


def test_flakes_are_opaque_in_the_middle_only() -> None:
    alone = opacity(density=(0.0003, 0.0003), size=(4, 4), layers=(1, 1), opacity=(0.7, 0.7))
    # Where flakes overlap they hide more than one alone.
    assert alone.max() >= 0.7 - 1e-6
    assert 0 <= alone.min() < 1e-6
    assert np.isclose(alone, 0.7, atol=1e-4).mean() > 0.003
    assert opacity(opacity=(1, 1)).max() == pytest.approx(1, abs=2e-3)


def test_falling_flakes_are_drawn_out_along_the_wind() -> None:
    def spread(angle: float) -> tuple[float, float]:
        layer = opacity(length=(20, 20), angle=(angle, angle), density=(0.001, 0.001))
        down, right = np.gradient(layer.astype(float))
        return float((down**2).mean() / (right**2).mean()), float(-(down * right).mean())

    steepness, _ = spread(0)
    assert steepness < 0.6
    assert spread(40)[1] > 0 > spread(-40)[1]


def test_flakes_come_in_over_the_edges() -> None:
    mean = np.mean([opacity(seed, 48, density=(0.003, 0.003)) for seed in range(150)], axis=0)
    edges = [mean[:3].mean(), mean[-3:].mean(), mean[:, :3].mean(), mean[:, -3:].mean()]
    assert edges == pytest.approx([mean.mean()] * 4, rel=0.15)
