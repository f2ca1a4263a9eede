"""Sentences about one thing agree on where it is (ours).

References say which sentences of a picture mean the same object, never where that is.  What one
of them finds easily ("the red mug") shows the others where to look ("the mug left of the bowl"),
which no comparison with other pictures teaches.  Each step chooses a proposal for every reference
by all of its sentences together, no two references the same thing, and trains every sentence
towards the common choice: an expectation-maximisation whose first step has no gradient.
"""
from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ris_ros.training.pcnet.losses import mean_over

NOWHERE = 0.1      # chance per sentence from which on no proposal is believed to be the thing
REPULSION = 4.0    # of two references that choose one thing, in nats
ROUNDS = 6


class Common(NamedTuple):
    """What the sentences of each reference choose together; carries no gradient.

    regions: (B, R, P) chance of each proposal, rows add up to `trust`.  trust: (B, R), the rest is
    the chance that no proposal is the thing.
    """

    regions: Tensor
    trust: Tensor


@torch.no_grad()
def common_choice(inside: Tensor, said: Tensor, overlaps: Tensor) -> Common:
    """Choose a proposal for every reference by all of its sentences.

    inside: (B, R, K, P) scores of K sentences about each of R references inside of P proposals,
    very low where there is no proposal.  said: (B, R, K) bool, the sentence is there.  overlaps:
    (B, P, P) IoU of proposals.  A mean field: the sentences' chances multiplied, references that
    choose overlapping proposals repelled.
    """
    weight = said.float()[..., None]
    total = (inside.float().log_softmax(dim=-1).clamp(min=-50) * weight).sum(dim=2)   # (B, R, P)
    nowhere = weight.sum(dim=2) * math.log(NOWHERE)                                  # (B, R, 1)
    there = said.any(dim=2)[..., None].float()
    chosen = torch.cat([total, nowhere], dim=2).softmax(dim=2)
    for _ in range(ROUNDS):
        held = (chosen[..., :-1] * there) @ overlaps
        others = held.sum(dim=1, keepdim=True) - held
        again = torch.cat([total - REPULSION * others, nowhere], dim=2).softmax(dim=2)
        chosen = (chosen + again) / 2
    regions = chosen[..., :-1] * there
    return Common(regions, regions.sum(dim=2))


def towards(inside: Tensor, said: Tensor, common: Common) -> Tensor:
    """Return the cross-entropy of every sentence with the common choice of its reference.

    inside, said: as `common_choice`.
    """
    losses = -(common.regions[:, :, None] * inside.float().log_softmax(dim=-1).clamp(min=-50)
               ).sum(dim=3)
    return mean_over(losses, said)


def contrary_there(inside: Tensor, turned: Tensor, known: Tensor, common: Common) -> Tensor:
    """Return the loss of preferring a sentence to its contrary where its object is.

    inside, turned: (B, R, K, P) scores of sentences and of their contraries.  known: (B, R, K)
    bool, there is a contrary.
    """
    losses = (F.softplus(turned.float() - inside.float()) * common.regions[:, :, None]).sum(dim=3)
    return mean_over(losses, known)


def painted(own: Tensor, said: Tensor, masks: Tensor, common: Common) -> Tensor:
    """Return the cross-entropy of whole maps with what is chosen: lit there, dark elsewhere.

    own: (B, R, K, pixels) logits.  masks: (B, P, s, s) proposals.  Summed over a map, divided by
    the size of what is chosen, so that small things count as much as large ones; references
    count as far as their choice is trusted.
    """
    grid = round(own.shape[-1] ** 0.5)
    small = F.adaptive_avg_pool2d(masks, grid) if masks.shape[-1] % grid == 0 else F.interpolate(
        masks, (grid, grid), mode='bilinear', align_corners=False)
    target = (common.regions @ small.flatten(2)).clamp(max=1)[:, :, None]       # (B, R, 1, pixels)
    each = F.binary_cross_entropy_with_logits(own.float(), target.expand_as(own),
                                              reduction='none').sum(dim=3)
    each = each / target.sum(dim=3).clamp(min=4)
    return mean_over(each * common.trust[:, :, None], said)

