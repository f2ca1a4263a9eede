"""Text as ROS can carry it: UTF-8 without NUL; no ROS here.

Python strings may hold lone surrogates (half of a pair, as a cut-off emoji escaped in JSON
leaves it), which have no UTF-8, and NUL, at which a string of ROS ends.
"""
from __future__ import annotations

import re

REPLACEMENT = '�'
_SURROGATES = re.compile('[\ud800-\udfff]')
# Control characters but tab, newline and carriage return; they also drive terminals.
_CONTROLS = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]')
BYTE_ORDER_MARK = '\ufeff'


def carriable(text: str) -> str:
    r"""Return the text with what ROS cannot carry replaced; other texts come back as they are.

    Lone surrogates become U+FFFD, control characters spaces, byte order marks vanish.

    >>> carriable('the red\x00box \ud83d')
    'the red box �'
    """
    text = text.replace(BYTE_ORDER_MARK, '')
    return _CONTROLS.sub(' ', _SURROGATES.sub(REPLACEMENT, text))


def shortened(text: str, limit: int = 200) -> str:
    """Return the text, or its beginning and an ellipsis where it is longer than `limit`.

    >>> shortened('a long story', 8)
    'a long …'
    """
    return text if len(text) <= limit else text[:limit - 1] + '…'
