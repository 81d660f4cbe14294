"""DRSformer's attention with one order of its scores, its convolutions depthwise or joined."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgerestore.compress.rewrites.replacing import replace_each
from edgerestore.networks.drsformer import (
    EXPERTS,
    MixedScaleFeedForward,
    MixtureStep,
    TopKAttention,
)

SMALLEST_NORM = 1e-12
"""Smallest norm that is divided by, as in the reference form."""


def sort_scores_once(network: nn.Module) -> int:
    """Puts :class:`SortedAttention` in the place of every top-k attention."""
    return replace_each(network, TopKAttention, SortedAttention)


class SortedAttention(nn.Module):
    """The same function as the top-k attention it is made from.

    - Sorted scores need no masks that depend on data: which places of a row a copy keeps is
      known beforehand, and with them the four softmaxes are one exponential each score, four
      sums and four quotients. Their weighted sum goes back into the scores' own order and
      is multiplied with v once.
    - Equal scores stay what they are: the sort is stable, and places are told apart by rank
      and not by value. A comparison with the k-th largest value would keep all equals of it.
    - q and k are made unit vectors before their product, so that nothing the size of the
      image is summed after it.
    """

    def __init__(self, source: TopKAttention) -> None:
        super().__init__()
        self.heads = source.heads
        self.qkv, self.depthwise, self.proj = source.qkv, source.depthwise, source.proj
        self.temperature = source.temperature
        places = torch.arange(source.qkv.in_channels // source.heads)
        kept = torch.stack([places < kept for kept in source.kept]).to(source.temperature)
        self.weights = nn.Parameter(torch.cat(list(source.weights)).detach())
        self.kept: Tensor
        self.register_buffer("kept", kept)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        qkv = self.depthwise(self.qkv(x)).reshape(n, 3 * self.heads, -1, height * width)
        qk, v = qkv.split([2 * self.heads, self.heads], dim=1)
        norms = torch.linalg.vector_norm(qk, dim=-1, keepdim=True)
        q, k = (qk / norms.clamp_min(SMALLEST_NORM)).chunk(2, dim=1)
        scores = q @ k.transpose(2, 3) * self.temperature
        out = self._combined(scores) @ v
        projected: Tensor = self.proj(out.reshape(n, -1, height, width))
        return projected

    def _combined(self, scores: Tensor) -> Tensor:
        """The weighted sum of the four sparse softmaxes: N x heads x c x c -> the same."""
        ordered, index = scores.sort(dim=-1, descending=True, stable=True)
        share = torch.softmax(ordered, dim=-1)
        coefficients = self.weights / (share @ self.kept.t())
        share = share * (coefficients @ self.kept)
        # In float, which every backend's sort takes.
        place = index.to(scores.dtype).sort(dim=-1, descending=False, stable=True).indices
        return share.gather(-1, place)


def pair_depthwise(network: nn.Module) -> int:
    """Puts :class:`PairedFeedForward` in the place of every mixed-scale feed-forward."""
    return replace_each(network, MixedScaleFeedForward, PairedFeedForward)


class PairedFeedForward(nn.Module):
    """The same function as the mixed-scale feed-forward it is made from, in depthwise convolutions.

    A grouped convolution from two channels to one has no fast kernel anywhere: it takes a
    third of DRSformer's time in OpenVINO. It is the sum of two depthwise ones, over the first
    and over the second channel of each group. The first convolution's outputs can be put in
    any order, so two of half its width give all first channels and all second ones.

    With an odd hidden width h, groups of the larger kernels are off by one channel against
    those of the smaller, and one group of each half joins a channel of both. A slice shifted
    by one, and three channels computed twice, bring all of them together.
    """

    def __init__(self, source: MixedScaleFeedForward) -> None:
        super().__init__()
        plan = _Pairing(source.mix_small.out_channels)
        self.expands = nn.ModuleList(
            _selected(source.expand, torch.tensor(part)) for part in (plan.evens, plan.odds)
        )
        small, large = source.small.weight.detach(), source.large.weight.detach()
        lent = large[plan.odds]
        for slot in plan.lent:
            lent[slot] = _framed(small[plan.odds[slot]])
        firsts = ((small[plan.evens], small[plan.odds]), (large[plan.evens], lent))
        mixes = torch.cat([_framed(source.mix_small.weight), source.mix_large.weight.detach()])
        reduce = source.reduce.weight.detach()
        self.branches = nn.ModuleList()
        for (even, odd), shift, groups in zip(
            firsts, (0, plan.shift), (plan.small_groups, plan.large_groups), strict=True
        ):
            even_mix, odd_mix = (mixes.new_zeros(len(part), 1, 5, 5) for part in (even, odd))
            columns = reduce.new_zeros(reduce.shape[0], plan.width, 1, 1)
            for slot, group in enumerate(groups):
                if group is not None:
                    number, first_is_even = group
                    even_mix[slot + shift, 0] = mixes[number, 0 if first_is_even else 1]
                    odd_mix[slot, 0] = mixes[number, 1 if first_is_even else 0]
                    columns[:, slot] = reduce[:, number]
            self.branches.append(_PairedBranch(even, odd, even_mix, odd_mix, columns, shift))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        evens, odds = (expand(x) for expand in self.expands)
        small, large = (branch(evens, odds) for branch in self.branches)
        out: Tensor = small + large
        return out


class _PairedBranch(nn.Module):
    """What becomes of one kernel size: its first channels and its second, mixed and reduced."""

    def __init__(
        self,
        even: Tensor,
        odd: Tensor,
        even_mix: Tensor,
        odd_mix: Tensor,
        columns: Tensor,
        shift: int,
    ) -> None:
        super().__init__()
        self.shift, self.width = shift, len(odd)
        self.even, self.odd = _depthwise(even), _depthwise(odd)
        self.even_mix, self.odd_mix = _depthwise(even_mix), _depthwise(odd_mix)
        self.reduce = nn.Conv2d(columns.shape[1], columns.shape[0], 1, bias=False)
        self.reduce.weight.data = columns

    def forward(self, evens: Tensor, odds: Tensor) -> Tensor:
        mixed = self.even_mix(torch.relu(self.even(evens)))
        if mixed.shape[1] > self.width:
            mixed = mixed[:, self.shift : self.shift + self.width]
        mixed = mixed + self.odd_mix(torch.relu(self.odd(odds)))
        out: Tensor = self.reduce(torch.relu(mixed))
        return out


class _Pairing:
    """Where the channels of a mixed-scale feed-forward of this hidden width go.

    ``evens`` and ``odds`` are channels of ``expand`` in their new order. A group is given by
    its number (those of the small mix, then those of the large one) and by whether its first
    channel is the one among ``evens``; None is a slot that no group uses.
    """

    def __init__(self, hidden: int) -> None:
        halves = [range(half * hidden, (half + 1) * hidden) for half in range(2)]
        self.evens = [*halves[0][::2], *halves[1][::2]]
        self.odds = [*halves[0][1::2], *halves[1][1::2]]
        self.shift = hidden % 2
        self.lent: list[int] = []
        """Slots of ``odds`` that the large kernels lend to a channel of the small ones."""
        if self.shift:
            middle = hidden // 2
            self.evens.append(0)
            self.odds.insert(middle, halves[1][-1])
            self.odds.append(halves[0][-1])
            self.lent = [middle, hidden]
        self.width = len(self.odds)
        member = {
            (place >= hidden, half * hidden + place % hidden): (
                half * hidden + place // 2,
                place % 2,
            )
            for half in range(2)
            for place in range(2 * hidden)
        }
        """(kernel is large, channel) -> (group, which of its two channels)."""

        def group(even: tuple[bool, int], odd: tuple[bool, int]) -> tuple[int, bool] | None:
            (number, place), (other, _) = member[even], member[odd]
            return (number, place == 0) if number == other else None

        slots = range(self.width)
        self.small_groups = [group((False, self.evens[i]), (False, self.odds[i])) for i in slots]
        self.large_groups = [
            group((True, self.evens[i + self.shift]), (i not in self.lent, self.odds[i]))
            for i in slots
        ]
        # A lent channel stands among the small ones, too, where its partner is not.
        for slot in self.lent:
            self.small_groups[slot] = None
        found = [g[0] for g in (*self.small_groups, *self.large_groups) if g is not None]
        assert sorted(found) == list(range(2 * hidden))


def join_experts(network: nn.Module) -> int:
    """Puts :class:`JoinedStep` in the place of every step of a mixture of experts."""
    return replace_each(network, MixtureStep, JoinedStep)


class JoinedStep(nn.Module):
    """The same function as the mixture step it is made from, with a quarter of its products.

    Each expert ends in a pointwise convolution, and the step in another that reads all of
    them: products of linear maps, with one factor for each expert between, which commutes.
    So one convolution stands for all. The first expert's 1x1 depthwise ones are factors too.
    """

    def __init__(self, source: MixtureStep) -> None:
        super().__init__()
        experts = [list(expert.children()) or [expert] for expert in source.experts]
        dim = source.reduce.out_channels
        parts = list(torch.split(source.reduce.weight.detach()[:, :, 0, 0], dim, dim=1))
        for number, layers in enumerate(experts[:-1]):
            parts[number] = parts[number] @ _weight(layers.pop())[:, :, 0, 0]
        scale_in, pointwise, _, scale_out = experts[0]
        _weight(pointwise).mul_(_weight(scale_in).reshape(1, -1, 1, 1))
        parts[0] = parts[0] * _weight(scale_out).reshape(1, -1)
        experts[0] = [pointwise, nn.ReLU()]
        self.experts = nn.ModuleList(nn.Sequential(*layers) for layers in experts)
        self.reduce = nn.Conv2d(EXPERTS * dim, dim, 1, bias=False)
        self.reduce.weight.data = torch.cat(parts, dim=1)[:, :, None, None]
        self.requires_grad_(False)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """``weights`` are N x experts."""
        seen = torch.cat([expert(x) for expert in self.experts], dim=1)
        owner = torch.arange(EXPERTS).repeat_interleave(x.shape[1])
        seen = seen * weights.index_select(1, owner)[:, :, None, None]
        return torch.relu(x + torch.relu(self.reduce(seen)))


def _weight(conv: nn.Module) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return conv.weight.detach()


def _framed(weight: Tensor) -> Tensor:
    """... x k x k -> ... x 5 x 5, zeros around."""
    margin = (5 - weight.shape[-1]) // 2
    return nn.functional.pad(weight.detach(), (margin,) * 4)


def _selected(conv: nn.Conv2d, channels: Tensor) -> nn.Conv2d:
    """A 1x1 convolution that gives these output channels, in this order."""
    bias = conv.bias is not None
    chosen = nn.Conv2d(conv.in_channels, len(channels), 1, bias=bias)
    chosen.weight.data = conv.weight.detach()[channels]
    if conv.bias is not None and chosen.bias is not None:
        chosen.bias.data = conv.bias.detach()[channels]
    return chosen


def _depthwise(weight: Tensor) -> nn.Conv2d:
    """Depthwise convolution from a weight of C x 1 x k x k."""
    channels, kernel = len(weight), weight.shape[-1]
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    conv.weight.data = weight.contiguous()
    return conv
