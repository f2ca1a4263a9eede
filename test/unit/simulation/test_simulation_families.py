"""Families of sentences on scenes made by hand: what is said, and what is too close to say."""
import re

import numpy as np
import pytest
from tabletop_truths import made

from ris_ros.simulation import wording
from ris_ros.simulation.describe import describe
from ris_ros.simulation.truth import TABLE


def said(truth, *families, count=40, unanswerable=0.5, **how):
    """Everything that some families say in many draws: {text: targets}."""
    found = {}
    for seed in range(4):
        for e in describe(truth, np.random.default_rng(seed), count, families=families,
                          unanswerable=unanswerable, **how):
            found[e.text] = e.targets
    return found


def row(*columns, kind='red mug', y=240, z=0.8):
    return [(kind, x, y, z) for x in columns]


def test_the_mug_just_left_of_the_bowl_is_not_the_leftmost():
    truth = made(*row(100, 230), *row(320, kind='blue bowl'))
    found = said(truth, 'directly_left', varied=0)
    assert found and set(found.values()) == {(2,)}
    assert 'the first mug to the left of the bowl' in found
    aside = made(('red mug', 100, 240, 0.8), ('red mug', 270, 150, 0.8),
                 ('blue bowl', 320, 240, 0.8))
    assert not said(aside, 'directly_left'), 'it is rather above than left'
    alone = made(*row(230), *row(320, kind='blue bowl'))
    assert not said(alone, 'directly_left'), 'no other is further that way'


@pytest.mark.parametrize('gap, left, tied', [(45, True, False), (39, False, False),
                                             (20, False, False), (6, False, True)])
def test_a_place_is_clear_or_tied_or_not_spoken_of(gap, left, tied):
    truth = made(*row(200, 200 + gap, 400))
    there = {t for text, t in said(truth, 'side', 'extreme', 'ambiguous_place').items()
             if 'left' in text}
    assert there == ({(1,)} if left else set()) | ({(1, 2)} if tied else set())


def test_what_holds_for_two_is_ambiguous_only_where_none_is_nearer():
    equal = made(('red mug', 200, 200, 0.8), ('red mug', 200, 280, 0.8),
                 ('blue bowl', 330, 240, 0.8))
    found = said(equal, 'ambiguous_relation', 'left')
    assert found and set(found.values()) == {(1, 2)}
    nearer = made(('red mug', 60, 240, 0.8), ('red mug', 250, 240, 0.8),
                  ('blue bowl', 330, 240, 0.8))
    assert not said(nearer, 'ambiguous_relation', 'left')
    found = said(nearer, 'nearest', 'farthest')
    assert {t for text, t in found.items() if 'far' in text or 'fur' in text} == {(1,)}
    assert {t for text, t in found.items() if 'nearest' in text or 'closest' in text} == {(2,)}


def test_nothing_undecided_is_called_false():
    truth = made(('red mug', 300, 240, 0.80), ('blue bowl', 330, 240, 0.83))
    for text in said(truth, 'false_relation', unanswerable=1):
        assert not any(w in text for w in ('left', 'right', 'behind', 'front', 'next', 'near',
                                           'beside', 'close')), text
    apart = said(made(('red mug', 100, 240, 0.8), ('blue bowl', 330, 240, 0.8)),
                 'false_relation', unanswerable=1)
    assert any('right of' in text for text in apart)
    assert not any(text.startswith('the mug') and 'left of' in text for text in apart)


def test_in_and_on_are_not_denied_of_each_other():
    truth = made(('red cube', 200, 200, 0.8, 0.8, 1), ('blue plate', 200, 210, 0.8),
                 ('green can', 420, 200, 0.8))
    found = said(truth, 'false_relation', 'false_support', unanswerable=1, count=80)
    cube_there = (r'(cube|block).* (in|on|inside) .*plate|'
                  r'plate (with|under|that carries|that the).*(cube|block)')
    assert found and not any(re.search(cube_there, text) for text in found)
    assert any(re.search(r'plate .*on .*(cube|block)', t) for t in found), 'that is false'


def test_who_carries_and_who_does_not():
    truth = made(('red cube', 200, 200, 0.8, 0.8, 1), ('blue plate', 200, 210, 0.8),
                 ('green plate', 450, 210, 0.8), ('red cube', 320, 300, 0.7, 0.8))
    assert set(said(truth, 'on').values()) == {(1,)}
    assert set(said(truth, 'empty').values()) == {(3,)}
    assert set(said(truth, 'bare_table').values()) == {(4,)}
    only = made(('red cube', 200, 200, 0.8, 0.8, 1), ('blue plate', 200, 210, 0.8),
                ('blue plate', 450, 210, 0.8))
    assert set(said(only, 'carrier').values()) == {(2,)}
    leaning = made(('red cube', 200, 200, 0.8, 0.8, 1), ('blue plate', 200, 210, 0.8),
                   ('blue plate', 450, 210, 0.8), leaning=np.array([True, False, False]))
    assert not said(leaning, 'carrier', 'empty', 'on')


def test_negations_leave_exactly_what_is_meant():
    truth = made(('red mug', 100, 240, 0.8), ('red mug', 300, 240, 0.8),
                 ('green mug', 500, 240, 0.8))
    found = said(truth, 'not_colour', 'not_other', 'colour_not_other', varied=0)
    assert set(found.values()) == {(3,)}
    assert 'the mug that is not red' in found and 'the green mug, not the red one' in found
    two = made(('red mug', 100, 240, 0.8), ('green mug', 500, 240, 0.8))
    found = said(two, 'not_other', 'not_side', varied=0)
    assert found['the mug, not the green one'] == (1,)
    assert found['the mug not on the left'] == (2,)
    assert said(made(*row(100, 400)), 'false_negation', unanswerable=1, varied=0)[
        'the mug that is not red'] == ()


def test_several_are_meant_by_plurals_and_lists():
    truth = made(*row(100, 200), ('green mug', 500, 240, 0.8), ('blue bowl', 330, 240, 0.8))
    found = said(truth, 'both', 'all', 'several_related', 'pair', varied=0, unanswerable=0)
    assert found['both red mugs'] == (1, 2) and found['all three mugs'] == (1, 2, 3)
    assert found['the mugs left of the bowl'] == (1, 2)
    assert {tuple(sorted(t)) for text, t in found.items() if text.startswith('both the')} >= {
        (3, 4)}


def test_ordinals_need_a_clear_row():
    truth = made(*row(100, 200, 300))
    found = said(truth, 'ordinal', varied=0)
    assert found['the second mug from the left'] == (2,)
    assert found['the first mug from the right'] == (3,)
    assert not any('top' in text for text in found), 'all are as high'
    assert said(truth, 'false_ordinal', unanswerable=1, varied=0)[
        'the fourth mug from the left'] == ()
    assert not said(made(*row(100, 130, 300)), 'ordinal')


def test_what_is_absent_has_nothing_like_it():
    truth = made(('blue can', 100, 240, 0.8), ('red box', 300, 240, 0.8))
    absent = said(truth, 'absent_kind', unanswerable=1, varied=0, count=200)
    kinds = {text.split()[-1] for text in absent}
    assert kinds and not kinds & {'cylinder', 'cube', 'book', 'can', 'box', 'mug'}
    colours = {text.split()[-2] for text in
               said(truth, 'absent_colour', unanswerable=1, varied=0, count=200)
               if text.endswith('can')}
    assert colours and not colours & {'blue', 'cyan', 'purple'}


def test_words_that_may_mean_another_are_left_out():
    bowls = made(*row(100, kind='red bowl'), *row(300, kind='red mug'))
    both = made(*row(100, kind='red bowl'), *row(300, kind='red plate'))
    assert any('dish' in text for text in said(bowls, 'noun', varied=1))
    assert not any('dish' in text for text in said(both, 'noun', varied=1))
    assert wording.plural('small box') == 'small boxes' and wording.plural('dish') == 'dishes'
    assert 'an orange can' in said(made(*row(300, kind='orange can')), 'caption', varied=0)


def test_hidden_things_make_a_name_doubtful():
    truth = made(*row(100, 400), pixels=np.array([2000.0, 100.0]))
    assert not said(truth, 'noun', 'ambiguous_noun', 'only', 'both'), 'is the hidden one meant?'
    assert truth.support.tolist() == [TABLE, TABLE]
