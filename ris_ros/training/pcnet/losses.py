"""The losses of PCNet: classification, region-aware shrinking (RaS), disambiguation (IaD).

Each in the form of the paper's equations and in that of the released code; what is ours says so.
Shapes: B images, E texts (own first, then those of other objects), P proposals, maps of h x w.
None of them reads a true mask: proposals come from a generator that knows no sentence.  They
are worked out in float32; call them outside of autocast.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_POWER, FOCAL_FLOOR = 3, 0.01     # TRIS' released code
SIDE = 32                              # proposals and soft maps are compared on 32 x 32
TINY = 1e-5


def classification(scores: Tensor) -> Tensor:
    """Return the loss of telling a picture's own text from the others (appendix A.2, TRIS).

    scores: (B, pixels, B) logits of own texts.  Mean binary cross-entropy of `pixel_logits`.
    """
    return one_of_many(pixel_logits(scores))


def pixel_logits(scores: Tensor) -> Tensor:
    """Return the logit of each text on each picture, (B, E), as TRIS' released code pools it.

    scores: (B, pixels, E).  Mean plus maximum over the pixels plus a focal term,
    (1 - m)^3 ln(0.01 + m) with m a text's share of the picture against the other texts and a
    background of logit 1.
    """
    scores = scores.float()
    background = scores.new_ones(*scores.shape[:2], 1)
    share = torch.cat([background, scores], dim=2).softmax(dim=2)[..., 1:].mean(dim=1)
    return scores.mean(dim=1) + scores.amax(dim=1) + (
        (1 - share) ** FOCAL_POWER * torch.log(FOCAL_FLOOR + share))


def region_logits(scores: Tensor, weights: Tensor, there: Tensor, temperature: float = 0.5
                  ) -> Tensor:
    """Return the logit of each text on each picture, pooled over proposals (ours), (B, E).

    A text is true of a picture where it is true of some region: a smooth maximum over the means
    inside of the proposals.  Over pixels alone any cell that sees the whole picture may answer,
    and the peak need not lie on what is meant.  scores: (B, pixels, E).  weights: of
    `region_weights`.  there: (B, R) bool, which proposals there are; a picture without any is
    pooled by its largest pixel.  temperature: in logits, of the smooth maximum.
    """
    pooled = (weights @ scores.float()).masked_fill(~there[..., None], -1e4)
    smooth = temperature * torch.logsumexp(pooled / temperature, dim=1)
    return torch.where(there.any(dim=1)[:, None], smooth, scores.float().amax(dim=1))


def region_weights(proposals: Tensor, grid: int) -> Tensor:
    """Return the matrices from a map to the means inside of proposals, (B, R, grid^2).

    proposals: (B, R, s, s) 0 or 1; the map is enlarged to s x s bilinearly (align_corners
    false).  Rows of empty proposals are zero.
    """
    up = _enlarging(grid, proposals.shape[-1], proposals.device)
    area = proposals.sum(dim=(2, 3)).clamp(min=1)
    weights: Tensor = (up.T @ proposals @ up).flatten(2)
    return weights / area[..., None]


def outside(own: Tensor, pooled: Tensor, proposals: Tensor, temperature: float = 0.5) -> Tensor:
    """Return the loss of lighting what no proposal covers more than what one covers (ours).

    Pooling over proposals says nothing of what lies between them, where the peak then may be.
    own: (B, pixels, G) scores of a picture's own texts.  pooled: (B, G) their `region_logits`.
    proposals: (B, R, s, s).  Softplus of the smooth maximum outside over the pooled logit; a
    picture that is covered all over, or has no proposal, counts nothing.
    """
    grid = round(own.shape[1] ** 0.5)
    covered = F.adaptive_max_pool2d(proposals.amax(dim=1, keepdim=True), grid).flatten(1) > 0
    free = own.float().masked_fill(covered[..., None], -1e4)
    top = temperature * torch.logsumexp(free / temperature, dim=1)
    counts = ~covered.all(dim=1) & covered.any(dim=1)
    return mean_over(F.softplus(top - pooled).mean(dim=1), counts)


@lru_cache(maxsize=16)
def _enlarging(length: int, size: int, device: torch.device) -> Tensor:
    """Return the (size, length) matrix of linear enlargement, align_corners false."""
    return F.interpolate(torch.eye(length)[None], size, mode='linear',
                         align_corners=False)[0].T.contiguous().to(device)


def one_of_many(logits: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of (B, B) logits against the identity."""
    return F.binary_cross_entropy_with_logits(logits, torch.eye(len(logits),
                                                                device=logits.device))


def alike(texts: Tensor, rows: Tensor) -> Tensor:
    """Return which texts are no negatives of each other, (B, B) bool.

    texts, rows: (B,) numbers of texts and of their pictures: the same text, or one picture's.
    """
    return (texts[:, None] == texts[None]) | (rows[:, None] == rows[None])


def contrast(logits: Tensor, same: Tensor) -> Tensor:
    """Return the softmax cross-entropy of (B, B) logits both ways, as CLIP's (ours).

    same: (B, B) bool, pairs that are no negatives because the two texts are the same or belong
    to one picture; the diagonal does not count.
    """
    index = torch.arange(len(logits), device=logits.device)
    excused = same & (index[:, None] != index[None])
    logits = logits.float().masked_fill(excused, -1e4)
    return (F.cross_entropy(logits, index) + F.cross_entropy(logits.T, index)) / 2


def contrary(own: Tensor, turned: Tensor, known: Tensor) -> Tensor:
    """Return the loss of preferring what is said to its contrary (ours).

    own, turned: (n,) logits of a text and of the same text with one word turned ("left" for
    "right") on the picture of the text.  known: (n,) bool, the text has a contrary.  Other
    pictures of a batch rarely tell the two apart.
    """
    return mean_over(F.softplus(turned - own), known)


class _Grids(NamedTuple):
    """Rows of interpolation matrices, see `soft_maps`."""

    sampled: Tensor    # (2 side, h): the rows of the large map that the small one reads
    extremes: Tensor   # (2 h, h): the rows of the large map that can hold its maximum
    mixed: Tensor      # (side, 2 side): the small map from the sampled rows


def soft_maps(responses: Tensor, image_size: int = 320, side: int = SIDE) -> Tensor:
    """Return responses in [0, 1] on the grid where proposals are compared, (n, side, side).

    responses: (n, h, w) logits of the stages.  As released: bilinear to the image's size
    (align_corners false), ReLU, divided by the maximum, bilinear to side x side (align_corners
    true).  Of the large map only the rows and columns are made that the small one reads, and
    those that can hold the maximum, which is the same and several times cheaper.
    """
    height, width = responses.shape[1:]
    responses = responses.float()
    rows = _grids(height, image_size, side, responses.device)
    columns = rows if width == height else _grids(width, image_size, side, responses.device)
    large = F.relu(rows.sampled @ responses @ columns.sampled.T)
    peak = F.relu((rows.extremes @ responses @ columns.extremes.T).amax(dim=(1, 2)))
    normal = F.relu(large / (peak[:, None, None] + TINY) - TINY)
    return rows.mixed @ normal @ columns.mixed.T


@lru_cache(maxsize=16)
def _grids(length: int, image_size: int, side: int, device: torch.device) -> _Grids:
    up = _enlarging(length, image_size, torch.device('cpu'))
    # Between two nodes the map is straight, so its largest pixel is next to a node.
    nearest = (torch.arange(length) + 0.5) * image_size / length - 0.5
    beside = torch.stack([nearest.floor(), nearest.ceil()], 1).flatten().long()
    beside = beside.clamp(0, image_size - 1)
    place = torch.arange(side) * (image_size - 1) / max(side - 1, 1)
    low = place.floor().long().clamp(max=image_size - 1)
    high = (low + 1).clamp(max=image_size - 1)
    part = place - low
    mixed = torch.zeros(side, 2 * side)
    index = torch.arange(side)
    mixed[index, 2 * index], mixed[index, 2 * index + 1] = 1 - part, part
    sampled = torch.stack([up[low], up[high]], 1).flatten(0, 1)
    return _Grids(sampled.to(device), up[beside].to(device), mixed.to(device))


def half_dice(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the released "IoU", sum(pm) / sum(p + m), at most 0.5; leading axes broadcast."""
    shared = (maps * masks).sum(dim=(-2, -1))
    return shared / ((maps + masks).sum(dim=(-2, -1)) + 2 * TINY)


def soft_iou(maps: Tensor, masks: Tensor) -> Tensor:
    """Return sum(pm) / sum(p + m - pm), the natural reading of equation 6; 0 for nothing."""
    shared = (maps * masks).sum(dim=(-2, -1))
    return shared / ((maps + masks).sum(dim=(-2, -1)) - shared).clamp(min=TINY)


OVERLAPS = {'soft_iou': soft_iou, 'half_dice': half_dice}


def alignment(maps: Tensor, proposals: Tensor, criterion: str = 'max') -> Tensor:
    """Return how well maps (B, s, s) fit proposals (B, P, s, s), (B, P) (equation 5).

    criterion: 'max' of the map inside, or 'mean' (tables 7 and 8).
    """
    inside = maps[:, None] * proposals
    if criterion == 'max':
        return inside.amax(dim=(2, 3))
    return inside.sum(dim=(2, 3)) / proposals.sum(dim=(2, 3)).clamp(min=1)


def ambiguity(maps: Tensor, proposals: Tensor, overlap: str = 'soft_iou',
              criterion: str = 'max') -> Tensor:
    """Return the localisation ambiguity of one stage, (B,) (equations 5 and 6).

    maps: (B, s, s) of `soft_maps`.  proposals: (B, P, s, s) 0 or 1, empty ones allowed.
    Foreground is the best aligned proposal, background the union of the others.
    """
    best = alignment(maps.detach(), proposals, criterion).argmax(dim=1)
    index = torch.arange(len(maps), device=maps.device)
    foreground = proposals[index, best]
    others = proposals.clone()
    others[index, best] = 0
    measure = OVERLAPS[overlap]
    return 1 - (measure(maps, foreground) - measure(maps, others.amax(dim=1)))


def ras(maps: Sequence[Tensor], proposals: Tensor, overlap: str = 'soft_iou',
        criterion: str = 'max') -> Tensor:
    """Return the region-aware shrinking loss (equation 7); 0 for one stage.

    maps: N of (B, s, s).  A stage may not be more ambiguous than the one before it.  Pictures
    without a proposal count nothing.
    """
    if len(maps) < 2:
        return maps[0].new_zeros(())
    values = torch.stack([ambiguity(m, proposals, overlap, criterion) for m in maps])
    growth = F.relu(values[1:] - values[:-1]).mean(dim=0)
    return mean_over(growth, proposals.any(dim=1).any(dim=1).any(dim=1))


class ReleasedRaS(NamedTuple):
    """The two losses that the released code has in RaS's place, and what they are made of.

    shrink, anchor: scalars.  foreground, background: (N,) mean overlaps per stage.
    """

    shrink: Tensor
    anchor: Tensor
    foreground: Tensor
    background: Tensor


def ras_released(maps: Sequence[Tensor], proposals: Tensor, chosen: Tensor,
                 stage: int) -> ReleasedRaS:
    """Return what the released code computes in place of equation 7.

    chosen: (B,) index of each picture's foreground proposal, there the one of the highest
    stored CLIP score, whatever the map says.  stage: j of the one pair of stages (j, j + 1) that
    is compared, there drawn at random.  Overlaps are `half_dice`; of the background the
    largest counts, not that of the union.
    """
    index = torch.arange(len(chosen), device=chosen.device)
    is_chosen = torch.zeros(proposals.shape[:2], dtype=torch.bool, device=chosen.device)
    is_chosen[index, chosen] = True
    foreground, background = [], []
    for each in maps:
        values = half_dice(each[:, None], proposals)
        left = values[index, chosen]
        right = values.masked_fill(is_chosen, float('-inf')).amax(dim=1)
        hard = half_dice((each > 0).float(), proposals[index, chosen])
        foreground.append(mean_over(left, hard > 0))
        background.append(right.mean())
    left, right = torch.stack(foreground), torch.stack(background)
    shrink = left.new_zeros(()) if len(maps) < 2 else 1 - (right[stage] - right[stage + 1])
    return ReleasedRaS(shrink, (1 - left).mean(), left, right)


def straight_through(scores: Tensor, soft: bool) -> Tensor:
    """Return one-hot vectors that pass a gradient (equation 8; released: through softmax).

    scores: (n, P).  soft: the gradient is that of softmax(scores), as released.
    """
    hard = F.one_hot(scores.argmax(dim=1), scores.shape[1]).to(scores.dtype)
    through = scores.softmax(dim=1) if soft else scores
    return hard + (through - through.detach())     # in this order the value is exactly one-hot


def iad(own: Tensor, others: Tensor, known: Tensor) -> Tensor:
    """Return the disambiguation loss as written (equations 8 and 9), -1 to 1.

    own: (B, P) alignment of a picture's own text.  others: (D, B, P) of further texts.
    known: (D, B) bool, the further text does belong to the picture.  Where both pick the same
    proposal y_a = y_d, and the gradient of the squared distance is exactly zero.
    """
    distance = (straight_through(own, False) - straight_through(
        others.flatten(0, 1), False).unflatten(0, others.shape[:2])).square().sum(dim=2)
    return mean_over((1 - distance).flatten(), known.flatten())


def iad_released(own: Tensor, others: Tensor, known: Tensor) -> Tensor:
    """Return the loss of the released code: 1 - half the L1 distance, 0 to 1; shapes as `iad`.

    Its gradient, too, is zero where both pick the same proposal.
    """
    distance = (straight_through(own, True) - straight_through(
        others.flatten(0, 1), True).unflatten(0, others.shape[:2])).abs().sum(dim=2)
    weight = known.to(distance.dtype)
    return 1 - (distance * weight).sum() / (2 * weight.sum() + 1e-4)


def iad_hinge(own: Tensor, others: Tensor, known: Tensor, temperature: float = 0.1,
              margin: float = 0.05) -> Tensor:
    """Return the sound variant (ours): a hinge on how much the two soft choices overlap.

    sum_p softmax(s_a / T)_p softmax(s_d / T)_p, the chance that both texts pick one proposal,
    has its largest gradient where they do, and none below the margin.  Shapes as `iad`.
    """
    chance = ((own / temperature).softmax(dim=1) * (others / temperature).softmax(dim=2)).sum(2)
    return mean_over(F.relu(chance - margin).flatten(), known.flatten())


def iad_regions(own: Tensor, others: Tensor, known: Tensor, overlaps: Tensor) -> Tensor:
    """Return the disambiguation of choices among proposals (ours): -ln(1 - chance), at least 0.

    chance: that two texts of one picture choose the same thing, sum_pq a_p K_pq d_q with a and d
    the softmax over the proposals and K their IoU, so that a part is not another thing than its
    whole.  own: (B, P) mean scores inside of the proposals, others: (D, B, P), -inf or very low
    where there is no proposal.  known: (D, B) bool.  overlaps: (B, P, P) in [0, 1].
    """
    near = own.softmax(dim=1)[:, None] @ overlaps                       # (B, 1, P)
    chance = (near[:, 0] * others.softmax(dim=2)).sum(dim=2)
    return mean_over(-torch.log1p(-chance.clamp(max=1 - 1e-3)).flatten(), known.flatten())


def proposal_overlaps(proposals: Tensor) -> Tensor:
    """Return the IoU of all pairs of a picture's proposals, (B, P, P); 0 with an empty one."""
    flat = proposals.flatten(2)
    both = flat @ flat.transpose(1, 2)
    area = flat.sum(dim=2)
    return both / (area[:, :, None] + area[:, None] - both).clamp(min=1)


def calibration(pictures: Tensor, texts: Tensor) -> Tensor:
    """Return TRIS' calibration loss of the released code: what is lit must not fit other texts.

    pictures: (B, D) features of pictures times their response map, of a frozen CLIP.  texts:
    (B, D) of their own texts; each picture is held against all texts but its own.
    """
    cosine = F.normalize(pictures.float(), dim=1) @ F.normalize(texts.float(), dim=1).T
    away = -torch.log((1 - cosine).clamp(min=1e-4))
    others = ~torch.eye(len(cosine), dtype=torch.bool, device=cosine.device)
    return away[others].mean() if len(cosine) > 1 else away.new_zeros(())


def mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values, 0 where none is."""
    weight = chosen.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1)
