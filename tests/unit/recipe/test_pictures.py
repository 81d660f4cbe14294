from __future__ import annotations

from pathlib import Path

import pytest

from edgerestore.errors import RecipeError
from edgerestore.recipe import read_toml
from edgerestore.recipe.pictures import Noise, Pictures, Rain, RainLayers, Snow, Source


def read(tmp_path: Path, text: str) -> Source:
    path = tmp_path / "source.toml"
    path.write_text(text)
    return read_toml(path, Source)


@pytest.mark.parametrize(
    ("table", "degradation"),
    [
        ('kind = "noise", sigma = [0, 55]', Noise(sigma=(0, 55))),
        (
            'kind = "rain", angle = [-10, 10], blend = "screen"',
            Rain(angle=(-10, 10), blend="screen"),
        ),
        ('kind = "snow", layers = [1, 1]', Snow(layers=(1, 1))),
        ('kind = "rain-layers", pairs = "r"', RainLayers(pairs="r")),
    ],
)
def test_degradations_are_told_by_their_kind(table: str, degradation, tmp_path: Path) -> None:
    text = f'clean = ["photos"]\ndegradation = {{ {table} }}\n'
    assert read(tmp_path, text).degradation == degradation


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('kind = "noise", sigma = [30, 10]', "sigma from 30 to 10: must grow, between 0 and 255"),
        ('kind = "noise", sigma = [-1, 10]', "sigma from -1 to 10"),
        ('kind = "noise", sigma = [nan, 10]', "sigma from nan to 10"),
        ('kind = "rain", angle = [-80, 0]', "angle from -80 to 0: must grow, between -60 and 60"),
        ('kind = "rain", layers = [2, 9]', "layers from 2 to 9"),
        ('kind = "rain", density = [0, inf]', "density from 0 to inf"),
        ('kind = "snow", opacity = [0.5, 1.5]', "opacity from 0.5 to 1.5"),
        ('kind = "rain-layers", pairs = "r", gain = [-1, 1]', "gain from -1 to 1"),
        ('kind = "fog"', "fog"),
        ('kind = "rain", agle = [0, 0]', "did you mean 'angle'"),
    ],
)
def test_wrong_settings_of_a_degradation_are_named(
    table: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        read(tmp_path, f'clean = ["photos"]\ndegradation = {{ {table} }}\n')


def test_pictures_come_from_one_kind_of_place(tmp_path: Path) -> None:
    noise = 'degradation = { kind = "noise", sigma = [1, 1] }\n'
    for text in ("", f'pairs = "a"\nclean = ["b"]\n{noise}'):
        with pytest.raises(RecipeError, match="give either pairs or clean"):
            read(tmp_path, text)
    for text in ('clean = ["b"]\n', f'pairs = "a"\n{noise}'):
        with pytest.raises(RecipeError, match="want a degradation"):
            read(tmp_path, text)


def test_rain_layers_name_their_pairs_as_a_recipe_would() -> None:
    layers = RainLayers(pairs="rain", degraded="rainL", leave_out=("a.png",))
    assert layers.source() == Pictures(pairs="rain", degraded="rainL", leave_out=("a.png",))


def test_shards_stand_alone_and_are_degraded(tmp_path: Path) -> None:
    noise = 'degradation = { kind = "noise", sigma = [1, 1] }\n'
    source = read(tmp_path, f'shards = "a-{{0..3}}.tar"\nsteps_per_shard = 7\n{noise}')
    assert source.title == "a-{0..3}.tar"
    assert source.steps_per_shard == 7
    with pytest.raises(RecipeError, match="shards come without pairs"):
        read(tmp_path, f'shards = "a.tar"\nclean = ["b"]\n{noise}')
    with pytest.raises(RecipeError, match="want a degradation"):
        read(tmp_path, 'shards = "a.tar"\n')
