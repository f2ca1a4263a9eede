"""What the small CLIP is told: captions of objects, and which caption is true of which picture."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.simulation.wording import ANYTHING, SYNONYMS
from ris_ros.training.tabletop.shards import Thing

BACKGROUND = 'table'
SPOILED = 'spoiled'     # a mask that shows no object whole and alone: no caption is true of it
POSITION_FORMS = ('the {} on the left', 'the {} on the right', 'the left {}', 'the right {}',
                  'the leftmost {}', 'the rightmost {}', 'the {} at the top', 'the top {}',
                  'the {} at the bottom', 'the bottom {}', 'the middle {}', 'the {} in the middle',
                  'the bigger {}', 'the larger {}', 'the smaller {}', 'the biggest {}',
                  'the largest {}', 'the smallest {}', 'the big {}', 'the small {}')
RELATION_FORMS = ('the {} to the left of the {}', 'the {} left of the {}',
                  'the {} to the right of the {}', 'the {} right of the {}',
                  'the {} behind the {}', 'the {} in front of the {}',
                  'the {} on the {}', 'the {} on top of the {}',
                  'the {} in the {}', 'the {} inside the {}', 'the {} next to the {}',
                  'the {} near the {}', 'the {} under the {}', 'the {} above the {}')
BETWEEN_FORM = 'the {} between the {} and the {}'
PLAIN_FORMS = ('{}', '{}', 'the {}', 'the {}', 'a {}', 'a photo of a {}.', 'a photo of {}',
               'a photo of the {}')
_MISC = ('to of in on at and it that is standing lying front pick up two three object objects '
         'things items ones center centre closer further back side')


def vocabulary() -> list[str]:
    """Return every word a caption can hold, sorted: the text tower's vocabulary."""
    from ris_ros.models.tokenizer import vocab_of
    words = [*KINDS, *COLOURS, *ANYTHING, *_MISC.split(), BACKGROUND]
    words += [w for group in SYNONYMS.values() for w in group]
    forms = [f.replace('{}', ' ') for f in (*PLAIN_FORMS, *POSITION_FORMS, *RELATION_FORMS,
                                            BETWEEN_FORM)]
    return vocab_of([*words, *forms])


@dataclass(frozen=True)
class Names:
    """What a caption says of its head, or what an object is; None: not said."""

    kind: str | None
    colour: str | None


def names_of(thing: Thing) -> Names:
    """Return the true names of an object."""
    return Names(thing.kind, thing.colour)


def _word(rng: np.random.Generator, name: str) -> str:
    options = SYNONYMS.get(name)
    return str(rng.choice(options)) if options else name


def _phrase(rng: np.random.Generator, names: Names) -> str:
    noun = _word(rng, names.kind) if names.kind else str(rng.choice(ANYTHING))
    return f'{_word(rng, names.colour)} {noun}' if names.colour else noun


def _random_names(rng: np.random.Generator) -> Names:
    kind = str(rng.choice(list(KINDS)))
    return Names(kind, str(rng.choice(list(COLOURS))) if rng.random() < 0.5 else None)


def caption(rng: np.random.Generator, truth: Names) -> tuple[str, Names]:
    """
    Return a caption whose head is an object of the given names, and what it says of it.

    Kind, colour or both are told; a third of the captions speak of place, size or another
    object too, so that the text tower learns which noun is meant.
    """
    draw = rng.random()
    if truth.kind == BACKGROUND or (draw < 0.6 and truth.colour):
        said = truth
    elif draw < 0.9 or not truth.colour:
        said = Names(truth.kind, None)
    else:
        said = Names(None, truth.colour)
    phrase = _phrase(rng, said)
    draw = rng.random()
    if draw < 0.62 or truth.kind == BACKGROUND:
        return str(rng.choice(PLAIN_FORMS)).format(phrase), said
    if draw < 0.80:
        return str(rng.choice(POSITION_FORMS)).format(phrase), said
    others = [_phrase(rng, _random_names(rng)) for _ in range(2)]
    form = BETWEEN_FORM if rng.random() < 0.1 else str(rng.choice(RELATION_FORMS))
    return form.format(phrase, *others[:form.count('{}') - 1]), said


def plain_caption(rng: np.random.Generator, truth: Names) -> tuple[str, Names]:
    """
    Return a caption that names an object and says no more, and what it says.

    For pictures of several objects: a place or another thing drawn at random would be false.
    """
    if truth.kind == BACKGROUND or (truth.colour and rng.random() < 0.5):
        said = truth
    elif truth.colour and rng.random() < 0.1:
        said = Names(None, truth.colour)
    else:
        said = Names(truth.kind, None)
    return str(rng.choice(PLAIN_FORMS)).format(_phrase(rng, said)), said


def any_caption(rng: np.random.Generator) -> tuple[str, Names]:
    """Return a caption of something, shown or not: what texts alone are compared by."""
    draw = rng.random()
    if draw < 0.08:
        return plain_caption(rng, Names(BACKGROUND, None))
    kind = str(rng.choice(list(KINDS)))
    return caption(rng, Names(kind, str(rng.choice(list(COLOURS)))))


def related_table(said: Sequence[Names]) -> np.ndarray:
    """
    Return (captions, captions) bool: which two captions one of which follows from the other.

    "The red mug" follows from nothing but itself, "the mug" and "the red one" from it; "the
    blue mug" has nothing to do with it.  No caption counts as its own relative.
    """
    known = sorted(set(said), key=repr)
    column = {n: i for i, n in enumerate(known)}
    follows = np.array([[fits(a, b) for b in known] for a in known], bool)
    where = np.array([column[n] for n in said])
    table: np.ndarray = (follows | follows.T)[where[:, None], where[None]]
    np.fill_diagonal(table, False)
    return table


def fits(said: Names, shown: Names) -> bool:
    """Tell whether what is said is true of what is shown."""
    if shown.kind == SPOILED:
        return False
    return (((said.kind is None and shown.kind != BACKGROUND) or said.kind == shown.kind)
            and (said.colour is None or said.colour == shown.colour))


def truth_table(shown: Sequence[Sequence[Names]], said: Sequence[Names]) -> np.ndarray:
    """Return (pictures, captions) bool: true where a caption fits something a picture shows."""
    # Names are few, so each pair of names is compared once and looked up.
    known = sorted({n for names in shown for n in names}, key=repr)
    column = {n: i for i, n in enumerate(known)}
    single = np.array([[fits(s, n) for s in said] for n in known], bool)
    return np.stack([single[[column[n] for n in names]].any(0) for names in shown])
