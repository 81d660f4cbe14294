"""A network whose products read rounded values, found by the calls that it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgerestore.compress.quantization.steps import HALF, MOST
from edgerestore.errors import InputError
from edgerestore.recipe import Int8Rules
from edgerestore.recipe.patterns import names_module
from edgerestore.train.depthwise import quick_conv2d
from edgerestore.train.quantization.ranges import Ranges
from edgerestore.train.quantization.rounding import rounded_activation, rounded_weight

OF_ACTIVATIONS = "matmul"
"""A layer's products of two activations, as a module of it; the exporter's graphs say so, too."""


class FakeQuantized(nn.Module):
    """Runs a network with its products' inputs rounded as a target's rules say.

    A weight has one quantizer, however many calls read it; an activation has its own range at
    each call of each product, the two factors of attention among them. Weights, their names and
    the module's state stay as they are: rounding is in the forward pass alone, and its
    gradient is 1. In training mode ``ranges`` notes what it sees, and a product whose ranges are
    not known yet is not rounded. Raises InputError for a pattern that matches no module.
    """

    def __init__(
        self,
        network: nn.Module,
        ranges: Ranges,
        rules: Int8Rules,
        keep_float: Sequence[str] = (),
        tie_noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.ranges, self.rules = ranges, rules
        self.keep_float = tuple(keep_float)
        self.tie_noise = tie_noise
        names = [name for name, _ in network.named_modules() if name]
        _check(self.keep_float, [*names, *map(_of_activations, ["", *names])])
        self._running: list[str] = []
        for name, module in network.named_modules():
            module.register_forward_pre_hook(self._enters(name))
            module.register_forward_hook(self._leaves, always_call=True)

    def forward(self, *inputs: Any) -> Tensor:
        """What the network returns for the same."""
        with _Rounding(self):
            output: Tensor = self.network(*inputs)
        return output

    @property
    def running(self) -> str:
        """The innermost module that is being called; empty for the network itself."""
        return self._running[-1] if self._running else ""

    def keeps(self, module: str) -> bool:
        """Whether a module stays in float."""
        return any(names_module(pattern, module) for pattern in self.keep_float)

    def rounded(self, site: str, x: Tensor, *, factor: bool, second: bool = False) -> Tensor | None:
        """What a product reads in place of ``x``, which is one of two factors or the only one.

        None where no range is known. A ``second`` factor has the least room that the rules
        leave any: graphs give more of it to what a softmax weighs.
        """
        if self.training:
            self.ranges.see(site, x)
        known = self.ranges[site]
        if known is None:
            return None
        low, high = known.unbind()
        symmetric: bool | Tensor = self.rules.symmetric
        if factor and self.rules.symmetric_factors:
            symmetric = symmetric | (low < 0)
        most = HALF if second and self.rules.int16_pairs else MOST
        return rounded_activation(x, low, high, symmetric=symmetric, most=most)

    def _enters(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: object) -> None:
            self._running.append(name)

        return enter

    def _leaves(self, module: nn.Module, inputs: object, output: object) -> None:
        self._running.pop()


class _Rounding(TorchFunctionMode):
    """One call of a network, during which torch's products read rounded values."""

    def __init__(self, owner: FakeQuantized) -> None:
        super().__init__()
        self._owner = owner
        self._calls: Counter[str] = Counter()
        self._weights: dict[int, tuple[Tensor, Tensor]] = {}
        """Each weight with its rounded form; kept, or another one could get its identity."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in OF_WEIGHTS:
            return self._of_weight(func, *args, **kwargs)
        if func in MATMULS:
            return self._matmul(*args)
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        if func is Tensor.sort and self._owner.training and self._owner.tie_noise:
            scores, *others = args
            scores = scores + self._owner.tie_noise * torch.randn_like(scores)
            return func(scores, *others, **kwargs)
        return func(*args, **kwargs)

    def _of_weight(self, func: Callable[..., Tensor], x: Tensor, weight: Tensor, *args: Any) -> Any:
        module = self._owner.running
        if self._owner.keeps(module):
            return func(x, weight, *args)
        rounded = self._owner.rounded(self._site(module), x, factor=False)
        if rounded is None:
            return func(x, weight, *args)
        if id(weight) not in self._weights:
            pairs = self._owner.rules.int16_pairs
            self._weights[id(weight)] = weight, rounded_weight(weight, int16_pairs=pairs)
        return func(rounded, self._weights[id(weight)][1], *args)

    def _matmul(self, first: Tensor, second: Tensor) -> Tensor:
        owner = self._owner
        module = _of_activations(owner.running)
        if owner.keeps(module):
            return first @ second
        site = self._site(module)
        one = owner.rounded(f"{site}.first", first, factor=True)
        other = owner.rounded(f"{site}.second", second, factor=True, second=True)
        return first @ second if one is None or other is None else one @ other

    def _attention(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        *,
        scale: float | None = None,
    ) -> Tensor:
        if self._owner.keeps(_of_activations(self._owner.running)):
            return F.scaled_dot_product_attention(q, k, v, attn_mask, scale=scale)
        q = q * (q.shape[-1] ** -0.5 if scale is None else scale)
        scores = self._matmul(q, k.transpose(-2, -1))
        if attn_mask is not None:
            scores = scores + attn_mask
        return self._matmul(torch.softmax(scores, dim=-1), v)

    def _site(self, module: str) -> str:
        self._calls[module] += 1
        return f"{module}#{self._calls[module]}"


OF_WEIGHTS = (F.conv2d, F.linear, quick_conv2d)
MATMULS = (Tensor.matmul, Tensor.__matmul__, torch.matmul)


def _of_activations(layer: str) -> str:
    return f"{layer}.{OF_ACTIVATIONS}" if layer else OF_ACTIVATIONS


def _check(patterns: Sequence[str], modules: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(names_module(pattern, module) for module in modules):
            raise InputError(
                f"[train.quantization]: keep_float '{pattern}' matches no module of the network"
            )
