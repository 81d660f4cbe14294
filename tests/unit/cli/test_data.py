from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgerestore.evaluation import read_pairs
from edgerestore.pictures import read_rgb

RECIPE = """
model = "ipt_s"
[train]
steps = 2
patch = 16
[[train.source]]
clean = ["pictures"]
task = "ipt_s_x2"
degradation = {{ kind = "bicubic" }}
leave_out = {left_out}
[[train.source]]
clean = ["pictures"]
task = "ipt_s_derain"
degradation = {{ kind = "rain" }}
leave_out = {left_out}
turn = false
[[train.validation]]
clean = ["pictures"]
only = "held.txt"
task = "ipt_s_x2"
degradation = {{ kind = "bicubic" }}
[[train.validation]]
clean = ["pictures"]
only = "held.txt"
task = "ipt_s_denoise50"
degradation = {{ kind = "noise", sigma = [50, 50] }}
"""
HELD = ["0.png", "1.png"]


@pytest.fixture
def recipe(pictures: Path, tmp_path: Path) -> Path:
    (pictures.parent / "held.txt").write_text("\n".join(HELD))
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.format(left_out=json.dumps(HELD)))
    return path


def test_sheet_shows_each_source_and_set(recipe: Path, pictures: Path, tmp_path, edgerestore):
    out = tmp_path / "sheets" / "sheet.png"
    done = edgerestore("data", "sheet", recipe, "--data", pictures.parent, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row.split(":")[0] for row in rows] == ["train", "train", "validate", "validate"]
    assert "ipt_s_derain, rain: pictures" in rows[1]
    page = read_rgb(out)
    # Four rows of a label and two crops of 192, and five columns.
    assert page.shape[0] > 4 * 2 * 192
    assert page.shape[1] > 5 * 192
    assert len(np.unique(page)) > 100


def test_pairs_are_what_evaluate_reads(recipe: Path, pictures: Path, tmp_path, edgerestore) -> None:
    out = tmp_path / "out"
    done = edgerestore("data", "pairs", recipe, "--data", pictures.parent, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    sets = json.loads(done.stdout)["sets"]
    assert [Path(item["folder"]).name for item in sets] == [
        "ipt_s_x2-on-pictures",
        "ipt_s_denoise50-on-pictures",
    ]
    reduced = read_pairs(out / "ipt_s_x2-on-pictures", 2)
    assert [pair.name for pair in reduced] == ["0", "1"]
    assert np.array_equal(reduced[0].high, read_rgb(pictures / "0.png"))
    noisy = read_pairs(out / "ipt_s_denoise50-on-pictures", 1)
    noise = noisy[0].low.astype(float) - noisy[0].high
    assert 35 < noise.std() < 50
    edgerestore("data", "pairs", recipe, "--data", pictures.parent, "--out", out)
    again = read_pairs(out / "ipt_s_denoise50-on-pictures", 1)
    assert np.array_equal(again[0].low, noisy[0].low)


def test_leaks_answer_by_exit_code(recipe: Path, pictures: Path, edgerestore) -> None:
    arguments = ["--data", pictures.parent, "--json"]
    noise = np.random.default_rng(0).integers(0, 256, (5, 9, 9, 3), dtype=np.uint8)
    for number, image in enumerate(noise):
        Image.fromarray(image).resize((72, 64)).save(pictures / f"{number}.png")
    done = edgerestore("data", "leaks", recipe, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["leaks"] == []
    recipe.write_text(RECIPE.format(left_out='["0.png"]'))
    done = edgerestore("data", "leaks", recipe, *arguments)
    assert done.returncode == 1
    (leak,) = json.loads(done.stdout)["leaks"]
    assert (leak["training"], leak["held_back"]) == ("1", "1")
    assert leak["likeness"] == 1


def test_recipe_without_training_is_one_line(pictures: Path, tmp_path, edgerestore) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text('model = "esrt_s_x2"\n')
    done = edgerestore("data", "leaks", recipe, "--data", pictures.parent)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "has no [train] table" in done.stderr


def test_pictures_are_packed_into_shards(pictures: Path, tmp_path, edgerestore) -> None:
    arguments = ["--out", tmp_path / "packed", "--pictures-per-shard", 2, "--json"]
    done = edgerestore("data", "shards", pictures, *arguments)
    assert done.returncode == 0, done.stderr
    assert [Path(name).name for name in json.loads(done.stdout)["shards"]] == [
        "shard-000000.tar",
        "shard-000001.tar",
        "shard-000002.tar",
    ]
