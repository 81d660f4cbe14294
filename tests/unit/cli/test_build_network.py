"""A network of the user's own, from its file to a restored picture."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="a user's network is torch's")

from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402

import edgerestore as package  # noqa: E402
from edgerestore.bundle import Bundle, read_bundle  # noqa: E402
from edgerestore.cli import main  # noqa: E402

EXAMPLE = Path(package.__file__).parents[1] / "benchmarks" / "examples" / "rfdn.py"
SET5_FLOOR_DB = 32.1
"""32.14 measured, tiled; 32.16 on whole images. In the wrong value range it is 26."""

pytestmark = pytest.mark.needs_backend("onnxruntime")

NETWORKS = """
import torch
from torch import nn

class Windows(nn.Module):
    '''Takes multiples of 8, and whole grey levels from 0 to 255.'''
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 8, stride=8)
        self.middle = nn.Conv2d(3, 6, 1)
        self.last = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x):
        n, c, h, w = x.shape
        x.view(n, c, h // 8, 8, w // 8, 8)
        print("a network may print")
        return x.round().clamp(0, 255) + 0.1 * self.last(self.middle(x))

def windows():
    return Windows()

class OneSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.place = nn.Parameter(torch.zeros(3, 96, 96))

    def forward(self, x):
        return self.conv(x) + self.place

def one_size():
    return OneSize()

def odd():
    return nn.Conv2d(3, 3, 3)

def needs(scale):
    return Windows()

def fails():
    raise RuntimeError("no\\nway")

def nothing():
    return None

class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(x) + x.nonzero().sum() * 0.5

def counting():
    return Counting()

class Loud(nn.Module):
    '''Reaches 1e5 between two convolutions.'''
    def __init__(self):
        super().__init__()
        self.up = nn.Conv2d(3, 3, 1, bias=False)
        self.down = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))

def loud():
    return Loud()

class Root(Loud):
    def forward(self, x):
        return torch.sqrt(self.up(x) - 1e6)

def root():
    return Root()
"""


def seeded(state: dict[str, Tensor], seed: int = 0) -> dict[str, Tensor]:
    """Made-up weights under which no value fades or grows without bounds."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator) * 0.5 / value[0].numel() ** 0.5
        for name, value in state.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The networks in ``nets.py``, RFDN in ``rfdn.py``, and made-up weights."""
    from edgerestore.networks.user import call_factory

    place: Path = tmp_path_factory.mktemp("networks")
    (place / "nets.py").write_text(NETWORKS)
    (place / "broken.py").write_text("def build(:\n")
    (place / "rfdn.py").write_text(EXAMPLE.read_text())
    for file, function in (
        ("nets.py", "windows"),
        ("rfdn.py", "rfdn_x4"),
        ("nets.py", "odd"),
        ("nets.py", "one_size"),
    ):
        state = seeded(call_factory(place / file, function).state_dict())
        torch.save({"params_ema": state}, place / f"{function}.pth")
    eye = torch.eye(3)[..., None, None]
    torch.save({"up.weight": 1e5 * eye, "down.weight": -0.5e-5 * eye}, place / "loud.pth")
    torch.save({"conv.weight": torch.ones(3, 3, 1, 1), "conv.bias": torch.ones(3)}, place / "c.pt")
    return place


BUILD = "--target x86-onnxruntime --precision"


def test_published_example_goes_all_the_way(
    folder: Path, tmp_path: Path, edgerestore, pairs: Path, photographs: Path
) -> None:
    out = tmp_path / "out"
    # x4 pairs from x2 ones: the corners' own halves stand for low resolution.
    done = edgerestore(
        "build", "--network", "rfdn.py:rfdn_x4", "--weights", "rfdn_x4.pth", *BUILD.split(),
        "fp32,int8", "--out", out, "--data", x4_pairs(pairs, tmp_path), "--calibration",
        photographs, "--tile", 20, "--overlap", 4, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    notes = done.stderr.splitlines()
    assert notes[0] == "note: found by trying: scale 4, sides: multiples of 1, at least 15"
    assert notes[1].startswith("note: value range 0 to 1 assumed: ")
    bundle = read_bundle(out / "rfdn-int8-x86-onnxruntime")
    model = bundle.manifest.model
    assert (model.name, model.task, model.scale, model.border) == ("rfdn", "super-resolution", 4, 4)
    assert model.params == 433_448
    assert model.config["network"] == "rfdn.py:rfdn_x4"
    assert model.config["found_by_trying"] == ["scale", "minimum", "multiple_of", "value_range"]
    kept = next(p.settings for p in bundle.manifest.passes if p.name == "int8")["keep_float"]
    assert kept == ["fea_conv", "upsampler.0"]
    assert edgerestore("check", bundle.path).returncode == 0
    source = next((pairs / "LR_bicubic" / "X2").glob("*.png"))
    assert edgerestore("restore", bundle.path, source, tmp_path / "r.png").returncode == 0
    with Image.open(tmp_path / "r.png") as image:
        assert image.size == (160, 160)


def x4_pairs(pairs: Path, tmp_path: Path) -> Path:
    root = tmp_path / "x4"
    for kind in ("HR", "LR_bicubic/X4"):
        (root / kind).mkdir(parents=True)
    for path in (pairs / "HR").glob("*.png"):
        with Image.open(path) as image:
            image.save(root / "HR" / path.name)
            image.reduce(4).save(root / "LR_bicubic" / "X4" / f"{path.stem}x4.png")
    return root


def test_network_of_an_unknown_task_is_verified_and_not_gated(
    folder: Path, tmp_path: Path, edgerestore
) -> None:
    done = edgerestore(
        "build", "--network", folder / "nets.py:windows", "--weights", folder / "windows.pth",
        *BUILD.split(), "fp32", "--name", "mine", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["notes"][-1].startswith("no pairs given: accuracy was not gated")
    assert "value range 0 to 255" in document["notes"][1]
    assert document["bundles"][0]["accuracy"] is None
    bundle = read_bundle(tmp_path / "out" / "mine-fp32-x86-onnxruntime")
    manifest = bundle.manifest
    assert manifest.parity.status == "verified"
    assert (manifest.model.scale, manifest.model.border, manifest.contract.tile) == (1, 0, 48)
    assert manifest.model.config["multiple_of"] == manifest.model.config["minimum"] == 8
    assert manifest.model.config["value_range"] == [0, 255]
    assert "a network may print" in done.stderr


def test_network_of_one_size_larger_than_the_shipped_pictures_is_built(
    folder: Path, tmp_path: Path, edgerestore
) -> None:
    line = ["build", "--network", "nets.py:one_size", "--weights", "one_size.pth"]
    line += ["--target", "x86-onnxruntime", "--out", tmp_path / "out"]
    done = edgerestore(*line, "--precision", "fp32", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "sides: 96" in done.stderr
    (bundle,) = read_all(tmp_path / "out")
    assert bundle.manifest.contract.tile == 96
    done = edgerestore(*line, "--precision", "int8", cwd=folder)
    assert done.returncode == 3
    assert "64 x 64, smaller than the tile of 96 x 96" in done.stderr.splitlines()[-1]
    assert "note: INT8 ranges are collected on the shipped photographs" in done.stderr


def test_recipe_declares_what_options_declare(folder: Path, tmp_path: Path, edgerestore) -> None:
    (folder / "mine.toml").write_text(
        'model = "mine"\nweights = "windows.pth"\n'
        '[network]\nfactory = "nets.py:windows"\nscale = 1\nminimum = 8\nmultiple_of = 8\n'
        'value_range = [0, 255]\ntask = "denoising"\nkeep_float = ["last"]\nborder = 3\ntile = 32\n'
        '[build]\ntargets = ["x86-onnxruntime"]\nprecisions = ["fp32"]\n'
    )
    done = edgerestore("build", folder / "mine.toml", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (bundle,) = read_all(tmp_path / "out")
    manifest = bundle.manifest
    assert (manifest.model.task, manifest.model.border, manifest.contract.tile) == (
        "denoising", 3, 32,
    )  # fmt: skip
    assert manifest.model.config["found_by_trying"] == []
    assert "found by trying" not in done.stderr


def read_all(out: Path) -> list[Bundle]:
    return [read_bundle(path) for path in sorted(out.iterdir())]


BAD: dict[str, tuple[str, str]] = {
    "nothing to build": ("", "nothing to build: give a model's name, a recipe file or --network"),
    "fact of a model of ours": ("esrt_s_x2 --scale 2", "'esrt_s_x2' is given: --network, --name"),
    "no such file": ("--network gone.py:f --weights odd.pth", "gone.py: no such file"),
    "no function named": ("--network nets.py --weights odd.pth", "must be FILE.py:FUNCTION"),
    "no such function": ("--network nets.py:f --weights odd.pth", "has no function 'f'"),
    "syntax error": (
        "--network broken.py:build --weights odd.pth",
        "broken.py, line 1: SyntaxError: invalid syntax",
    ),
    "factory raises": (
        "--network nets.py:fails --weights odd.pth",
        "nets.py, line 41: RuntimeError: no",
    ),
    "factory needs arguments": (
        "--network nets.py:needs --weights odd.pth",
        "'needs' needs arguments (scale); name a function that takes none",
    ),
    "no module": ("--network nets.py:nothing --weights odd.pth", "returned a NoneType, not a"),
    "odd output": ("--network nets.py:odd --weights odd.pth", "64 x 64 came out as 62 x 62"),
    "no weights": ("--network nets.py:odd", "no weights are shipped for 'nets'; give --weights"),
    "absent weights": ("--network nets.py:odd --weights gone.pth", "gone.pth: no such weights"),
    "weights of another network": (
        "--network nets.py:odd --weights windows.pth",
        "windows.pth: not a checkpoint of 'nets': 2 missing (weight, bias); 6 unexpected",
    ),
    "weights are code": ("--network nets.py:odd --weights nets.py", "nets.py: damaged or not a"),
    "channels": (
        "--network nets.py:windows --weights windows.pth --channels 1",
        "takes 1 channels; bundles hold RGB networks",
    ),
    "scale": ("--network nets.py:windows --weights windows.pth --scale 2", "that is scale 1"),
    "tile": (
        "--network nets.py:windows --weights windows.pth --tile 50",
        "--tile 50: 'nets' takes multiples of 8, at least 8; the nearest: 48 and 56",
    ),
    "value range": (
        "--network nets.py:odd --weights odd.pth --value-range 255",
        "Invalid value for '--value-range': '255' is not two numbers such as 0,255.",
    ),
    "value range that falls": (
        "--network nets.py:odd --weights odd.pth --value-range 255,0",
        "must be finite and grow",
    ),
    "name of ours": (
        "--network nets.py:odd --weights odd.pth --name esrt_x2",
        "'esrt_x2' is a model of edgerestore; give another --name",
    ),
    "name with a slash": ("--network nets.py:odd --weights odd.pth --name a/b", "--name 'a/b': l"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_network_is_one_line_and_leaves_nothing(
    case: str, folder: Path, tmp_path: Path, monkeypatch, capfd
) -> None:
    """In this process, which has torch at hand: a new one takes seconds to get it."""
    line, message = BAD[case]
    before = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    handler = signal.getsignal(signal.SIGTERM)
    code = main(["build", *line.split(), "--out", str(tmp_path / "out")])
    signal.signal(signal.SIGTERM, handler)
    stdout, stderr = capfd.readouterr()
    assert message in stderr
    own = [text for text in stderr.splitlines() if text != "a network may print"]
    assert len(own) == 1, stderr
    assert own[0].startswith("edgerestore: ")
    assert (code, stdout) == (3, "")
    assert list(tmp_path.iterdir()) == []
    assert sorted(folder.iterdir()) == before


DECLARED = "--scale 1 --size-multiple 1 --size-minimum 8 --value-range 0,1 --tile 16"


def test_network_that_would_overflow_in_fp16_is_built_and_says_what_stays(
    folder: Path, tmp_path: Path, edgerestore
) -> None:
    done = edgerestore(
        "build", "--network", "nets.py:loud", "--weights", "loud.pth", *DECLARED.split(),
        "--target", "jetson-tensorrt", "--precision", "fp16", "--out", tmp_path, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = next(line for line in done.stdout.splitlines() if line.startswith("nets in fp16"))
    assert "4 of 4 operators stay in FP32: 2 Conv: up#1, " in said
    assert "reaches 1e+05" in said
    (bundle,) = read_all(tmp_path)
    (settings,) = (p.settings for p in bundle.manifest.passes if p.name == "fp16")
    assert set(settings["kept"]) == {"up#1", "relu#1", "down#1", "add#1"}


def test_network_that_gives_nan_is_one_line(folder: Path, tmp_path: Path, edgerestore) -> None:
    done = edgerestore(
        "build", "--network", "nets.py:root", "--weights", "loud.pth", *DECLARED.split(),
        *BUILD.split(), "fp32", "--out", tmp_path / "out", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 1
    said = "edgerestore: nets: 768 of 768 values are NaN or infinite in its output for tile 1"
    assert done.stderr.splitlines()[-1].startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_operator_that_backends_refuse_is_one_line(
    folder: Path, tmp_path: Path, edgerestore
) -> None:
    done = edgerestore(
        "build", "--network", "nets.py:counting", "--weights", "c.pt", "--value-range", "0,1",
        *BUILD.split(), "fp32", "--out", tmp_path / "out", cwd=folder,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("edgerestore: the ")
    assert "NonZero" in last or "cannot be exported" in last
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_published_weights_restore_as_published(
    folder: Path, shared: Path, tmp_path: Path, edgerestore
) -> None:
    checkpoint = shared / "checkpoints" / "NTIRE2022_ESR" / "RFDN_x4.pth"
    done = edgerestore(
        "build", "--network", "rfdn.py:rfdn_x4", "--weights", checkpoint, *BUILD.split(),
        "fp32", "--out", tmp_path / "out", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "found by trying: value range 0 to 255" in done.stderr
    (bundle,) = read_all(tmp_path / "out")
    done = edgerestore("evaluate", bundle.path, "--data", shared / "data" / "sr" / "Set5", "--json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["bundles"]
    assert entry["psnr_y_db"]["mean"] > SET5_FLOOR_DB
