from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from edgerestore.errors import CheckpointError
from edgerestore.networks import build_network, find_model
from edgerestore.networks.pruned import at_widths
from edgerestore.networks.spec import PRUNED
from edgerestore.networks.weights import (
    load_network,
    load_weights,
    model_in,
    save_weights,
    spec_in,
)
from edgerestore.networks.widths import Kept, Selection, Widths, changed, select, widths_of

DRT_S = find_model("drt_s")
FC = "layers.0.block1.fc"
ATTENTION = "layers.0.block1.attention"
WIDTHS = Widths(
    layers={f"{FC}1": (48, 30), f"{FC}2": (30, 48), f"{ATTENTION}.proj": (24, 48)}
    | {f"{ATTENTION}.qkv": (48, 72)},
    heads={ATTENTION: 1},
)
PRUNED_SPEC = at_widths(DRT_S, WIDTHS)


@pytest.fixture
def pruned_file(tmp_path: Path) -> Path:
    path = tmp_path / "pruned.safetensors"
    save_weights(path, PRUNED_SPEC, build_network(PRUNED_SPEC).state_dict(), {"note": "kept"})
    return path


def test_selection_keeps_what_it_names_and_nothing_else() -> None:
    network = build_network(find_model("esrt_s_x2"))
    unit = network.get_submodule("blocks.0.low.unit1")
    squeeze, slopes = unit.squeeze.weight.clone(), unit.act.weight.clone()
    kept = [1, 4, 6]
    layers = {"squeeze": Kept(None, kept), "act": Kept(kept, kept), "expand": Kept(kept, None)}
    select(network, Selection({f"blocks.0.low.unit1.{n}": k for n, k in layers.items()}))
    assert torch.equal(unit.squeeze.weight, squeeze[kept])
    assert torch.equal(unit.act.weight, slopes[kept])
    assert (unit.squeeze.out_channels, unit.act.num_parameters) == (3, 3)
    assert (unit.expand.in_channels, unit.expand.out_channels) == (3, 16)
    assert network(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)


def test_entry_at_other_widths_builds_the_narrower_network() -> None:
    network = build_network(PRUNED_SPEC)
    assert changed(widths_of(build_network(DRT_S)), widths_of(network)) == WIDTHS
    assert network.get_submodule(ATTENTION).bias_table.shape == (15 * 15, 1)
    assert PRUNED_SPEC.params == sum(value.numel() for value in network.parameters())
    assert PRUNED_SPEC.params < DRT_S.params
    assert PRUNED_SPEC.name == f"drt_s-{round(PRUNED_SPEC.params / 1000)}k"
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 3, 16, 16)


def test_attention_keeps_the_scale_of_the_dense_networks_scores() -> None:
    dense, pruned = (build_network(spec).get_submodule(ATTENTION) for spec in (DRT_S, PRUNED_SPEC))
    assert pruned.score_scale == dense.score_scale


@pytest.mark.parametrize(
    ("layers", "heads", "message"),
    [
        ({f"{FC}1": (48, 30)}, {}, "do not fit together"),
        ({f"{FC}1": (48, 49)}, {}, "cannot be 49: 1 to 48"),
        ({f"{FC}1": (48, 0)}, {}, "cannot be 0: 1"),
        ({"layers.0.block1": (48, 30)}, {}, "no layer or attention 'layers.0.block1'"),
        ({}, {ATTENTION: 3}, "cannot be 3: 1 to 2"),
        ({}, {"embed": 1}, "no layer or attention 'embed'"),
        ({f"{ATTENTION}.qkv": (48, 75)}, {}, "do not fit together"),
    ],
)
def test_widths_that_no_network_has_are_refused(layers: dict, heads: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        at_widths(DRT_S, Widths(layers=layers, heads=heads))


def test_file_of_a_pruned_network_says_what_it_holds(pruned_file: Path) -> None:
    assert model_in(pruned_file) == "drt_s"
    assert spec_in(pruned_file, DRT_S) == dataclasses.replace(
        PRUNED_SPEC, config=spec_in(pruned_file, DRT_S).config
    )
    assert load_weights(pruned_file, PRUNED_SPEC).metadata["note"] == "kept"
    network = load_network(DRT_S, pruned_file)
    assert changed(widths_of(build_network(DRT_S)), widths_of(network)) == WIDTHS


def test_file_of_a_pruned_network_is_not_taken_for_the_dense_ones(pruned_file: Path) -> None:
    with pytest.raises(CheckpointError, match="holds pruned weights of 'drt_s', not of 'drt_s'"):
        load_weights(pruned_file, DRT_S)
    assert spec_in(pruned_file, find_model("esrt_s_x2")) == find_model("esrt_s_x2")
    with pytest.raises(CheckpointError, match="holds pruned weights of 'drt_s', not of 'esrt_s_x2"):
        load_network(find_model("esrt_s_x2"), pruned_file)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ("wide", "Expected `object`, got `str`"),
        ({"layers": {f"{FC}1": [48]}}, "length 2"),
        ({"layers": {f"{FC}1": [48, "30"]}}, "Expected `int`"),
        ({"depth": 3}, "unknown field `depth`"),
        ({"layers": {f"{FC}1": [48, 10**9]}}, "cannot be 1000000000: 1 to 48"),
        ({"layers": {f"{FC}1": [48, 30]}}, "do not fit together"),
        ({"blocks": 10**6}, "'blocks' cannot be 1000000: 1 to 3"),
        ({"recursions": 10**6}, "'recursions' cannot be 1000000: 1 to 3"),
        ({"heads": {"x" * 10_000: 1}}, "no layer or attention 'xxx"),
    ],
)
def test_header_with_impossible_widths_is_one_clear_line(
    widths: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.safetensors"
    spec = dataclasses.replace(DRT_S, config={**DRT_S.config, PRUNED: widths})
    save_weights(path, spec, build_network(DRT_S).state_dict(), {})
    with pytest.raises(CheckpointError, match=message) as raised:
        load_network(DRT_S, path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_header_need_not_say_what_is_as_in_the_dense_network(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    said = {"layers": {f"{FC}1": [48, 30], f"{FC}2": [30, 48]}}
    widths = Widths(layers={f"{FC}1": (48, 30), f"{FC}2": (30, 48)})
    short = dataclasses.replace(DRT_S, config={**DRT_S.config, PRUNED: said})
    network = build_network(at_widths(DRT_S, widths))
    save_weights(path, short, network.state_dict(), {})
    assert widths_of(load_network(DRT_S, path)) == widths_of(network)


def test_header_whose_widths_are_not_the_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_weights(path, PRUNED_SPEC, build_network(DRT_S).state_dict(), {})
    with pytest.raises(CheckpointError, match=r"is \(.*\), but 'drt_s-\d+k' needs \("):
        load_network(DRT_S, path)
    assert json.dumps(dict(PRUNED_SPEC.config))
