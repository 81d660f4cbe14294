from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerestore.networks import find_model
from edgerestore.networks.weights import spec_in

RECIPE = """
model = "drt_s"
[train]
steps = 1
batch = 1
patch = 16
amp = "fp32"
[[train.source]]
clean = ["pictures"]
degradation = { kind = "noise", sigma = [20, 20] }
[prune]
latency = 0.5
rounds = 1
batches = 1
parts = ["hidden"]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


def test_prune_writes_weights_that_say_their_widths(
    recipe: Path, pictures: Path, tmp_path: Path, edgerestore
) -> None:
    arguments = ("prune", recipe, "--data", pictures.parent, "--out", tmp_path / "run")
    arguments += ("--macs", 0.03)
    done = edgerestore(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    dense, pruned = document["stages"]
    assert dense["params"] == find_model("drt_s").params
    assert pruned["macs"] <= 0.97 * dense["macs"]
    spec = spec_in(tmp_path / "run" / pruned["weights"], find_model("drt_s"))
    assert spec.params == pruned["params"]
    again = edgerestore(*arguments)
    assert again.returncode == 3
    assert "holds a run already; --resume continues it" in again.stderr
    resumed = edgerestore(*arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "round 1" in resumed.stdout
    assert f"wrote {tmp_path}" in resumed.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[prune]", "[build]", "unknown key"),
        ("latency = 0.5", "macs = 1.5", "`float` < 1"),
        ("latency = 0.5", "", "give either macs or latency"),
        ('["hidden"]', '["layers"]', "Invalid enum value 'layers'"),
        ('["hidden"]', "[]", "parts is empty"),
    ],
)
def test_bad_recipe_is_one_line(
    old: str, new: str, message: str, recipe: Path, tmp_path: Path, edgerestore
) -> None:
    recipe.write_text(recipe.read_text().replace(old, new))
    done = edgerestore("prune", recipe, "--data", tmp_path)
    assert done.returncode == 3
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_recipe_without_the_table_is_refused(recipe: Path, tmp_path: Path, edgerestore) -> None:
    recipe.write_text(RECIPE.partition("[prune]")[0])
    done = edgerestore("prune", recipe, "--data", tmp_path)
    assert done.returncode == 3
    assert "has no [prune] table" in done.stderr
