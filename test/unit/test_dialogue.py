"""Asking back: what is asked, what answers mean, and how long a question stays open."""
import dataclasses

import numpy as np
import pytest

from ris_ros.decision import decide
from ris_ros.decision.looks import colour_of, sizes
from ris_ros.decision.question import question_of
from ris_ros.dialogue import Dialogue
from ris_ros.language.answers import Answer, read_answer
from ris_ros.methods.options import OutcomeSettings
from ris_ros.types import Command, Grounding, Outcome, Regions, Scene, Target, View

COLOURS = {'yellow': (230, 210, 30), 'white': (240, 240, 240), 'red': (200, 30, 30),
           'blue': (30, 60, 200), 'green': (40, 160, 50)}


def scene_of(colours, xs=None, sizes=None, ys=None):
    """Boxes of the given colours at the columns `xs` of a gray picture of 100 x 200."""
    n = len(colours)
    xs, sizes, ys = xs or [10 + 60 * k for k in range(n)], sizes or [20] * n, ys or [40] * n
    rgb, masks = np.full((100, 200, 3), 120, np.uint8), np.zeros((n, 100, 200), bool)
    for k, colour in enumerate(colours):
        masks[k, ys[k]:ys[k] + sizes[k], xs[k]:xs[k] + sizes[k]] = True
        rgb[masks[k]] = COLOURS[colour]
    regions = Regions.of(masks)
    return Scene('test', View(rgb), regions.masks, regions.boxes, regions.areas,
                 np.ones(n, np.float32))


class Fitting:
    """A segmenter that fits names as it is told, over the real decision."""

    def __init__(self, fits):
        self.fits, self.asked = {k: np.asarray(v, np.float32) for k, v in fits.items()}, []

    def prepare(self, view):
        return view

    def ground(self, scene, text, max_candidates=None):
        self.asked.append(text)
        name = text.replace('pick up ', '').replace('the ', '')
        target = Target(f'the {name}', head=name.split()[-1], name=name)
        values = self.fits.get(name, np.zeros(len(scene.masks), np.float32))
        grounding = Grounding(values, np.argsort(-values, kind='stable'), values, fits={
            **self.fits, name: values})
        found = decide(scene, grounding, Command(text, 'pick up', target, targets=(target,)),
                       OutcomeSettings(decision='count'))
        return dataclasses.replace(found, question=question_of(scene, grounding, found))


def asked(colours, fits=None, **more):
    scene = scene_of(colours, **more)
    dialogue = Dialogue(Fitting(fits or {'box': [0.9 - 0.02 * k for k in range(len(colours))]}))
    return scene, dialogue, dialogue.ground(scene, 'pick up the box')


@pytest.mark.parametrize('colours, more, text', [
    (['yellow', 'white'], {}, 'the yellow box or the white box?'),
    (['red', 'red'], {}, 'the box on the left or the box on the right?'),
    (['red', 'blue', 'red'], {}, 'the box on the left, the box in the middle or the box on the '
                                 'right?'),
    (['red', 'red'], {'xs': [50, 52], 'ys': [10, 60]},
     'the box at the top or the box at the bottom?'),
    (['red', 'red', 'red', 'red'], {'xs': [0, 40, 80, 120]},
     'the first box from the left, the second box from the left, the third box from the left or '
     'the fourth box from the left?')])
def test_the_question_tells_the_candidates_apart(colours, more, text):
    _, dialogue, result = asked(colours, **more)
    assert result.outcome is Outcome.AMBIGUOUS and result.question.text == text
    assert dialogue.question is result.question
    words = [o.words for o in result.question.options]
    assert len(set(words)) == len(words)


def test_sizes_tell_apart_by_area_and_by_depth():
    scene = scene_of(['red', 'red'], sizes=[10, 30])
    assert sizes(scene.view, scene.regions, [0, 1]) == ['smaller', 'bigger']
    depth = np.where(scene.masks[0], 3.0, 1.0).astype(np.float32)  # far, so truly as large
    assert sizes(dataclasses.replace(scene.view, depth=depth), scene.regions, [0, 1]) == ['', '']
    alike = scene_of(['red', 'red'])
    assert sizes(alike.view, alike.regions, [0, 1]) == ['', '']


@pytest.mark.parametrize('answer, index', [
    ('the yellow one', 0), ('yellow', 0), ('the white box please', 1), ('the left one', 0),
    ('on the right', 1), ('the second', 1), ('number two', 1), ('2', 1), ('the first one', 0),
    ('the last one', 1), ('no, the other', 1), ('the other one', 1), ('not the yellow one', 1),
    ('no, not the white one', 0), ('um, the one on the left', 0), ('Take the WHITE one!', 1),
    ('the second from the right', 0)])
def test_answers_resolve_against_the_open_question(answer, index):
    scene, dialogue, first = asked(['yellow', 'white'])
    out = dialogue.reply(answer)
    assert out.outcome is Outcome.SUCCEEDED_2D, out.message
    assert [c.index for c in out.selected] == [index] and out.candidates[0].index == index
    np.testing.assert_array_equal(out.mask, scene.masks[index])
    assert out.in_reply_to is first.question and out.question is None
    assert out.command is first.command, 'the action that was asked for is kept'
    assert dialogue.question is None


@pytest.mark.parametrize('text', [
    'pick up the mug', 'the mug', 'find the yellow mug', 'what time is it', '', 'stop',
    'put the yellow box in the bowl', 'x' * 500])
def test_what_is_no_answer_is_a_command_of_its_own(text):
    scene, dialogue, _ = asked(['yellow', 'white'])
    assert dialogue.reply(text) is None
    dialogue.ground(scene, 'pick up the mug')
    assert dialogue.question is None, 'another command closes the question'


def test_both_and_none_of_them():
    scene, dialogue, _ = asked(['yellow', 'white'])
    out = dialogue.reply('both of them')
    assert [c.index for c in out.selected] == [0, 1]
    np.testing.assert_array_equal(out.mask, scene.masks.any(0))
    for text in ('no', 'neither', 'none of them'):
        _, dialogue, first = asked(['yellow', 'white'])
        out = dialogue.reply(text)
        assert out.outcome is Outcome.NO_MATCH and not out.mask.any() and not out.selected
        assert out.in_reply_to is first.question and dialogue.question is None


def test_an_answer_can_be_taken_back():
    _, dialogue, _ = asked(['yellow', 'white'])
    assert dialogue.reply('the yellow one').selected[0].index == 0
    assert dialogue.reply('the white one') is None, 'nothing is open any more'
    assert dialogue.reply('no, the other one').selected[0].index == 1
    assert dialogue.reply('no').selected[0].index == 0


def test_an_answer_that_leaves_several_narrows_the_question():
    _, dialogue, first = asked(['red', 'blue', 'red'], fits={'box': [0.9, 0.9, 0.9]})
    out = dialogue.reply('the red one')
    assert out.outcome is Outcome.AMBIGUOUS and out.in_reply_to is first.question
    assert out.question.text == 'the box on the left or the box on the right?'
    assert dialogue.reply('the right one').selected[0].index == 2


def test_an_answer_that_fits_none_leaves_the_question_open():
    _, dialogue, first = asked(['yellow', 'white'])
    out = dialogue.reply('the green one')
    assert out.outcome is Outcome.NO_MATCH and not out.mask.any()
    assert first.question.text in out.message and dialogue.question is first.question
    assert dialogue.reply('the white one').selected[0].index == 1


def test_an_answer_that_wants_a_look():
    """"The one next to the bowl" is looked for, and must be one of those asked about."""
    _, dialogue, _ = asked(['yellow', 'white'], fits={
        'box': [0.9, 0.9], 'box next to bowl': [0.1, 0.9]})
    out = dialogue.reply('the one next to the bowl')
    assert dialogue.segmenter.asked[-1] == 'the box next to the bowl'
    assert [c.index for c in out.selected] == [1]
    _, dialogue, _ = asked(['yellow', 'white'])
    assert dialogue.reply('the one next to the bowl').outcome is Outcome.NO_MATCH


def test_a_question_closes_with_time_and_by_forgetting():
    now = [0.0]
    scene = scene_of(['yellow', 'white'])
    dialogue = Dialogue(Fitting({'box': [0.9, 0.9]}), window_s=10, clock=lambda: now[0])
    dialogue.ground(scene, 'the box')
    now[0] = 9.9
    assert dialogue.question is not None
    now[0] = 10.1
    assert dialogue.question is None and dialogue.reply('the yellow one') is None
    dialogue.ground(scene, 'the box')
    dialogue.forget()
    assert dialogue.reply('the yellow one') is None


def test_something_of_the_kind_is_offered_for_what_is_not_there():
    scene = scene_of(['blue', 'green'])
    fits = {'red box': [0.05, 0.02], 'box': [0.9, 0.03]}
    dialogue = Dialogue(Fitting(fits))
    out = dialogue.ground(scene, 'pick up the red box')
    assert out.outcome is Outcome.NO_MATCH
    assert out.question.text == 'there is no red box; do you mean the blue box?'
    assert dialogue.reply('yes').selected[0].index == 0
    dialogue.ground(scene, 'pick up the red box')
    assert dialogue.reply('no').outcome is Outcome.NO_MATCH
    nothing = Dialogue(Fitting({'red box': [0.05, 0.02], 'box': [0.03, 0.03]}))
    assert nothing.ground(scene, 'pick up the red box').question is None


def test_segment_answers_without_a_new_look():
    class Whole(Fitting):
        def segment(self, rgb, text, depth=None, camera=None):
            return self.ground(scene_of(['yellow', 'white']), text)

    dialogue = Dialogue(Whole({'box': [0.9, 0.9], 'box next to bowl': [0.1, 0.9]}))
    rgb = scene_of(['yellow', 'white']).image
    assert dialogue.segment(rgb, 'pick up the box').question is not None
    assert dialogue.segment(rgb, 'the white one').selected[0].index == 1
    assert dialogue.segmenter.asked == ['pick up the box']
    dialogue.segment(rgb, 'pick up the box')
    assert dialogue.segment(rgb, 'the one next to the bowl').selected[0].index == 1


@pytest.mark.parametrize('text, answer', [
    ('the bigger one', Answer(size='bigger')), ('the small box', Answer(size='smaller')),
    ('the gray one', Answer(colour='gray')), ('the grey one', Answer(colour='gray')),
    ('the one in front', Answer(place='front')), ('the third one', Answer(nth=3)),
    ('the one at the back', Answer(place='back')), ('middle', Answer(place='middle')),
    ('yes', Answer(yes=True)), ('all of them', Answer(everything=True)),
    ("no, the one that isn't blue", Answer(colour='blue', denied=True, corrects=True)),
    ('the red one on the left', Answer(colour='red', place='left'))])
def test_what_answers_say(text, answer):
    assert read_answer(text, 'box') == answer


@pytest.mark.parametrize('colour', sorted(COLOURS))
def test_colours_have_names(colour):
    scene = scene_of([colour])
    assert colour_of(scene.image, scene.masks[0]) == colour
    assert colour_of(scene.image, np.zeros((100, 200), bool)) == ''
