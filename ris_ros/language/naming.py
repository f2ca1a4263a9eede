"""What an object is called by itself, and what else is said to tell it from its likes (ours).

"The bigger red mug with a crack left of the bowl" is a "red mug"; "bigger" and "with a crack"
choose among red mugs, as the relation does.
"""
from __future__ import annotations

from collections.abc import Collection, Sequence

from ris_ros.language import lexicon as lex
from ris_ros.language.phrases import NounPhrase, Sentence

# What is compared, not what it looks like: these depend on what else is there.
COMPARED = (lex.SUPERLATIVES - lex.PLACE_WORDS) | lex.words(
    'small smaller smallest big bigger biggest large larger largest little tiny huge giant tall '
    'taller short shorter long longer wide wider thin thinner thick thicker fat fatter close '
    'closer near nearer far farther further high higher low lower dark darker light lighter '
    'bright brighter old older new newer young younger heavy heavier')
_ALWAYS_PLURAL = lex.words(
    'glasses sunglasses goggles scissors pants jeans shorts trousers tights pliers tongs tweezers '
    'binoculars headphones earphones clothes pyjamas pajamas')
_UNSAID = lex.DETERMINERS | lex.NUMBERS | lex.ORDINALS | lex.words('of most very hand side couple')
_EMPTY = lex.LINKS | lex.DETERMINERS | lex.words(
    "and or , that which who of to from in on at by for but then ; : - . ! ? please hand side "
    "one ones 've 'm 're than as so only")


def name_of(s: Sentence, phrase: NounPhrase, extra: Sequence[int] = ()) -> str:
    """Return the noun with what it looks like, without article, place, order and comparison.

    extra: tokens behind the phrase that say what it looks like ("the mug that is red"). The
    noun of several ("both mugs", "the smallest of the boxes") comes as one; empty where there is
    no noun.  Lower-cased.
    """
    if phrase.head is None:
        return ' '.join(s.low[i] for i in extra)
    said = s.low[phrase.start:phrase.head]
    start = phrase.start + said.index('of') + 1 if 'of' in said else phrase.start
    kept = [i for i in range(start, phrase.end) if i == phrase.head or not _unsaid(s, i)]
    while kept and s.low[kept[0]] in ('-', ',', 'and'):
        kept.pop(0)
    words = [s.doc[i].lemma_.lower() if i == phrase.head and s.tag[i] == 'NNS'
             and s.low[i] not in _ALWAYS_PLURAL else s.low[i] for i in kept]
    if words and words[-1] in ('one', 'ones'):
        words[-1] = 'object'
    behind = [s.low[i] for i in extra if s.low[i] not in COMPARED]
    worn = [w for i, w in zip(extra, behind, strict=False) if s.word(i - 1) == 'in']
    if worn and words:  # "the man in red" is no red man
        return ' '.join([*words, 'in', *worn])
    return ' '.join([*behind, *words]).replace(' - ', '-').replace(" 's", "'s")


def _unsaid(s: Sentence, i: int) -> bool:
    word = s.low[i]
    if (word, s.word(i + 1)) in lex.NAMED_ORDERS or (s.word(i - 1), word) in lex.NAMED_ORDERS:
        return False
    return (word in _UNSAID or word in COMPARED or word in lex.PLACE_WORDS
            or word[0].isdigit() or s.tag[i] in ('JJR', 'JJS', 'RBS', 'RBR'))


def further_of(s: Sentence, phrase: NounPhrase, indices: Sequence[int],
               known: Collection[int]) -> tuple[str, ...]:
    """Return the words that choose among things of one name and stand in no other field.

    indices: tokens of the whole expression.  known: tokens of places, relations and what is
    said behind of its looks.
    """
    end = phrase.end if phrase.head is None else phrase.head
    compared = [s.low[i] for i in range(phrase.start, end) if s.low[i] in COMPARED
                or s.tag[i] in ('JJR', 'JJS')]
    behind = [s.low[i] for i in indices if not phrase.start <= i < phrase.end and i not in known
              and s.low[i] not in _EMPTY and s.low[i] not in lex.ORDINALS
              and not s.low[i][0].isdigit()
              and any(c.isalnum() for c in s.low[i])]
    return (*compared, *behind)


# What says how near it is to the viewer, with whoever views it.
_VIEW_WORDS = lex.words('closest nearest closer nearer frontmost foremost farthest furthest '
                        'further farther backmost rearmost most distant away camera viewer robot '
                        'lens observer screen me us you')


def without_view(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words that are not about how near to the viewer the object is."""
    return tuple(w for w in words if w not in _VIEW_WORDS)
