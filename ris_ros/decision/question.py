"""What is asked back: a question in plain words that tells the candidates apart (ours)."""
from __future__ import annotations

from collections import Counter

import numpy as np

from ris_ros.decision.looks import colour_of, places, sizes
from ris_ros.decision.objects import counts
from ris_ros.types import (
    Candidate,
    Grounding,
    Option,
    Outcome,
    Question,
    Regions,
    Scene,
    Segmentation,
    View,
)

MOST_OPTIONS = 6  # named in a question at most
LIKELY = 0.3      # from this fit on, beside the best, an object is asked about
_NTH = ('first', 'second', 'third', 'fourth', 'fifth', 'sixth')


def question_of(scene: Scene, grounding: Grounding, result: Segmentation) -> Question | None:
    """Return what to ask back about a result, None where there is nothing to ask.

    AMBIGUOUS: which of the objects that fit.  NO_MATCH: whether something of the same kind that
    looks otherwise is meant ("there is no red mug; do you mean the blue mug?").
    """
    target = result.command.target if result.command else None
    if target is None or result.regions is None:
        return None
    name = target.name or target.head or 'object'
    if result.outcome is Outcome.AMBIGUOUS:
        chosen = _likely(grounding, result, target.name)
        return which_of(scene.view, result.regions, chosen, name) if len(chosen) > 1 else None
    if result.outcome is Outcome.NO_MATCH and target.head and grounding.fits is not None:
        return _instead(scene, grounding, result, target.name, target.head.lower())
    return None


def _likely(grounding: Grounding, result: Segmentation, name: str) -> list[Candidate]:
    """Return the candidates that may be meant: those that fit nearly as well as the best."""
    def fit(candidate: Candidate) -> float:
        if grounding.fits is not None and name in grounding.fits:
            return float(grounding.fits[name][candidate.index])
        return candidate.score

    best = max((fit(c) for c in result.candidates), default=0.0)
    chosen = [c for c in result.candidates if fit(c) >= LIKELY * best]
    if len(chosen) < 2:
        chosen = sorted(result.candidates, key=fit, reverse=True)[:2]
    return sorted(chosen, key=fit, reverse=True)[:MOST_OPTIONS]


def which_of(view: View, regions: Regions, chosen: list[Candidate], name: str) -> Question:
    """Return "the yellow box or the white box?", by what tells the candidates apart best.

    chosen: at least two and at most MOST_OPTIONS.
    """
    index = [c.index for c in chosen]
    colours = [colour_of(view.rgb, c.mask) for c in chosen]
    where, size = places(view, regions, index), sizes(view, regions, index)
    row = list(np.argsort(regions.boxes[index, 0] + regions.boxes[index, 2] / 2, kind='stable'))
    alone = Counter(colours)
    if all(alone[c] == 1 and c for c in colours):
        words = [f'the {_coloured(c, name)}' for c in colours]
    elif all(where):
        words = [f'the {name} {w}' for w in where]
    elif all(size):
        words = [f'the {s} {name}' for s in size]
    else:  # by their place in a row
        words = [f'the {_NTH[row.index(i)]} {name} from the left' for i in range(len(index))]
    options = tuple(Option(c, said, colour, w, s) for c, said, colour, w, s in zip(
        chosen, words, colours, where, size, strict=True))
    if not all(alone[c] == 1 and c for c in colours):
        options = tuple(options[i] for i in row)  # told from left to right
    said = [o.words for o in options]
    return Question(f'{", ".join(said[:-1])} or {said[-1]}?', options, name)


def _coloured(colour: str, name: str) -> str:
    return name if name.startswith(f'{colour} ') else f'{colour} {name}'


def _instead(scene: Scene, grounding: Grounding, result: Segmentation, name: str, head: str
             ) -> Question | None:
    """Return "there is no red mug; do you mean the blue mug?" where there is one of the kind."""
    fits = grounding.fits or {}
    if name == head or head not in fits or result.regions is None:
        return None
    if result.counts is None or counts(fits[head]).none > 0.5 or result.counts[0] < 0.5:
        return None
    found = [c for c in result.candidates if fits[head][c.index] >= 0.5][:MOST_OPTIONS]
    if not found:
        return None
    if len(found) > 1:
        which = which_of(scene.view, result.regions, found, head)
        return Question(f'there is no {name}; do you mean {which.text}', which.options, head)
    colour = colour_of(scene.view.rgb, found[0].mask)
    words = f'the {_coloured(colour, head)}' if colour else f'the {head}'
    return Question(f'there is no {name}; do you mean {words}?',
                    (Option(found[0], words, colour),), head)
