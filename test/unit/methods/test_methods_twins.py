"""Thresholds belong to what proposed the masks: a setting's twin counts where depth did."""
import numpy as np
import pytest

from ris_ros.language import Analysis
from ris_ros.methods.options import AS_THE_OTHER, DecisionSettings, fitting
from ris_ros.methods.registry import find_method, methods, settings_for
from ris_ros.profiles.profile import parse_profile
from ris_ros.segmenter import Segmenter
from ris_ros.settings import TWIN, describe, to_mapping
from ris_ros.types import Command, Grounding, Outcome, Scene, Target

CHOSEN = {'score_threshold': 0.2, 'depth_score_threshold': 0.6}


def profile(settings, base=None):
    return parse_profile('some', {'settings': settings}, 'some.yaml', base=base)


def test_a_twin_counts_where_depth_proposed_and_nowhere_else():
    settings = DecisionSettings(match_center=0.3, depth_match_center=0.4, match_width=0.05,
                                ambiguity_margin=0.1, depth_ambiguity_margin=0.0)
    for source in ('depth', 'depth+sam'):
        found = fitting(settings, source)
        assert (found.match_center, found.match_width, found.ambiguity_margin) == (0.4, 0.05, 0)
    for source in ('sam', 'mask2former', ''):
        assert fitting(settings, source) is settings


def test_every_method_over_proposals_that_decides_has_the_twins_of_its_thresholds():
    for name, info in methods().items():
        known = {field.name: field for field in describe(info.settings_class())}
        if 'proposals' not in known or name == 'pcnet':   # which takes SAM's alone
            continue
        for threshold, same in AS_THE_OTHER.items():
            assert (threshold in known) == (TWIN + threshold in known), (name, threshold)
            if threshold in known:
                assert known[TWIN + threshold].default == same, 'alike until somebody chooses'


class Fixed:
    """A method with one mask, whose probability is known, proposed by whatever is said."""

    needs_truth, device = False, 'cpu'

    def __init__(self, settings, source):
        self.settings, self.source = settings, source

    def prepare(self, view):
        masks = np.zeros((1, 4, 6), bool)
        masks[0, 1:3, 1:3] = True
        return Scene('fixed', view, masks, np.array([[1, 1, 2, 2.0]]), np.array([4]),
                     np.ones(1, np.float32), proposed_by=self.source)

    def ground(self, scene, analysis):
        return Grounding(np.ones(1, np.float32), np.zeros(1, np.int64),
                         np.array([0.4], np.float32))


@pytest.mark.parametrize(('source', 'outcome'), [
    ('depth', Outcome.NO_MATCH), ('sam', Outcome.SUCCEEDED_2D), ('', Outcome.SUCCEEDED_2D)])
def test_the_segmenter_decides_by_the_thresholds_of_the_scenes_proposals(source, outcome):
    said = Analysis(Command('it', target=Target('it')), None)
    segmenter = Segmenter(Fixed(DecisionSettings(**CHOSEN), source), analyse=lambda _: said)
    assert segmenter.segment(np.zeros((4, 6, 3), np.uint8), 'it').outcome is outcome


def test_a_change_takes_the_twin_along_unless_that_is_said_too():
    chosen = profile({'clip_only': CHOSEN})
    assert settings_for('clip_only', chosen).depth_score_threshold == 0.6
    changed = settings_for('clip_only', chosen, {'score_threshold': 0.3})
    assert fitting(changed, 'depth').score_threshold == 0.3
    both = settings_for('clip_only', chosen, {'score_threshold': 0.3,
                                              'depth_score_threshold': 0.6})
    assert fitting(both, 'depth').score_threshold == 0.6
    other = settings_for('clip_only', chosen, {'ambiguity_margin': 0.3})
    assert fitting(other, 'depth').score_threshold == 0.6


def test_where_all_are_given_as_by_ros_parameters_only_what_differs_was_changed():
    chosen = profile({'clip_only': CHOSEN})
    every = to_mapping(settings_for('clip_only', chosen))
    assert to_mapping(settings_for('clip_only', chosen, every)) == every
    changed = settings_for('clip_only', chosen, {**every, 'score_threshold': 0.3})
    assert fitting(changed, 'depth').score_threshold == 0.3


@pytest.mark.parametrize('own', [{'clip_only': {'score_threshold': 0.3}},
                                 {'*': {'score_threshold': 0.3}}])
def test_a_profile_that_extends_another_takes_the_twin_along_too(own):
    base = profile({next(iter(own)): CHOSEN})
    extended = profile(own, base)
    assert fitting(settings_for('clip_only', extended), 'depth').score_threshold == 0.3
    assert settings_for('clip_only', base).depth_score_threshold == 0.6, 'the base stays'


def test_what_a_method_says_goes_before_the_twin_of_all_methods():
    mixed = profile({'*': CHOSEN, 'clip_only': {'score_threshold': 0.3}})
    assert fitting(settings_for('clip_only', mixed), 'depth').score_threshold == 0.3
    assert fitting(settings_for('hybridgl', mixed), 'depth').score_threshold == 0.6


def test_pcnet_stays_with_sam_under_every_profile():
    from ris_ros.profiles import get_profile
    for name in ('tabletop', 'robot', 'paper'):
        assert settings_for('pcnet', get_profile(name)).proposals == 'sam'
    assert find_method('pcnet').settings_class()().proposals == 'sam'


def test_the_papers_profile_proposes_as_the_papers_do():
    from ris_ros.profiles import get_profile
    paper = get_profile('paper')
    assert settings_for('hybridgl', paper).proposals == 'sam'
    assert settings_for('iterprime', paper).proposals == 'mask2former'
    for name in ('tabletop', 'robot'):
        for method in ('hybridgl', 'tas', 'iterprime', 'clip_only'):
            assert settings_for(method, get_profile(name)).proposals == 'auto', (name, method)

