"""
Referring expressions of a scene, with their true targets.

Truth is decided in the picture for left, right, top, bottom and middle (that is how people
use the words in front of a screen or a robot's view), in depth for behind and in front of,
and from how things were put for on and inside.  An expression is kept only when it fits
exactly one object by a clear margin; ambiguous and absent ones are made on purpose and
carry their own tags.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ris_ros.simulation.catalogue import COLOURS, HELD_OUT_KINDS, KINDS
from ris_ros.simulation.scene import ObjectSpec, SceneSpec

MIN_PIXELS = 500         # less of an object than this in view: nobody would refer to it
CLEAR_PX = 40.0          # horizontal or vertical margin that makes a position clear, pixels
CLEAR_M = 0.05           # margin along the viewing direction for behind and in front of
NEAR_M = 0.16            # next to: centres closer than this, and nearer than any rival
ANSWERABLE_TAGS = ('attribute', 'position', 'relation', 'size')
PER_SCENE = {'attribute': 3, 'position': 2, 'relation': 3, 'size': 1, 'ambiguous': 1, 'absent': 1}


@dataclass(frozen=True)
class Expression:
    """
    What is said, its tag, and the instances it fits (from 1).

    One target: answerable.  Two or more: ambiguous.  None: the object is absent.
    unseen: the target's kind is held out of training.
    """

    text: str
    tag: str
    targets: tuple[int, ...]
    answerable: bool
    unseen: bool = False


@dataclass(frozen=True)
class Seen:
    """One object as the expressions see it: names, picture position (pixels), place (metres)."""

    instance: int
    spec: ObjectSpec
    x: float
    y: float
    xyz: np.ndarray
    visible: bool


Candidate = tuple[str, str, tuple[int, ...]]


def look(spec: SceneSpec, instances: np.ndarray, poses: np.ndarray) -> list[Seen]:
    """Return what the expressions know of each object; arguments as in `sample_expressions`."""
    scale = instances.shape[1] / spec.camera.width
    seen = []
    for i, item in enumerate(spec.objects):
        rows, columns = np.nonzero(instances == i + 1)
        visible = len(rows) >= MIN_PIXELS * scale * scale
        x, y = (columns.mean() / scale, rows.mean() / scale) if len(rows) else (np.nan, np.nan)
        seen.append(Seen(i + 1, item, float(x), float(y), poses[i, :3], visible))
    return seen


def _noun_phrases(item: ObjectSpec) -> tuple[str, str]:
    """Return the bare noun and the noun with its colour."""
    return item.kind, f'{item.colour} {item.kind}'


def _matching(seen: list[Seen], phrase: str) -> list[Seen]:
    return [s for s in seen if phrase in _noun_phrases(s.spec)]


def _phrases(seen: list[Seen]) -> list[str]:
    return sorted({p for s in seen for p in _noun_phrases(s.spec)})


def _attribute(seen: list[Seen]) -> Iterator[Candidate]:
    for phrase in _phrases(seen):
        fits = _matching(seen, phrase)
        if len(fits) == 1:
            yield f'the {phrase}', 'attribute', (fits[0].instance,)


POSITION_FORMS: dict[str, tuple[Callable[[Seen], float], tuple[str, ...]]] = {
    'left': (lambda s: -s.x, ('the {} on the left', 'the left {}', 'the leftmost {}')),
    'right': (lambda s: s.x, ('the {} on the right', 'the right {}', 'the rightmost {}')),
    'top': (lambda s: -s.y, ('the {} at the top', 'the top {}')),
    'bottom': (lambda s: s.y, ('the {} at the bottom', 'the bottom {}')),
}


def _position(seen: list[Seen]) -> Iterator[Candidate]:
    for phrase in _phrases(seen):
        fits = _matching(seen, phrase)
        if len(fits) < 2 or not all(s.visible for s in fits):
            continue
        for key, forms in POSITION_FORMS.values():
            ranked = sorted(fits, key=key, reverse=True)
            if key(ranked[0]) - key(ranked[1]) > CLEAR_PX:
                for form in forms:
                    yield form.format(phrase), 'position', (ranked[0].instance,)
        xs = sorted(fits, key=lambda s: s.x)
        if len(xs) == 3 and min(xs[1].x - xs[0].x, xs[2].x - xs[1].x) > CLEAR_PX:
            for form in ('the {} in the middle', 'the middle {}'):
                yield form.format(phrase), 'position', (xs[1].instance,)


def _left_of(a: Seen, b: Seen) -> float:
    return (b.x - a.x) / CLEAR_PX


def _right_of(a: Seen, b: Seen) -> float:
    return (a.x - b.x) / CLEAR_PX


def _behind(a: Seen, b: Seen) -> float:
    return float(a.xyz[2] - b.xyz[2]) / CLEAR_M


def _front(a: Seen, b: Seen) -> float:
    return float(b.xyz[2] - a.xyz[2]) / CLEAR_M


def _on(a: Seen, b: Seen) -> float:
    return 2.0 if a.spec.support == b.instance - 1 and not a.spec.contained else -2.0


def _inside(a: Seen, b: Seen) -> float:
    return 2.0 if a.spec.support == b.instance - 1 and a.spec.contained else -2.0


def _next_to(a: Seen, b: Seen) -> float:
    distance = float(np.linalg.norm(a.xyz - b.xyz))
    return (NEAR_M - distance) / (NEAR_M / 4)


# Each returns > 1 where the relation clearly holds, < -1 (or, for next to, < -1) where it
# clearly does not; between the two nobody should be asked.
RELATIONS: tuple[tuple[Callable[[Seen, Seen], float], tuple[str, ...]], ...] = (
    (_left_of, ('the {} to the left of the {}', 'the {} left of the {}')),
    (_right_of, ('the {} to the right of the {}', 'the {} right of the {}')),
    (_behind, ('the {} behind the {}',)),
    (_front, ('the {} in front of the {}',)),
    (_on, ('the {} on the {}', 'the {} on top of the {}')),
    (_inside, ('the {} in the {}', 'the {} inside the {}')),
    (_next_to, ('the {} next to the {}',)),
)


def _relation(seen: list[Seen]) -> Iterator[Candidate]:
    phrases = _phrases(seen)
    anchors = [(p, _matching(seen, p)[0]) for p in phrases if len(_matching(seen, p)) == 1]
    for phrase in phrases:
        fits = _matching(seen, phrase)
        if len(fits) < 2 or not all(s.visible for s in fits):
            continue
        for anchor_phrase, anchor in anchors:
            if not anchor.visible or anchor in fits or anchor.spec.kind == fits[0].spec.kind:
                continue
            for holds, forms in RELATIONS:
                values = [holds(s, anchor) for s in fits]
                if max(values) > 1 and sorted(values)[-2] < -1:
                    target = fits[int(np.argmax(values))]
                    for form in forms:
                        yield form.format(phrase, anchor_phrase), 'relation', (target.instance,)
        yield from _between(phrase, fits, anchors)


def _between(phrase: str, fits: list[Seen], anchors: list[tuple[str, Seen]]
             ) -> Iterator[Candidate]:
    for i, (first, a) in enumerate(anchors):
        for second, b in anchors[i + 1:]:
            if a in fits or b in fits or a is b or not (a.visible and b.visible):
                continue
            low, high = sorted((a.x, b.x))
            margins = [min(s.x - low, high - s.x) / CLEAR_PX for s in fits]
            if max(margins) > 1 and sorted(margins)[-2] < -1:
                target = fits[int(np.argmax(margins))]
                yield (f'the {phrase} between the {first} and the {second}', 'relation',
                       (target.instance,))


def _size(seen: list[Seen]) -> Iterator[Candidate]:
    for phrase in _phrases(seen):
        fits = _matching(seen, phrase)
        if len(fits) < 2 or not all(s.visible for s in fits):
            continue
        ranked = sorted(fits, key=lambda s: s.spec.scale)
        if ranked[-1].spec.scale / ranked[-2].spec.scale > 1.3:
            words = ('bigger', 'larger') if len(fits) == 2 else ('biggest', 'largest')
            for word in words:
                yield f'the {word} {phrase}', 'size', (ranked[-1].instance,)
        if ranked[1].spec.scale / ranked[0].spec.scale > 1.3:
            word = 'smaller' if len(fits) == 2 else 'smallest'
            yield f'the {word} {phrase}', 'size', (ranked[0].instance,)


def _ambiguous(seen: list[Seen]) -> Iterator[Candidate]:
    for phrase in _phrases(seen):
        fits = _matching(seen, phrase)
        if len(fits) >= 2 and sum(s.visible for s in fits) >= 2:
            yield f'the {phrase}', 'ambiguous', tuple(s.instance for s in fits)


def _absent(seen: list[Seen], rng: np.random.Generator) -> Iterator[Candidate]:
    kinds = sorted(set(KINDS) - {s.spec.kind for s in seen})
    colours = sorted(COLOURS)
    for kind in rng.permutation(kinds)[:2]:
        yield f'the {kind}', 'absent', ()
        yield f'the {colours[int(rng.integers(len(colours)))]} {kind}', 'absent', ()


def sample_expressions(spec: SceneSpec, instances: np.ndarray, poses: np.ndarray
                       ) -> tuple[Expression, ...]:
    """
    Return at most eleven expressions of a scene: PER_SCENE says how many of each tag.

    instances: (H, W) uint8 as in Frame.  poses: (K, 7) in the optical frame.  Deterministic
    in the scene's seed.
    """
    rng = np.random.Generator(np.random.PCG64([spec.seed, 20260103]))
    seen = look(spec, instances, poses)
    made = {'attribute': list(_attribute(seen)), 'position': list(_position(seen)),
            'relation': list(_relation(seen)), 'size': list(_size(seen)),
            'ambiguous': list(_ambiguous(seen)), 'absent': list(_absent(seen, rng))}
    visible = {s.instance for s in seen if s.visible}
    kind_of = {s.instance: s.spec.kind for s in seen}
    chosen = []
    for tag, number in PER_SCENE.items():
        usable = [c for c in made[tag] if tag in ('absent', 'ambiguous') or c[2][0] in visible]
        for k in _spread(usable, number, rng):
            text, _, targets = usable[k]
            chosen.append(Expression(text, tag, targets, tag in ANSWERABLE_TAGS,
                                     any(kind_of[t] in HELD_OUT_KINDS for t in targets)))
    return tuple(chosen)


def _spread(candidates: list[Candidate], number: int, rng: np.random.Generator) -> list[int]:
    """Pick candidates at random, but one target twice only when there are no others left."""
    order = [int(i) for i in rng.permutation(len(candidates))]
    first: list[int] = []
    later: list[int] = []
    used: set[tuple[int, ...]] = set()
    for i in order:
        (later if candidates[i][2] in used else first).append(i)
        used.add(candidates[i][2])
    return (first + later)[:number]
