"""
A second reading of the tabletop's sentences: from the text and the geometry alone.

Nothing of `simulation.truth`, `tellings` or `wording` is used.  A sentence is taken apart by
patterns of its own, objects are measured again pixel by pixel and pose by pose, and who is
meant follows by comparing plain numbers, without margins.  A sentence that was made with a
clear margin must read the same here.
"""
import itertools
import re

import numpy as np

from ris_ros.simulation.catalogue import ALL_KINDS, COLOURS

NOUNS = {**{k: k for k in ALL_KINDS}, 'cup': 'mug', 'tin': 'can', 'sphere': 'ball',
         'carton': 'box', 'package': 'box', 'block': 'cube', 'dish': 'bowl', 'object': None,
         'thing': None, 'item': None}
TINTS = {**{c: c for c in COLOURS}, 'grey': 'gray', 'violet': 'purple'}
SIZES = {'small': 'small', 'little': 'small', 'big': 'large', 'large': 'large'}
COUNTS = {'two': 2, 'three': 3, 'four': 4, 'five': 5}
ORDER = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth']
TIE_PX = 15
WAYS = {'left': (0, 1), 'leftmost': (0, 1), 'right': (0, -1), 'rightmost': (0, -1),
        'top': (1, 1), 'upper': (1, 1), 'topmost': (1, 1), 'uppermost': (1, 1),
        'bottom': (1, -1), 'lower': (1, -1), 'bottommost': (1, -1), 'lowest': (1, -1)}
RELATIONS = (
    ('left', r'(?:directly |just )?left of|(?:immediately )?to the left of'
             r'|on the left side of'),
    ('right', r'(?:directly |just )?right of|(?:immediately )?to the right of'
              r'|on the right side of'),
    ('front', r'(?:directly |just |standing )?in front of'),
    ('behind', r'(?:directly |just |standing )?behind'),
    ('above', r'above|higher up than'), ('below', r'below|lower down than'),
    ('on', r'on top of|lying on|standing on|on'),
    ('inside', r'inside of|inside|lying in|in'),
    ('next_to', r'right next to|next to|beside|near|close to'),
    ('bigger', r'bigger than|larger than'), ('smaller', r'smaller than'))


class UnreadError(Exception):
    """These words are no noun phrase, so that the pattern does not fit."""


class Reader:
    """Reads sentences about the scene of one TabletopWorld."""

    def __init__(self, world):
        frame, self.things = world.frame, []
        for i, item in enumerate(world.spec.objects):
            rows, columns = np.nonzero(frame.instances == i + 1)
            shape = ALL_KINDS[item.kind](item.scale)
            self.things.append({
                'id': i + 1, 'kind': item.kind, 'colour': item.colour, 'size': item.size,
                'scale': item.scale, 'radius': shape.radius, 'height': shape.height,
                'px': (columns.mean(), rows.mean()) if len(rows) else (np.nan, np.nan),
                'at': frame.poses[i, :3], 'world': world.to_world(frame.poses[i, :3])})
        for thing in self.things:
            thing['under'] = self.carrier(thing)

    def carrier(self, thing):
        """By height and place: what an object's feet are over, and clearly above."""
        for other in self.things:
            x, y, z = thing['world'] - other['world']
            if (other is not thing and other['kind'] in ('plate', 'bowl', 'book') and z > 0.0035
                    and np.hypot(x, y) < 0.6 * other['radius']):
                return other['id']
        return 0

    def noun(self, text):
        """Objects that a noun phrase fits, singular or plural, with or without an article."""
        words = re.sub(r'^(?:the|an?|every) ', '', text.strip()).split()
        last = words[-1]
        if last not in NOUNS:
            last = last[:-2] if last[:-2] in NOUNS and last.endswith('es') else last[:-1]
        if last not in NOUNS or not all(w in SIZES or w in TINTS for w in words[:-1]):
            raise UnreadError(text)
        found = [t for t in self.things if NOUNS[last] in (None, t['kind'])]
        for word in words[:-1]:
            if word in TINTS:
                found = [t for t in found if t['colour'] == TINTS[word]]
        for word in words[:-1]:
            if word in SIZES:
                found = [t for t in found if t['size'] == SIZES[word]]
        return found

    def holds(self, relation, a, b):
        """Tell whether "a is <relation> b" by plain comparison."""
        (ax, ay), (bx, by) = a['px'], b['px']
        carried = {'on': b['kind'] != 'bowl', 'inside': b['kind'] == 'bowl'}
        if relation in carried:
            return a['under'] == b['id'] and carried[relation]
        if relation in ('bigger', 'smaller'):
            big, small = (a, b) if relation == 'bigger' else (b, a)
            if a['kind'] == b['kind']:
                return big['scale'] > small['scale']
            return big['radius'] > small['radius'] and big['height'] > small['height']
        if relation in ('above', 'below'):
            if a['under'] == b['id'] or b['under'] == a['id']:
                return (a['under'] == b['id']) == (relation == 'above')
            return ay < by if relation == 'above' else ay > by
        return {'left': ax < bx, 'right': ax > bx, 'front': a['at'][2] < b['at'][2],
                'behind': a['at'][2] > b['at'][2],
                'next_to': self.distance(a, b) < 0.16}[relation]

    @staticmethod
    def distance(a, b):
        return float(np.sqrt(sum((p - q) ** 2 for p, q in zip(a['at'], b['at'], strict=True))))

    def between(self, a, b, c):
        low, high = sorted((b['px'][0], c['px'][0]))
        steps = [b['at'] + k / 400 * (c['at'] - b['at']) for k in range(401)]
        gaps = [float(np.linalg.norm(a['at'] - s)) for s in steps]
        return low < a['px'][0] < high and min(gaps) < 0.10 and 0 < int(np.argmin(gaps)) < 400

    def first(self, found, way):
        """Those that are furthest in a way, ties included."""
        axis, sign = WAYS[way]
        best = min(sign * t['px'][axis] for t in found) if found else 0
        return [t for t in found if sign * t['px'][axis] - best < TIE_PX]

    def one(self, text):
        found = self.noun(text)
        assert len(found) <= 1, f'{text!r} names several objects'
        return found

    def relation(self, text):
        """Split "REL the A" into the relation and its anchor (none where it is absent)."""
        for name, words in RELATIONS:
            match = re.fullmatch(f'(?:{words}) (the .+)', text)
            if match:
                return name, self.one(match[1])
        return None

    def related(self, found, text):
        """Those of `found` for which "REL the A" holds."""
        relation, anchor = self.relation(text)
        return [t for t in found if anchor and t is not anchor[0]
                and self.holds(relation, t, anchor[0])]

    def read(self, text):
        """Return the instances that the sentence means or fits, sorted."""
        for rule in RULES:
            for pattern, act in rule:
                match = re.fullmatch(pattern, text)
                try:
                    found = act(self, *match.groups()) if match else None
                except UnreadError:
                    continue
                if found is not None:
                    return sorted({t['id'] for t in found})
        raise AssertionError(f'cannot read {text!r}')


def without(reader, found, word):
    """Drop those of a colour or size."""
    assert word in TINTS or word in SIZES
    return [t for t in found if t['colour'] != TINTS.get(word) and t['size'] != SIZES.get(word)]


def nearest(reader, noun, anchor, far=False):
    anchor, found = reader.one(anchor), reader.noun(noun)
    if not anchor or not found:
        return []
    choose = max if far else min
    return [choose(found, key=lambda t: reader.distance(t, anchor[0]))]


def directly(reader, noun, rest):
    found = reader.related(reader.noun(noun), rest)
    anchor = reader.relation(rest)[1]
    return [min(found, key=lambda t: reader.distance(t, anchor[0]))] if found else []


def ordinal(reader, word, noun, way):
    axis, sign = WAYS[way]
    row = sorted(reader.noun(noun), key=lambda t: sign * t['px'][axis])
    k = ORDER.index(word)
    return row[k:k + 1]


def middle(reader, noun):
    row = sorted(reader.noun(noun), key=lambda t: t['px'][0])
    return row[(len(row) - 1) // 2:len(row) // 2 + 1]


def corner(reader, down, across, noun):
    found = reader.noun(noun)
    return [t for t in found if all(
        WAYS[w][1] * t['px'][WAYS[w][0]] <= WAYS[w][1] * o['px'][WAYS[w][0]]
        for w in (down, across) for o in found)]


def most(reader, word, noun):
    big = word in ('bigger', 'larger', 'biggest', 'largest')
    found = reader.noun(noun)
    return [t for t in found if all(o is t or reader.holds('bigger' if big else 'smaller', t, o)
                                    for o in found)]


def carrying(reader, noun, load, inside=None):
    load = reader.one(load)
    return [t for t in reader.noun(noun) if load and load[0]['under'] == t['id']
            and inside in (None, t['kind'] == 'bowl')]


def counted(reader, count, nouns):
    found = reader.noun(nouns)
    assert len(found) == COUNTS[count]
    return found


def two_clauses(reader, noun, first, second):
    if reader.relation(first) is None or reader.relation(second) is None:
        return None
    return [t for t in reader.related(reader.noun(noun), first)
            if t in reader.related(reader.noun(noun), second)]


def clause(reader, noun, rest):
    return reader.related(reader.noun(noun), rest) if reader.relation(rest) else None


def loaded(reader, thing):
    return any(o['under'] == thing['id'] for o in reader.things)


N, SIDE = r'(?:the |an? )?([a-z -]+?)', r'(left|right|top|bottom)'
ANY_WAY = '|'.join(WAYS)
DENIALS = (
    (r'not the (\w+) (\w+) but the other one', lambda r, c, n: without(r, r.noun(n), c)),
    (N + r'(?:, not| but not| and not| other than|, and not) the (\w+) one',
     lambda r, n, c: without(r, r.noun(n), c)),
    (N + r" (?:that|which) (?:is not|isn't) (\w+)", lambda r, n, c: without(r, r.noun(n), c)),
    (r'the non-(\w+) (.+)', lambda r, c, n: without(r, r.noun(n), c)),
    (N + r' (?:that is )?not on the ' + SIDE,
     lambda r, n, s: [t for t in r.noun(n) if t not in r.first(r.noun(n), s)]),
    (N + r' not standing on anything else|' + N + ' standing directly on the table|' + N
     + ' that is right on the table',
     lambda r, *n: [t for t in r.noun(next(filter(None, n))) if not t['under']]),
    (N + r' (?:that is )?not (on|in|next to|near) (the .+)',
     lambda r, n, w, a: [t for t in r.noun(n) if t not in r.related(r.noun(n), f'{w} {a}')]),
    (N + r' outside (the .+)',
     lambda r, n, a: [t for t in r.noun(n) if t not in r.related(r.noun(n), f'in {a}')]),
    (N + r' away from (the .+)',
     lambda r, n, a: [t for t in r.noun(n) if t not in r.related(r.noun(n), f'near {a}')]),
    (r'the empty (.+)|' + N + ' with nothing (?:on|in) it|' + N + ' that carries nothing|' + N
     + ' that is empty',
     lambda r, *n: [t for t in r.noun(next(filter(None, n))) if not loaded(r, t)]),
)
SUPPORTS = (
    (N + r' (?:under|that carries) (the .+)', lambda r, n, a: carrying(r, n, a)),
    (N + r' that (the .+) stands on', lambda r, n, a: carrying(r, n, a)),
    (N + r' with (the .+) on it', lambda r, n, a: carrying(r, n, a, False)),
    (N + r' with (the .+) in it', lambda r, n, a: carrying(r, n, a, True)),
    (N + r' (?:that holds|containing) (the .+)', lambda r, n, a: carrying(r, n, a, True)),
)
PLACES = (
    (r'(?:the )?(' + '|'.join(ORDER) + ') (.+?) (?:counting )?from the ' + SIDE, ordinal),
    (N + r' that is (' + '|'.join(ORDER) + ') from the ' + SIDE,
     lambda r, n, o, s: ordinal(r, o, n, s)),
    (r'the first (.+?) ((?:to the left of|to the right of|behind|in front of) the .+)', directly),
    (N + r' ((?:directly|just|immediately) .+)', directly),
    (r'the nearest (.+?) to (the .+)', nearest),
    (N + r' (?:that is )?(?:nearest to|closest to) (the .+)', nearest),
    (N + r' (?:that is )?(?:farthest from|furthest away from) (the .+)',
     lambda r, n, a: nearest(r, n, a, True)),
    (r'(?:the )?(bigger|larger|smaller|biggest|largest|smallest)(?: of the)? (.+?)'
     r'(?: on the table| of all)?', most),
    (r'(?:the )?(?:middle|central) (.+)', middle),
    (N + r' in the (?:middle|center)', middle),
    (r'(?:the )?(top|upper|bottom|lower) (left|right) (.+)', corner),
    (N + r' (?:at|in) the (top|upper|bottom|lower) (left|right)(?: part)?',
     lambda r, n, d, a: corner(r, d, a, n)),
    (N + r' (?:on|at) the ' + SIDE + r'(?: side)?', lambda r, n, s: r.first(r.noun(n), s)),
    (rf'(?:the )?({ANY_WAY})(?: of the)? (.+)',
     lambda r, s, n: None if ' of ' in n else r.first(r.noun(n), s)),
)
SEVERAL = (
    (r'both (?:of the )?([a-z ]+?)(?: (near the .+))?',
     lambda r, n, rest: None if ' and ' in n else
     r.related(r.noun(n), rest) if rest else r.noun(n)),
    (r'(?:the|all) (two|three|four|five) (.+)', counted),
    (r'all (?:the )?(.+?)((?: (?:left of|to the|right of|behind|in front of|next to) .+)?)',
     lambda r, n, rest: r.related(r.noun(n), rest.strip()) if rest else r.noun(n)),
    (r'every (.+)', lambda r, n: r.noun(n)),
    (r'(?:both )?(the [a-z ]+?) (?:and|together with) (the [a-z ]+)',
     lambda r, a, b: None if re.search(r' (?:of|than|that|to|in|on|near|behind|between) ', a)
     else [*r.one(a), *r.one(b)]),
)
RELATED = (
    (N + r' (?:that is )?(?:in )?between (the .+?) and (the .+)',
     lambda r, n, a, b: [t for t in r.noun(n) for p, q in itertools.product(r.one(a), r.one(b))
                         if r.between(t, p, q)]),
    *((N + rf' (?:that is )?((?:{a}) .+?) and ((?:{b}) .+)', two_clauses)
      for (_, a), (_, b) in itertools.product(RELATIONS, repeat=2)),
    *((N + rf' (?:that is )?((?:{words}) the .+)', clause) for _, words in RELATIONS),
)
NAMED = (
    (N + r' (?:that is|which is|colored) (\w+)',
     lambda r, n, c: [t for t in r.noun(n) if t['colour'] == TINTS[c]]),
    (r'the (?:only|one and only|single) (.+)', lambda r, n: r.noun(n)),
    (r'(?:there is |a photo of |a picture of )?' + N, lambda r, n: r.noun(n)),
)
RULES = (DENIALS, SUPPORTS, PLACES, SEVERAL, RELATED, NAMED)
