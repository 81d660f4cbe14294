"""What modules inside a network return while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from edgerestore.errors import InputError, UnknownNameError


class Tap:
    """Keeps the outputs of some of a network's modules, named by their paths.

    Raises UnknownNameError for a path that the network does not have.
    """

    def __init__(self, network: nn.Module, paths: Iterable[str]) -> None:
        modules = {path: module for path, module in network.named_modules() if path}
        self._paths = tuple(dict.fromkeys(paths))
        self._outputs: dict[str, object] = {}
        for path in self._paths:
            if path not in modules:
                raise UnknownNameError("module", path, modules)
            modules[path].register_forward_hook(self._keeper(path))

    def take(self) -> dict[str, Tensor]:
        """Outputs of the last run by path; a module's last one where it recurs.

        Raises InputError for a module that did not run or whose output is no tensor.
        """
        taken = {}
        for path in self._paths:
            output = self._outputs.pop(path, None)
            if not isinstance(output, Tensor):
                what = "does not run in every step" if output is None else "returns no tensor"
                raise InputError(f"module '{path}' {what}; take another one's features")
            taken[path] = output
        return taken

    def _keeper(self, path: str) -> Callable[[nn.Module, object, object], None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            self._outputs[path] = output

        return keep
