"""From the numbers of a grounding to one outcome: found, ambiguous, or nothing that matches."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.types import (
    BadInputError,
    Candidate,
    Command,
    Grounding,
    Outcome,
    Regions,
    RisError,
    Scene,
    Segmentation,
)

if TYPE_CHECKING:
    from ris_ros.methods.options import OutcomeSettings

MAX_CANDIDATES = 10  # other answers that are shown, the best included


def decide(scene: Scene, grounding: Grounding, command: Command, settings: OutcomeSettings,
           max_candidates: int = MAX_CANDIDATES) -> Segmentation:
    """Return the outcome of a grounding.

    NO_MATCH below `score_threshold`; AMBIGUOUS where another object comes closer than
    `ambiguity_margin`.  Masks that overlap the better one by more than `overlap_limit` are the
    same object seen again.  max_candidates: objects that are listed at most, at least 1; the
    outcome does not depend on it.  Raises BadInputError for fewer.
    """
    if max_candidates < 1:
        raise BadInputError(f'max_candidates must be at least 1, not {max_candidates}')
    regions = grounding.regions(scene)
    # Two are looked for even where one is shown: the second decides whether it is ambiguous.
    ranked = distinct(regions, grounding.order, settings.overlap_limit, max(max_candidates, 2))
    scores = [float(grounding.probabilities[index]) for index in ranked[:2]]
    score = scores[0] if scores else 0.0
    margin = score - scores[1] if len(scores) > 1 else score
    candidates = tuple(_candidate(regions, grounding, rank, index)
                       for rank, index in enumerate(ranked[:max_candidates], start=1))
    expression = command.target.expression if command.target else command.text
    mask = np.zeros(scene.view.size, dtype=bool)
    if not scores:
        outcome, message = Outcome.NO_MATCH, 'no object was found in the image'
    elif not score >= settings.score_threshold:  # what is no number matches nothing
        outcome = Outcome.NO_MATCH
        message = (f'nothing in the image matches "{expression}" (best score {score:.2f}, '
                   f'needed {settings.score_threshold:.2f})')
    elif len(scores) > 1 and not margin >= settings.ambiguity_margin:
        mask, outcome = regions.masks[ranked[0]], Outcome.AMBIGUOUS
        message = (f'"{expression}" fits several objects (scores {score:.2f} and '
                   f'{scores[1]:.2f}); say which one')
    else:
        mask, outcome = regions.masks[ranked[0]], Outcome.SUCCEEDED_2D
        message = f'found "{expression}" with score {score:.2f}'
    return Segmentation(mask=mask, score=score, margin=margin, outcome=outcome, message=message,
                        candidates=candidates, heatmap=grounding.heatmap, command=command,
                        timings=dict(grounding.timings), notes=grounding.notes, regions=regions)


def check_numbers(grounding: Grounding) -> None:
    """Raise RisError where a method's scores are no numbers.

    Sorted among numbers they stand anywhere, so that even the candidates that have numbers
    cannot be trusted.
    """
    if np.isnan(grounding.scores).any() or np.isnan(grounding.probabilities).any():
        raise RisError("the method's scores are no numbers (NaN); try precision fp32, and check "
                       'the weights with `ris models verify`')


def _candidate(regions: Regions, grounding: Grounding, rank: int, index: int) -> Candidate:
    x, y, width, height = (float(v) for v in regions.boxes[index])
    return Candidate(rank=rank, index=index, score=float(grounding.probabilities[index]),
                     mask=regions.masks[index], box=(x, y, width, height))


def distinct(regions: Regions, order: Sequence[int] | np.ndarray, limit: float, most: int
             ) -> list[int]:
    """Return at most `most` indices of masks that are different objects, best first.

    order: indices from best to worst.  A mask is left out that shares more than `limit` of the
    smaller of the two with a better one that is kept.
    """
    order, kept = np.asarray(order, dtype=np.int64), list[int]()
    # Part by part: as a rule the best few masks answer, and hundreds need not be looked at.
    for part in np.split(order, range(2 * most, len(order), 2 * most)):
        for better in kept:
            part = part[shares(regions, better, part) <= limit]
        while len(part) and len(kept) < most:
            kept.append(int(part[0]))
            part = part[1:][shares(regions, kept[-1], part[1:]) <= limit]
        if len(kept) == most:
            break
    return kept


def shares(regions: Regions, one: int, others: np.ndarray) -> np.ndarray:
    """Return what mask `one` shares with others, (K,): pixels in both over the smaller area.

    others: (K,) int64 indices.  Counted within the box of `one`, on those whose boxes meet it.
    """
    x, y, width, height = (int(v) for v in regions.boxes[one])
    boxes, out = regions.boxes[others], np.zeros(len(others))
    meet = np.flatnonzero((boxes[:, 0] < x + width) & (boxes[:, 0] + boxes[:, 2] > x)
                          & (boxes[:, 1] < y + height) & (boxes[:, 1] + boxes[:, 3] > y))
    if len(meet):
        both = regions.masks[others[meet], y:y + height, x:x + width]
        both &= regions.masks[one, y:y + height, x:x + width]
        smaller = np.minimum(regions.areas[others[meet]], regions.areas[one])
        out[meet] = np.count_nonzero(both, axis=(1, 2)) / np.maximum(smaller, 1)
    return out
