"""From the numbers of a grounding to one outcome: found, ambiguous, or nothing that matches."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.decision.counted import Verdict, by_counting, can_count_off, heeded
from ris_ros.decision.objects import MOST_OBJECTS, distinct
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

    By how many objects fit (`settings.decision` "count", see `counted`), where the method can
    say so; else by margin: NO_MATCH below `score_threshold`, AMBIGUOUS where another object
    comes closer than `ambiguity_margin`.  Masks that overlap the better one by more than
    `overlap_limit` are the same object seen again.  What was said and is not heeded refuses too
    (`settings.ignored`, see `unheeded`), with the candidates kept, or is told in the notes.
    max_candidates: objects that are listed at most, at least 1; the outcome does not depend on
    it.  Raises BadInputError for fewer.
    """
    if max_candidates < 1:
        raise BadInputError(f'max_candidates must be at least 1, not {max_candidates}')
    regions, target = grounding.regions(scene), command.target
    # Two are looked for even where one is shown: the second decides whether it is ambiguous.
    least = MOST_OBJECTS if settings.decision == 'count' else 2
    ranked = distinct(regions, grounding.order, settings.overlap_limit,
                      max(max_candidates, least))
    scores = [float(grounding.probabilities[index]) for index in ranked[:2]]
    margin = scores[0] - (scores[1] if len(scores) > 1 else 0.0) if scores else 0.0
    verdict = None
    if settings.decision == 'count' and target is not None:
        verdict = by_counting(scene, grounding, target, settings, ranked)
    counted = verdict is not None
    if verdict is None:
        verdict = _by_margin(target.expression if target else command.text, scores, margin,
                             settings, ranked)
    listed = (ranked if verdict.order is None else list(verdict.order))[:max_candidates]
    constraints = unheeded(command, counted, grounding.heeded)
    if constraints and settings.ignored == 'refuse' and verdict.outcome is not Outcome.NO_MATCH:
        verdict = replace(
            verdict, outcome=Outcome.NO_MATCH, chosen=(), confidence=0.0,
            message=f'{"; ".join(constraints)}; name one object by what it looks like or where '
                    'it is')
    chosen = list(verdict.chosen)
    if len(chosen) == 1:
        mask = regions.masks[chosen[0]]
    else:
        mask = regions.masks[chosen].any(axis=0) if chosen else np.zeros(scene.view.size, bool)
    best = listed[0] if listed else None
    return Segmentation(
        mask=mask, score=0.0 if best is None else float(grounding.probabilities[best]),
        margin=margin, outcome=verdict.outcome, message=verdict.message,
        candidates=tuple(_candidate(regions, grounding, rank, index)
                         for rank, index in enumerate(listed, start=1)),
        heatmap=grounding.heatmap, command=command, timings=dict(grounding.timings),
        notes=(*scene.notes, *grounding.notes, *constraints, *_left_out(command)),
        regions=regions, confidence=verdict.confidence,
        selected=tuple(_candidate(regions, grounding, rank, index)
                       for rank, index in enumerate(verdict.chosen, start=1))
        if verdict.outcome is Outcome.SUCCEEDED_2D else (),
        counts=None if verdict.counts is None else (
            verdict.counts.none, verdict.counts.one, verdict.counts.several))


def _by_margin(expression: str, scores: list[float], margin: float, settings: OutcomeSettings,
               ranked: list[int]) -> Verdict:
    """Return the verdict by the best score and its lead over the second."""
    if not scores:
        return Verdict(Outcome.NO_MATCH, 'no object was found in the image', (), 0.0)
    score, best = scores[0], tuple(ranked[:1])
    if not score >= settings.score_threshold:  # what is no number matches nothing
        return Verdict(Outcome.NO_MATCH, f'nothing in the image matches "{expression}" (best '
                       f'score {score:.2f}, needed {settings.score_threshold:.2f})', (), 0.0)
    if len(scores) > 1 and not margin >= settings.ambiguity_margin:
        return Verdict(Outcome.AMBIGUOUS, f'"{expression}" fits several objects (scores '
                       f'{score:.2f} and {scores[1]:.2f}); say which one', best, score)
    return Verdict(Outcome.SUCCEEDED_2D, f'found "{expression}" with score {score:.2f}', best,
                   score)


def unheeded(command: Command, counted: bool = False, fields: Sequence[str] = ()
             ) -> tuple[str, ...]:
    """Return a clause for each thing said of the target that no method and no decision heeds.

    What the object must not be, its number in a row, how many are meant, nearness to the viewer,
    a condition: the object that fits the rest may be the wrong one.  counted: the decision went
    by counting, which heeds most of these.  fields: of the target that the method heeded, see
    `Grounding.heeded`.
    """
    target = command.target
    out = [f'"{i.words}" is not heeded ({i.reason})' for i in command.ignored if i.constraint]
    if target is None:
        return tuple(out)
    out += [f'"{n.words}" cannot be heeded yet (it says what the object is not)'
            for n in target.negations if not (counted and heeded(n, target))]
    if counted and can_count_off(target):
        return tuple(out)
    if target.ordinal is not None:
        out.append(f'"{target.expression}" counts in a row, which cannot be heeded '
                   + ('without the side that is counted from' if counted else 'yet'))
    if target.count is not None:
        out.append(f'"{target.expression}" means several objects (count: {target.count}), and '
                   'one is answered at a time')
    if target.view is not None and 'view' not in fields:
        out.append(f'"{target.expression}" goes by nearness to the viewer, which is heeded only '
                   'where there is depth and a plane that things stand on')
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
