from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites import deployable
from edgerestore.networks import MODELS
from edgerestore.networks.layers import Scale
from edgerestore.pictures import read_rgb

TOLERANCE = 1e-5
"""Largest difference over the output's standard deviation, in float32."""
TOLERANCE_IN_FLOAT64 = 1e-12
"""What only an exact rewrite reaches: a wrong border or order is off by a thousandth or more."""

ESRT = [name for name in MODELS if name.startswith("esrt")]
SIZES = [(48, 48), (17, 20), (33, 21), (5, 7)]
"""Divisible by the four segments, by none, and smaller than any tile."""
PICTURES = {2: "friends-dogx2", 3: "rocket-nightx3", 4: "life-forestx4"}

ESRT_REWRITES = (
    "fold_scales", "shift_tokens", "part_fusions", "sink_pixel_shuffle", "join_convolutions",
)  # fmt: skip
FORMS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in ESRT_REWRITES[:-1]},
    # Before the shuffle has gone there is nothing to join.
    "sunk and joined": ESRT_REWRITES[-2:],
    "all": (),
}


def crop(folder: Path, scale: int, height: int, width: int) -> Tensor:
    """The middle of a shipped picture: 1 x 3 x height x width in [0, 1]."""
    image = read_rgb(folder / "LR_bicubic" / f"X{scale}" / f"{PICTURES[scale]}.png")
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    cut = image[top : top + height, left : left + width].astype(np.float32) / 255
    return torch.from_numpy(cut).permute(2, 0, 1)[None].to(torch.get_default_dtype())


def largest_error(network: nn.Module, rewritten: nn.Module, image: Tensor) -> float:
    """Of the rewritten form's output, over the standard deviation of the original's."""
    with torch.inference_mode():
        expected, result = network(image), rewritten(image)
    assert result.shape == expected.shape
    return float((result - expected).abs().max() / expected.std())


def scales_of(network: nn.Module) -> list[Scale]:
    return [module for module in network.modules() if isinstance(module, Scale)]


@contextlib.contextmanager
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", ESRT)
def test_rewrite_computes_the_same_on_photographs_of_every_size(
    model: str, form: str, filled_network: Callable[[str], nn.Module], evaluation_folder: Path
) -> None:
    network = filled_network(model)
    rewritten, changed = deployable(network, FORMS[form])
    assert {name for name, places in changed.items() if places} == set(FORMS[form] or ESRT_REWRITES)
    scale = MODELS[model].scale
    for height, width in SIZES if form == "all" else SIZES[1:]:
        image = crop(evaluation_folder, scale, height, width)
        assert largest_error(network, rewritten, image) <= TOLERANCE, (height, width)


@pytest.mark.parametrize("model", ["esrt_x3", "esrt_s_x2", "esrt_s_x4"])
def test_rewrites_are_exact_and_not_merely_near(
    model: str, filled_network: Callable[[str], nn.Module], evaluation_folder: Path
) -> None:
    with float64():
        network = filled_network(model)
        rewritten, _ = deployable(network)
        for height, width in SIZES[1:]:
            image = crop(evaluation_folder, MODELS[model].scale, height, width)
            assert largest_error(network, rewritten, image) <= TOLERANCE_IN_FLOAT64


SCALES: dict[str, list[float]] = {
    "negative": [-1.0, -0.6, 0.8, -1.2, 0.9],
    "near zero": [1e-3, 0.9, -1e-6, 1.1, 0.7],
    "zero": [0.0, 1.0, 0.9],
    "just above the smallest divisor": [0.011, 1.0, -0.011],
}


@pytest.mark.parametrize("case", SCALES)
def test_scales_of_any_sign_and_size_keep_the_function(
    case: str, filled_network: Callable[[str], nn.Module], evaluation_folder: Path
) -> None:
    network = filled_network("esrt_s_x2")
    values = SCALES[case]
    for number, scale in enumerate(scales_of(network)):
        scale.scale.fill_(values[number % len(values)])
    image = crop(evaluation_folder, 2, 17, 20)
    rewritten, changed = deployable(network, ("fold_scales",))
    assert 0 < changed["fold_scales"] < len(scales_of(network))
    assert len(scales_of(rewritten)) == len(scales_of(network)) - changed["fold_scales"]
    assert largest_error(network, rewritten, image) <= TOLERANCE


def test_body_scale_that_cannot_be_divided_by_stays(
    filled_network: Callable[[str], nn.Module], evaluation_folder: Path
) -> None:
    network = filled_network("esrt_s_x2")
    network.get_submodule("skip_scale").scale.fill_(1e-4)
    rewritten, changed = deployable(network, ("fold_scales",))
    assert changed == {"fold_scales": 7 * 8}
    assert isinstance(rewritten.get_submodule("skip_scale"), Scale)
    assert largest_error(network, rewritten, crop(evaluation_folder, 2, 17, 20)) <= TOLERANCE


@pytest.mark.parametrize(
    ("model", "changed"),
    [
        ("esrt_x2", (7 * 12 + 2, 1, 3 * 5, 2, 2)),
        ("esrt_x4", (7 * 12 + 2, 1, 3 * 5, 2, 2)),
        ("esrt_s_x2", (7 * 8 + 2, 1, 2 * 5, 2, 1)),
    ],
)
def test_number_of_changed_places(
    model: str, changed: tuple[int, ...], filled_network: Callable[[str], nn.Module]
) -> None:
    found = deployable(filled_network(model))[1]
    assert {name: places for name, places in found.items() if places} == dict(
        zip(ESRT_REWRITES, changed, strict=True)
    )


def test_original_stays_untouched(filled_network: Callable[[str], nn.Module]) -> None:
    network, twin = filled_network("esrt_s_x2"), filled_network("esrt_s_x2")
    deployable(network)
    assert str(network) == str(twin)
    for (name, value), (_, expected) in zip(
        network.state_dict().items(), twin.state_dict().items(), strict=True
    ):
        assert torch.equal(value, expected), name


def test_deployable_form_is_frozen_and_evaluates(
    filled_network: Callable[[str], nn.Module],
) -> None:
    network = filled_network("esrt_s_x2").train().requires_grad_(True)
    rewritten, _ = deployable(network)
    assert not rewritten.training
    assert not any(p.requires_grad for p in rewritten.parameters())
    assert network.training
