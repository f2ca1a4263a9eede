"""What the CLIP-and-proposals methods share: scenes from proposals, text features, matching."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.methods.options import fitting
from ris_ros.methods.spatial import top_k
from ris_ros.types import Grounding, Scene, View

if TYPE_CHECKING:
    from torch import Tensor

    from ris_ros.methods.options import DecisionSettings
    from ris_ros.models.proposals import Proposals

# Proposals whose masks as float32 stay below this are kept ready for products, in values.
READY_VALUES = 1 << 26


def scene_of(method: str, view: View, proposals: Proposals, cache: Mapping[str, Any],
             timings: Mapping[str, float]) -> Scene:
    """Return a Scene with host copies of the proposals; `cache` stays where it is.

    The proposals are kept for `ProposalMethod.proposals_of`, in the memory of those copies.
    """
    host = proposals.to('cpu')
    masks = host.masks.numpy()
    return Scene(method=method, view=view, masks=masks, boxes=host.boxes.numpy(),
                 areas=masks.sum(axis=(1, 2), dtype=np.int64),
                 proposal_scores=host.scores.float().numpy(),
                 cache={'proposals': host, **cache}, timings=dict(timings),
                 notes=(proposals.note,) if proposals.note else (), proposed_by=proposals.source)


def flat_masks(masks: Tensor) -> Tensor:
    """Return (N, H*W) masks for products: float32 where that is small enough, else bool."""
    flat = masks.flatten(1)
    return flat.float() if flat.numel() <= READY_VALUES else flat


def mask_overlaps(masks: Tensor, step: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU and intersection over the smaller area of all pairs, two (N, N) float32.

    Counted on every `step`-th row and column, which is enough to tell one object from
    another.
    """
    from ris_ros.models.suppression import intersections
    inter = intersections(masks[:, ::step, ::step]).cpu().numpy()
    area = np.maximum(np.diag(inter), 1e-6)
    union = area[:, None] + area[None] - inter
    return inter / np.maximum(union, 1e-6), inter / np.minimum(area[:, None], area[None])


def cosines(features: Tensor, texts: Tensor) -> np.ndarray:
    """Return (N, M) float64 cosines of region features and text features."""
    functional = require('torch.nn.functional', 'models')
    product = functional.normalize(features, dim=-1) @ functional.normalize(texts, dim=-1).T
    return product.double().cpu().numpy()


def match_probability(cosine: np.ndarray, settings: DecisionSettings, source: str) -> np.ndarray:
    """Return the probability that a region shows the phrase, from its cosine (logistic).

    source: what proposed the regions, `Scene.proposed_by`.
    """
    settings = fitting(settings, source)
    z = (cosine - settings.match_center) / settings.match_width
    return 1.0 / (1.0 + np.exp(-np.clip(z, -60, 60)))


def grounding_of(scores: np.ndarray, candidates: np.ndarray, match: np.ndarray,
                 relative: np.ndarray, heatmap: np.ndarray | None, details: Mapping[str, Any],
                 timings: Mapping[str, float], fits: Mapping[str, np.ndarray] | None = None,
                 heeded: tuple[str, ...] = ()) -> Grounding:
    """Return the Grounding of N proposals.

    scores: (N,).  candidates: indices that may be chosen.  match: (N,) probability that the
    region shows the phrase.  relative: (N,) in [0, 1], 1 for the best candidate: what the
    method's ranking adds.  The reported probability is their product.  fits,
    heeded: see Grounding.
    """
    final = np.full(len(scores), -np.inf, dtype=np.float32)
    final[candidates] = scores[candidates]
    order = candidates[top_k(scores[candidates], len(candidates))]
    probabilities = np.zeros(len(scores), dtype=np.float32)
    probabilities[candidates] = (match * relative)[candidates]
    return Grounding(scores=final, order=order.astype(np.int64),
                     probabilities=probabilities.clip(0, 1), heatmap=heatmap,
                     details=dict(details), timings=dict(timings), fits=fits,
                     heeded=heeded)


def chunks(n: int, size: int) -> Iterable[slice]:
    """Yield slices of at most `size` that cover range(n)."""
    return (slice(i, min(i + size, n)) for i in range(0, n, size))
