"""Which one in a row, how many, and how near to the viewer (ours)."""
from __future__ import annotations

import re

from ris_ros.language import lexicon as lex
from ris_ros.language.phrases import NounPhrase, Sentence
from ris_ros.types import Ordinal

_NTH = dict(first=1, second=2, third=3, fourth=4, fifth=5, sixth=6, seventh=7, eighth=8, ninth=9,
            tenth=10)
_MANY = dict(two=2, three=3, four=4, five=5, six=6, seven=7, eight=8, nine=9, ten=10)
_DIGITS_TH = re.compile(r'(\d{1,2})(?:st|nd|rd|th)')
_FROM = re.compile(
    r'(?:(?:starting |counting |counted )?(?:from|on|to|at|in) )?(?:the |your |my )?(?:far )?'
    r'(?P<side>left|right|top|bottom|front|back|end)(?: side| hand side| end)?(?= |$)(?! of )')
_WHO = r'(?:(?:the |a |your |my )?(?:camera|viewer|robot|lens|observer|screen)|me|us|you)'
VIEW = re.compile(
    rf'(?:(?P<near>(?:the )?(?:closest|nearest|closer|nearer)(?: one)?(?: to)? {_WHO})'
    rf'|(?P<far>(?:the )?(?:farthest|furthest|further|farther|most distant)(?: away)?(?: one)?'
    rf'(?: from {_WHO}| away)))(?= |$)')
_TO_A_THING = re.compile(rf'(?<= )(?:to|from) (?!{_WHO}(?: |$))(?:the|a|an|this|that|my|your) ')
_NEAR = lex.words('closest nearest frontmost foremost')
_FAR = lex.words('farthest furthest backmost rearmost')


def ordinal_of(s: Sentence, phrase: NounPhrase, stop: int) -> Ordinal | None:
    """Return what "the second mug from the left", "second from left" count, None otherwise."""
    behind = [i for i in range(phrase.end, stop) if s.word(i + 1) == 'from']
    for i in (*range(phrase.start, phrase.end), *behind):  # also "the cup second from the right"
        word = s.low[i]
        if (word, s.word(i + 1)) in lex.NAMED_ORDERS and i + 1 != phrase.head:
            continue
        digits = _DIGITS_TH.fullmatch(word)
        n = _NTH.get(word) or (int(digits[1]) if digits else None)
        if n is None and word == 'last' and i != phrase.head:
            n = -1
        if not n or (i == phrase.head and phrase.end - phrase.start > 1 and word == 'second' and (
                i + 1 < phrase.end)):
            continue
        inner = next((s.low[j] for j in range(i + 1, phrase.end) if s.low[j] in lex.PLACE_WORDS
                      and j != phrase.head), None)
        end = max(phrase.end, i + 1)
        found = _FROM.match(s.text, s.offset(end)) if end < stop else None
        side = inner or (found['side'] if found else None)
        side = lex.HORIZONTAL.get(side or '', lex.VERTICAL.get(side or '', side))
        return Ordinal(n, None if side == 'end' else side)
    return None


def count_of(s: Sentence, phrase: NounPhrase) -> int | str | None:
    """Return how many are meant: a number from 2, 'all', 'both', or 'several'; None unsaid.

    "the smallest of the three boxes" and "one of the mugs" mean one.
    """
    said = s.low[phrase.start:phrase.end if phrase.head is None else phrase.head]
    if 'of' in said:
        said = said[:said.index('of')]
    for i, word in enumerate(said):
        if word == 'both':
            return 'both'
        if word in ('all', 'every', 'each'):
            return 'all'
        if word in _MANY or (word.isdigit() and 1 < int(word[:6]) < 100):
            return _MANY.get(word) or int(word)
        if word == 'couple':
            return 2
        if word in ('several', 'few', 'many', 'multiple') and (i or said[0] != 'the'):
            return 'several'
    return None


def view_of(s: Sentence, start: int, end: int) -> str | None:
    """Return 'nearest' or 'farthest' where tokens start..end say so of the viewer's place."""
    for i in range(start, end):
        found = VIEW.match(s.text, s.offset(i))
        if found:
            return 'nearest' if found['near'] else 'farthest'
        after = s.word(i + 1) if i + 1 < end else ''
        if after in ('to', 'from', 'left', 'right', 'away') or s.word(i - 1) in (
                'on', 'at', 'to', 'in'):
            continue
        # "The mug nearest the bowl", "the closest mug to the bowl": a thing's nearness.
        if after in lex.DETERMINERS or _TO_A_THING.search(
                s.text, s.offset(i), s.offset(end) if end < len(s.low) else len(s.text)):
            continue
        if s.low[i] in _NEAR:
            return 'nearest'
        if s.low[i] in _FAR:
            return 'farthest'
    return None
