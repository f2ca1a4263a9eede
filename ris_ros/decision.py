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
    same object seen again.  What was said and is not heeded refuses too (`settings.ignored`, see
    `unheeded`), with the candidates kept, or is told in the notes.  max_candidates: objects that
    are listed at most, at least 1; the outcome does not depend on it.  Raises BadInputError for
    fewer.
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
    constraints = unheeded(command)
    if constraints and settings.ignored == 'refuse' and outcome is not Outcome.NO_MATCH:
        mask, outcome = np.zeros(scene.view.size, dtype=bool), Outcome.NO_MATCH
        message = f'{"; ".join(constraints)}; name one object by what it looks like or where it is'
    return Segmentation(mask=mask, score=score, margin=margin, outcome=outcome, message=message,
                        candidates=candidates, heatmap=grounding.heatmap, command=command,
                        timings=dict(grounding.timings),
                        notes=(*scene.notes, *grounding.notes, *constraints,
                               *_left_out(command)),
                        regions=regions)


def unheeded(command: Command) -> tuple[str, ...]:
    """Return a clause for each thing said of the target that no method and no decision heeds.

    What the object must not be, its number in a row, how many are meant, nearness to the viewer,
    a condition: the object that fits the rest may be the wrong one.
    """
    target = command.target
    out = [f'"{i.words}" is not heeded ({i.reason})' for i in command.ignored if i.constraint]
    if target is None:
        return tuple(out)
    out += [f'"{n.words}" cannot be heeded yet (it says what the object is not)'
            for n in target.negations]
    if target.ordinal is not None:
        out.append(f'"{target.expression}" counts in a row, which cannot be heeded yet')
    if target.count is not None:
        out.append(f'"{target.expression}" means several objects (count: {target.count}), and '
                   'one is answered at a time')
    if target.view is not None:
        out.append(f'"{target.expression}" goes by nearness to the viewer, which cannot be heeded '
                   'yet')
    return tuple(out)


def _left_out(command: Command) -> tuple[str, ...]:
    """Return a sentence for each run of words that the answer makes no use of."""
    return tuple(f'"{i.words}" was not used ({i.reason})' for i in command.ignored
                 if not i.constraint)


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
