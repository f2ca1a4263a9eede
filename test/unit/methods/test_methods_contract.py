"""Every registered method keeps the whole contract of `ris_ros.methods.base`.

A new method is taken in as soon as it is registered.  It runs over the networks of the tabletop
profile; where that has none for it, `SMALL` names what builds it over small ones.
"""
from __future__ import annotations

import dataclasses
import importlib.util
import json
from importlib import metadata

import numpy as np
import pytest

torch = pytest.importorskip('torch')
for needed in ('open_clip', 'segment_anything', 'transformers', 'spacy', 'cv2'):
    pytest.importorskip(needed)

import small_networks
from own_masks import Halves

from ris_ros.datasets.base import ArrayMask, OpenGroup, Sample
from ris_ros.decision import decide
from ris_ros.evaluation.evaluate import SegmenterSpec, evaluate_group
from ris_ros.language import Analysis, analyse
from ris_ros.lazy import entry_points
from ris_ros.methods import registry
from ris_ros.methods.base import Method, ProposalMethod
from ris_ros.methods.options import OutcomeSettings
from ris_ros.methods.registry import BUILT_IN, GROUP, MODERN, find_method, settings_for
from ris_ros.models.options import ProposalSettings
from ris_ros.models.weights import WeightStore
from ris_ros.overlay import draw_overlay
from ris_ros.profiles import get_profile
from ris_ros.segmenter import Segmenter, networks_of
from ris_ros.settings import describe, from_mapping, to_mapping
from ris_ros.studies.ablation_rows import Row
from ris_ros.studies.ablation_run import Lab, LabSpec
from ris_ros.types import BadInputError, Command, Outcome, Regions, View

FROM_OUTSIDE = 'halves'
NAMES = sorted({*BUILT_IN, FROM_OUTSIDE})
# name -> what builds a method that the tabletop profile has no networks for.
SMALL: dict = {}
if WeightStore().find('tabletop_prompt_ris') is None:     # trained, but not shipped with this one
    SMALL['prompt_ris'] = small_networks.prompt_ris_method
if WeightStore().find('tabletop_pcnet') is None:
    SMALL['pcnet'] = small_networks.pcnet_method
if importlib.util.find_spec('torchvision') is not None:   # their processors need it
    import zoo_networks

    from ris_ros.methods.zoo import settings as zoo
    SMALL['clipseg'] = lambda: find_method('clipseg').load()(zoo_networks.clipseg())
    SMALL['sam3'] = lambda: find_method('sam3').load()(
        zoo_networks.sam3(), zoo.Sam3Settings(least=0.0))
    SMALL['grounded_sam'] = lambda: find_method('grounded_sam').load()(
        zoo_networks.owlv2(), zoo_networks.small_sam(), zoo.GroundedSamSettings(least=0.0))
    SMALL['florence2'] = lambda: find_method('florence2').load()(
        zoo_networks.florence2(), None, zoo.Florence2Settings(max_new_tokens=16))
    SMALL['vlm_box'] = lambda: find_method('vlm_box').load()(
        zoo_networks.qwen(), zoo_networks.small_sam(), zoo.VlmBoxSettings(max_new_tokens=16))
else:
    NAMES = sorted(set(NAMES) - MODERN)
SAID = [analyse(text) for text in ('the red mug', 'the box on the right',
                                   'the green bowl left of the mug', 'the biggest can')]
# What the methods of the papers say to a decision by counting; nothing where it goes by margins.
COUNTS = {'hybridgl': 'fits', 'tas': 'fits', 'clip_only': 'fits', 'global_local': 'fits',
          'region_token': 'fits', 'iterprime': 'at_least'}
NOTHING = Analysis(Command('hm', problem='the command names no object'), None)


def a_tabletop() -> tuple[np.ndarray, np.ndarray]:
    """Draw (120, 160, 3) of a table with three objects, and their masks."""
    rng = np.random.default_rng(0)
    image = np.full((120, 160, 3), (150, 130, 110), np.uint8)
    masks = np.zeros((3, 120, 160), bool)
    masks[0, 30:80, 20:55], masks[1, 60:100, 90:140] = True, True
    y, x = np.ogrid[:120, :160]
    masks[2] = (y - 35) ** 2 + (x - 110) ** 2 < 18 ** 2
    for mask, colour in zip(masks, ((200, 30, 30), (40, 60, 200), (30, 150, 50)), strict=True):
        image[mask] = colour
    noise = rng.integers(-6, 7, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), masks


IMAGE, MASKS = a_tabletop()
VIEW = View(IMAGE)
EMPTY = View(np.full((90, 120, 3), 128, np.uint8))


@pytest.fixture(autouse=True)
def one_from_outside(monkeypatch):
    """Register `Halves` as another package would."""
    point = metadata.EntryPoint(FROM_OUTSIDE, 'own_masks:Halves', GROUP)
    others = tuple(entry_points(GROUP))
    monkeypatch.setattr(registry, 'entry_points', lambda group: (*others, point))


@pytest.fixture(scope='module')
def networks():
    torch.set_num_threads(1)
    return networks_of('tabletop', 'cpu')


@pytest.fixture(scope='module')
def built(networks):
    """Every method that a test has asked for, with its scene of the tabletop."""
    return {}


@pytest.fixture(scope='module')
def found():
    """The proposals that have been made."""
    return {}


@pytest.fixture(params=NAMES)
def method(request, networks, built, found):
    name = request.param
    if name not in built:
        made = SMALL[name]() if name in SMALL else find_method(name).load().from_networks(
            networks, settings_for(name, networks.profile))
        looking = made
        if isinstance(made, ProposalMethod):  # as each would by itself, but once for all
            looking = made.with_proposer(Sharing(made.proposer, made.settings, found))
        # In this order, so that a scene that knows of a later one would show.
        built[name] = made, looking.prepare(VIEW), looking.prepare(EMPTY)
    return built[name][0]


@pytest.fixture
def scene(method, built):
    """Its scene of the tabletop; where it asks for the truth, that of the first object."""
    made = built[method.name][1]
    return made.with_truth(MASKS[0]) if method.needs_truth else made


@pytest.fixture
def empty(method, built):
    """Its scene of a grey view."""
    made = built[method.name][2]
    return made.with_truth(None) if method.needs_truth else made


class Sharing:
    """A proposer whose proposals serve all methods that propose under the same settings."""

    def __init__(self, proposer, settings, found):
        values = to_mapping(settings)
        self.proposer, self.found = proposer, found
        self.key = type(proposer), *(values[info.name] for info in describe(ProposalSettings))

    def propose(self, view):
        key = (*self.key, id(view))
        if key not in self.found:
            self.found[key] = self.proposer.propose(view)
        return self.found[key]


class Known:
    """A proposer that knows its answer and remembers what it was shown."""

    def __init__(self, found):
        self.found, self.seen = found, []

    def propose(self, view):
        self.seen.append(view)
        return self.found


def same(one, other):
    """Say whether two groundings are the same but for rounding."""
    return (one.order.tolist() == other.order.tolist()
            and np.allclose(one.scores, other.scores, atol=1e-4)
            and np.allclose(one.probabilities, other.probabilities, atol=1e-4))


def check_scene(method, scene, view):
    n, (height, width) = len(scene.masks), view.size
    assert scene.method == method.name and scene.view is view and scene.image is view.rgb
    assert scene.masks.shape == (n, height, width) and scene.masks.dtype == bool
    counted = Regions.of(scene.masks)
    np.testing.assert_array_equal(scene.boxes, counted.boxes)
    np.testing.assert_array_equal(scene.areas, counted.areas)
    assert scene.boxes.dtype == np.float32 and scene.areas.dtype == np.int64
    assert scene.proposal_scores.shape == (n,) and scene.proposal_scores.dtype == np.float32
    assert all(isinstance(s, float) and s >= 0 for s in scene.timings.values())


def check_grounding(found, scene):
    regions = found.regions(scene)
    n, size = len(regions), scene.view.size
    assert regions.masks.shape == (n, *size) and regions.masks.dtype == bool
    np.testing.assert_array_equal(regions.boxes, Regions.of(regions.masks).boxes)
    np.testing.assert_array_equal(regions.areas, regions.masks.sum((1, 2)))
    for values in (found.scores, found.probabilities):
        assert values.shape == (n,) and values.dtype == np.float32 and not np.isnan(values).any()
    assert ((found.probabilities >= 0) & (found.probabilities <= 1)).all()
    assert found.order.dtype == np.int64 and found.order.ndim == 1
    assert len(set(found.order.tolist())) == len(found.order)
    assert set(found.order.tolist()) == set(np.flatnonzero(found.scores > -np.inf).tolist())
    assert (np.diff(found.scores[found.order]) <= 0).all(), 'from best to worst'
    if found.heatmap is not None:
        assert found.heatmap.shape == size and found.heatmap.dtype == np.float32
        assert 0 <= found.heatmap.min() <= found.heatmap.max() <= 1
    assert all(isinstance(s, float) and s >= 0 for s in found.timings.values())
    assert isinstance(found.notes, tuple) and all(isinstance(n, str) for n in found.notes)


@pytest.mark.parametrize('name', NAMES)
def test_what_is_said_of_a_method_is_true(name):
    info = find_method(name)
    cls = info.load()
    assert issubclass(cls, Method) and cls.name == info.name == name
    assert cls.settings_class is info.settings_class() and info.help
    assert issubclass(cls.settings_class, OutcomeSettings)
    assert cls.needs_truth == info.evaluation_only
    defaults = cls.settings_class()
    assert from_mapping(cls.settings_class, to_mapping(defaults)) == defaults
    assert all(f.help and f.type in (bool, int, float, str)
               for f in describe(cls.settings_class))


def test_settings_are_those_of_the_profile(method, networks):
    assert isinstance(method.settings, method.settings_class)
    assert method.device == 'cpu'
    if method.name not in SMALL:
        assert method.settings == settings_for(method.name, networks.profile)


def test_scenes(method, scene, empty):
    check_scene(method, scene, VIEW)
    check_scene(method, empty, EMPTY)


def test_answers(method, scene):
    for said in SAID:
        found = method.ground(scene, said)
        check_grounding(found, scene)
        assert same(found, method.ground(scene, said)), 'a sentence leaves no trace'


def test_an_empty_view_has_an_answer_too(method, empty):
    check_grounding(method.ground(empty, SAID[0]), empty)


def test_many_sentences_at_once(method, scene):
    alone = [method.ground(scene, said) for said in SAID]
    together = method.ground_many(scene, [SAID[0], NOTHING, *SAID[1:]])
    assert together[1] is None, 'a refused sentence does not spoil the others'
    for one, other in zip(alone, [together[0], *together[2:]], strict=True):
        check_grounding(other, scene)
        assert same(one, other)
    assert method.ground_many(scene, []) == [] and method.ground_many(scene, [NOTHING]) == [None]


def test_what_it_says_to_a_decision_by_counting(method, scene):
    """Fits by name or looks at the whole picture, or neither; the ranking stays as it is."""
    counting = method.with_settings(dataclasses.replace(method.settings, decision='count'))
    by_margin = method.with_settings(dataclasses.replace(method.settings, decision='margin'))
    for said, names in zip(SAID, (('red mug', 'mug'), ('box',), ('green bowl', 'mug', 'bowl'),
                                  ('can',)), strict=True):
        found, plain = counting.ground(scene, said), by_margin.ground(scene, said)
        if method.name in COUNTS:
            assert plain.fits is None and plain.at_least is None, 'nothing is looked at in vain'
        np.testing.assert_array_equal(found.order, plain.order)
        np.testing.assert_allclose(found.scores, plain.scores, atol=1e-5)
        if found.fits is not None:
            assert set(found.fits) == set(names)
            for fits in found.fits.values():
                assert fits.shape == found.scores.shape and ((fits >= 0) & (fits <= 1)).all()
        if found.at_least is not None:
            some, more = found.at_least
            assert 0 <= more <= some <= 1
            assert more == 0 or not said.command.target.chooses
        out = decide(scene, found, said.command, counting.settings)
        counted = found.fits is not None or found.at_least is not None
        assert (out.counts is not None) == (counted and len(found.order) > 0)
    if method.name in COUNTS:
        assert getattr(counting.ground(scene, SAID[0]), COUNTS[method.name]) is not None


def test_what_names_nothing_is_refused(method, scene):
    with pytest.raises(BadInputError, match='names no object'):
        method.ground(scene, NOTHING)


def test_other_settings_are_another_method(method, scene):
    before = method.settings
    changed = dataclasses.replace(before, score_threshold=0.77, ambiguity_margin=0.01)
    other = method.with_settings(changed)
    assert other is not method and type(other) is type(method)
    assert other.settings == changed and method.settings == before
    assert same(other.ground(scene, SAID[0]), method.ground(scene, SAID[0]))

    @dataclasses.dataclass(frozen=True)
    class Else(OutcomeSettings):
        pass

    with pytest.raises(BadInputError, match='takes'):
        method.with_settings(Else())


def test_what_networks_are_built_with_is_not_changed_in_silence(method):
    built = [info for info in describe(method.settings_class) if info.builds]
    assert built or not isinstance(method, ProposalMethod), 'a proposer is built with some'
    for info in built:
        now = getattr(method.settings, info.name)
        other = (next(c for c in info.choices if c != now) if info.choices else
                 now + 1 if info.type is int else now / 2 if info.type is float else 'x')
        changed = dataclasses.replace(method.settings, **{info.name: other})
        with pytest.raises(BadInputError, match=f'{info.name} is built'):
            method.with_settings(changed)


def test_proposals_are_kept_and_looked_at_again(method, scene):
    if not isinstance(method, ProposalMethod):
        assert not len(scene.masks)
        return
    kept = method.proposals_of(scene)
    np.testing.assert_array_equal(kept.masks.numpy(), scene.masks)
    np.testing.assert_array_equal(kept.boxes.numpy(), scene.boxes)
    again = method.look_again(scene)  # after a look at another view
    given = method.prepare_with(VIEW, kept, {'proposals': 1.5})
    assert given.timings['proposals'] == 1.5
    for other in (again, given):
        check_scene(method, other, VIEW)
        np.testing.assert_array_equal(other.masks, scene.masks)
        if method.needs_truth:
            other = other.with_truth(MASKS[0])
        assert same(method.ground(other, SAID[2]), method.ground(scene, SAID[2]))


def test_another_proposer_is_another_method(method, scene):
    if not isinstance(method, ProposalMethod):
        return
    known = Known(method.proposals_of(scene))
    other, view = method.with_proposer(known), View(IMAGE, np.ones((120, 160), np.float32))
    np.testing.assert_array_equal(other.prepare(view).masks, scene.masks)
    assert known.seen == [view] and method.proposer is not known
    with pytest.raises(BadInputError, match='prepare_with'):
        method.with_proposer(None).prepare(VIEW)


# ---- what is done with the answers -------------------------------------------------------------

class Drawn:
    """The drawn tabletop as a group of a data set."""

    key, keys, limit = 'drawn', None, None

    def open(self):
        texts = (('the red box', 0), ('the box on the right', 1), ('the dog', None))
        return OpenGroup(IMAGE, [Sample(
            f'drawn/{k}', text, 'drawn', f'drawn:{which}',
            None if which is None else ArrayMask(MASKS[which]),
            kind='absent' if which is None else 'answerable', place=('drawn', text))
            for k, (text, which) in enumerate(texts)])


def test_decision_overlay_and_evaluation(method, scene):
    found = method.ground(scene, SAID[0])
    result = decide(scene, found, SAID[0].command, method.settings, 3)
    regions = found.regions(scene)
    assert len(result.candidates) <= 3 and result.notes == found.notes
    for candidate in result.candidates:
        np.testing.assert_array_equal(candidate.mask, regions.masks[candidate.index])
    assert draw_overlay(IMAGE, result, 'the red mug').shape == IMAGE.shape
    if isinstance(method, ProposalMethod):
        method = method.with_proposer(Known(method.proposals_of(scene)))
    done = evaluate_group(Segmenter(method), Drawn(), strict=True)
    assert len(done.records) == 3 and not done.problems
    for record in done.records:
        assert record.outcome in Outcome.__members__
        # Masks of its own are as many as this sentence has.
        assert record.proposals == len(regions) or found.own is not None
    for record, true in zip(done.records[:2], MASKS, strict=False):
        assert 0 <= record.i <= record.u and record.u >= true.sum()
        assert record.i / record.u <= record.oracle_i / record.oracle_u
    assert done.records[2].i is None


def test_ablations_take_every_method():
    rows = tuple(Row(name, name, name) for name in NAMES)
    lab = Lab(LabSpec('tabletop', 'cpu', rows))
    assert set(lab.left_out) <= set(SMALL)
    result = lab.evaluate(Drawn())
    assert set(result.answers) == set(NAMES) - set(lab.left_out)
    best = [sample[5:] for sample in result.samples]
    assert [answer[:2] for answer in result.answers['oracle']] == best
    half = np.zeros((120, 160), bool)
    half[:, :80] = True
    assert result.answers[FROM_OUTSIDE] == [
        (int((MASKS[0] & half).sum()), int((MASKS[0] | half).sum()), False),
        (int((MASKS[1] & ~half).sum()), int((MASKS[1] | ~half).sum()), False)], 'peak at 0, 0'


def test_the_best_of_own_masks_counts_where_nothing_is_proposed():
    spec = SegmenterSpec('tabletop', FROM_OUTSIDE, 'cpu', {'share': 0.5})
    first, second, third = evaluate_group(spec.build(), Drawn(), strict=True).records
    assert (first.proposals, second.proposals, third.proposals) == (2, 2, 2)
    assert (first.i, first.u) == (first.oracle_i, first.oracle_u) != (0, 0)
    assert (second.i, second.u) == (second.oracle_i, second.oracle_u)
    lab = Lab(LabSpec('tabletop', 'cpu', (Row('a', '', FROM_OUTSIDE),
                                          Row('b', '', FROM_OUTSIDE, {'share': 0.9}))))
    result = lab.evaluate(Drawn())
    assert [s[5:] for s in result.samples] == [(r.oracle_i, r.oracle_u) for r in (first, second)]
    assert result.answers['b'][1][:2] != result.answers['a'][1][:2]


def test_notes_reach_the_user(tmp_path, capsys):
    from PIL import Image

    from ris_ros.cli.main import main
    Image.fromarray(IMAGE).save(tmp_path / 'i.png')
    arguments = ['segment', str(tmp_path / 'i.png'), 'the red box', '--method', FROM_OUTSIDE,
                 '--device', 'cpu']
    assert main([*arguments, '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['notes'] == ['It knows left and right alone.'] and told['area'] == 120 * 80
    assert main(arguments) == 0
    assert 'note: It knows left and right alone.' in capsys.readouterr().out


def test_the_nodes_labels_and_details_of_own_masks():
    pytest.importorskip('rclpy')
    from ris_ros.nodes.outputs import label_image
    halves = Segmenter(Halves(Halves.settings_class()), max_candidates=9)
    result = halves.segment(IMAGE, 'the box on the right')
    labels = label_image(result, 9)
    assert labels[0, 0] == 2 and labels[0, -1] == 1


# ---- what is no method -------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Bare:
    """Settings without the options by which answers are decided."""


class Undecided(Halves):
    settings_class = Bare


@pytest.mark.parametrize('value, said', [
    ('ris_ros.types:View', 'is no method'), ('ris_ros.nowhere:X', 'cannot be loaded'),
    (f'{__name__}:Undecided', 'OutcomeSettings')])
def test_entry_points_that_name_no_method_are_refused(monkeypatch, value, said):
    monkeypatch.setattr(registry, 'entry_points',
                        lambda group: [metadata.EntryPoint('odd', value, GROUP)])
    with pytest.raises(BadInputError, match=said):
        Segmenter.from_profile('tabletop', method='odd', device='cpu')


def test_help_of_a_method_from_outside(monkeypatch):
    assert find_method(FROM_OUTSIDE).help == (
        'The left and the right part of the picture; "right" in the sentence prefers the right')
    monkeypatch.setattr(registry, 'entry_points', lambda group: [
        metadata.EntryPoint('odd', 'ris_ros.nowhere:X', GROUP)])
    assert 'cannot be loaded' in registry.methods()['odd'].help, 'the list itself still comes'


def test_settings_for_a_profile():
    profile = get_profile('tabletop')
    assert settings_for('hybridgl', profile).start_block == 4
    assert settings_for('hybridgl', profile, {'start_block': 2}).start_block == 2
    assert settings_for(FROM_OUTSIDE, profile, {'share': 0.3}).share == 0.3
    with pytest.raises(BadInputError, match='did you mean alpha'):
        settings_for('hybridgl', profile, {'alhpa': 0.5})
    with pytest.raises(BadInputError, match='unknown method'):
        settings_for('magic', profile)
