"""Referring expressions are read whole, and none is refused."""
from __future__ import annotations

import random

import pytest

from ris_ros.language import analyse, analyse_expression
from ris_ros.methods.hybridgl.text import text_plan as hybridgl_plan
from ris_ros.methods.iterprime.text import text_plan as iterprime_plan
from ris_ros.methods.tas.text import text_plan as tas_plan
from ris_ros.types import BadInputError

ODD = ('front', 'him on left', '#23', 'left', 'second from left', 'not the mug', 'she', '?', 'can',
       'der rote Becher', '\U0001f34e', 'standing on left', 'put', 'pick up', 'left of the bowl',
       'closest', 'the', 'of', "man 's", 'and', 'none', '12', 'blue', 'in back', 'hello there',
       'where is it', '...', 'ok', 'the the the', 'on on on', 'rechts', '(left) [2]', 'a' * 1200)


def read(text: str):
    return analyse_expression(text, 'shipped')


@pytest.mark.parametrize('text', ODD)
def test_none_is_refused_and_none_is_cut(text: str) -> None:
    analysis = read(text)
    target = analysis.command.target
    assert analysis.command.problem is None and analysis.command.action is None
    assert target is not None and target.expression == analysis.doc.text
    if text.isascii():
        assert analysis.doc.text == text
    assert sum(t.head.i == t.i for t in analysis.doc) == 1   # one tree
    for rules in ('paper', 'released'):
        hybridgl_plan(analysis.doc, rules)
        tas_plan(analysis.doc, rules)
        iterprime_plan(analysis.doc, lambda piece: len(piece.split()), rules)


def test_any_words_in_any_order_make_one_tree() -> None:
    said = ('left right front the a him her mug red man of on in to next between and or not is '
            "that with 's - , . 2 second most can one pick up put it them bowl closest")
    words = said.split()
    rng = random.Random(5)
    for _ in range(400):
        text = ' '.join(rng.choices(words, k=rng.randint(1, 9)))
        analysis = read(text)
        assert analysis.doc.text == text and analysis.command.target is not None
        assert sum(t.head.i == t.i for t in analysis.doc) == 1
        list(analysis.doc.noun_chunks)


@pytest.mark.parametrize('text, head, position', [
    ('front', None, None), ('him on left', 'him', 'left'), ('left', None, 'left'),
    ('on the left the mug', 'mug', 'left'), ('left of the bowl', None, None),
    ('bottom right corner', 'corner', 'bottom right'),
    ('the red mug on the right', 'mug', 'right'),
    ('pickup on left', 'pickup', 'left'), ('guy in red', 'guy', None), ('she', 'she', None)])
def test_head_and_position_as_far_as_they_are_said(text: str, head, position) -> None:
    target = read(text).command.target
    assert (target.head, target.position) == (head, position)


def test_anchor_is_no_head() -> None:
    target = read('left of the bowl').command.target
    assert [(r.type, r.object) for r in target.relations] == [('left', 'bowl')]


@pytest.mark.parametrize('text', [
    'the red mug', 'the small green bottle', 'the box on the right', 'the mug next to the bowl',
    'the largest red cube', 'the apple between the mug and the bowl', 'the leftmost can',
    'the red mug to the left of the blue bowl', 'the bottle behind the box'])
def test_plain_expressions_are_read_as_commands_are(text: str) -> None:
    one, other = analyse(text, 'shipped'), read(text)
    assert one.command.target == other.command.target
    assert [(t.text, t.dep_, t.head.i, t.pos_) for t in one.doc] == [
        (t.text, t.dep_, t.head.i, t.pos_) for t in other.doc]


@pytest.mark.parametrize('text', ['', '  \n', None, 7])
def test_what_is_no_text_is_an_error(text) -> None:
    with pytest.raises(BadInputError, match='must be text'):
        analyse_expression(text, 'shipped')
