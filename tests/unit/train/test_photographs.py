from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore.calibration import read_set
from edgerestore.evaluation import read_pairs
from edgerestore.pictures import read_rgb
from edgerestore.shipped import shipped_folder
from edgerestore.train.data.degradations.bicubic import matlab_bicubic
from edgerestore.train.photographs import main, spread_cells

HEAD = """
[[set]]
name = "mine"
task = "super-resolution"
description = "generated"
scale = 2
side = 16
evaluation_scales = [2, 3]
demo_scale = 2

[[set]]
name = "noisy"
task = "denoising"
description = "generated"
side = 16
degradation = { kind = "noise", sigma = [20, 20] }
share = 0.4
evaluation_side = 32
"""
SOURCE = """
[[source]]
name = "{name}"
file = "{name}.png"
sha256 = "{sha256}"
title = "A \\"quoted\\" title"
author = "nobody"
licence = "CC0-1.0"
origin = "generated"
{uses}
"""


def written(folder: Path, **uses: str) -> Path:
    """Sources of 120 x 96 pixels and the TOML that names them."""
    text = HEAD
    for seed, (name, use) in enumerate(uses.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (96, 120, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
        sha256 = hashlib.sha256((folder / f"{name}.png").read_bytes()).hexdigest()
        text += SOURCE.format(name=name, sha256=sha256, uses=use)
    (folder / "sources.toml").write_text(text)
    return folder / "sources.toml"


def test_makes_what_the_readers_read(tmp_path: Path) -> None:
    boxes = "boxes = { left = [0, 0, 48, 48] }\ndemo = [12, 0, 96, 60]\nreduce = 1"
    recipe = written(tmp_path, first="crops = 5", second=boxes)
    assert main([str(recipe), "--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    made = read_set(tmp_path / "out" / "sets" / "mine.toml")
    assert [image.shape for image in made.images] == [(16, 16, 3)] * 5
    for scale in (2, 3):
        (pair,) = read_pairs(tmp_path / "out" / "evaluation" / "mine", scale)
        np.testing.assert_array_equal(pair.low, matlab_bicubic(pair.high, scale))
    (demo,) = read_pairs(tmp_path / "out" / "demo", 2)
    assert demo.high.shape == (60, 96, 3)


def test_a_degraded_set_has_fewer_crops_and_the_middle_of_each_pair(tmp_path: Path) -> None:
    recipe = written(tmp_path, first="crops = 5", second="boxes = { left = [0, 0, 48, 48] }")
    assert main([str(recipe), "--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert len(read_set(tmp_path / "out" / "sets" / "noisy.toml").images) == 2
    (pair,) = read_pairs(tmp_path / "out" / "evaluation" / "noisy", 1)
    clean = read_rgb(tmp_path / "second.png")
    np.testing.assert_array_equal(pair.high, clean[8:40, 8:40])
    assert 10 < np.std(pair.low.astype(int) - pair.high) < 20  # less than 20: clipped
    before = pair.low.copy()
    assert main([str(recipe), "--from", str(tmp_path), "--out", str(tmp_path / "again")]) == 0
    (again,) = read_pairs(tmp_path / "again" / "evaluation" / "noisy", 1)
    np.testing.assert_array_equal(again.low, before)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("crops = 5\nboxes = { a = [0, 0, 16, 16] }", "serves calibration and evaluation"),
        ("crops = 500", "only 9 cells of 16 x 16, but 500 are wanted"),
        ("boxes = { a = [100, 0, 48, 48] }", "leaves the picture"),
    ],
)
def test_impossible_wish_is_one_line(use: str, expected: str, tmp_path: Path, capsys) -> None:
    recipe = written(tmp_path, first=use)
    assert main([str(recipe), "--from", str(tmp_path), "--out", str(tmp_path / "out")]) == 3
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_absent_and_exchanged_sources_are_named(tmp_path: Path, capsys) -> None:
    recipe = written(tmp_path, first="crops = 5")
    arguments = [str(recipe), "--from", str(tmp_path), "--out", str(tmp_path / "out")]
    Image.new("RGB", (120, 96)).save(tmp_path / "first.png")
    assert main(arguments) == 3
    assert "another file than the one that 'first' means" in capsys.readouterr().err
    (tmp_path / "first.png").unlink()
    assert main(arguments) == 3
    assert "first.png: in none of" in capsys.readouterr().err


def test_cells_reach_from_flat_to_rich() -> None:
    image = np.full((64, 64, 3), 50, np.uint8)
    image[48:, 48:] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    boxes = spread_cells(image, 16, 4)
    assert boxes[-1] == (48, 48, 16, 16)
    assert boxes[0] == (0, 0, 16, 16)
    assert len(set(boxes)) == 4


def test_shipped_pictures_come_out_of_their_sources_pixel_for_pixel(
    shared: Path, tmp_path: Path
) -> None:
    skimage = pytest.importorskip("skimage")
    shipped = shipped_folder("calibration")
    folders = [shared / "data" / "hires", Path(skimage.__file__).parent / "data"]
    places = [item for folder in folders for item in ("--from", str(folder))]
    assert main([str(shipped / "sources.toml"), *places, "--out", str(tmp_path)]) == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    assert made == sorted(path.relative_to(shipped) for path in shipped.rglob("*.png"))
    for name in made:
        np.testing.assert_array_equal(read_rgb(tmp_path / name), read_rgb(shipped / name))
