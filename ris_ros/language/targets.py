"""Read the objects that a command means: phrase, attributes, position, relations, destination."""
from __future__ import annotations

from dataclasses import dataclass, field

from ris_ros.language import lexicon as lex
from ris_ros.language.counting import VIEW, count_of, ordinal_of, view_of
from ris_ros.language.naming import further_of, name_of, without_view
from ris_ros.language.phrases import NounPhrase, Sentence, noun_phrase
from ris_ros.language.places import Place, counted_from, place_at, position_of
from ris_ros.types import Relation, Target

_RELATIVE = lex.words("that which who whom is are 's was were being")
_AROUND_PLACES = lex.words('the on at in to side hand corner most far - very')
# What stands so to another thing is on the same side of the picture.
_CLOSE_BY = lex.words('behind front on inside next_to above below')
_HAVING = lex.words('with without wearing having has holding in carrying')
_DANGLING = lex.words("and or , that which who is are 's then but with to of ; : -")
# Words between an object and where it is to go.
_ON_THE_WAY = _DANGLING | lex.words('back down over up away out carefully gently slowly please '
                                    'there here together right straight upright upside')


@dataclass
class Found:
    """One object as it stands in the sentence, tokens start..end (exclusive).

    places: what is said of where it is, with what it is said of: own[i] tells whether
    places[i] belongs to the object itself ("next to the bowl") or to an object it names;
    linked[i] whether a verb or "that is" ties it to the noun.  extra: colours said behind.
    trailing: place words behind ("mug left"), or in front ("bottom left: the mug").
    shortened: a destination was cut off.
    """

    phrase: NounPhrase
    end: int
    places: list[Place] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    linked: list[bool] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)
    trailing: list[int] = field(default_factory=list)
    shortened: bool = False
    front: int | None = None  # where a place in front of the phrase begins

    def objects(self) -> list[NounPhrase]:
        """Phrases of the objects named to say where it is."""
        return [p for place in self.places for p in place.objects]


def read_object(s: Sentence, start: int, stop: int, skip: frozenset[int]) -> Found | None:
    """Return the object whose phrase begins at `start` with all that is said of it.

    Reading ends before "and" with a new object or a new verb.
    """
    phrase = noun_phrase(s, start, stop)
    if phrase is None:
        return None
    found = Found(phrase, phrase.end)
    if phrase.head is None and s.word(phrase.end) in (':', ',', '-') and all(
            s.low[i] in lex.PLACE_WORDS or s.low[i] in _AROUND_PLACES
            for i in range(phrase.start, phrase.end)):
        named = noun_phrase(s, phrase.end + 1, stop)
        if named is not None and named.head is not None:  # "bottom left: the mug"
            found = Found(named, named.end, trailing=[
                i for i in range(phrase.start, phrase.end) if s.low[i] in lex.PLACE_WORDS],
                front=phrase.start)
            phrase = named
    at, own, linked, negated = phrase.end, True, False, False
    while at < stop:
        word = s.low[at]
        place = None if at in skip else place_at(s, at, stop)
        view = VIEW.match(s.text, s.offset(at))
        if view is not None:  # "closest to the camera" is no relation to an object
            at = s.token_after(view.end() + 1)
        elif word == 'by' and _after_passive(s, at, found.phrase.end):
            agent = noun_phrase(s, at + 1, stop)  # "held by the man": he is not beside it
            at, own = (at + 1 if agent is None else agent.end), False
        elif place is None and (pair := _shared(s, at, stop)):
            found.places += pair
            found.own += [own and not negated] * len(pair)
            found.linked += [linked] * len(pair)
            at, linked, negated, own = pair[-1].end, False, False, False
        elif place is not None:
            # "the chair behind the table on the left": both are there
            beside = place.kind == 'position' and bool(found.places) and (
                found.places[-1].kind in _CLOSE_BY and found.places[-1].end == at)
            found.places.append(place)
            found.own.append((own or beside) and not negated)
            found.linked.append(linked)
            at, linked, negated = place.end, False, False
            own = own and not place.objects
        elif word == ',' and (named := _apposition(s, at + 1, stop)) is not None:
            found.extra += [i for i in range(named.start, named.end) if i != named.head
                            and (s.pos[i] == 'ADJ' or s.low[i] in lex.COLOURS)]
            own, at = True, named.end
        elif word == 'and' and _with_more(s, found, at, stop):
            more = noun_phrase(s, at + 1, stop)
            at = at + 1 if more is None else more.end
        elif word in ('and', 'or', ',', 'but', 'then'):
            after = _after_link(s, at, stop)
            if after is None:
                break
            own, at = True, after
        else:
            negated = negated or word in ('not', "n't", 'never')
            linked = linked or word in _RELATIVE or s.tag[at] in ('VBG', 'VBN', 'VBZ')
            at = _step(s, at, stop, found, own)
        found.end = at
    return found


def _after_passive(s: Sentence, at: int, start: int) -> bool:
    """"held by", "being sat in by": "by" names who does it; not "parked by", "standing by"."""
    before = at - 1
    if before > start and s.low[before] in ('in', 'on', 'at', 'up', 'over', 'off', 'down'):
        before -= 1
    return before >= start and s.low[before] not in lex.LINKS - {'sat'} and (
        s.tag[before] == 'VBN' or (s.tag[before] == 'VBD' and s.low[before].endswith('ed'))
        or s.word(before - 1) == 'being')


def _shared(s: Sentence, at: int, stop: int) -> list[Place]:
    """"behind and to the left of the box": two relations to one object."""
    for kind, pattern in lex.RELATIONS:
        said = pattern.match(s.text, s.offset(at))
        if said is None:
            continue
        link = s.token_after(said.end() + 1)
        second = place_at(s, link + 1, stop) if s.word(link) in ('and', 'or', ',') else None
        if second is not None and second.objects:
            return [Place(at, second.end, kind, objects=second.objects),
                    Place(link + 1, second.end, second.kind, objects=second.objects)]
    return []


def _after_link(s: Sentence, at: int, stop: int) -> int | None:
    """Index behind "and" where more is said of the same object, None where a new one begins."""
    after = at + 1
    while after < stop and s.low[after] in ('and', ','):
        after += 1
    if after >= stop:
        return None
    if s.low[after] in ('that', 'which', 'who', 'is', 'with', 'without', 'has'):
        return after
    if place_at(s, after, stop) is not None:
        return after
    if s.low[at] == ',' and s.low[after] in lex.PLACE_WORDS:  # "lady, left"
        phrase = noun_phrase(s, after, stop)
        return after if phrase is not None and phrase.head is None else None
    return None


def _apposition(s: Sentence, at: int, stop: int) -> NounPhrase | None:
    """"the mug, the red one": the phrase behind the comma, where it names the same object."""
    phrase = noun_phrase(s, at, stop) if at < stop else None
    same = (phrase is not None and phrase.head is not None and s.low[phrase.head] == 'one'
            and s.low[at] in ('the', 'that', 'this'))
    return phrase if same else None


def _with_more(s: Sentence, found: Found, at: int, stop: int) -> bool:
    """"girl with long hair and glasses": what somebody has or wears goes on behind "and"."""
    has = next((i for i in range(at - 1, found.phrase.end - 1, -1)
                if s.low[i] in _HAVING or s.low[i] in ('and', ',')), None)
    if has is None or s.low[has] not in _HAVING or at + 1 >= stop:
        return False
    more = noun_phrase(s, at + 1, stop)
    if more is None or more.head is None:
        return False
    person = found.phrase.head is not None and s.low[found.phrase.head] in lex.PEOPLE
    return s.low[at + 1] not in lex.DETERMINERS or (person and s.low[at + 1] in ('a', 'an'))


def _step(s: Sentence, at: int, stop: int, found: Found, own: bool) -> int:
    """Step over one word, or over a noun phrase that says nothing of where the object is."""
    word = s.low[at]
    if word in lex.PLACE_WORDS and s.word(at + 1) != 'of':
        if own:
            found.trailing.append(at)
        return at + 1
    if word in lex.COLOURS and own and at == found.phrase.end and (
            at + 1 == stop or s.pos[at + 1] not in ('NOUN', 'PROPN')):  # "the duck yellow"
        found.extra.append(at)
        return at + 1
    if s.pos[at] == 'ADJ' and s.word(at - 1) in ('is', 'are', "'s", 'in') and own:
        found.extra.append(at)
        return at + 1
    if word in ('with', 'without', 'of', 'for', 'in', 'has', 'have') or (
            s.tag[at] in ('VBG', 'VBN', 'VBZ', 'VBD') and word not in lex.LINKS):
        inner = noun_phrase(s, at + 1, stop) if at + 1 < stop else None
        if inner is not None:
            if word == 'in' and inner.head is None and own:
                found.extra.append(inner.end - 1)
            return inner.end
    return at + 1


def destination_index(found: Found, s: Sentence, verb: str | None) -> int | None:
    """Which of the places says where the object is to go; None where none does.

    Verbs of putting take the place that stands last at their own level: in "put the apple on
    the towel in the box" it is the box, in "put the apple in the bowl next to the plate" the
    bowl.  Verbs of shifting need "to", "into", "onto", "on top of"; other verbs "into"
    or "onto".
    """
    free = [i for i, p in enumerate(found.places)
            if not found.linked[i] and p.kind not in ('bigger', 'smaller')]
    if verb is None or not free:
        return None
    words_of = {i: s.low[found.places[i].start:found.places[i].end] for i in free}
    goals = [i for i in free if found.places[i].goal]
    if verb not in lex.PUT_VERBS:
        if verb not in lex.SHIFTING_VERBS:
            goals = [i for i in goals if {'into', 'onto'} & set(words_of[i][:3])]
        return goals[0] if goals else None
    strong = [i for i in goals if {'into', 'onto'} & set(words_of[i][:3])]
    if strong:
        return strong[0]
    if len(free) == 1:
        return free[0]
    first, second = found.places[free[0]], found.places[free[1]]
    if first.kind in ('position', 'other') and second.kind != 'position':
        return free[1]
    if first.kind in ('on', 'inside') and second.kind not in ('on', 'inside'):
        return free[0]
    inner = [i for i in free[1:] if found.places[i].kind in ('on', 'inside')]
    return inner[0] if inner else free[0]


def cut_at(found: Found, end: int) -> Found:
    """Return the object without what is said of it from token `end` on."""
    count = sum(p.start < end for p in found.places)
    return Found(found.phrase, end, found.places[:count], found.own[:count],
                 found.linked[:count], [i for i in found.extra if i < end],
                 [i for i in found.trailing if i < end], shortened=True, front=found.front)


def tokens_of(s: Sentence, found: Found, skip: frozenset[int]) -> list[int]:
    """Indices of the object's whole expression, without dangling words at its end."""
    least = max([found.phrase.end, *(p.end for p in found.places),
                 *(i + 1 for i in found.trailing)])
    end = found.end
    dangling = _ON_THE_WAY if found.shortened else _DANGLING
    while end > least and s.low[end - 1] in dangling:
        end -= 1
    start = found.phrase.start if found.front is None else found.front
    return [i for i in range(start, end) if i not in skip]


def target_of(s: Sentence, found: Found, skip: frozenset[int]) -> Target:
    """Return the contract's Target of an object."""
    indices = tokens_of(s, found, skip)
    head = found.phrase.head
    ordinal = ordinal_of(s, found.phrase, found.end)
    view = view_of(s, found.phrase.start, indices[-1] + 1 if indices else found.phrase.end)
    further = further_of(s, found.phrase, indices, _placed(s, found))
    return Target(
        expression=''.join(s.doc[i].text_with_ws for i in indices).strip(),
        head=None if head is None else s.doc[head].text,
        attributes=_attributes(s, found),
        position=None if ordinal and ordinal.side else _position(s, found),
        ordinal=ordinal, count=count_of(s, found.phrase),
        view=view,
        relations=tuple(Relation(p.kind, s.doc[o.head].text, s.doc[o.start:o.end].text,
                                 name_of(s, o))
                        for p, own in zip(found.places, found.own, strict=True) if own
                        for o in p.objects if o.head is not None),
        name=name_of(s, found.phrase, found.extra),
        further=without_view(further) if view else further)


def _placed(s: Sentence, found: Found) -> set[int]:
    """Tokens that say where it is or how it looks and stand in fields of their own.

    Not the "closest" of "closest to the bowl": it chooses, and nearness alone does not.
    """
    told = {i for p in found.places if p.kind != 'other' for i in range(p.start, p.end)
            if s.low[i] not in lex.SUPERLATIVES - lex.PLACE_WORDS}
    return told | set(found.extra) | set(found.trailing)


def _attributes(s: Sentence, found: Found) -> tuple[str, ...]:
    skipped = (lex.words('most hand side') | lex.PLACE_WORDS | lex.DETERMINERS | lex.ORDINALS
               | lex.NUMBERS | lex.OTHER_PLACES)
    start = max([found.phrase.start, *(  # "the red cube's neighbor" is not red
        i for i in range(found.phrase.start, found.phrase.end) if s.tag[i] == 'POS')])
    inside = [i for i in range(start, found.phrase.end) if i != found.phrase.head
              and s.low[i] not in skipped and not s.low[i][0].isdigit()
              and (s.pos[i] == 'ADJ' or s.tag[i] in ('VBN', 'VBG') or s.low[i] in lex.COLOURS
                   or s.low[i] in lex.COMMON_ADJECTIVES)]
    return tuple(s.doc[i].text for i in inside + found.extra)


def _position(s: Sentence, found: Found) -> str | None:
    """Where in the image: words in the phrase, then places said of it, then "mug left"."""
    start, end = found.phrase.start, found.phrase.end
    said = [s.low[i] for i in range(start, end) if s.low[i] in lex.PLACE_WORDS
            and i != found.phrase.head
            and not (s.word(i + 1) == '-' and s.word(i + 2) not in (
                'hand', 'most', 'left', 'right', 'middle', 'center', 'side'))]
    if not said:
        said = [p.position for p, own in zip(found.places, found.own, strict=True)
                if own and p.position and not counted_from(s, start, p.start)]
    if not said:
        said = [s.low[i] for i in found.trailing]
    return position_of(' '.join(said)) if said else None
