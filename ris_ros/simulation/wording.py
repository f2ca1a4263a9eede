"""
The words and templates that the tabletop's sentences are made of: data, and picking from it.

In a template {t} is the phrase of what is meant, {a} and {b} those of other objects, {ts} the
plural of {t}; {c}, {z}, {n}, {o}, {side} and {w} are a colour, a size, a number, an ordinal, a
side and another word that the family chooses.  Every word that can be said stands here.
"""
from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np

from ris_ros.simulation.catalogue import ALL_KINDS, COLOURS

SYNONYMS: dict[str, tuple[str, ...]] = {
    'mug': ('mug', 'mug', 'cup'), 'can': ('can', 'can', 'tin'), 'ball': ('ball', 'ball', 'sphere'),
    'box': ('box', 'box', 'carton', 'package'), 'cube': ('cube', 'cube', 'block'),
    'bowl': ('bowl', 'bowl', 'dish'), 'table': ('table', 'background', 'tabletop'),
    'gray': ('gray', 'gray', 'grey'), 'purple': ('purple', 'purple', 'violet'),
}
ANYTHING = ('object', 'thing', 'item', 'one')
# A word that may mean another kind too is not said where such a thing is in the scene.
DOUBTFUL = {'dish': ('plate',), 'block': ('box', 'book'), 'package': ('book',)}
# Kinds that somebody might call by the other's name, and colours that may pass for another:
# what is said to be absent has neither.
ALIKE = (('cylinder', 'can'), ('cylinder', 'bottle'), ('cube', 'box'), ('box', 'book'),
         ('bowl', 'plate'), ('cone', 'pyramid'), ('vase', 'bottle'), ('vase', 'mug'),
         ('mug', 'bowl'), ('can', 'mug'), ('plate', 'ring'))
CLOSE_COLOURS = (('blue', 'cyan'), ('blue', 'purple'), ('red', 'orange'), ('red', 'pink'),
                 ('red', 'brown'), ('orange', 'yellow'), ('orange', 'brown'), ('pink', 'purple'),
                 ('gray', 'white'), ('gray', 'black'), ('black', 'brown'), ('green', 'cyan'))
SIZE_WORDS = {'small': ('small', 'small', 'little'), 'large': ('big', 'large')}
MORE = {'large': ('bigger', 'larger'), 'small': ('smaller',)}
MOST = {'large': ('biggest', 'largest'), 'small': ('smallest',)}
NUMBERS = {2: 'two', 3: 'three', 4: 'four', 5: 'five'}
ORDINALS = ('first', 'second', 'third', 'fourth', 'fifth', 'sixth')
SIDES = ('left', 'right', 'top', 'bottom')
EXTREMES = {'left': ('leftmost',), 'right': ('rightmost',), 'top': ('topmost', 'uppermost'),
            'bottom': ('bottommost', 'lowest')}
PLACES = {'left': ('left',), 'right': ('right',), 'top': ('top', 'upper'),
          'bottom': ('bottom', 'lower'), 'top left': ('top left', 'upper left'),
          'top right': ('top right', 'upper right'), 'bottom left': ('bottom left', 'lower left'),
          'bottom right': ('bottom right', 'lower right')}

FORMS: dict[str, tuple[str, ...]] = {
    'noun': ('the {t}', 'the {t}', '{t}'),
    'caption': ('a {t}', 'there is a {t}', 'a photo of a {t}', 'a picture of the {t}'),
    'colour_clause': ('the {t} that is {c}', 'the {t} which is {c}', 'the {t} colored {c}'),
    'only': ('the only {t}', 'the only {t}', 'the single {t}'),
    'superlative': ('the {w} {t}', 'the {w} of the {ts}', '{w} {t}'),
    'biggest_thing': ('the {w} {t} on the table', 'the {w} {t} of all', 'the {w} {t}'),
    'side': ('the {t} on {side}', 'the {w} {t}', '{w} {t}', 'the {t} on {side} side'),
    'height': ('the {t} at {side}', 'the {w} {t}', '{w} {t}'),
    'extreme': ('the {w} {t}', 'the {w} of the {ts}', '{w} {t}'),
    'corner': ('the {w} {t}', 'the {t} at the {w}', 'the {t} in the {w} part', '{w} {t}'),
    'middle': ('the {t} in the middle', 'the middle {t}', 'the {t} in the center',
               'the central {t}'),
    'ordinal': ('the {o} {t} from {side}', 'the {o} {t} counting from {side}',
                '{o} {t} from {side}', 'the {t} that is {o} from {side}'),
    'left': ('the {t} to the left of the {a}', 'the {t} left of the {a}',
             'the {t} on the left side of the {a}', 'the {t} that is left of the {a}',
             '{t} left of the {a}'),
    'right': ('the {t} to the right of the {a}', 'the {t} right of the {a}',
              'the {t} on the right side of the {a}', 'the {t} that is right of the {a}',
              '{t} right of the {a}'),
    'above': ('the {t} above the {a}', 'the {t} that is above the {a}',
              'the {t} higher up than the {a}'),
    'below': ('the {t} below the {a}', 'the {t} that is below the {a}',
              'the {t} lower down than the {a}'),
    'behind': ('the {t} behind the {a}', 'the {t} that is behind the {a}',
               'the {t} standing behind the {a}', '{t} behind the {a}'),
    'front': ('the {t} in front of the {a}', 'the {t} that is in front of the {a}',
              'the {t} standing in front of the {a}', '{t} in front of the {a}'),
    'on': ('the {t} on the {a}', 'the {t} on top of the {a}', 'the {t} that is on the {a}',
           'the {t} lying on the {a}', 'the {t} standing on the {a}'),
    'inside': ('the {t} in the {a}', 'the {t} inside the {a}', 'the {t} that is in the {a}',
               'the {t} inside of the {a}', 'the {t} lying in the {a}'),
    'next_to': ('the {t} next to the {a}', 'the {t} beside the {a}', 'the {t} near the {a}',
                'the {t} close to the {a}', 'the {t} right next to the {a}'),
    'between': ('the {t} between the {a} and the {b}', 'the {t} in between the {a} and the {b}',
                'the {t} that is between the {a} and the {b}'),
    'bigger': ('the {t} bigger than the {a}', 'the {t} that is bigger than the {a}',
               'the {t} larger than the {a}'),
    'smaller': ('the {t} smaller than the {a}', 'the {t} that is smaller than the {a}'),
    'nearest': ('the {t} nearest to the {a}', 'the {t} closest to the {a}',
                'the {t} that is closest to the {a}', 'the nearest {t} to the {a}'),
    'farthest': ('the {t} farthest from the {a}', 'the {t} furthest away from the {a}',
                 'the {t} that is farthest from the {a}'),
    'directly_left': ('the {t} directly left of the {a}', 'the {t} just left of the {a}',
                      'the {t} immediately to the left of the {a}',
                      'the first {t} to the left of the {a}'),
    'directly_right': ('the {t} directly right of the {a}', 'the {t} just right of the {a}',
                       'the {t} immediately to the right of the {a}',
                       'the first {t} to the right of the {a}'),
    'directly_behind': ('the {t} directly behind the {a}', 'the {t} just behind the {a}',
                        'the first {t} behind the {a}'),
    'directly_front': ('the {t} directly in front of the {a}', 'the {t} just in front of the {a}',
                       'the first {t} in front of the {a}'),
    'carrier': ('the {t} under the {a}', 'the {t} that the {a} stands on',
                'the {t} with the {a} on it', 'the {t} that carries the {a}'),
    'container': ('the {t} with the {a} in it', 'the {t} that holds the {a}',
                  'the {t} containing the {a}'),
    'empty': ('the empty {t}', 'the {t} with nothing on it', 'the {t} that carries nothing'),
    'empty_container': ('the empty {t}', 'the {t} with nothing in it', 'the {t} that is empty'),
    'bare_table': ('the {t} standing directly on the table', 'the {t} that is right on the table',
                   'the {t} not standing on anything else'),
    'not_colour': ('the {t} that is not {c}', "the {t} that isn't {c}", 'the {t} which is not {c}',
                   'the non-{c} {t}'),
    'not_other': ('the {t}, not the {c} one', 'the {t} but not the {c} one',
                  'not the {c} {t} but the other one', 'the {t} other than the {c} one'),
    'colour_not_other': ('the {a}, not the {c} one', 'the {a} and not the {c} one'),
    'not_size': ('the {t} that is not {z}', 'the {t}, not the {z} one'),
    'not_side': ('the {t} that is not on {side}', 'the {t} not on {side}'),
    'not_on': ('the {t} that is not on the {a}', 'the {t} not on the {a}'),
    'not_inside': ('the {t} that is not in the {a}', 'the {t} outside the {a}',
                   'the {t} not in the {a}'),
    'not_next_to': ('the {t} that is not next to the {a}', 'the {t} not near the {a}',
                    'the {t} away from the {a}'),
    'both': ('both {ts}', 'the two {ts}', 'both of the {ts}'),
    'all': ('all the {ts}', 'all {ts}', 'every {t}', 'the {n} {ts}', 'all {n} {ts}'),
    'pair': ('the {a} and the {b}', 'both the {a} and the {b}', 'the {a} together with the {b}'),
}
# Plural of what is meant, and where: "the mugs left of the bowl".
PLURAL_FORMS: dict[str, tuple[str, ...]] = {
    'left': ('the {ts} left of the {a}', 'all {ts} to the left of the {a}'),
    'right': ('the {ts} right of the {a}', 'all {ts} to the right of the {a}'),
    'behind': ('the {ts} behind the {a}', 'all {ts} behind the {a}'),
    'front': ('the {ts} in front of the {a}', 'all {ts} in front of the {a}'),
    'next_to': ('the {ts} next to the {a}', 'both {ts} near the {a}'),
}
# Two relations at once; each continues "the {t}".
CLAUSES: dict[str, tuple[str, ...]] = {
    'left': ('left of the {}', 'to the left of the {}'),
    'right': ('right of the {}', 'to the right of the {}'),
    'behind': ('behind the {}',), 'front': ('in front of the {}',),
    'next_to': ('next to the {}', 'near the {}'),
}
COMPOUND_FORMS = ('the {t} %s and %s', 'the {t} that is %s and %s')


def plural(phrase: str) -> str:
    """Return the plural of a phrase whose last word is its noun."""
    ends = ('s', 'x', 'sh', 'ch')
    return phrase + ('es' if phrase.endswith(ends) else 's')


def pair_in(pairs: Sequence[tuple[str, str]], a: str, b: str) -> bool:
    """Tell whether two names stand together in a table such as ALIKE."""
    return (a, b) in pairs or (b, a) in pairs


class Words:
    """Picks words and templates for the sentences about one scene."""

    def __init__(self, rng: np.random.Generator, kinds: Sequence[str], varied: float = 0.35
                 ) -> None:
        """
        Keep what must not be misunderstood.

        kinds: of the scene's objects.  varied: how often a word is replaced by one that
        means the same, [0, 1].
        """
        self.rng, self.varied = rng, varied
        there = set(kinds)
        self._banned = {word for word, others in DOUBTFUL.items() if there & set(others)}

    def pick(self, options: Sequence[str]) -> str:
        """Return one of the options."""
        return options[int(self.rng.integers(len(options)))]

    def word(self, name: str) -> str:
        """Return the name of a kind or colour, now and then another word for it."""
        if name not in SYNONYMS or self.rng.random() >= self.varied:
            return name
        return self.pick([w for w in SYNONYMS[name] if w not in self._banned])

    def phrase(self, kind: str | None, colour: str | None = None, size: str | None = None) -> str:
        """Return "small red mug"; kind None: "thing"."""
        noun = self.word(kind) if kind else self.pick(ANYTHING[:3])
        words = [self.pick(SIZE_WORDS[size]) if size else '', self.word(colour) if colour else '']
        return ' '.join([w for w in words if w] + [noun])

    def say(self, form: str, **slots: str) -> str:
        """Fill a template; {ts} is made from t, and "a" becomes "an" where it must."""
        if 't' in slots:
            slots['ts'] = plural(slots['t'])
        text = form.format(**slots)
        return re.sub(r'\ba (?=[aeiou])', 'an ', text)


def said_words() -> list[str]:
    """Return every word that a sentence can hold, sorted: what a vocabulary has to know."""
    forms = [f for group in (FORMS, PLURAL_FORMS, CLAUSES) for many in group.values()
             for f in many]
    names = [*ALL_KINDS, *COLOURS, *ANYTHING, *ORDINALS, *NUMBERS.values(),
             *(w for many in SYNONYMS.values() for w in many)]
    for table in (SIZE_WORDS, MORE, MOST, EXTREMES, PLACES):
        names += [w for many in table.values() for w in many]
    names += [plural(w) for w in (*ALL_KINDS, *ANYTHING,
                                  *(w for many in SYNONYMS.values() for w in many))]
    fields = [''.join(part for part, *_ in string.Formatter().parse(f)) for f in forms]
    text = ' '.join([*fields, *names, *COMPOUND_FORMS]).lower()
    return sorted({'an', *re.findall(r"[a-z]+(?:'[a-z]+)?", re.sub(r'\{.*?\}|%s', ' ', text))})
