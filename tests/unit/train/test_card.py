from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgerestore.networks import MODELS, find_model
from edgerestore.networks.spec import SHIPPED_WEIGHTS
from edgerestore.networks.weights import load_weights, save_weights
from edgerestore.recipe import Recipe, read_toml
from edgerestore.recipe.card import Card, DataSet
from edgerestore.shipped import shipped_toml
from edgerestore.train.card import model_card, write_card

SPEC = find_model("esrt_s_x2")
CARD = Card(
    purpose="Enlarges pictures of tests.",
    data=(DataSet(name="Tests", pictures="five", terms="none", source="this file"),),
    limits=("Nothing but tests.",),
    licence="Apache-2.0",
)


def metadata(**more: Any) -> dict[str, Any]:
    score = {
        "set": "Set5",
        "images": ["a", "b"],
        "input_psnr_y_db": 33.661,
        "psnr_y_db": 36.974,
        "psnr_rgb_db": 35.1,
        "ssim_y": 0.95432,
        "border": 2,
        "protocol": "whole image",
    }
    return {
        "training": {"steps": 14000, "batch": 8, "patch": 32, "seed": 0},
        "pictures": {"count": 5, "sha256": "ab" * 32},
        "code": "edgerestore 0.1.0",
        "hardware": "a CPU",
        "torch": "2.13.0",
        "wall_time_s": 3600.0,
        "scores": [score],
        **more,
    }


def test_card_holds_the_recipes_words_and_the_files_figures(tmp_path: Path) -> None:
    state = {name: torch.zeros(shape) for name, shape in shapes()}
    save_weights(tmp_path / "w.safetensors", SPEC, state, metadata())
    path = write_card(tmp_path / "w.safetensors", SPEC, CARD)
    assert path == tmp_path / "w.md"
    text = path.read_text()
    assert text.startswith("# esrt_s_x2\n\nEnlarges pictures of tests.\n")
    assert "| Set5 | 2 | 33.66 dB | **36.97 dB** | 0.9543 | 35.10 dB | 2 |" in text
    assert "128,467" in text
    assert "14,000 steps of 8 crops of 32 x 32 input pixels, seed 0, in 60 minutes" in text
    assert "- **Tests**: five. Terms: none. From this file." in text
    assert "- Nothing but tests." in text


def shapes() -> list[tuple[str, tuple[int, ...]]]:
    from edgerestore.networks.weights import state_shapes

    return list(state_shapes(SPEC).items())


def test_card_says_where_a_run_started_and_what_was_not_measured() -> None:
    text = model_card(SPEC, CARD, metadata(start={"model": "esrt_s_x4", "sha256": "cd" * 32}))
    assert f"- Went on from: esrt_s_x4, SHA-256 {'cd' * 32}" in text
    taught = metadata(teacher={"model": "esrt_s_x2", "weights_sha256": "ef" * 32})
    taught["training"]["quantization"] = {"target": "x86-openvino"}
    text = model_card(SPEC, CARD, taught)
    assert "- Learned to bear INT8 by the rules of: x86-openvino\n" in text
    assert f"- Taught by: esrt_s_x2, SHA-256 {'ef' * 32}" in text
    text = model_card(SPEC, CARD, metadata(scores=[]))
    assert "Not measured: the recipe holds nothing back." in text
    without_ssim = metadata()
    without_ssim["scores"][0]["ssim_y"] = None
    assert "| **36.97 dB** | - | 35.10 dB |" in model_card(SPEC, CARD, without_ssim)


@pytest.mark.parametrize(
    "name", [name for name in MODELS if (SHIPPED_WEIGHTS / f"{name}.safetensors").is_file()]
)
def test_shipped_card_is_that_of_the_shipped_weights_and_recipe(name: str) -> None:
    weights = SHIPPED_WEIGHTS / f"{name}.safetensors"
    spec = find_model(name)
    recipe = read_toml(shipped_toml("recipes", name), Recipe)
    assert recipe.card is not None
    expected = model_card(spec, recipe.card, load_weights(weights, spec).metadata)
    assert weights.with_suffix(".md").read_text() == expected
