"""
What the small matcher is told: statements about a scene, true and false, and whom they mean.

Truth is that of `simulation.truth`, from the settled poses that shards keep.  A false
statement names what is absent, gives a thing another's colour, or a relation that clearly
does not hold.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.models.wordpiece import END, PAD, START, UNKNOWN, words_of
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.simulation.expressions import MIDDLE_FORMS, POSITION_FORMS, RELATION_FORMS
from ris_ros.simulation.truth import HOLDS, SceneTruth, holders
from ris_ros.simulation.wording import ANYTHING, SYNONYMS
from ris_ros.training.tabletop.clip_texts import BETWEEN_FORM, vocabulary

FOREIGN = 'unknownword'      # not in the vocabulary: the matcher learns that it fits nothing
CONTENT = frozenset((     # words that a parser calls nouns or adjectives, besides the names
    'left', 'right', 'leftmost', 'rightmost', 'top', 'bottom', 'middle', 'front', 'bigger',
    'larger', 'biggest', 'largest', 'smaller', 'smallest'))
ODDS = {'attribute': 0.26, 'position': 0.22, 'relation': 0.34, 'size': 0.10, 'absent': 0.08}


def matcher_vocabulary() -> list[str]:
    """Return the matcher's pieces: special tokens, then whole words, sorted."""
    forms = [f for group in POSITION_FORMS.values() for f in group]
    forms += [f for group in RELATION_FORMS.values() for f in group]
    forms += [BETWEEN_FORM, 'there is a']
    words = {w for f in forms for w in words_of(f.replace('{}', ' '))}
    words |= {w for text in vocabulary() for w in words_of(text)} | set(CONTENT)
    return [PAD, UNKNOWN, START, END, *sorted(words)]


@dataclass(frozen=True)
class Statement:
    """
    One sentence about one scene.

    words, roles: per word 1 where it belongs to the phrase that names the object meant, 2 and
    3 for the objects it is compared with, 0 for the rest; the last word of a phrase is its
    noun.  targets: instances that the whole sentence fits (empty: it is false).  fits: per
    phrase the instances that it fits by itself.  tag: as of `simulation.Expression`.
    """

    words: tuple[str, ...]
    roles: tuple[int, ...]
    targets: tuple[int, ...]
    fits: tuple[tuple[int, ...], ...]
    tag: str

    @property
    def text(self) -> str:
        """The sentence."""
        return ' '.join(self.words)


def _statement(form: str, phrases: Sequence[str], targets: Sequence[int],
               fits: Sequence[Sequence[int]], tag: str) -> Statement:
    words: list[str] = []
    roles: list[int] = []
    slot = 0
    for word in form.split():
        if word == '{}':
            part = phrases[slot].split()
            slot += 1
            words, roles = words + part, roles + [slot] * len(part)
        else:
            words, roles = [*words, word], [*roles, 0]
    return Statement(tuple(words), tuple(roles), tuple(i + 1 for i in targets),
                     tuple(tuple(i + 1 for i in found) for found in fits), tag)


class Speaker:
    """Draws statements about one scene."""

    def __init__(self, truth: SceneTruth, rng: np.random.Generator) -> None:
        """Collect the phrases that fit something in the scene."""
        self.rng, self.truth, self.fits = rng, truth, truth.named
        self.things = [int(i) for i in np.flatnonzero(truth.visible)]
        self.kinds = set(truth.kinds)
        clear = {p: f for p, f in self.fits.items() if truth.visible[list(f)].all()}
        self.several = [p for p, f in clear.items() if len(f) > 1]
        self.single = [p for p, f in clear.items() if len(f) == 1]

    def draw(self) -> Statement:
        """Return one statement; ODDS says how often which kind, as far as the scene allows."""
        tags = list(ODDS)
        tag = tags[int(np.searchsorted(np.cumsum(list(ODDS.values())), self.rng.random()))]
        for _ in range(4):
            made = self.absent() if tag == 'absent' else getattr(self, f'_{tag}')()
            if made is not None:
                return made
        made = self._attribute() if self.things and self.rng.random() < 0.6 else None
        return made or self.absent()

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def _say(self, phrase: str) -> str:
        """Return a phrase, now and then in other words for the same."""
        if self.rng.random() > 0.15:
            return phrase
        return ' '.join(self._pick(SYNONYMS.get(w, (w,))) for w in phrase.split())

    def _attribute(self) -> Statement | None:
        if not self.things:
            return None
        truth = self.truth
        i = self.things[int(self.rng.integers(len(self.things)))]
        form = 'the {}' if self.rng.random() < 0.85 else self._pick(('{}', 'a {}'))
        fits: Sequence[int]
        if self.rng.random() < 0.06:
            fits = [o for o in self.things if truth.colours[o] == truth.colours[i]]
            phrase = f'{truth.colours[i]} {self._pick(ANYTHING)}'
        else:
            phrase = truth.kinds[i]
            if self.rng.random() < 0.6:
                phrase = f'{truth.colours[i]} {phrase}'
            fits = self.fits[phrase]
        return _statement(form, [self._say(phrase)], fits, [fits],
                          'attribute' if len(fits) == 1 else 'ambiguous')

    def absent(self) -> Statement:
        """Return a statement about what is not there, or does not hold."""
        absent = [k for k in KINDS if k not in self.kinds]
        draw = self.rng.random()
        colour = self._pick(list(COLOURS))
        noun = FOREIGN if draw > 0.96 or not absent else self._pick(absent)
        # A kind that is there, in another's colour; the only thing to name where all are.
        if (draw < 0.5 and self.kinds) or not absent:
            near = sorted({self.truth.colours[i] for i in self.things}) or list(COLOURS)
            pairs = [f'{c} {k}' for k in sorted(self.kinds)
                     for c in (near if draw < 0.35 else [colour])]
            pairs = [p for p in pairs if p not in self.fits]
            if pairs:
                return _statement('the {}', [self._pick(pairs)], (), [()], 'absent')
        if draw > 0.7 and self.single:
            form = self._pick([f for group in RELATION_FORMS.values() for f in group])
            here = self._pick(self.single)
            pair = [here, noun] if draw > 0.85 else [noun, here]
            return _statement(form, pair, (), [self.fits.get(p, ()) for p in pair], 'absent')
        phrase = noun if self.rng.random() < 0.5 else f'{colour} {noun}'
        return _statement('the {}', [self._say(phrase)], (), [()], 'absent')

    def _position(self) -> Statement | None:
        if not self.several:
            return None
        phrase = self._pick(self.several)
        fits = self.fits[phrase]
        if len(fits) == 3 and self.rng.random() < 0.3:
            target, forms = self.truth.middle_of(fits), MIDDLE_FORMS
            if target is not None:
                return _statement(self._pick(forms), [self._say(phrase)], [target], [fits],
                                  'position')
        position = self._pick(list(POSITION_FORMS))
        target = self.truth.leader(position, fits)
        if target is None:
            return None
        return _statement(self._pick(POSITION_FORMS[position]), [self._say(phrase)], [target],
                          [fits], 'position')

    def _size(self) -> Statement | None:
        if not self.several:
            return None
        phrase = self._pick(self.several)
        fits = sorted(self.fits[phrase], key=lambda i: self.truth.scales[i])
        bigger, two = self.truth.relations['bigger'], len(fits) == 2
        if self.rng.random() < 0.6:
            if not bigger[fits[-1], fits[-2]] > HOLDS:
                return None
            word = self._pick(('bigger', 'larger') if two else ('biggest', 'largest'))
            target = fits[-1]
        else:
            if not bigger[fits[1], fits[0]] > HOLDS:
                return None
            word, target = 'smaller' if two else 'smallest', fits[0]
        return _statement(f'the {word} {{}}', [self._say(phrase)], [target], [fits], 'size')

    def _relation(self) -> Statement | None:
        if not self.single:
            return None
        choose = self.several if self.several and self.rng.random() < 0.8 else self.single
        phrase, anchor = self._pick(choose), self._pick(self.single)
        fits, other = self.fits[phrase], self.fits[anchor][0]
        if other in fits or self.truth.kinds[other] == self.truth.kinds[fits[0]]:
            return None
        if self.rng.random() < 0.15:
            return self._between(phrase, anchor)
        true: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        false: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        for relation, forms in RELATION_FORMS.items():
            found = holders(self.truth.relations[relation][:, other], fits)
            if found is not None and len(found) < 2:
                (true if found else false).append((forms, found))
        pool = false if false and (not true or self.rng.random() < 0.25) else true
        # Most of what could be said at random is false; there is enough of it.
        if not pool or (not true and self.rng.random() < 0.65):
            return None
        forms, target = pool[int(self.rng.integers(len(pool)))]
        return _statement(self._pick(forms), [self._say(phrase), self._say(anchor)], target,
                          [fits, [other]], 'relation')

    def _between(self, phrase: str, anchor: str) -> Statement | None:
        second, fits = self._pick(self.single), self.fits[phrase]
        a, b = self.fits[anchor][0], self.fits[second][0]
        if a == b or b in fits:
            return None
        found = holders(self.truth.columns_between[:, a, b], fits)
        if found is None or len(found) > 1:
            return None
        return _statement(BETWEEN_FORM, [phrase, anchor, second], found, [fits, [a], [b]],
                          'relation')
