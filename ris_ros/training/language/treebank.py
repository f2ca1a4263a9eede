"""Read a Universal Dependencies treebank and give it the labels spaCy's English expects.

spaCy's English `noun_chunks` know ClearNLP-style labels (dobj, pobj, prep, attr, ...) and find
nothing in a tree with Universal Dependencies labels.  The differences that matter:

* prepositions head their phrase: `case` becomes `prep`, its noun `pobj`;
* the copula heads its clause: "the ball is red" hangs on "is", "red" is `acomp`;
* conjuncts form a chain, and the conjunction hangs on the conjunct before it;
* names are headed by their last word.

The conversion is by rules over one sentence; what no rule knows keeps its label's first part.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ris_ros.types import BadInputError


@dataclass
class Node:
    """One token: `head` is an index into the sentence, -1 for the root."""

    index: int
    word: str
    lemma: str
    pos: str
    tag: str
    head: int
    label: str
    space: bool = True


# Universal label -> ClearNLP-style label, for what is a mere renaming.
LABELS = {
    'root': 'ROOT', 'obj': 'dobj', 'iobj': 'dative', 'nsubj:pass': 'nsubjpass',
    'nsubj:outer': 'nsubj', 'csubj:pass': 'csubjpass', 'aux:pass': 'auxpass',
    'acl:relcl': 'relcl', 'advcl:relcl': 'advcl', 'nmod:poss': 'poss', 'cc:preconj': 'preconj',
    'det:predet': 'predet', 'compound:prt': 'prt', 'obl:unmarked': 'npadvmod',
    'nmod:unmarked': 'npadvmod', 'nmod:desc': 'nmod', 'obl:agent': 'agent', 'obl': 'npadvmod',
    'discourse': 'intj', 'vocative': 'npadvmod', 'flat': 'compound', 'goeswith': 'compound',
    'list': 'dep', 'orphan': 'dep', 'reparandum': 'dep', 'dislocated': 'dep', 'fixed': 'dep',
}
# Labels of a clause that stay with the copula when it becomes the head.
_CLAUSE_CHILDREN = ('nsubj', 'csubj', 'aux', 'mark', 'expl', 'punct', 'advcl', 'parataxis',
                    'vocative', 'discourse', 'cc')


def read_conllu(path: Path) -> Iterator[list[Node]]:
    """Yield the sentences of a CoNLL-U file as lists of nodes (ranges and empty nodes left out).

    Raises BadInputError when the file is missing.
    """
    if not path.is_file():
        raise BadInputError(f'{path} is not there; point --ewt at a folder with the '
                            'en_ewt-ud-{train,dev,test}.conllu files')
    rows: list[list[str]] = []
    with path.open(encoding='utf-8') as lines:
        for line in lines:
            line = line.rstrip('\n')
            if line and not line.startswith('#'):
                rows.append(line.split('\t'))
            elif not line and rows:
                yield _nodes(rows)
                rows = []
    if rows:
        yield _nodes(rows)


def _nodes(rows: list[list[str]]) -> list[Node]:
    joined: dict[int, bool] = {}  # first token's number of a range -> no space inside
    ends: dict[int, bool] = {}  # last token's number of a range -> space after it
    words = [r for r in rows if r[0].isdigit()]
    for row in rows:
        if '-' in row[0]:
            first, last = (int(n) for n in row[0].split('-'))
            joined.update({n: True for n in range(first, last)})
            ends[last] = 'SpaceAfter=No' not in row[9]
    nodes = []
    for i, row in enumerate(words):
        number = int(row[0])
        space = ends.get(number, 'SpaceAfter=No' not in row[9]) and number not in joined
        lemma = row[1].lower() if row[2] == '_' else row[2]
        nodes.append(Node(i, row[1], lemma, row[3], row[4], int(row[6]) - 1, row[7], space))
    return nodes


def convert(nodes: list[Node]) -> list[Node]:
    """Change heads and labels in place (see the module's text) and return the nodes."""
    _names_head_last(nodes)
    _copula_heads_clause(nodes)
    _prepositions_head_phrases(nodes)
    _chain_conjuncts(nodes)
    for node in nodes:
        if node.label == 'mark' and node.tag == 'TO':
            node.label = 'aux'
        elif node.label == 'advmod' and node.lemma in ('not', "n't"):
            node.label = 'neg'
        elif node.label == 'obl' and node.pos == 'ADP':  # stranded: "the box to look at"
            node.label = 'prep'
        elif node.label == 'xcomp' and node.pos == 'ADJ':
            node.label = 'acomp'
        else:
            node.label = LABELS.get(node.label, node.label.split(':')[0])
    return nodes


def children(nodes: list[Node], head: int) -> list[Node]:
    """Return the nodes that hang on `head`, in order."""
    return [n for n in nodes if n.head == head]


def _swap_head(nodes: list[Node], old: Node, new: Node) -> None:
    """Put `new`, a descendant of `old`, in its place above `old`."""
    new.head, new.label = old.head, old.label
    old.head = new.index


def _names_head_last(nodes: list[Node]) -> None:
    for first in nodes:
        parts = [c for c in children(nodes, first.index) if c.label.startswith('flat')]
        if not parts:
            continue
        last = parts[-1]
        _swap_head(nodes, first, last)
        first.label = 'compound'
        for child in children(nodes, first.index):
            if child is not last:
                child.head = last.index
                if child in parts:
                    child.label = 'compound'


def _copula_heads_clause(nodes: list[Node]) -> None:
    for cop in [n for n in nodes if n.label == 'cop']:
        predicate = nodes[cop.head]
        if any(c.label == 'cop' for c in children(nodes, cop.index)):
            continue
        _swap_head(nodes, predicate, cop)
        kids = children(nodes, predicate.index)
        has_case = any(c.label == 'case' and c.tag != 'POS' for c in kids)
        if has_case:
            predicate.label = 'obl'
        else:
            predicate.label = 'acomp' if predicate.pos in ('ADJ', 'VERB') else 'attr'
        for child in kids:
            base = child.label.split(':')[0]
            clausal = base in _CLAUSE_CHILDREN and not (base == 'cc' and child.index > cop.index)
            early = base == 'advmod' and (child.index < cop.index or (child.tag == 'RB'
                                          and child.lemma in ('not', "n't")))
            own_clause = base == 'conj' and any(
                c.label.split(':')[0] in ('nsubj', 'cop', 'csubj')
                for c in children(nodes, child.index))
            if clausal or early or own_clause:
                child.head = cop.index


def _case_chain(nodes: list[Node], noun: Node) -> list[Node]:
    """The prepositions in front of `noun`, fixed parts ("because of") included, in order."""
    chain: list[Node] = []
    for child in children(nodes, noun.index):
        if child.label == 'case' and child.tag != 'POS':
            chain.append(child)
            chain += [c for c in children(nodes, child.index) if c.label == 'fixed']
    return chain


def _prepositions_head_phrases(nodes: list[Node]) -> None:
    outer_of: dict[int, Node] = {}
    for noun in nodes:
        chain = _case_chain(nodes, noun)
        if chain:
            outer_of[noun.index] = _raise_chain(nodes, noun, chain, outer_of)
            continue
        marks = [c for c in children(nodes, noun.index) if c.label == 'mark' and c.tag == 'IN']
        if (marks and noun.tag == 'VBG' and noun.label in ('advcl', 'acl')
                and marks[0].index < noun.index):
            _swap_head(nodes, noun, marks[0])
            marks[0].label, noun.label = 'prep', 'pcomp'


def _raise_chain(nodes: list[Node], noun: Node, chain: list[Node],
                 outer_of: dict[int, Node]) -> Node:
    outer = chain[0]
    base = noun.label.split(':')[0]
    if noun.label == 'obl:agent':
        label = 'obl:agent'
    elif base in ('obl', 'nmod', 'acl', 'advcl', 'xcomp', 'dep'):
        label = 'prep'
    else:
        label = noun.label
    outer.head, outer.label = noun.head, label
    if base == 'conj' and noun.head in outer_of:
        outer.head = outer_of[noun.head].index
    for above, below in pairwise(chain):
        below.head = above.index
        below.label = 'prep' if below.pos != 'NOUN' else 'pobj'
    if outer.word.lower() == 'next' and len(chain) > 1:  # as in "the cup next to the door"
        outer.pos, outer.tag, outer.label = 'ADV', 'RB', 'advmod'
    noun.head, noun.label = chain[-1].index, 'pobj'
    for child in children(nodes, noun.index):
        if child.index < outer.index or (child.label == 'cc' and base == 'conj'):
            child.head = outer.index
    return outer


def _chain_conjuncts(nodes: list[Node]) -> None:
    for first in nodes:
        conjuncts = [c for c in children(nodes, first.index) if c.label == 'conj']
        before = first
        for conjunct in conjuncts:
            conjunct.head = before.index
            for child in children(nodes, conjunct.index):
                if child.label == 'cc' and child.index < conjunct.index:
                    child.head = before.index
            before = conjunct
