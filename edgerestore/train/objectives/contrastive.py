"""The contrastive loss of IPT's pre-training (Chen et al., CVPR 2021, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgerestore.errors import InputError
from edgerestore.train.data.crops import Batch
from edgerestore.train.objectives.objective import Term
from edgerestore.train.objectives.taps import Tap

BODY = "body"
TOKENS_NDIM = 3


class PatchContrast(Term):
    """:func:`patch_contrast` of what the network's ``body`` returns: N x L x D tokens.

    Several processes each compare the images of their own share of the batch. Raises
    InputError for a network without a body.
    """

    def __init__(self, network: nn.Module, weight: float) -> None:
        super().__init__()
        if BODY not in dict(network.named_children()):
            raise InputError(
                "[train.contrastive]: the network has no body that returns a token a patch; "
                "IPT's networks have"
            )
        self.weight = weight
        self._tap = Tap(network, (BODY,))

    def forward(self, output: Tensor, batch: Batch) -> Tensor:
        """Gives the loss as :class:`Term` says. Raises InputError for a share of one image only."""
        tokens = self._tap.take()[BODY]
        if tokens.ndim != TOKENS_NDIM:
            raise InputError(
                f"[train.contrastive]: the network's body returns {tuple(tokens.shape)}; "
                "it must be tokens, N x L x D"
            )
        return self.weight * patch_contrast(tokens)


def patch_contrast(features: Tensor) -> Tensor:
    """Draws patches of one image together and away from other images' patches; a scalar.

    ``features`` is N x L x D: image i has patches j, with features f_ij; d is cosine similarity.
    The mean, over every ordered pair of two patches j and k != j of one image i, of

        -log( exp d(f_ij, f_ik) / sum over l != i and all m of exp d(f_ij, f_lm) )

    The sum runs over all (N - 1) L patches of the other images and not over the image's own.
    Computed in float32, an image at a time: N L^2 similarities are held at once, and formed
    anew for the gradient. Raises InputError for N = 1, where there is nothing to differ from
    and the sum is empty, and for L = 1, where there is no pair.
    """
    images, patches, _ = features.shape
    if images == 1 or patches == 1:
        raise InputError(
            f"the contrastive loss compares patches of several images, but was given "
            f"{images} x {patches}; raise batch in the recipe"
        )
    with torch.autocast(features.device.type, enabled=False):
        units = F.normalize(features.float(), dim=2)
        # A sum over pairs is the squared length of the sum, less each patch paired with itself.
        pairs = units.sum(1).square().sum() - units.square().sum()
        alike = pairs / (images * patches * (patches - 1))
        unlike = [checkpoint(_others, units, i, use_reentrant=False) for i in range(images)]
        return torch.stack(unlike).mean() - alike


def _others(units: Tensor, image: int) -> Tensor:
    """Mean over an image's patches of log sum exp of their similarities to others' patches."""
    others = torch.cat([units[:image], units[image + 1 :]]).flatten(0, 1)
    return torch.logsumexp(units[image] @ others.T, dim=1).mean()
