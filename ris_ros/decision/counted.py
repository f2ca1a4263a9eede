"""How many objects fit what is said, and which: the outcome by counting (ours).

What the sentence says to choose among like objects (a place, a relation, a size) is the method's
to rank; what it rules out, and what it counts, is worked out here.
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.decision.meaning import Fits, Layout
from ris_ros.decision.objects import Counts, counts, shares
from ris_ros.types import Grounding, Negation, Outcome, Scene, Target

if TYPE_CHECKING:
    from ris_ros.methods.options import OutcomeSettings

MEMBER = 0.5  # from this probability on an object is one of those that are counted off
_MANY = {'both': 2}


@dataclass(frozen=True, eq=False)
class Verdict:
    """An outcome with its sentence.

    chosen: masks that are meant, in order; of an ambiguous sentence the first guess alone.
    order: distinct masks, best first, for the list of candidates; None: the method's own.
    counts: see `Counts`.  confidence: [0, 1].
    """

    outcome: Outcome
    message: str
    chosen: tuple[int, ...]
    confidence: float
    counts: Counts | None = None
    order: tuple[int, ...] | None = None


def heeded(negation: Negation, target: Target) -> bool:
    """Whether counting can rule out what a negation says."""
    said = negation.excluded
    plain = not (said.further or said.ordinal or said.count or said.view or said.negations)
    kind = {'object': True, 'attribute': bool(said.attributes),
            'position': said.position is not None, 'relation': bool(said.relations)}
    return plain and bool(said.name and target.name) and kind.get(negation.kind, False)


def can_count_off(target: Target) -> bool:
    """Whether what is counted off is said fully: from which side, how many, and nothing else."""
    said = [target.count, target.ordinal, target.view]
    if sum(s is not None for s in said) != 1 or target.further or target.position:
        return False
    if target.ordinal is not None:
        return target.ordinal.side is not None
    return target.count != 'several'


def by_counting(scene: Scene, grounding: Grounding, target: Target, settings: OutcomeSettings,
                ranked: list[int]) -> Verdict | None:
    """Return the verdict by counting; None where the method cannot say what fits.

    ranked: distinct masks by the method's own order, best first.
    """
    if grounding.fits is not None and target.name in grounding.fits and ranked:
        layout = Layout(scene.view, grounding.regions(scene), grounding.fits,
                        settings.overlap_limit)
        return _by_fits(layout, grounding, target, settings, ranked)
    if grounding.at_least is not None and ranked:
        some, more = grounding.at_least
        counted = Counts(1 - some, max(some - more, 0.0), more)
        return _plain(target, settings, counted, ranked, float(
            some if target.chooses else counted.one))
    return None


def _by_fits(layout: Layout, grounding: Grounding, target: Target, settings: OutcomeSettings,
             ranked: list[int]) -> Verdict:
    negations = tuple(n for n in target.negations if heeded(n, target))
    fits = layout.of(_with(target, negations))
    counted = counts(fits.meant)
    missing = _missing(target, settings, fits, counted)
    if missing is not None:
        return Verdict(Outcome.NO_MATCH, missing, (), 0.0, counted)
    if target.counts_off and can_count_off(target):
        return _counted_off(layout, target, settings, fits, counted)
    if negations:
        ranked = _ranked_again(layout, grounding, fits, ranked)
    share = _fit_of(layout, fits, ranked[0])
    sure = share * (fits.evidence if target.chooses else _alone(fits, share))
    return _plain(target, settings, counted, ranked, sure)


def _with(target: Target, negations: tuple[Negation, ...]) -> Target:
    return replace(target, negations=negations)


def _missing(target: Target, settings: OutcomeSettings, fits: Fits, counted: Counts
             ) -> str | None:
    """Return why nothing matches, None where something does."""
    expression = target.expression
    if counted.none > settings.none_limit:
        return (f'nothing in the image matches "{expression}" (that no object fits has '
                f'probability {counted.none:.2f}, allowed {settings.none_limit:.2f})')
    if fits.anchors > settings.none_limit:
        others = ' or '.join(f'"{r.expression or r.object}"' for r in target.relations)
        return f'nothing in the image matches {others}, by which "{expression}" is to be found'
    if fits.evidence < settings.relation_limit:
        return (f'no two objects stand to each other as "{expression}" says (the likeliest that '
                f'do are {fits.evidence:.2f} as likely as others, needed '
                f'{settings.relation_limit:.2f})')
    return None


def _plain(target: Target, settings: OutcomeSettings, counted: Counts, ranked: list[int],
           confidence: float) -> Verdict:
    """Return the verdict on one object that is meant, the method's best."""
    order, expression = tuple(ranked), target.expression
    if counted.none > settings.none_limit:
        return Verdict(Outcome.NO_MATCH, f'nothing in the image matches "{expression}" (that no '
                       f'object fits has probability {counted.none:.2f})', (), 0.0, counted,
                       order)
    if counted.several > settings.several_limit and not target.chooses and len(ranked) > 1:
        return Verdict(Outcome.AMBIGUOUS, f'"{expression}" fits several objects (with '
                       f'probability {counted.several:.2f}); say which one', order[:1],
                       confidence, counted, order)
    return Verdict(Outcome.SUCCEEDED_2D, f'found "{expression}" with confidence '
                   f'{confidence:.2f}', order[:1], confidence, counted, order)


def _alone(fits: Fits, share: float) -> float:
    """Return the probability that no object but the chosen one fits."""
    rest = np.delete(fits.meant, int(np.abs(fits.meant - share).argmin())) if len(
        fits.meant) else fits.meant
    return counts(rest).none


def _fit_of(layout: Layout, fits: Fits, mask: int) -> float:
    """Return how well a mask is what is meant; what the counting saw as its object counts."""
    same = shares(layout.regions, mask, fits.index) > layout.overlap_limit
    same |= fits.index == mask
    return float(fits.meant[same].max(initial=0.0))


def _ranked_again(layout: Layout, grounding: Grounding, fits: Fits, ranked: list[int]
                  ) -> list[int]:
    """Return the ranked masks, those that a negation rules out behind the others.

    Among the rest the method's own order holds, weighted by how well each is what is meant.
    """
    weights = np.array([_fit_of(layout, fits, m) * max(float(grounding.probabilities[m]), 1e-9)
                        for m in ranked])
    return [ranked[i] for i in np.argsort(-weights, kind='stable')]


def _counted_off(layout: Layout, target: Target, settings: OutcomeSettings, fits: Fits,
                 counted: Counts) -> Verdict:
    """Return the verdict on several objects, one in a row, or the nearest or farthest one."""
    p = fits.meant * (fits.related if target.relations else 1.0)
    members = fits.index[p >= MEMBER]
    doubt = np.maximum(p, 1 - p)
    sure = float(np.prod(doubt[p > 0.02]))
    kind = f'"{target.expression}"'
    if not len(members):
        return Verdict(Outcome.NO_MATCH, f'no object is likely enough to be one of {kind}', (),
                       0.0, counted)
    if target.count is not None:
        row = layout.row(members, 'left')
        wanted = _MANY.get(str(target.count), target.count)
        if isinstance(wanted, int) and len(row) < wanted:
            return Verdict(Outcome.NO_MATCH, f'{kind} means {wanted} objects, and {len(row)} '
                           'fit', (), 0.0, counted, _first(row, fits))
        if isinstance(wanted, int) and len(row) > wanted:
            return Verdict(Outcome.AMBIGUOUS, f'{kind} means {wanted} objects, and {len(row)} '
                           'fit; say which', row[:1], sure, counted, _first(row, fits))
        return _sure(row, row, sure, f'found {len(row)} objects for {kind}', kind, settings,
                     fits, counted)
    if target.view is not None:
        row = layout.row(members, 'front' if target.view == 'nearest' else 'back')
        return _sure(row[:1], row, sure if len(row) > 1 else 1.0,
                     f'found {kind}, of {len(row)} that fit', kind, settings, fits, counted)
    ordinal = target.ordinal
    assert ordinal is not None and ordinal.side is not None
    row = layout.row(members, ordinal.side)
    at = len(row) - 1 if ordinal.n < 0 else ordinal.n - 1
    if at >= len(row):
        return Verdict(Outcome.NO_MATCH, f'{kind} counts to {ordinal.n}, and {len(row)} fit',
                       (), 0.0, counted, _first(row, fits))
    return _sure((row[at],), row, sure, f'found {kind}, of {len(row)} that fit', kind, settings,
                 fits, counted)


def _sure(chosen: tuple[int, ...], row: tuple[int, ...], sure: float, message: str, kind: str,
          settings: OutcomeSettings, fits: Fits, counted: Counts) -> Verdict:
    """Return success, or AMBIGUOUS where it is too doubtful which objects are counted."""
    order = (*chosen, *(m for m in _first(row, fits) if m not in chosen))
    if 1 - sure > max(settings.several_limit, 0.5):
        return Verdict(Outcome.AMBIGUOUS, f'it is not sure which objects {kind} counts '
                       f'(confidence {sure:.2f}); name one by what it looks like or where it is',
                       chosen[:1], sure, counted, order)
    return Verdict(Outcome.SUCCEEDED_2D, f'{message} (confidence {sure:.2f})', chosen, sure,
                   counted, order)


def _first(row: tuple[int, ...], fits: Fits) -> tuple[int, ...]:
    """Return the members of a row, then the other objects, those that fit best first."""
    return (*row, *(int(m) for m in fits.index if m not in row))
