"""Sentences of cluttered scenes and for trainers: each read a second time from the geometry."""
import collections
import dataclasses
import importlib.util
import re

import numpy as np
import pytest

if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from tabletop_reader import Reader

from ris_ros.simulation import SPLITS, TabletopWorld
from ris_ros.simulation.catalogue import HELD_OUT_KINDS
from ris_ros.simulation.describe import (
    ALL_FAMILIES,
    PER_CLUTTER,
    clutter_expressions,
    describe,
    said_words,
)
from ris_ros.types import BadInputError

SCENES = 50


@pytest.fixture(scope='module')
def scenes():
    """50 validation scenes with clutter: truth, expressions, reader."""
    made = []
    for seed in range(SPLITS['clutter_val'].start, SPLITS['clutter_val'].start + SCENES):
        with TabletopWorld(seed) as world:
            made.append((world.truth, world.expressions, Reader(world)))
    return made


def check(expression, reader):
    """Hold a sentence against its second reading."""
    assert reader.read(expression.text) == sorted(expression.targets), expression
    wanted = {'absent': 0, 'ambiguous': 2}.get(expression.kind, 1)
    assert len(expression.targets) == 0 if wanted == 0 else len(expression.targets) >= wanted
    several = expression.kind == 'answerable' and len(expression.targets) > 1
    assert several == (expression.tag == 'several')
    for part in expression.parts:
        assert part.text in expression.text or part.text + 's' in expression.text \
            or part.text + 'es' in expression.text
        assert sorted(t['id'] for t in reader.noun(part.text)) == sorted(part.instances)


def test_every_sentence_of_a_cluttered_scene_reads_the_same_twice(scenes):
    tags = collections.Counter()
    for truth, expressions, reader in scenes:
        assert clutter_expressions(truth) == expressions, 'a function of the scene'
        assert len({e.text for e in expressions}) == len(expressions)
        for expression in expressions:
            check(expression, reader)
            assert truth.visible[[i - 1 for i in expression.targets]].all()
            tags[expression.tag] += 1
    assert set(tags) == set(PER_CLUTTER)
    assert min(tags.values()) >= 10 and sum(tags.values()) >= 20 * SCENES
    assert all(tags[tag] <= number * SCENES for tag, number in PER_CLUTTER.items())


def test_some_targets_are_not_the_extreme_of_their_likes(scenes):
    tags = collections.Counter(t for _, expressions, _ in scenes for e in expressions
                               for t in e.tags)
    assert tags['not_extreme'] > 40 and tags['extreme'] > 40 and tags['covered'] > 40
    for truth, expressions, _ in scenes:
        for e in expressions:
            if e.family == 'directly_left':
                target, likes = e.targets[0] - 1, [i - 1 for i in e.parts[0].instances]
                assert truth.centres[target, 0] > truth.centres[likes, 0].min() + 40


def test_trainers_hear_every_family_and_only_the_truth(scenes):
    heard, rng = collections.Counter(), np.random.default_rng(3)
    for truth, _, reader in scenes[:25]:
        for expression in describe(truth, rng, 60, unanswerable=0.3):
            check(expression, reader)
            heard[expression.family] += 1
    rare = {'biggest_thing', 'empty', 'bare_table', 'not_inside', 'not_on'}
    for truth, _, reader in scenes:
        for expression in describe(truth, rng, 10, families=rare):
            check(expression, reader)
            heard[expression.family] += 1
    # Nearly never is one thing bigger than all others both ways.
    assert set(ALL_FAMILIES) - set(heard) <= {'biggest_thing'} and len(ALL_FAMILIES) >= 50


def test_sentences_are_about_what_is_asked_for(scenes):
    truth, rng = scenes[0][0], np.random.default_rng(4)
    wanted = [int(i) + 1 for i in np.flatnonzero(truth.visible)[:2]]
    said = describe(truth, rng, 30, about=wanted, unanswerable=0)
    assert len(said) > 15
    assert all(set(e.targets) & set(wanted) for e in said)
    assert all(e.kind == 'answerable' for e in said)
    nothing = describe(truth, rng, 30, unanswerable=1)
    assert nothing and all(e.kind != 'answerable' for e in nothing)
    plain = describe(truth, rng, 10, families=('noun',), varied=0)
    assert {e.family for e in plain} == {'noun'}
    assert describe(truth, np.random.default_rng(5), 9) == describe(
        truth, np.random.default_rng(5), 9)


@pytest.mark.parametrize('wrong', [{'families': ('noun', 'sonnet')}, {'about': [0]},
                                   {'about': [99]}, {'unanswerable': 1.2}, {'varied': -1}])
def test_what_cannot_be_described_is_refused(scenes, wrong):
    with pytest.raises(BadInputError):
        describe(scenes[0][0], np.random.default_rng(0), 5, **wrong)


def test_every_word_is_in_the_vocabulary(scenes):
    known, rng = set(said_words()), np.random.default_rng(6)
    assert len(known) == len(said_words())
    for truth, expressions, _ in scenes:
        for e in (*expressions, *describe(truth, rng, 40, varied=1.0)):
            words = re.findall(r"[a-z]+(?:'[a-z]+)?", e.text)
            assert ' '.join(words) == re.sub(r'[ ,-]+', ' ', e.text), e.text
            assert set(words) <= known, set(words) - known


def test_held_out_kinds_are_named_where_they_stand_and_marked():
    marked = 0
    for seed in range(SPLITS['clutter_unseen'].start, SPLITS['clutter_unseen'].start + 4):
        with TabletopWorld(seed) as world:
            reader = Reader(world)
            for e in (*world.expressions, *describe(world.truth, np.random.default_rng(1), 40)):
                check(e, reader)
                kinds = {world.truth.kinds[i - 1] for i in e.targets}
                assert e.unseen == bool(kinds & set(HELD_OUT_KINDS))
                marked += e.unseen
                if e.family == 'absent_kind':
                    assert not any(k in e.text for k in HELD_OUT_KINDS)
    assert marked > 20


def test_a_mirrored_truth_is_described_as_in_the_mirror(scenes):
    truth = scenes[0][0]
    turned = truth.mirrored()
    rng = np.random.default_rng(8)
    for e in describe(turned, rng, 60, families=('left', 'extreme', 'side')):
        if e.family == 'left':
            other = e.parts[1].instances[0] - 1
            assert truth.centres[e.targets[0] - 1, 0] > truth.centres[other, 0]


def test_an_empty_table_has_little_to_say(scenes):
    truth = scenes[0][0]
    hidden = dataclasses.replace(truth, pixels=np.zeros(len(truth)))
    assert not [e for e in describe(hidden, np.random.default_rng(0), 10) if e.targets]
    assert not [e for e in clutter_expressions(hidden) if e.targets]
