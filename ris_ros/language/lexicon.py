"""Word tables shared by the rules: written as text, used as sets."""
from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the set of the words of `text`, split at white space."""
    return frozenset(text.split())
