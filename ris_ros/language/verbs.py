"""Find the action of a command: what wraps it, its verb, its particle, where the object begins."""
from __future__ import annotations

import re
from dataclasses import dataclass

from ris_ros.language import lexicon as lex
from ris_ros.language.phrases import NOMINAL, Sentence


@dataclass(frozen=True)
class Action:
    """The action as said ("pick up"), its bare verb, and the tokens that are left for objects.

    start..stop (exclusive): where the objects are.  skip: tokens in there that belong to the
    verb (the "up" of "pick the can up").  motion: of "go to", "drive behind": the object
    is a place to go to.
    """

    name: str | None
    verb: str | None
    start: int
    stop: int
    skip: frozenset[int] = frozenset()
    motion: bool = False


# "take a look at", "get hold of": the verb alone says little.
_LIGHT = re.compile(
    r'(?:a (?:close |good |quick )?(?:look|peek|glance) at|hold of|rid of)(?= )')
_WISHES = dict.fromkeys(('like', 'love', 'prefer', 'wanted', 'meant', 'mean'), 'want') | {
    'needed': 'need'}
# Adverbs that can stand between a verb and its object and are no prepositions.
_FREE_ADVERBS = lex.VERB_ADVERBS - lex.VERB_PREPOSITIONS


def find_action(s: Sentence) -> Action:
    """Strip openers and trailing politeness and read the verb, if the sentence has one."""
    start = _after_openers(s, 0)
    searching = lex.SEARCHES.match(s.text, s.offset(start))
    if searching and start < len(s):
        begin = s.token_after(searching.end() + 1)
        return Action('find', 'find', begin, _before_trailers(s, begin))
    begin = _after_naming(s, start)
    stop = _before_trailers(s, begin)
    if begin < stop and begin == start:
        begin = _chained(s, start, stop)
        if _is_verb(s, begin, stop):
            return _read_verb(s, begin, stop)
    wish = re.compile(r"i(?: really| also)?(?: would| 'd)? (?P<verb>want|need|like|prefer|love"
                      r'|wanted|needed|meant|mean)'
                      r'(?: to (?:have|get|see))?(?= )').match(s.text, s.offset(start))
    have = re.compile(r'(?:can|could|may|might) i (?:please )?(?P<verb>have|get|see|borrow)'
                      r'(?: a look at)?(?= )').match(s.text, s.offset(start))
    said = wish or have
    if said:
        name = _WISHES.get(said['verb'], said['verb'])
        return Action(name, name, s.token_after(said.end() + 1), stop)
    return Action(None, None, begin, stop)


def _after_openers(s: Sentence, i: int) -> int:
    changed = True
    while changed and i < len(s):
        changed = False
        for pattern in lex.OPENERS:
            found = pattern.match(s.text, s.offset(i))
            if found and found.end() > s.offset(i):
                i = s.token_after(found.end() + 1)
                changed = True
                break
    return i


def _after_naming(s: Sentence, i: int) -> int:
    found = lex.NAMING.match(s.text, s.offset(i)) if i < len(s) else None
    return s.token_after(found.end()) if found else i


def _before_trailers(s: Sentence, start: int) -> int:
    stop = len(s)
    while stop > start:
        text = s.text[:s.offset(stop) - 1]
        found = lex.TRAILERS.search(text, s.offset(start))
        if not found or found.end() == found.start():
            break
        cut = found.start() + (1 if text[found.start()] == ' ' else 0)
        stop = s.token_after(cut)
    return stop


def _base(s: Sentence, i: int) -> str:
    """Bare form of a verb: "picking" -> "pick"."""
    word = s.low[i]
    if word in lex.VERBS or (s.tag[i] != 'VBG' and not word.endswith('ing')):
        return word
    stem = word[:-3] if word.endswith('ing') else word
    doubled = stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else stem
    return next((v for v in (stem, stem + 'e', doubled) if v in lex.VERBS), s.doc[i].lemma_)


def _is_verb(s: Sentence, i: int, stop: int) -> bool:
    """Whether token `i`, at the front of a command, is its verb and not a noun phrase's start."""
    if i >= stop or s.low[i] in lex.DETERMINERS:
        return False
    base, after = _base(s, i), s.word(i + 1) if i + 1 < stop else ''
    if after in ('that', 'which', 'who') and s.word(i + 2) in (
            'is', 'are', 'was', 'were', 'has', "'s", 'stands', 'sits', 'lies'):
        return False  # "dog that is sleeping"
    if base in lex.NOUN_LIKE and i + 1 < stop and s.pos[i + 1] in NOMINAL and (
            after not in lex.DETERMINERS | lex.RECEIVERS):
        return False  # "stop sign", "hand towel"
    if base in lex.VERBS and base not in lex.AMBIGUOUS_VERBS:
        return True
    tagged = s.tag[i] in ('VB', 'VBP', 'VBG') and s.pos[i] == 'VERB'
    if base in lex.AMBIGUOUS_VERBS:
        if after in lex.DETERMINERS or after in lex.RECEIVERS or after in lex.NUMBERS:
            return True
        if after in lex.PARTICLES.get(base, ()) and s.word(i + 2) in lex.DETERMINERS:
            return True
        if after in lex.PREPOSITIONAL_VERBS.get(base, ()):
            return tagged or after in ('at', 'to', 'for', 'towards', 'toward')
        if after in lex.VERB_PREPOSITIONS:
            return tagged and base in lex.MOTION_VERBS
        if after in lex.VERB_ADVERBS:
            return tagged
        return tagged and after != ''
    if after in lex.DETERMINERS | lex.RECEIVERS and s.pos[i] not in (
            'ADP', 'DET', 'ADV', 'PRON', 'AUX', 'CCONJ', 'SCONJ'):
        return True
    return tagged and s.pos[i + 1 if i + 1 < stop else i] in (
        'DET', 'PRON', 'ADJ', 'NOUN', 'PROPN', 'NUM')


def _chained(s: Sentence, i: int, stop: int) -> int:
    """"go and get", "come over here and take", "go fetch": index of the verb that counts."""
    if i >= stop or _base(s, i) not in ('go', 'come', 'try', 'proceed', 'help'):
        return i
    j = i + 1
    while s.word(j) in lex.VERB_ADVERBS | {'there', 'here', 'and', 'to', 'me', 'ahead'}:
        j += 1
    linked = s.word(j - 1) in ('and', 'to') or j == i + 1
    if j < stop and linked and _base(s, j) in lex.VERBS and _is_verb(s, j, stop) and (
            s.word(j - 1) != 'to' or s.pos[j] == 'VERB'):
        return j
    return i


def _read_verb(s: Sentence, i: int, stop: int) -> Action:
    base = _base(s, i)
    name = base
    at = i + 1
    particles = lex.PARTICLES.get(base, frozenset())
    motion = False
    if s.word(at) in ('a', 'hold', 'rid') and base in ('take', 'have', 'get', 'catch', 'grab'):
        found = _LIGHT.match(s.text, s.offset(at))
        if found:
            at = s.token_after(found.end() + 1)
            name = {'hold of': name, 'rid of': f'{base} rid of'}.get(found[0], 'look')
    while at < stop:
        word = s.low[at]
        follows = s.word(at + 1) if at + 1 < stop else ''
        if word in particles and (at + 1 == stop or not _governs(s, at, stop, base)):
            name, at = f'{base} {word}', at + 1
        elif (word in lex.RECEIVERS and base in lex.GIVE_VERBS) or (
                word in _FREE_ADVERBS and s.pos[at] in ('ADV', 'ADP', 'INTJ') and follows):
            at += 1
        elif word in lex.VERB_PREPOSITIONS and base not in lex.PUT_VERBS - {'turn'}:
            motion = base in lex.MOTION_VERBS or motion
            if motion and word not in ('to', 'towards', 'toward', 'for', 'at', 'past', 'after'):
                break
            at += 1
        else:
            break
    at = _after_receiver(s, at, stop, base)
    skip = _split_particle(s, at, stop, base)
    if skip is not None and ' ' not in name:
        name = f'{base} {s.low[skip]}'
    return Action(name, base, at, stop, frozenset() if skip is None else frozenset({skip}), motion)


def _governs(s: Sentence, at: int, stop: int, base: str) -> bool:
    """Whether a word that could be a particle is a preposition here: "point out", "look in a"."""
    if s.low[at] in ('on', 'off', 'in', 'over', 'down', 'up', 'around'):
        if base in ('turn', 'switch', 'pick', 'put', 'set', 'hand', 'bring', 'take'):
            return s.low[at] in ('on', 'in') and base in ('put', 'set', 'take', 'bring')
        return s.doc[at].dep_ == 'prep' and s.low[at] != 'up'
    return False


def _after_receiver(s: Sentence, at: int, stop: int, base: str) -> int:
    """"give the man the red cup": step over the receiver, told by a second article."""
    if base not in lex.GIVE_VERBS or s.word(at) not in lex.DETERMINERS:
        return at
    for j in range(at + 1, min(at + 4, stop)):
        if s.low[j] in ('the', 'a', 'an', 'that', 'this', 'my', 'your') and (
                s.pos[j - 1] in NOMINAL and j + 1 < stop and s.pos[j] in ('DET', 'PRON')
                and s.pos[j + 1] in ('NOUN', 'PROPN', 'ADJ')):
            return j
    return at


def _split_particle(s: Sentence, at: int, stop: int, base: str) -> int | None:
    """Index of the "up" in "pick the can up"; a preposition before a noun is none."""
    particles = lex.PARTICLES.get(base, frozenset())
    for j in range(at + 1, stop):
        if s.low[j] not in particles:
            continue
        nothing_follows = j + 1 == stop
        if nothing_follows and s.pos[j - 1] not in ('DET', 'ADJ'):
            return j
        before_goal = s.low[j] in ('down', 'back', 'away', 'over', 'up', 'out') and s.word(
            j + 1) in ('on', 'in', 'into', 'onto', 'to', 'from', 'and', 'next', 'under',
                       'behind', 'beside')
        if before_goal and s.pos[j - 1] in (*NOMINAL, 'PRON'):
            return j
        if s.doc[j].dep_ == 'prt' and s.pos[j - 1] in (*NOMINAL, 'PRON') and s.low[j] == 'up':
            return j
    return None
