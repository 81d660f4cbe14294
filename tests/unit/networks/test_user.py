from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgerestore.errors import CheckpointError, InputError
from edgerestore.networks.user import UnitRange, call_factory, load_tensors

CONVOLUTION = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)).double()
"""

BAD_FILES: dict[str, tuple[str, str]] = {
    "syntax error": ("def build(:\n", r"line 1: SyntaxError: invalid syntax"),
    "import that is absent": ("import nothing_such\n", r"line 1: ModuleNotFoundError: No module"),
    "raises when read": ("\nraise OSError('no\\nway')\n", r"line 2: OSError: no$"),
    "exits": ("import sys\nsys.exit(2)\n", r"line 2: SystemExit: 2"),
    "no such function": ("def make(): pass\n", r"has no function 'build'"),
    "no function": ("build = 3\n", r"'build' is no function but an int"),
    "needs arguments": (
        "def build(scale, *, width, depth=2, **rest): pass\n",
        r"'build' needs arguments \(scale, width\); name a function that takes none",
    ),
    "factory raises": (
        "def inner():\n    raise ValueError('too wide')\ndef build():\n    return inner()\n",
        r"line 2: ValueError: too wide",
    ),
    "no module": ("def build():\n    return {}\n", r"'build' returned a dict, not a torch.nn"),
}


@pytest.fixture
def network(tmp_path: Path) -> nn.Module:
    (tmp_path / "net.py").write_text(CONVOLUTION)
    return call_factory(tmp_path / "net.py", "build")


@pytest.mark.parametrize("case", BAD_FILES)
def test_file_that_gives_no_network_is_one_line(case: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[case]
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        call_factory(tmp_path / "net.py", "build")
    assert str(caught.value).startswith(f"{tmp_path}/net.py")
    assert "\n" not in str(caught.value)


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"net\.py: no such file"):
        call_factory(tmp_path / "net.py", "build")
    (tmp_path / "net.pth").touch()
    with pytest.raises(InputError, match="not a Python file"):
        call_factory(tmp_path / "net.pth", "build")


def test_network_comes_in_float32_and_for_inference(network: nn.Module) -> None:
    assert not any(module.training for module in network.modules())
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())


def test_file_imports_its_neighbours_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_json.py").write_text("WIDTH = 5\n")
    (tmp_path / "json.py").write_text(
        "from torch import nn\nfrom neighbour_of_json import WIDTH\n"
        "def build():\n    return nn.Conv2d(3, WIDTH, 1)\n"
    )
    before = list(sys.path)
    network = call_factory(tmp_path / "json.py", "build")
    assert network.out_channels == 5
    assert sys.path == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["json.py", "neighbour_of_json.py"]
    assert not hasattr(sys.modules["json"], "build")


@pytest.mark.parametrize("nested", [None, "params", "params_ema", "state_dict", "model"])
def test_checkpoint_is_read_wherever_it_is_nested(
    nested: str | None, tmp_path: Path, network: nn.Module
) -> None:
    state = {f"module.{k}": v.half() for k, v in filled(network).items()}
    torch.save({nested: state, "epoch": 3} if nested else state, tmp_path / "net.pth")
    load_tensors(network, "net", tmp_path / "net.pth")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[f"module.{key}"].to(value.dtype)), key


def test_safetensors_are_read(tmp_path: Path, network: nn.Module) -> None:
    state = filled(network)
    save_file(state, tmp_path / "net.safetensors")
    load_tensors(network, "net", tmp_path / "net.safetensors")
    assert torch.equal(network[0].weight, state["0.weight"])


MISFITS: dict[str, tuple[Callable[[dict], object], str]] = {
    "missing": (lambda s: s.pop("2.bias"), r"'net': 1 missing \(2.bias\); none unexpected"),
    "counter missing": (lambda s: s.pop("1.num_batches_tracked"), r"1 missing \(1.num_batches"),
    "unexpected": (lambda s: s.update(x=torch.ones(1)), r"none missing; 1 unexpected \(x\)"),
    "shape": (lambda s: s.update({"0.bias": torch.ones(5)}), r"'0.bias' is \(5,\), but 'net' n"),
    "not finite": (lambda s: s["0.bias"].fill_(torch.nan), r"'0.bias' holds NaN or infinity"),
    "integers": (lambda s: s.update({"0.bias": torch.ones(4, dtype=torch.int8)}), "no plain tens"),
    "sparse": (lambda s: s.update({"0.bias": torch.ones(4).to_sparse()}), "no plain tensor"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_checkpoint_that_does_not_fit_is_one_line(
    case: str, tmp_path: Path, network: nn.Module
) -> None:
    change, message = MISFITS[case]
    state = filled(network)
    change(state)
    torch.save(state, tmp_path / "net.pth")
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(CheckpointError, match=message) as caught:
        load_tensors(network, "net", tmp_path / "net.pth")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_checkpoint_that_holds_code_is_not_executed(tmp_path: Path, network: nn.Module) -> None:
    torch.save({"state_dict": nn.Conv2d(3, 3, 1)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"holds the Python object 'torch\.nn"):
        load_tensors(network, "net", tmp_path / "net.pth")


def test_network_whose_sizes_are_unknown_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1)}, tmp_path / "net.pth")
    with pytest.raises(InputError, match="whose size only its first run decides"):
        load_tensors(nn.LazyConv2d(3, 1), "net", tmp_path / "net.pth")


@pytest.mark.parametrize("bounds", [(0.0, 255.0), (-1.0, 1.0), (16.0, 235.0)])
def test_wrapper_is_exactly_the_network_in_its_own_range(
    bounds: tuple[float, float], network: nn.Module
) -> None:
    low, high = bounds
    wrapped = UnitRange(network, low, high)
    image = torch.rand(2, 3, 9, 11)
    own = network(image * (high - low) + low)
    assert torch.equal(wrapped(image), (own - low) / (high - low))


def test_wrapper_keeps_every_name_through_copies(network: nn.Module) -> None:
    wrapped = copy.deepcopy(UnitRange(network, 0, 255))
    assert list(wrapped.state_dict()) == list(network.state_dict())
    with torch.no_grad():
        wrapped.get_parameter("2.bias").add_(255)
    image = torch.rand(1, 3, 9, 9)
    moved = wrapped(image) - UnitRange(network, 0, 255)(image)
    assert torch.allclose(moved, torch.ones(1), atol=1e-5)


def filled(network: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {k: torch.rand(v.shape).to(v.dtype) for k, v in network.state_dict().items()}
