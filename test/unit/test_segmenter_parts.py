"""Commands of several parts: more than one object, and where an object is to go."""
import dataclasses

import numpy as np
import pytest

from ris_ros.dialogue import Dialogue
from ris_ros.language import analyse
from ris_ros.methods.base import Method
from ris_ros.methods.options import OutcomeSettings
from ris_ros.segmenter import Segmenter
from ris_ros.types import Grounding, Outcome, Regions, Scene

IMAGE = np.full((60, 120, 3), 120, np.uint8)
MASKS = np.zeros((3, 60, 120), bool)
for k in range(3):
    MASKS[k, 20:40, 40 * k + 5:40 * k + 25] = True
    IMAGE[MASKS[k]] = [(220, 30, 30), (30, 60, 220), (240, 220, 30)][k]


class Named(Method):
    """Fits names as told; ranks by the target's own."""

    name, settings_class, device = 'named', OutcomeSettings, 'cpu'

    def __init__(self, fits, **settings):
        self.fits = {k: np.asarray(v, np.float32) for k, v in fits.items()}
        self.settings = OutcomeSettings(decision='count', **settings)

    @classmethod
    def from_networks(cls, networks, settings):
        raise NotImplementedError

    def prepare(self, view):
        regions = Regions.of(MASKS)
        return Scene('named', view, regions.masks, regions.boxes, regions.areas,
                     np.ones(3, np.float32))

    def ground(self, scene, analysis):
        nothing = np.zeros(3, np.float32)
        values = self.fits.get(analysis.command.target.name, nothing)
        return Grounding(values, np.argsort(-values, kind='stable'), values,
                         fits={**self.fits, analysis.command.target.name: values})


MUG, BOWL, BOX = [0.95, 0.01, 0.01], [0.01, 0.95, 0.01], [0.01, 0.9, 0.95]


def ask(text, settings=None, **fits):
    segmenter = Segmenter(Named(fits, **(settings or {})), analyse)
    return segmenter.segment(IMAGE, text)


def test_two_things_come_one_mask_each():
    out = ask('pick up the mug and the bowl', mug=MUG, bowl=BOWL)
    assert out.outcome is Outcome.SUCCEEDED_2D
    assert [(c.rank, c.index) for c in out.selected] == [(1, 0), (2, 1)]
    np.testing.assert_array_equal(out.mask, MASKS[0] | MASKS[1])
    assert len(out.command.targets) == 2
    out = ask('pick up the bowl and the mug', mug=MUG, bowl=BOWL)
    assert [c.index for c in out.selected] == [1, 0], 'in the order in which they were said'


def test_one_of_two_that_is_missing_fails_all():
    """Only the first was once looked at, and the command called a success."""
    out = ask('pick up the mug and the bowl', mug=MUG, bowl=[0.01] * 3)
    assert out.outcome is Outcome.NO_MATCH and not out.selected and not out.mask.any()
    assert '"the bowl"' in out.message and '"the mug"' in out.message
    out = ask('pick up the mug and the box', mug=MUG, box=BOX)
    assert out.outcome is Outcome.AMBIGUOUS and out.question is not None


def test_the_destination_is_found_too():
    out = ask('put the mug in the bowl', mug=MUG, bowl=BOWL)
    assert out.outcome is Outcome.SUCCEEDED_2D and [c.index for c in out.selected] == [0]
    assert out.destination.outcome is Outcome.SUCCEEDED_2D
    np.testing.assert_array_equal(out.destination.mask, MASKS[1])
    assert out.command.destination.type == 'inside'
    assert ask('pick up the mug', mug=MUG).destination is None
    assert ask('move the mug to the left', mug=MUG).destination is None


def test_nothing_is_lifted_that_has_nowhere_to_go():
    out = ask('put the mug in the bowl', mug=MUG, bowl=[0.01] * 3)
    assert out.outcome is Outcome.NO_MATCH and not out.mask.any() and not out.selected
    assert '"the bowl"' in out.message and out.destination.outcome is Outcome.NO_MATCH
    out = ask('put the mug on the table', mug=MUG)
    assert out.outcome is Outcome.SUCCEEDED_2D and any('the table' in n for n in out.notes)
    out = ask('put the mug in the bowl', {'ignored': 'report'}, mug=MUG, bowl=[0.01] * 3)
    assert out.outcome is Outcome.SUCCEEDED_2D and any('the bowl' in n for n in out.notes)
    lost = ask('put the mug in the bowl', mug=[0.01] * 3, bowl=BOWL)
    assert lost.outcome is Outcome.NO_MATCH and '"the mug"' in lost.message


@pytest.mark.parametrize('answer, index', [('the blue one', 1), ('the yellow one', 2)])
def test_an_answer_completes_the_destination_or_the_other_object(answer, index):
    segmenter = Segmenter(Named({'mug': MUG, 'box': BOX}), analyse)
    dialogue = Dialogue(segmenter)
    out = dialogue.segment(IMAGE, 'put the mug in the box')
    assert out.outcome is Outcome.AMBIGUOUS
    assert out.question.text == 'the yellow box or the blue box?'
    done = dialogue.segment(IMAGE, answer)
    assert done.outcome is Outcome.SUCCEEDED_2D and [c.index for c in done.selected] == [0]
    assert [c.index for c in done.destination.selected] == [index]
    out = dialogue.segment(IMAGE, 'pick up the mug and the box')
    done = dialogue.segment(IMAGE, answer)
    assert [c.index for c in done.selected] == [0, index]
    np.testing.assert_array_equal(done.mask, MASKS[0] | MASKS[index])


def test_what_is_denied_belongs_to_its_own_object():
    fits = {'mug': MUG, 'bowl': [0.01, 0.95, 0.95], 'red bowl': [0.01, 0.97, 0.01]}
    out = ask('pick up the mug and the bowl that is not red', **fits)
    assert [c.index for c in out.selected] == [0, 2]
    assert dataclasses.is_dataclass(out)
