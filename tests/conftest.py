"""What unit and contract tests share: runtimes that may be absent, and networks with weights."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from edgerestore.backends import find_backend
from edgerestore.shipped import shipped_folder

if TYPE_CHECKING:
    import onnx
    from torch import nn

# A shell that starts us in the background hands an ignored SIGINT down to every child; the
# processes that tests interrupt must see it as a terminal's would.
signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRED = "EDGERESTORE_REQUIRED_BACKENDS"
"""Comma-separated backends whose absence fails tests that would else be skipped."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, or fails where the backend is required, a test whose backend is absent.

    ``needs_backend(name)`` needs a backend that executes here; with ``builds=True`` its
    package is enough. A required backend must be installed; a GPU cannot be required.
    """
    for mark in item.iter_markers("needs_backend"):
        reason = why_not(*mark.args, **mark.kwargs)
        if reason is None:
            continue
        name = mark.args[0]
        if name in required_backends() and find_backend(name).version() is None:
            pytest.fail(f"{name} is in {REQUIRED}, but: {reason}", pytrace=False)
        pytest.skip(reason)


def why_not(name: str, *, builds: bool = False) -> str | None:
    backend = find_backend(name)
    if builds and backend.version() is not None:
        return None
    return backend.why_not()


def required_backends() -> list[str]:
    names = [name for name in os.environ.get(REQUIRED, "").split(",") if name]
    for name in names:
        find_backend(name)
    return names


def filled_values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor's values from its name alone, as in tests/golden: scaled so that nothing fades."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    values = values.astype(np.float32)
    if len(shape) > 1:
        return values * np.float32(0.5 / np.sqrt(np.prod(shape[1:])))
    offset = 1 if name.endswith(("weight", "scale")) else 0
    return np.float32(0.1) * values + np.float32(offset)


@pytest.fixture(scope="session")
def filled_network() -> Callable[[str], nn.Module]:
    """Builds a model's reference form with weights that depend on their names alone."""
    torch = pytest.importorskip("torch")
    from edgerestore.networks import build_network, find_model

    def build(model: str) -> nn.Module:
        network = build_network(find_model(model)).requires_grad_(False)
        state = network.state_dict()
        network.load_state_dict(
            {k: torch.from_numpy(filled_values(k, tuple(v.shape))) for k, v in state.items()}
        )
        return network

    return build


@pytest.fixture(scope="session")
def evaluation_folder() -> Path:
    """The shipped pairs: ``HR`` and ``LR_bicubic/X2``, ``X3``, ``X4``."""
    return shipped_folder("calibration") / "evaluation" / "photos"


@pytest.fixture(scope="session")
def weights(tmp_path_factory, filled_network: Callable[[str], nn.Module]) -> Path:
    """Made-up weights of esrt_s_x2, in the file that builds take."""
    from edgerestore.networks import find_model
    from edgerestore.networks.weights import save_weights

    path: Path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    state = filled_network("esrt_s_x2").state_dict()
    save_weights(path, find_model("esrt_s_x2"), state, {})
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, evaluation_folder: Path) -> Path:
    """Corners of two shipped pairs: 40 x 40 and 80 x 80."""
    root: Path = tmp_path_factory.mktemp("data") / "pairs"
    for folder, suffix, side in (("HR", "", 80), ("LR_bicubic/X2", "x2", 40)):
        (root / folder).mkdir(parents=True)
        for name in ("friends-dog", "rocket-night"):
            with Image.open(evaluation_folder / folder / f"{name}{suffix}.png") as image:
                image.crop((0, 0, side, side)).save(root / folder / f"{name}{suffix}.png")
    return root


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """Corners of some shipped calibration pictures, 48 x 24."""
    folder: Path = tmp_path_factory.mktemp("photographs")
    for path in sorted((shipped_folder("calibration") / "photos").glob("*.png"))[::12]:
        with Image.open(path) as image:
            image.crop((0, 0, 48, 24)).save(folder / path.name)
    return folder


@pytest.fixture(scope="session")
def crops16(photographs: Path) -> np.ndarray:
    """Eight crops of shipped calibration pictures, 8 x 3 x 16 x 16 in [0, 1]."""
    from edgerestore.calibration import crops, read_set

    return crops(read_set(photographs).images, 16, per_picture=2)[:8]


@pytest.fixture(scope="session")
def graph16(filled_network: Callable[[str], nn.Module]) -> onnx.ModelProto:
    """esrt_s_x2 in its deployable form, exported for tiles of 16. Not to be changed."""
    from edgerestore.compress.rewrites import deployable
    from edgerestore.export.onnx import onnx_from_module

    rewritten, _ = deployable(filled_network("esrt_s_x2"))
    return onnx_from_module(rewritten, 16)
