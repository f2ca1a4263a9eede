"""HybridGL's scores from cosines, boxes and guidance means; numpy only (equations 3 to 9)."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ris_ros.methods.hybridgl.settings import HybridGLSettings
from ris_ros.methods.hybridgl.text import HybridGLText
from ris_ros.methods.room import VIEWS, Room, compared_kind, relation_kind
from ris_ros.methods.spatial import between_tensor, relation_matrix, softmax, top_k
from ris_ros.types import Target

# b of (2 - b) * inside - b * outside in the released code: overall scales .2, .05 and .5 of
# inside - lambda * outside with lambda 9, 39 and 3.
RELEASED_B = {'big': 1.95, 'small': 1.5}
RELEASED_B_DEFAULT = 1.8

# Relation types of a parsed command -> flags of the relation function.  In the picture,
# behind is higher and in front lower, as in the released code.
FLAG_OF_TYPE = {'left': 'left', 'right': 'right', 'above': 'up', 'on': 'up', 'behind': 'up',
                'below': 'down', 'front': 'down', 'inside': 'within', 'bigger': 'big',
                'smaller': 'small', 'next_to': 'near', 'between': 'between'}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the scores are made of, for N proposals.

    cosine: (N, 2 + M) of the features with the target text, its phrase and M other phrases
    (released: M is 1, their mean).
    boxes: (N, 4) pixel extents.  inside, outside: (N,) means of the guidance map; mean: of
    all of it.  iou, containment: (N, N) of the masks.  scale: factor on cosines.  room: where
    relations are decided in the room and not on boxes, else None.
    """

    cosine: np.ndarray
    boxes: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    mean: float
    iou: np.ndarray
    containment: np.ndarray
    scale: float
    room: Room | None = None


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of N proposals: `final` is S, `semantic` S^s, `guidance` S^g, (N,) each.

    candidates: indices that may be chosen.  relative: (N,) in [0, 1], 1 for the best.
    relation_met: False where the sentence states a relation that no pair fulfils.
    heeded: see `ris_ros.types.Grounding`.
    """

    final: np.ndarray
    semantic: np.ndarray
    guidance: np.ndarray
    candidates: np.ndarray
    relative: np.ndarray
    relation_met: bool = True
    heeded: tuple[str, ...] = ()


def released_scores(x: Inputs, plan: HybridGLText, settings: HybridGLSettings,
                    target: Target | None = None) -> Scores:
    """Return the scores of the released code: the three best by semantics, then guidance.

    k is limited by the number of masks for this image only; the released program keeps a
    lowered k for the rest of its run.
    """
    s = softmax(x.scale * x.cosine[:, 0])
    chosen = top_k(s, settings.top_k_target)
    others, s_other = chosen, s
    if x.cosine.shape[1] > 2:
        s_other = softmax(x.scale * x.cosine[:, 2])
        others = top_k(s_other, settings.top_k_other)
    # Widths and heights of the released boxes are distances between outermost pixels.
    boxes = x.boxes - np.array([0, 0, 1, 1])
    flag = plan.relation if settings.relation else 'none'
    holds = relation_matrix(flag, boxes[chosen], boxes[others])
    if flag == 'none':
        r = len(others) * s[chosen]
    else:
        r = (s[chosen][:, None] * holds * s_other[others][None]).sum(axis=1)
    b = RELEASED_B.get(flag, RELEASED_B_DEFAULT)
    # The released map is divided by its mean; a map of zeros guides nowhere.
    mean = x.mean if x.mean > 0 else 1.0
    guidance = (2 - b) * x.inside / mean - b * x.outside / mean
    final = np.full(len(s), -np.inf)
    final[chosen] = (1 - settings.alpha) * softmax(r) + settings.alpha * guidance[chosen]
    relative = np.exp(final - final[chosen].max())
    return Scores(final, s, guidance, chosen, relative)


def paper_scores(x: Inputs, plan: HybridGLText, settings: HybridGLSettings,
                 target: Target | None = None) -> Scores:
    """Return the scores of sections 3.2 and 3.3, for all masks.

    Readings of ours where the paper leaves room: cosines are multiplied by CLIP's own factor
    before a softmax; scores that are probabilities already (equation 5) are brought to sum
    one instead of going through a second softmax, which would level them; masks of one and
    the same object are no pair; a relation that no pair fulfils leaves equation 3 in force.
    """
    semantic = softmax(x.scale * x.cosine[:, 0])
    met = True
    relations = [r for r in relations_of(plan, target, x.room is not None) if settings.relation
                 and (r.columns or r.kind in VIEWS or not settings.relation_needs_object)]
    if relations:
        p = _top_probabilities(x.scale * x.cosine[:, 1], settings.top_k_target)
        likelihood = p
        for stated in relations:
            likelihood = likelihood * _support(stated, p, x, settings)
        met = bool(likelihood.sum() > 1e-12)
        semantic = likelihood / likelihood.sum() if met else semantic
    lam = {'big': settings.lambda_big, 'small': settings.lambda_small}.get(
        plan.relation, settings.guidance_lambda)
    guidance = x.inside - lam * x.outside
    final = semantic
    if settings.coherence or (settings.position and plan.direction != 'none'):
        final = ((1 - settings.alpha) * semantic
                 + settings.alpha * softmax(settings.guidance_scale * guidance))
    relative = final / final.max()
    seen = x.room is not None and x.room.places is not None
    heeded = ('view',) if seen and any(r.kind in VIEWS for r in relations) else ()
    return Scores(final, semantic, guidance, np.arange(len(final)), relative, met, heeded)


def other_phrases(plan: HybridGLText, target: Target | None) -> tuple[str, ...]:
    """Return the phrases of the other objects, in the order that `relations_of` counts them."""
    if target is not None and target.relations:
        return tuple(r.expression or r.object for r in target.relations)
    return plan.other_noun_phrases


@dataclass(frozen=True)
class Stated:
    """A relation that an expression states.

    flag: of the relation function on boxes.  columns: indices of the other phrases it names; none
    where the target is compared with its like ("the bigger mug").  kind: what the room is asked.
    """

    flag: str
    columns: tuple[int, ...]
    kind: str = ''


def relations_of(plan: HybridGLText, target: Target | None, in_room: bool = False
                 ) -> Iterator[Stated]:
    """Yield the relations an expression states.

    The parsed command knows which object belongs to which relation; without it the plan's
    one word and first other phrase serve.  in_room: read too what only the room can decide.
    """
    if target is None or not target.relations:
        kind = compared_kind(target) if in_room else None
        if plan.relation != 'none' or kind:
            alone = kind is not None or not plan.other_noun_phrases
            yield Stated(plan.relation, () if alone else (0,), kind or '')
        return
    between = tuple(i for i, r in enumerate(target.relations) if r.type == 'between')
    for i, relation in enumerate(target.relations):
        if relation.type != 'between':
            yield Stated(FLAG_OF_TYPE[relation.type], (i,), relation_kind(relation.type, target))
    if between:
        yield Stated('between', between)


def _top_probabilities(logits: np.ndarray, k: int) -> np.ndarray:
    """Return (N,) softmax over the k best, 0 elsewhere (section 3.3)."""
    best = top_k(logits, k)
    out = np.zeros(len(logits))
    out[best] = softmax(logits[best])
    return out


def _support(stated: Stated, p: np.ndarray, x: Inputs, settings: HybridGLSettings) -> np.ndarray:
    """Return (N,): sum over the other object's masks of R * P(q, m_j) (equation 5)."""
    flag, columns = stated.flag, stated.columns
    if flag == 'between':
        return _support_between(columns, x, settings)
    q = p if not columns else _top_probabilities(
        x.scale * x.cosine[:, 2 + columns[0]], settings.top_k_other)
    holds = relation_matrix(flag, x.boxes, x.boxes)
    if x.room is not None:
        holds = x.room.holds(stated.kind, holds)
    holds = np.where(_distinct(flag, x), holds, 0.0)
    return holds @ q


def _support_between(columns: tuple[int, ...], x: Inputs, settings: HybridGLSettings
                     ) -> np.ndarray:
    """Return (N,): both anchors by their own phrases, or two masks of the one phrase given."""
    qs = [_top_probabilities(x.scale * x.cosine[:, 2 + c], settings.top_k_other)
          for c in (columns if len(columns) > 1 else columns * 2)[:2]]
    first, second = (np.flatnonzero(q) for q in qs)
    holds = between_tensor(x.boxes, x.boxes[first], x.boxes[second])
    distinct = _distinct('between', x)
    holds = holds * distinct[:, first][:, :, None] * distinct[:, second][:, None, :]
    holds = holds * distinct[np.ix_(first, second)][None]
    return np.einsum('ijk,j,k->i', holds, qs[0][first], qs[1][second])


def _distinct(flag: str, x: Inputs) -> np.ndarray:
    """Return (N, N) bool: the two masks are two objects, not one and its twin or its part."""
    if flag == 'within':
        return x.iou < 0.5
    return (x.iou < 0.5) & (x.containment < 0.8)
