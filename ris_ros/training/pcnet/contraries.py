"""The same sentence with one word turned into its contrary (ours).

"the mug on the left" becomes "the mug on the right": another mug, or none.  Within a picture the
two are never one object, and where there is one mug the second is false: what other pictures
of a batch seldom teach.  Only words that order things have a contrary here; a colour has many.
"""
from __future__ import annotations

import re

_PAIRS = (('left', 'right'), ('leftmost', 'rightmost'), ('top', 'bottom'), ('upper', 'lower'),
          ('topmost', 'bottommost'), ('uppermost', 'lowest'), ('above', 'below'),
          ('bigger', 'smaller'), ('biggest', 'smallest'), ('big', 'small'),
          ('nearest', 'farthest'), ('closer', 'farther'),
          ('behind', 'in front of'), ('back', 'front'), ('tallest', 'shortest'),
          ('taller', 'shorter'))
# Further words with the same contrary.
_ALSO = {'larger': 'smaller', 'largest': 'smallest', 'large': 'small', 'little': 'big',
         'closest': 'farthest', 'furthest': 'nearest', 'lowermost': 'uppermost',
         'higher': 'lower'}
_TURNED = {**{b: a for a, b in _PAIRS}, **{a: b for a, b in _PAIRS}, **_ALSO}
_WORDS = re.compile(r'\b(?:' + '|'.join(sorted(map(re.escape, _TURNED), key=len, reverse=True))
                    + r')\b')
# Where such a word orders nothing: "right next to", "on top of", "the back of the chair".
_IDLE = re.compile(r'\bon top of\b|\bright (?=next|on|in|at|behind|above|below|beside|there)'
                   r'|\b(?:back|front|top|bottom) of\b|\bback (?=seat|pack|door|yard)')


def contrary(text: str) -> str:
    """Return the text with its first word of order turned, empty where it has none.

    >>> contrary('the mug left of the box'), contrary('the ball in front of the cup')
    ('the mug right of the box', 'the ball behind the cup')
    >>> contrary('the mug right next to the bowl on top of the box')
    ''
    """
    idle = [match.span() for match in _IDLE.finditer(text)]
    for match in _WORDS.finditer(text):
        inside = any(start <= match.start() < end for start, end in idle)
        if not inside or match.group() == 'in front of':
            return text[:match.start()] + _TURNED[match.group()] + text[match.end():]
    return ''
