"""A network of the user's own: its file is executed, its checkpoint is not trusted."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgerestore.errors import CheckpointError, InputError
from edgerestore.networks.checkpoints import read_tensors
from edgerestore.networks.weights import check_tensors

LONGEST_MESSAGE = 160


class UnitRange(nn.Module):
    """A network whose black and white are ``low`` and ``high``, as one from 0 to 1.

    It shares the network's own tables of modules and tensors, so that every name stays what
    the user called it.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self._modules, self._parameters = network._modules, network._parameters
        self._buffers = network._buffers
        # Past nn.Module's own assignment, which would make it a module of itself.
        self.__dict__["network"] = network
        self.low, self.span = low, high - low

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.network(image * self.span + self.low)
        return (out - self.low) / self.span


def call_factory(path: Path, function: str) -> nn.Module:
    """Executes ``path`` and returns what ``function``, called without arguments, builds.

    In float32 on the CPU and in evaluation mode. Raises InputError, naming the line of the
    file, for whatever goes wrong.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix != ".py":
        raise InputError(f"{path}: not a Python file (.py)")
    with _importing_beside(path), _as_input_error(path):
        module = _execute(path)
    factory = getattr(module, function, None)
    if factory is None:
        raise InputError(f"{path}: has no function '{function}'")
    if not callable(factory):
        raise InputError(f"{path}: '{function}' is no function but {_article(factory)}")
    _require_no_arguments(path, function, factory)
    with _importing_beside(path), _as_input_error(path):
        network = factory()
    if not isinstance(network, nn.Module):
        raise InputError(
            f"{path}: '{function}' returned {_article(network)}, not a torch.nn.Module"
        )
    return network.to("cpu", torch.float32).eval().requires_grad_(False)


def load_tensors(network: nn.Module, name: str, path: Path) -> None:
    """Gives ``network`` the tensors of a ``.pth``, ``.pt`` or ``.safetensors`` file.

    Nothing in the file is executed; nesting and ``module.`` prefixes come off. Raises
    CheckpointError unless names and shapes are exactly the network's own and all is finite.
    """
    state = network.state_dict()
    for key, value in state.items():
        if not isinstance(value, Tensor) or torch.nn.parameter.is_lazy(value):
            raise InputError(f"'{name}' holds '{key}', whose size only its first run decides")
    tensors = read_tensors(path)
    counters = {k for k, v in state.items() if not v.is_floating_point()}
    # Counters such as BatchNorm's are checked as numbers, for names, shapes and finiteness.
    checked = {k: v.double() if _is_counter(k, v, counters) else v for k, v in tensors.items()}
    check_tensors(path, name, checked, {k: tuple(v.shape) for k, v in state.items()})
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of '{name}': {first_line(error)}"
        ) from error


def first_line(error: BaseException) -> str:
    """An error as its type and the first line of its message."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0][:LONGEST_MESSAGE]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_counter(key: str, value: Tensor, counters: set[str]) -> bool:
    return key in counters and value.layout == torch.strided and not value.is_quantized


def _execute(path: Path) -> object:
    # A name that no real module has: a file called json.py hides nothing.
    name = f"edgerestore_network_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _require_no_arguments(path: Path, function: str, factory: Any) -> None:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return
    optional = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
    if needed:
        raise InputError(
            f"{path}: '{function}' needs arguments ({', '.join(needed)}); name a function that "
            "takes none"
        )


@contextlib.contextmanager
def _importing_beside(path: Path) -> Iterator[None]:
    """Lets a file import its neighbours, as Python does, and leaves no caches among them."""
    folder, caching = str(path.resolve().parent), sys.dont_write_bytecode
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = caching
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


@contextlib.contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    """The user's code may raise anything, and may exit."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}{_line_of(path, error)}: {first_line(error)}") from error


def _line_of(path: Path, error: BaseException) -> str:
    """The line of the user's file that the error went through last, where it did."""
    places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno))
    own = [line for file, line in places if Path(file).resolve() == path.resolve()]
    return f", line {own[-1]}" if own else ""


def _article(value: object) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
