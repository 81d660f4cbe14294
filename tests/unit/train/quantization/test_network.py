from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgerestore.compress.quantization.calibrated import Scheme, collected
from edgerestore.compress.quantization.qdq import qdq_from_plan
from edgerestore.compress.running import run_graph
from edgerestore.errors import InputError, RecipeError, UnknownNameError
from edgerestore.export.onnx import onnx_from_module
from edgerestore.networks import build_network, find_model
from edgerestore.recipe import Int8Rules
from edgerestore.recipe.quantization import Quantization
from edgerestore.train.depthwise import quicken
from edgerestore.train.processes import alone
from edgerestore.train.quantization import FakeQuantized, Ranges, fake_quantized

OPENVINO, TENSORRT = Int8Rules(symmetric_factors=True), Int8Rules(symmetric=True)
SIDE = 8


class Recursive(nn.Module):
    """A convolution that runs three times, and attention over what it makes."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.embed = nn.Conv2d(3, 8, 1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1)
        self.values = nn.Linear(8, 8)
        self.tail = nn.Conv2d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image)
        for _ in range(3):
            x = torch.relu(self.shared(x)) - 0.2 * x
        tokens = self.values(x.flatten(2).transpose(1, 2))
        if self.fused:
            tokens = F.scaled_dot_product_attention(tokens, tokens, tokens, scale=1.0)
        else:
            tokens = torch.softmax(tokens @ tokens.transpose(1, 2), dim=-1) @ tokens
        return self.tail(tokens.transpose(1, 2).reshape(x.shape)) + image


def made(fused: bool = False) -> Recursive:
    torch.manual_seed(0)
    return Recursive(fused)


def images(count: int = 4) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def seen(network: FakeQuantized, x: Tensor) -> FakeQuantized:
    """After one step of training, with its ranges."""
    network(x)
    network.ranges.follow(alone("cpu"))
    return network.eval()


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    return onnx_from_module(made(), SIDE)


@pytest.mark.parametrize(
    ("rules", "keep"),
    [
        (Int8Rules(), ()),
        (OPENVINO, ("embed", "tail")),
        (TENSORRT, ("shared",)),
    ],
)
def test_output_is_that_of_the_emitted_graph(
    graph: onnx.ModelProto, rules: Int8Rules, keep: tuple[str, ...]
) -> None:
    network, x = made(), images()
    fake = seen(FakeQuantized(network, Ranges(), rules, keep), x)
    plan = collected(graph, x.numpy(), keep, Scheme("minmax", 0)).plan(rules)
    expected = run_graph(qdq_from_plan(plan), x.numpy())
    with torch.no_grad():
        found, plain = fake(x).numpy(), network(x).numpy()
    # Sums in another order put single values on the other side of a step.
    assert np.abs(found - expected).mean() < 0.1 * np.abs(plain - expected).mean()


def test_fused_attention_is_rounded_as_its_parts_are() -> None:
    outputs = []
    for fused in (False, True):
        fake = seen(FakeQuantized(made(fused), Ranges(), OPENVINO), images())
        outputs.append(fake(images()))
    torch.testing.assert_close(*outputs)


def test_weights_are_tied_and_ranges_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    network = made()
    fake = seen(FakeQuantized(network, Ranges(), OPENVINO), images())
    rounded: list[Tensor] = []
    import edgerestore.train.quantization.network as module

    before = module.rounded_weight
    monkeypatch.setattr(
        module,
        "rounded_weight",
        lambda weight, **rules: rounded.append(weight) or before(weight, **rules),
    )
    fake(images()).sum().backward()
    assert sum(weight is network.shared.weight for weight in rounded) == 1
    assert len(rounded) == 4
    assert network.shared.weight.grad.abs().sum() > 0
    calls = [fake.ranges[f"shared#{call}"] for call in (1, 2, 3)]
    assert len({tuple(both.tolist()) for both in calls}) == 3
    assert fake.ranges["shared#4"] is None
    assert {site for site in fake.ranges.state_dict() if "matmul" in site} == {
        f"matmul#{call}.{factor}" for call in (1, 2) for factor in ("first", "second")
    }


def test_state_and_names_are_the_networks_own() -> None:
    network = made()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    seen(FakeQuantized(network, Ranges(), OPENVINO), images())
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_nothing_is_noted_or_swapped_in_evaluation() -> None:
    fake = seen(FakeQuantized(made(), Ranges(), OPENVINO, tie_noise=1.0), images())
    before = {site: both.clone() for site, both in fake.ranges.state_dict().items()}
    torch.testing.assert_close(fake(9 * images()), fake(9 * images()), rtol=0, atol=0)
    fake.ranges.follow(alone("cpu"))
    after = fake.ranges.state_dict()
    assert all(torch.equal(after[site], before[site]) for site in before)


def test_a_call_that_fails_leaves_the_next_one_right() -> None:
    fake = seen(FakeQuantized(made(), Ranges(), OPENVINO), images())
    before = fake(images())
    with pytest.raises(RuntimeError):
        fake(torch.rand(1, 4, SIDE, SIDE))
    torch.testing.assert_close(fake(images()), before, rtol=0, atol=0)


def test_quick_convolutions_are_rounded_too() -> None:
    spec = find_model("drsformer_s")
    torch.manual_seed(0)
    x, outputs = torch.rand(1, 3, 16, 16), []
    network = build_network(spec)
    plain = fake_quantized(network, spec, Quantization(), Path(), Ranges())
    seen(plain, x)
    assert "encoders.0.0.feed_forward.mix_small#1" in plain.ranges.state_dict()
    assert not any("matmul" in site for site in plain.ranges.state_dict())
    with torch.no_grad():
        outputs.append(plain(x))
        assert quicken(network) > 0
        outputs.append(plain(x))
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-3)


def test_scores_that_are_nearly_equal_fall_either_way_in_training() -> None:
    class Sorting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sort(dim=-1, descending=True, stable=True).indices

    scores = torch.tensor([[0.5, 0.5001, 3.0]]).expand(64, 3)
    network = FakeQuantized(Sorting(), Ranges(), OPENVINO, tie_noise=0.01)
    orders = network(scores)
    assert set(orders[:, 1].tolist()) == {0, 1}
    assert set(orders[:, 0].tolist()) == {2}
    assert torch.equal(network.eval()(scores), Sorting()(scores))


def test_parts_of_one_weight_are_rounded_apart() -> None:
    spec = find_model("ipt_s_derain")
    torch.manual_seed(0)
    network = build_network(spec)
    fake = fake_quantized(network, spec, Quantization(), Path(), Ranges())
    x = torch.rand(1, 3, spec.tile, spec.tile)
    seen(fake, x)
    with torch.no_grad():
        error = fake(x) - network(x)
    assert 0 < error.abs().max() < 0.002


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"target": "x68-openvino"}, UnknownNameError, "unknown target 'x68-openvino'"),
        ({"target": "gone.toml"}, InputError, "gone.toml: no such file"),
        ({"target": "bad.toml"}, RecipeError, "bad.toml: unknown key 'int9'"),
        ({"keep_float": ("layer.*",)}, InputError, "keep_float 'layer.*' matches no module"),
    ],
)
def test_bad_tables_are_told_in_one_line(
    changes: dict[str, object], error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text("int9 = 1")
    spec = find_model("drt_s")
    with pytest.raises(error, match=r"^[^\n]*$") as caught:
        fake_quantized(build_network(spec), spec, Quantization(**changes), tmp_path, Ranges())
    assert words in str(caught.value)


def test_networks_of_several_tasks_are_refused() -> None:
    spec = find_model("ipt_s")
    with pytest.raises(InputError, match="'ipt_s' holds several tasks"):
        fake_quantized(nn.Identity(), spec, Quantization(), Path(), Ranges())
