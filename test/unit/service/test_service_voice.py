"""Commands told from other speech, and answers as words; no ROS."""
from __future__ import annotations

from dataclasses import replace

import pytest

from ris_ros.service.voice import Ears, VoiceParameters, spoken_answer
from ris_ros.types import Outcome

P = VoiceParameters()


@pytest.mark.parametrize(('text', 'confidence', 'command'), [
    ('Robot, pick up the red mug.', None, 'pick up the red mug'),
    ('hey robot  the mug', 0.9, 'the mug'),
    ('robot robot the mug', 0.8, 'the mug'),           # the last call counts
    ('ROBOT: stop!', None, 'stop'),
    ('robot mug', None, None),                         # too short
    ('the red mug', None, None),                       # nobody was called
    ('the robotic arm is red', None, None),
    ('robot the mug', 0.79, None), ('robot the mug', float('nan'), None),
    ('', None, None), (' ,. ', None, None)])
def test_what_is_a_command(text, confidence, command):
    heard = Ears().hear(text, confidence, 0.0, P)
    assert heard.command == command
    assert bool(heard.reason) == (command is None)


def test_the_wake_word_alone_opens_the_ears_for_a_while():
    ears = Ears()
    assert ears.hear('robot', None, 10.0, P).command is None
    assert ears.hear('the red mug', 0.1, 11.0, P).command is None      # not sure enough
    assert ears.hear('the red mug', None, 17.0, P).command == 'the red mug'
    assert ears.hear('the blue mug', None, 17.5, P).command is None    # one command a call
    ears.hear('robot', None, 20.0, P)
    assert ears.hear('the red mug', None, 28.5, P).command is None


def test_the_answer_to_a_question_needs_no_wake_word_and_may_be_short():
    ears = Ears()
    assert ears.hear('left', None, 0.0, P).command is None
    ears.asked(1.0, P)
    assert ears.hear('left', None, 5.0, P).command == 'left'
    assert ears.hear('left', None, 5.5, P).command is None


def test_without_a_wake_word_all_is_meant():
    everything = replace(P, wake_word='', min_words=1)
    assert Ears().hear('mug', None, 0.0, everything).command == 'mug'
    assert Ears().hear('hey you, mug', None, 0.0, replace(P, wake_word='hey  you', min_words=1)
                       ).command == 'mug'


@pytest.mark.parametrize(('outcome', 'message', 'values', 'words', 'asks'), [
    (Outcome.SUCCEEDED, '', {}, 'I see it.', False),
    (Outcome.AMBIGUOUS, 'two mugs fit', {}, 'Which one? two mugs fit', True),
    (Outcome.AMBIGUOUS, 'two fit', {'question': 'The red or the blue one?'},
     'The red or the blue one?', True),
    (Outcome.NO_MATCH, 'nothing fits', {}, 'nothing fits', False),
    (Outcome.STALE_IMAGE, '', {}, 'stale image', False),
    (Outcome.SUPERSEDED, 'another came', {}, '', False)])
def test_what_is_said(outcome, message, values, words, asks):
    assert spoken_answer(outcome, message, values) == (words, asks)


def test_every_outcome_but_the_users_own_doing_is_told():
    for outcome in Outcome:
        words, _ = spoken_answer(outcome, 'reason', {})
        assert bool(words) == (outcome not in (Outcome.SUPERSEDED, Outcome.CANCELED))
