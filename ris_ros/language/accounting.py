"""Every content word is used or named as ignored, with the reason (ours)."""
from __future__ import annotations

from collections.abc import Sequence

from ris_ros.language import lexicon as lex
from ris_ros.language.phrases import Sentence
from ris_ros.language.targets import Found, tokens_of
from ris_ros.language.verbs import Action
from ris_ros.types import Ignored, Relation

# Words that only tie others together, ask, or are polite.
EMPTY = (lex.DETERMINERS - lex.words('no all both every each another either neither')
         | lex.BARE_PRONOUNS | lex.RECEIVERS | lex.words(
    "please kindly thanks thank thx cheers ok okay yes yeah hey hi hello sorry well so oh ah um "
    "uh er just now then also too again and or but if as than that 's 're 'm 'd 'll 've is are am "
    'was were be been being do does did have has had can could would will shall may might must '
    'should to of from with at by for in on off up down over out into onto upon about away back '
    'go ahead let us lets my your his her its our their whose when while dear sir '
    'want need like wish help try good morning evening afternoon excuse favor favour you u ya '
    'kind enough able possible mind maybe perhaps possibly see know tell show instead here there '
    'right'))
_NOT = lex.words("not n't never no without except neither nor unless only")
_MANNER = lex.words('carefully gently slowly quickly immediately asap directly straight closely')


def unused(s: Sentence, action: Action, found: Sequence[Found],
           destination: Relation | None) -> tuple[Ignored, ...]:
    """Return runs of content words that are in no object, action or destination.

    Negation words and numbers among them make a run a constraint.
    """
    used = _used(s, action, found, destination)
    runs: list[list[int]] = []
    for i, word in enumerate(s.low):
        if i in used or not any(c.isalnum() for c in word):
            continue
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    out = []
    for run in runs:
        while run and s.low[run[-1]] in EMPTY:
            run.pop()
        while run and s.low[run[0]] in EMPTY:
            run.pop(0)
        if run:
            out.append(_ignored(s, action, run))
    return tuple(out)


def _ignored(s: Sentence, action: Action, run: Sequence[int]) -> Ignored:
    said = s.doc[run[0]:run[-1] + 1].text
    words = [s.low[i] for i in run]
    if all(w in _MANNER | EMPTY for w in words):
        return Ignored(said, 'how to do it')
    if any(w in _NOT or w in lex.NUMBERS or w.isdigit() for w in words):
        return Ignored(said, 'a negation or number that is not understood', constraint=True)
    if run[0] >= action.stop or run[-1] < action.start:
        return Ignored(said, 'said around the request')
    if any(w in lex.VERBS for w in words):
        return Ignored(said, 'a further request; give one at a time')
    return Ignored(said, 'not understood')


def _used(s: Sentence, action: Action, found: Sequence[Found],
          destination: Relation | None) -> set[int]:
    used = set(action.skip)
    names = (action.name or '').split()
    used |= {i for i in range(action.start) if s.low[i] == 'no'}  # "no, the other one"
    used |= {i for i in range(action.start) if s.low[i] in names
             or s.doc[i].lemma_ in names or (action.verb or '') in (s.low[i], s.doc[i].lemma_)}
    if action.verb and not names:
        used |= set(range(action.start))
    if action.name == 'find':
        used |= {i for i in range(action.start) if s.low[i] in lex.words(
            'where which what find lost looking searching seen spot notice recognize put')}
    for one in found:
        used |= set(tokens_of(s, one, action.skip))
    if destination is not None:
        used |= _destination(s, destination)
    return used


def _destination(s: Sentence, destination: Relation) -> set[int]:
    """Tokens of where it is to go, with the words in front that say how it lies there."""
    if not destination.expression:
        side = max((i for i, w in enumerate(s.low) if w == destination.type), default=-1)
        return {side, side + 1} if s.word(side + 1) in ('side', 'hand') else {side}
    at = s.doc.text.rfind(destination.expression)
    end = at + len(destination.expression)
    inside = {i for i in range(len(s)) if at <= s.doc[i].idx < end}
    first = min(inside, default=0)
    while first > 0 and s.low[first - 1] in _LEADS_TO:
        first -= 1
        inside.add(first)
    return inside


_LEADS_TO = lex.words('in on to into onto top of next near beside behind between under above over '
                      'below left right front inside the side close by at back down up away put '
                      'place set lay it them towards toward and straight')
