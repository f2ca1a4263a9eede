"""
What the small matcher is told: statements about a scene, true and false, and whom they mean.

Truth follows the rules of `simulation.expressions`.  Shards hold pictures and names; where
things stand in space is computed again from the scene's seed (as they were put, before the
physics settled them, which moves few of them).  A false statement names what is absent, gives
a thing another's colour, or a relation that clearly does not hold.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ris_ros.models.wordpiece import END, PAD, START, UNKNOWN, words_of
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.simulation.expressions import (
    CLEAR_PX,
    POSITION_FORMS,
    RELATIONS,
    Seen,
    look,
)
from ris_ros.simulation.model import look_at_rotation
from ris_ros.simulation.scene import WIDTH, sample_scene
from ris_ros.training.tabletop.clip_texts import ANYTHING, BETWEEN_FORM, SYNONYMS, vocabulary

FOREIGN = 'unknownword'      # not in the vocabulary: the matcher learns that it fits nothing
CONTENT = frozenset((     # words that a parser calls nouns or adjectives, besides the names
    'left', 'right', 'leftmost', 'rightmost', 'top', 'bottom', 'middle', 'front', 'bigger',
    'larger', 'biggest', 'largest', 'smaller', 'smallest'))
ODDS = {'attribute': 0.26, 'position': 0.22, 'relation': 0.34, 'size': 0.10, 'absent': 0.08}
SIZE_STEP = 1.3              # ratio of scales that makes a comparison clear


def matcher_vocabulary() -> list[str]:
    """Return the matcher's pieces: special tokens, then whole words, sorted."""
    forms = [f for _, group in POSITION_FORMS.values() for f in group]
    forms += [f for _, group in RELATIONS for f in group]
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


def things_of(seed: int, instances: np.ndarray) -> list[Seen]:
    """Return the objects of a shard's scene; instances: (480, 640) uint8, every 4th is read."""
    spec = sample_scene(seed)
    poses = np.array([o.position for o in spec.objects]).reshape(-1, 3)
    rotation = look_at_rotation(spec) @ np.diag([1.0, -1.0, -1.0])
    return look(spec, np.ascontiguousarray(instances[::4, ::4]),
                (poses - np.array(spec.eye)) @ rotation)


def mirrored(things: Iterable[Seen]) -> list[Seen]:
    """Return the objects as in a mirror: left is right."""
    turn = np.array([-1.0, 1.0, 1.0])
    return [replace(s, x=WIDTH - 1 - s.x, xyz=s.xyz * turn) for s in things]


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
    return Statement(tuple(words), tuple(roles), tuple(targets), tuple(map(tuple, fits)), tag)


class Speaker:
    """Draws statements about one scene."""

    def __init__(self, things: Sequence[Seen], rng: np.random.Generator) -> None:
        """Collect the phrases that fit something in the scene."""
        self.rng, self.things = rng, [s for s in things if s.visible]
        self.kinds = {s.spec.kind for s in things}
        self.fits: dict[str, list[Seen]] = {}
        for s in things:
            for phrase in (s.spec.kind, f'{s.spec.colour} {s.spec.kind}'):
                self.fits.setdefault(phrase, []).append(s)
        clear = {p: f for p, f in self.fits.items() if all(s.visible for s in f)}
        self.several = [p for p, f in clear.items() if len(f) > 1]
        self.single = [p for p, f in clear.items() if len(f) == 1]

    def draw(self) -> Statement:
        """Return one statement; ODDS says how often which kind, as far as the scene allows."""
        tags = list(ODDS)
        tag = tags[int(np.searchsorted(np.cumsum(list(ODDS.values())), self.rng.random()))]
        for _ in range(4):
            made = getattr(self, f'_{tag}')()
            if made is not None:
                return made
        made = self._attribute() if self.things and self.rng.random() < 0.6 else None
        return made or self._absent()

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
        s = self.things[int(self.rng.integers(len(self.things)))]
        form = 'the {}' if self.rng.random() < 0.85 else self._pick(('{}', 'a {}'))
        if self.rng.random() < 0.06:
            fits = [o.instance for o in self.things if o.spec.colour == s.spec.colour]
            phrase = f'{s.spec.colour} {self._pick(ANYTHING)}'
        else:
            phrase = s.spec.kind
            if self.rng.random() < 0.6:
                phrase = f'{s.spec.colour} {phrase}'
            fits = [o.instance for o in self.fits[phrase]]
        return _statement(form, [self._say(phrase)], fits, [fits],
                          'attribute' if len(fits) == 1 else 'ambiguous')

    def _absent(self) -> Statement:
        absent = [k for k in KINDS if k not in self.kinds]
        draw = self.rng.random()
        colour = self._pick(list(COLOURS))
        if draw < 0.5 and self.kinds:     # a kind that is there, in another's colour
            near = sorted({s.spec.colour for s in self.things}) or list(COLOURS)
            pairs = [f'{c} {k}' for k in sorted(self.kinds)
                     for c in (near if draw < 0.35 else [colour])]
            pairs = [p for p in pairs if p not in self.fits]
            if pairs:
                return _statement('the {}', [self._pick(pairs)], (), [()], 'absent')
        noun = FOREIGN if draw > 0.96 else self._pick(absent)
        if draw > 0.7 and self.single:
            form = self._pick([f for _, group in RELATIONS for f in group])
            here = self._pick(self.single)
            pair = [here, noun] if draw > 0.85 else [noun, here]
            fits = [[s.instance for s in self.fits.get(p, ())] for p in pair]
            return _statement(form, pair, (), fits, 'absent')
        phrase = noun if self.rng.random() < 0.5 else f'{colour} {noun}'
        return _statement('the {}', [self._say(phrase)], (), [()], 'absent')

    def _position(self) -> Statement | None:
        if not self.several:
            return None
        phrase = self._pick(self.several)
        fits = self.fits[phrase]
        ids = [[s.instance for s in fits]]
        sides = list(POSITION_FORMS.values())
        if len(fits) == 3 and self.rng.random() < 0.3:
            xs = sorted(fits, key=lambda s: s.x)
            if min(xs[1].x - xs[0].x, xs[2].x - xs[1].x) > CLEAR_PX:
                form = self._pick(('the {} in the middle', 'the middle {}'))
                return _statement(form, [self._say(phrase)], [xs[1].instance], ids, 'position')
        key, forms = sides[int(self.rng.integers(len(sides)))]
        ranked = sorted(fits, key=key, reverse=True)
        if key(ranked[0]) - key(ranked[1]) <= CLEAR_PX:
            return None
        return _statement(self._pick(forms), [self._say(phrase)], [ranked[0].instance], ids,
                          'position')

    def _size(self) -> Statement | None:
        if not self.several:
            return None
        phrase = self._pick(self.several)
        ranked = sorted(self.fits[phrase], key=lambda s: s.spec.scale)
        ids = [[s.instance for s in ranked]]
        two = len(ranked) == 2
        if self.rng.random() < 0.6:
            if ranked[-1].spec.scale / ranked[-2].spec.scale <= SIZE_STEP:
                return None
            word = self._pick(('bigger', 'larger') if two else ('biggest', 'largest'))
            target = ranked[-1]
        else:
            if ranked[1].spec.scale / ranked[0].spec.scale <= SIZE_STEP:
                return None
            word, target = 'smaller' if two else 'smallest', ranked[0]
        return _statement(f'the {word} {{}}', [self._say(phrase)], [target.instance], ids, 'size')

    def _relation(self) -> Statement | None:
        if not self.single:
            return None
        choose = self.several if self.several and self.rng.random() < 0.8 else self.single
        phrase, anchor = self._pick(choose), self._pick(self.single)
        fits, other = self.fits[phrase], self.fits[anchor][0]
        if other in fits or other.spec.kind == fits[0].spec.kind:
            return None
        if self.rng.random() < 0.15:
            return self._between(phrase, anchor)
        ids = [[s.instance for s in fits], [other.instance]]
        true: list[tuple[tuple[str, ...], list[int]]] = []
        false: list[tuple[tuple[str, ...], list[int]]] = []
        for holds, forms in RELATIONS:
            values = sorted(holds(s, other) for s in fits)
            if values[-1] > 1 and (len(values) < 2 or values[-2] < -1):
                best = max(fits, key=lambda s, holds=holds: holds(s, other))  # type: ignore
                true.append((forms, [best.instance]))
            elif values[-1] < -1:
                false.append((forms, []))
        pool = false if false and (not true or self.rng.random() < 0.25) else true
        # Most of what could be said at random is false; there is enough of it.
        if not pool or (not true and self.rng.random() < 0.65):
            return None
        forms, target = pool[int(self.rng.integers(len(pool)))]
        return _statement(self._pick(forms), [self._say(phrase), self._say(anchor)], target, ids,
                          'relation')

    def _between(self, phrase: str, anchor: str) -> Statement | None:
        second, fits = self._pick(self.single), self.fits[phrase]
        a, b = self.fits[anchor][0], self.fits[second][0]
        if a is b or b in fits:
            return None
        low, high = sorted((a.x, b.x))
        margins = [min(s.x - low, high - s.x) / CLEAR_PX for s in fits]
        ranked = sorted(margins)
        if ranked[-1] > 1 and (len(ranked) < 2 or ranked[-2] < -1):
            target = [fits[int(np.argmax(margins))].instance]
        elif ranked[-1] < -1:
            target = []
        else:
            return None
        return _statement(BETWEEN_FORM, [phrase, anchor, second], target,
                          [[s.instance for s in fits], [a.instance], [b.instance]], 'relation')
