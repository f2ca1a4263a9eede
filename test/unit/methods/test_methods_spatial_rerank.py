"""Spatial guidance over any method: which of the things that fit a name is meant."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from ris_ros.language import Analysis
from ris_ros.methods.spatial_rerank.method import SpatialRerank, joined, sight_of
from ris_ros.methods.spatial_rerank.scores import guide, placed, sized, supported
from ris_ros.methods.spatial_rerank.settings import SpatialRerankSettings
from ris_ros.types import (
    BadInputError,
    Camera,
    Command,
    Grounding,
    Regions,
    Relation,
    Scene,
    Target,
    View,
)

# A mug, a smaller mug, a bowl, a can: left, top, width, height.
BOXES = ((10, 40, 20, 20), (70, 42, 10, 10), (40, 38, 20, 24), (72, 5, 8, 16))
MASKS = np.zeros((4, 80, 100), bool)
for mask, (x, y, w, h) in zip(MASKS, BOXES, strict=True):
    mask[y:y + h, x:x + w] = True
MUG = np.array([0.9, 0.8, 0.05, 0.1], np.float32)
BOWL = np.array([0.05, 0.02, 0.9, 0.05], np.float32)
CAN = np.array([0.0, 0.0, 0.0, 0.85], np.float32)
FITS = {'mug': MUG, 'bowl': BOWL, 'can': CAN}
VIEW = View(np.zeros((80, 100, 3), np.uint8))
SIGHT = sight_of(VIEW, Regions.of(MASKS), True)


def target(**more):
    return Target('the mug', 'mug', name='mug', **more)


def near(kind, thing):
    return Relation(kind, thing, name=thing)


def choice(said, fits=FITS, sight=SIGHT, **more):
    result = guide(sight, fits, said, 0.25, 0.2, **more)
    return int(result.scores.argmax()), result


@pytest.mark.parametrize('kind, thing, expected', [
    ('left', 'bowl', 0), ('right', 'bowl', 1), ('next_to', 'bowl', 0), ('below', 'can', 0),
    ('bigger', 'can', 0), ('smaller', 'can', 1)])
def test_relations_choose_among_likes(kind, thing, expected):
    best, result = choice(target(relations=(near(kind, thing),)))
    assert best == expected
    assert result.probabilities[expected] == pytest.approx(FITS['mug'][expected], abs=0.02)
    if kind in ('left', 'right'):
        other = 1 - expected
        assert result.probabilities[other] < 0.1, 'and it is not ambiguous'


def test_a_relation_that_holds_of_nothing_leaves_nothing():
    _, result = choice(target(relations=(near('inside', 'bowl'),)))
    assert result.probabilities.max() < 0.05 and result.evidence < 0.1
    none = {**FITS, 'bowl': np.full(4, 0.02, np.float32)}
    _, result = choice(target(relations=(near('left', 'plate'),)),
                       {**none, 'plate': np.zeros(4, np.float32)})
    assert result.probabilities.max() == 0, 'there is no plate'


def test_between_two_things():
    said = Target('the bowl', 'bowl', name='bowl', relations=(near('between', 'mug'),
                                                 near('between', 'mug')))
    assert choice(said)[0] == 2
    assert supported(SIGHT, FITS, said.relations)[2] == pytest.approx(0.9 * 0.8, abs=0.05)
    said = Target('the can', 'can', name='can', relations=(near('between', 'mug'),
                                               near('between', 'bowl')))
    assert choice(said)[1].probabilities.max() < 0.2


def test_places_and_sizes_are_among_likes():
    assert choice(target(position='left'))[0] == 0 and choice(target(position='right'))[0] == 1
    assert choice(target(attributes=('biggest',)))[0] == 0
    assert choice(target(attributes=('smaller',)))[0] == 1
    # The can is the rightmost thing and the bowl in the middle; neither is a mug.
    alone = {'mug': np.array([0.9, 0.01, 0.02, 0.01])}
    for word in ('left', 'right', 'middle', 'top left'):
        best, result = choice(target(position=word), alone)
        assert best == 0 and result.probabilities[0] == pytest.approx(0.9), 'the only one'
    three = np.array([0.9, 0.9, 0.9, 0.0])
    assert placed(SIGHT, three, 'middle', 0.25).argmax() == 2


def test_what_is_switched_off_does_not_guide():
    said = target(position='right', relations=(near('left', 'bowl'),))
    assert choice(said, uses=())[0] == 0 and choice(said, uses=('position',))[0] == 1
    assert choice(said, uses=('relation',))[0] == 0


def test_depth_tells_behind_and_true_size():
    depth = np.full((80, 100), 2.0, np.float32)
    for mask, d in zip(MASKS, (0.5, 1.5, 1.0, 1.0), strict=True):
        depth[mask] = d
    view = View(VIEW.rgb, depth, Camera(80, 80, 50, 40, 100, 80))
    sight = sight_of(view, Regions.of(MASKS), True)
    assert sight.depths.tolist() == [0.5, 1.5, 1.0, 1.0]
    assert choice(target(relations=(near('behind', 'bowl'),)), sight=sight)[0] == 1
    assert choice(target(relations=(near('front', 'bowl'),)), sight=sight)[0] == 0
    # 400 pixels at half a metre are smaller than 100 at one and a half.
    assert sized(sight, MUG.astype(float), ('bigger',), 0.25)[:2].argmax() == 1
    assert sight_of(view, Regions.of(MASKS), False).depths is None


def test_a_twin_is_no_other_object():
    masks = np.stack([MASKS[0], MASKS[0], MASKS[1]])
    sight = sight_of(VIEW, Regions.of(masks), True)
    name = np.array([0.9, 0.85, 0.8])
    np.testing.assert_allclose(placed(sight, name, 'left', 0.25)[:2], 1.0)
    assert supported(sight, {'mug': name}, [near('inside', 'mug')]).max() == 0


# ---- over methods -----------------------------------------------------------------------------

class Base:
    """Knows how well each mask fits each name; own: brings masks of its own."""

    name, device, needs_truth = 'base', 'cpu', False

    def __init__(self, own):
        self.own, self.asked = own, []

    def prepare(self, view):
        found = Regions.of(MASKS if not self.own else MASKS[:0])
        return Scene('base', view, found.masks, found.boxes, found.areas,
                     np.ones(len(found), np.float32), {}, {'look': 0.5}, ('It is dark.',))

    def ground_many(self, scene, analyses):
        out = []
        for analysis in analyses:
            name = analysis.command.target.head
            self.asked.append(name)
            p = FITS.get(name)
            if p is None:
                out.append(None)
            elif self.own:
                keep = p > 0.5
                out.append(Grounding(p[keep], np.argsort(-p[keep]), p[keep],
                                     own=Regions.of(MASKS[keep]), notes=(f'{name} seen',)))
            else:
                out.append(Grounding(p, np.argsort(-p), p, notes=(f'{name} seen',)))
        return out


def analysed(text):
    head = text.split()[-1]
    return Analysis(Command(text, target=Target(text, head)), None)


@pytest.mark.parametrize('own', [False, True])
def test_a_base_is_asked_for_bare_names(own):
    base = Base(own)
    method = SpatialRerank(base, analyse=analysed)
    scene = method.prepare(VIEW)
    assert scene.method == 'spatial_rerank' and scene.notes == ('It is dark.',)
    said = Analysis(Command('x', target=target(relations=(near('right', 'bowl'),))), None)
    found = method.ground(scene, said)
    assert base.asked == ['mug', 'bowl'] and found.notes == ('mug seen', 'bowl seen')
    best = found.order[0]
    np.testing.assert_array_equal(found.own.masks[best], MASKS[1])
    assert found.probabilities[best] == pytest.approx(0.8, abs=0.02)
    assert set(found.fits) == {'mug', 'bowl'} and len(found.fits['bowl']) == len(found.own)


def test_masks_drawn_for_several_names_are_joined():
    scene = Base(True).prepare(VIEW)
    answers = Base(True).ground_many(scene, [analysed('the mug'), analysed('the bowl')])
    twin = Grounding(np.array([0.7], np.float32), np.array([0]), np.array([0.7], np.float32),
                     own=Regions.of(MASKS[:1]))
    regions, fits = joined(scene, ('mug', 'bowl', 'cup', 'x'), [*answers, twin, None])
    assert len(regions) == 4 and fits['x'].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(fits['cup'], [0.7, 0, 0, 0.7])
    np.testing.assert_allclose(fits['mug'], [0.9, 0.8, 0, 0.9])


def test_fits_go_before_a_ranking():
    """Of two equal mugs a ranking prefers one; the name fits both."""
    ranked = Grounding(np.array([0.9, 0.1, 0, 0], np.float32), np.arange(4),
                       np.array([0.9, 0.1, 0, 0], np.float32), fits={'mug': MUG})
    scene = Base(False).prepare(VIEW)
    _, fits = joined(scene, ('mug',), [ranked])
    np.testing.assert_array_equal(fits['mug'], MUG)
    _, fits = joined(scene, ('cup',), [ranked])
    np.testing.assert_array_equal(fits['cup'], [np.float32(0.9), np.float32(0.1)])


def test_no_masks_at_all():
    scene = Base(True).prepare(VIEW)
    regions, fits = joined(scene, ('mug',), [None])
    assert len(regions) == 0 and guide(sight_of(VIEW, regions, True), fits, target(), 0.25,
                                       0.2).probabilities.shape == (0,)


def test_counting_takes_what_it_says():
    pytest.importorskip('spacy')
    from ris_ros.decision import decide
    from ris_ros.types import Outcome
    settings = SpatialRerankSettings(base='base', decision='count')
    method = SpatialRerank(Base(False), settings, analyse=analysed)
    scene = method.prepare(VIEW)
    for said, outcome in ((target(), Outcome.AMBIGUOUS),
                          (target(position='left'), Outcome.SUCCEEDED_2D),
                          (target(relations=(near('right', 'bowl'),)), Outcome.SUCCEEDED_2D),
                          (target(relations=(near('inside', 'bowl'),)), Outcome.NO_MATCH)):
        analysis = Analysis(Command('x', target=said), None)
        assert decide(scene, method.ground(scene, analysis), analysis.command,
                      settings).outcome is outcome, said


@pytest.mark.parametrize('base, said', [
    ('oracle', 'take a method that answers'), ('spatial_rerank', 'take a method that answers'),
    ('magic', 'unknown method')])
def test_a_base_that_is_none(base, said):
    networks = SimpleNamespace(profile=None, pipeline='auto')
    with pytest.raises(BadInputError, match=said):
        SpatialRerank.from_networks(networks, SpatialRerankSettings(base=base))


def test_settings_of_the_base(monkeypatch):
    from ris_ros.methods.registry import find_method
    from ris_ros.profiles import get_profile
    made = {}
    clip_only = find_method('clip_only').load()
    monkeypatch.setattr(clip_only, 'from_networks', classmethod(
        lambda cls, networks, settings: made.update(settings=settings) or Base(False)))
    networks = SimpleNamespace(profile=get_profile('tabletop'), pipeline='auto')
    SpatialRerank.from_networks(networks, SpatialRerankSettings(
        base_settings='margin=0.3, view=masked_crop'))
    assert (made['settings'].margin, made['settings'].view) == (0.3, 'masked_crop')
    with pytest.raises(BadInputError, match='magin'):
        SpatialRerank.from_networks(networks, SpatialRerankSettings(base_settings='magin=0.3'))
