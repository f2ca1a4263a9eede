"""One result from the parts of a command: several objects, and where they are to go (ours)."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ris_ros.language.lexicon import GROUNDS, words
from ris_ros.types import Command, Outcome, Segmentation

_STANDS_ON = GROUNDS | words('floor counter countertop worktop ground bench carpet')


def together(results: Sequence[Segmentation], command: Command) -> Segmentation:
    """Return one result about all objects of a command, each in `selected`, in order.

    results: one per target, in order; of the first come score, candidates and heat map.  Where one
    of them failed the whole does, with that one's outcome, question and reason.
    """
    failed = next((r for r in results if r.outcome is not Outcome.SUCCEEDED_2D), None)
    first = results[0]
    notes = tuple(dict.fromkeys(n for r in results for n in r.notes))
    if failed is not None:
        said = ' and '.join(f'"{t.expression}"' for t in command.targets)
        return replace(failed, command=command, notes=notes, selected=(), parts=tuple(results),
                       message=f'of {said}: {failed.message}')
    chosen = [c for r in results for c in r.selected]
    return replace(
        first, command=command, notes=notes, mask=np.logical_or.reduce([r.mask for r in results]),
        parts=tuple(results), confidence=min(r.confidence for r in results),
        message='; '.join(r.message for r in results),
        selected=tuple(replace(c, rank=i) for i, c in enumerate(chosen, start=1)))


def with_destination(result: Segmentation, goal: Segmentation, refuse: bool) -> Segmentation:
    """Return a result with where its object is to go.

    goal: what was found for the destination's own expression.  Where it was not found for sure
    nothing is to be lifted that has nowhere to go: the result takes over its outcome and question,
    unless `refuse` is false or the destination is what everything stands on ("on the table").
    """
    found = goal.outcome is Outcome.SUCCEEDED_2D
    place = goal.command.target if goal.command else None
    result = replace(result, destination=goal)
    if found or result.outcome is not Outcome.SUCCEEDED_2D:
        return result
    said = f'"{place.expression}"' if place else 'the destination'
    reason = f'where it is to go, {said}, is not certain: {goal.message}'
    ground = place is not None and (place.head or '').lower() in _STANDS_ON
    if not refuse or ground:
        return replace(result, notes=(*result.notes, reason))
    return replace(result, outcome=goal.outcome, message=reason, selected=(), confidence=0.0,
                   mask=np.zeros_like(result.mask), question=goal.question,
                   parts=result.parts or (result,))


def asked_about(whole: Segmentation) -> Segmentation:
    """Return the part of a result that its question is about, the result itself as a rule."""
    parts = (*whole.parts, *((whole.destination,) if whole.destination else ()))
    return next((p for p in parts if p.question is whole.question), whole)


def rejoined(whole: Segmentation, old: Segmentation, new: Segmentation) -> Segmentation:
    """Return a result with one of its parts (`asked_about`) in place of another.

    What else failed in it still fails, with its own question.
    """
    if old is whole:
        return new if whole.destination is None else with_destination(
            new, whole.destination, refuse=True)
    command, goal = whole.command, whole.destination
    parts = [new if p is old else p for p in whole.parts]
    assert command is not None and parts
    main = parts[0] if len(parts) == 1 else together(parts, command)
    if goal is None:
        return main
    return with_destination(replace(main, in_reply_to=new.in_reply_to),
                            new if goal is old else goal, refuse=True)
