"""PCNet as a method: peaks, masks of its own or stored ones, and what it says when it cannot."""
import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
for needed in ('open_clip', 'segment_anything', 'spacy', 'cv2'):
    pytest.importorskip(needed)

import pcnet_networks as small
import small_networks

from ris_ros.decision import decide
from ris_ros.language.analysis import Analysis
from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.logistic import Logistic
from ris_ros.methods.pcnet import calibration, masks
from ris_ros.methods.pcnet.method import PCNetMethod
from ris_ros.methods.pcnet.model import Asked, PCNetModel, heatmaps
from ris_ros.methods.pcnet.settings import PCNetSettings
from ris_ros.profiles import get_profile
from ris_ros.segmenter import networks_of
from ris_ros.types import BadInputError, Command, Outcome, Target, View, WeightsError

SETTINGS = PCNetSettings(min_mask_region_area=20, points_per_side=4)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope='module')
def model():
    return PCNetModel(small.network())


@pytest.fixture(scope='module')
def proposer():
    return small.proposer()


@pytest.fixture(scope='module')
def view():
    rng = np.random.default_rng(0)
    return View(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))


def method(model, proposer, **changes):
    return PCNetMethod(model, proposer, dataclasses.replace(SETTINGS, **changes))


def said(*words):
    """An analysed "the (colour) noun" by its parse."""
    last = len(words)
    rows = [['the', 'DET', 'DT', 'det', last]]
    rows += [[w, 'ADJ', 'JJ', 'amod', last] for w in words[:-1]]
    rows += [[words[-1], 'NOUN', 'NN', 'ROOT', last]]
    text = ' '.join(['the', *words])
    return Analysis(Command(text, target=Target(text, words[-1])), doc_from_rows(rows))


NOTHING = Analysis(Command('hm', problem='the command names no object'), None)


class Fixed(PCNetModel):
    """A model whose maps are given: (N, S, g, g)."""

    def __init__(self, maps):
        super().__init__(small.network())
        self.maps = torch.as_tensor(maps, dtype=torch.float32)

    def respond(self, seen, asked, context='alone'):
        return self.maps[:, :len(asked)]


def one_peak(row, column, value=4.0, side=4):
    found = torch.full((3, 1, side, side), -3.0)
    found[:, 0, row, column] = value
    return found


@pytest.mark.parametrize('source', ['sam', 'proposals', 'map'])
def test_answers_of_every_kind(model, proposer, view, source):
    made = method(model, proposer, mask_from=source)
    scene = made.prepare(view)
    grounding = made.ground(scene, said('red', 'mug'))
    regions = grounding.regions(scene)
    assert (grounding.own is None) == (source == 'proposals')
    assert len(regions) == len(grounding.scores) == len(grounding.probabilities) > 0
    assert regions.masks.shape[1:] == view.size and grounding.heatmap.shape == view.size
    assert grounding.heatmap.min() >= 0 and grounding.heatmap.max() <= 1
    assert grounding.details['cues'][:2] == ['mug', 'red mug']
    assert (np.diff(grounding.scores[grounding.order]) <= 0).all()


def test_rules_choose_where_masks_come_from():
    assert PCNetSettings().mask_source() == 'sam'
    assert PCNetSettings(rules='released').mask_source() == 'proposals'
    assert PCNetSettings(rules='released', mask_from='map').mask_source() == 'map'


@pytest.mark.parametrize('source', ['sam', 'proposals', 'map'])
def test_sentences_side_by_side_answer_as_one_by_one(model, proposer, view, source):
    made = method(model, proposer, mask_from=source)
    scene = made.prepare(view)
    analyses = [said('red', 'mug'), NOTHING, said('bowl'), said('big', 'box')]
    many = made.ground_many(scene, analyses)
    assert many[1] is None
    for found, analysis in zip(many, analyses, strict=True):
        if found is not None:
            single = made.ground(scene, analysis)
            np.testing.assert_allclose(found.heatmap, single.heatmap, rtol=0, atol=1e-3)
            np.testing.assert_allclose(found.probabilities, single.probabilities, atol=1e-4)
            assert np.array_equal(found.regions(scene).masks, single.regions(scene).masks)


def test_a_sentence_without_an_object_is_refused(model, proposer, view):
    made = method(model, proposer)
    with pytest.raises(BadInputError, match='names no object'):
        made.ground(made.prepare(view), NOTHING)


def test_the_tower_runs_once_per_picture(model, proposer, view, monkeypatch):
    made, calls = method(model, proposer), []
    original = model.network.image_tokens
    monkeypatch.setattr(model.network, 'image_tokens',
                        lambda pixels: calls.append(1) or original(pixels))
    scene = made.prepare(view)
    for words in (('mug',), ('red', 'mug'), ('bowl',)):
        made.ground(scene, said(*words))
    assert len(calls) == 1


def test_a_text_is_read_once(model, monkeypatch):
    fresh, calls = PCNetModel(small.network()), []
    original = fresh.network.encode_tokens
    monkeypatch.setattr(fresh.network, 'encode_tokens',
                        lambda tokens: calls.append(len(tokens)) or original(tokens))
    first = fresh.encode(['the mug', 'mug', 'the mug'])
    assert calls == [2]
    assert torch.equal(first, fresh.encode(['the mug', 'mug', 'the mug'])) and calls == [2]


def test_released_takes_the_proposal_that_holds_the_peak(proposer, view):
    made = method(Fixed(one_peak(1, 2)), proposer, rules='released')
    scene = made.prepare(view)
    grounding = made.ground(scene, said('mug'))
    y, x = masks.peak_of(grounding.heatmap)
    holds = scene.masks[:, y, x]
    assert holds.any() and holds[grounding.order[0]]
    assert set(grounding.order[:holds.sum()]) == set(np.flatnonzero(holds))


def test_ranking_by_the_mean_prefers_the_mask_that_fits(proposer, view):
    """A mask of everything holds every peak; its mean says that it is not meant."""
    everything, part = np.ones((60, 80), bool), np.zeros((60, 80), bool)
    part[15:30, 40:60] = True
    stack = torch.from_numpy(np.stack([everything, part]))
    last = one_peak(1, 2)[0, 0]
    features = masks.features_of(last, last, masks.cells_of(stack, 4))
    assert features['inside'].argmax() == 1
    heat = heatmaps(last[None], (60, 80), 64)[0].numpy()
    values = masks.highest_inside(heat, stack.numpy(), masks.peak_of(heat))
    assert values[0] == values[1] == heat.max()


def test_features_by_hand():
    last = torch.arange(16.0).view(4, 4)
    first = -last
    top_left = torch.zeros(2, 8, 8, dtype=torch.bool)
    top_left[0, :2, :4] = True            # cells 0 and 1, whole
    found = masks.features_of(last, first, masks.cells_of(top_left, 4))
    assert found['inside'].tolist() == [0.5, 0.0] and found['first'].tolist() == [-0.5, 0.0]
    assert found['peak'][0] == 1.0


def test_sam_is_prompted_at_the_peak(view, proposer, monkeypatch):
    made, asked = method(Fixed(one_peak(2, 1)), proposer, max_objects=1), []
    original = proposer.at_points
    monkeypatch.setattr(proposer, 'at_points', lambda embedded, points, *rest: asked.append(
        points.tolist()) or original(embedded, points, *rest))
    grounding = made.ground(made.prepare(view), said('mug'))
    y, x = masks.peak_of(grounding.heatmap)
    assert asked == [[[x, y]]] and 30 <= y < 45 and 20 <= x < 40
    assert len(grounding.own) == 1


def test_several_peaks_become_several_answers(view, proposer):
    maps = one_peak(0, 0, 4.0)
    maps[:, 0, 3, 3] = 3.9
    maps[:, 0, 0, 3] = 0.5              # too low to count
    made = method(Fixed(maps), proposer, max_objects=4)
    grounding = made.ground(made.prepare(view), said('mug'))
    assert len(grounding.own) == 2
    paper = method(Fixed(maps), proposer, max_objects=1)
    assert len(paper.ground(paper.prepare(view), said('mug')).own) == 1


def test_neighbouring_cells_are_no_second_peak():
    logits = np.full((4, 4), -3.0)
    logits[1, 1], logits[1, 2] = 4.0, 3.9
    heat = heatmaps(torch.tensor(logits[None], dtype=torch.float32), (40, 40), 64)[0].numpy()
    assert len(masks.peaks_of(heat, logits, 4, 0.5)) == 1


def test_a_dark_map_matches_nothing(proposer, view):
    for source in ('sam', 'proposals', 'map'):
        made = method(Fixed(torch.full((3, 1, 4, 4), -2.0)), proposer, mask_from=source)
        scene = made.prepare(view)
        grounding = made.ground(scene, said('mug'))
        assert not grounding.probabilities.any()
        assert any('dark everywhere' in note for note in grounding.notes)
        answer = decide(scene, grounding, said('mug').command, made.settings)
        assert answer.outcome is Outcome.NO_MATCH and not answer.mask.any()


def test_the_map_alone_is_cut_where_the_released_code_cuts_it(proposer, view):
    made = method(Fixed(one_peak(1, 1)), proposer, mask_from='map')
    grounding = made.ground(made.prepare(view), said('mug'))
    assert np.array_equal(grounding.own.masks[0], grounding.heatmap > 1e-9)
    half = made.with_settings(dataclasses.replace(made.settings, map_threshold=0.5))
    smaller = half.ground(half.prepare(view), said('mug')).own.masks[0]
    assert 0 < smaller.sum() < grounding.own.masks[0].sum()


def test_heatmaps_equal_the_released_order_of_work():
    maps = torch.randn(2, 5, 5)
    large = torch.nn.functional.interpolate(maps[:, None], (160, 160), mode='bilinear')
    full = torch.nn.functional.interpolate(large.relu(), (48, 64), mode='bilinear',
                                           align_corners=True)[:, 0]
    expected = full / (full.amax((1, 2), keepdim=True) + 1e-5)
    torch.testing.assert_close(heatmaps(maps, (48, 64), 160), expected)
    shown = heatmaps(-maps.abs() - 1, (48, 64), 160, 'minmax')
    assert float(shown.min()) >= 0 and float(shown.max()) > 0.9


def test_an_earlier_stage_can_answer(proposer, view):
    maps = torch.cat([one_peak(0, 0)[:1], one_peak(3, 3)[:2]])
    for stage, place in ((1, (0, 0)), (2, (3, 3)), (0, (3, 3))):
        made = method(Fixed(maps), proposer, mask_from='map', stage=stage)
        y, x = masks.peak_of(made.ground(made.prepare(view), said('mug')).heatmap)
        assert (y * 4 // 60, x * 4 // 80) == place
    with pytest.raises(BadInputError, match='no stage 4'):
        method(Fixed(maps), proposer, stage=4)


def test_fewer_proposals_than_forty_and_none(proposer, view, model):
    few = method(model, proposer, rules='released', most_proposals=1)
    scene = few.prepare(view)
    assert len(scene.masks) == 1 and len(few.ground(scene, said('mug')).order) == 1
    largest = method(model, proposer, rules='released', most_proposals=0).prepare(view)
    assert scene.areas[0] == largest.areas.max()
    none = method(model, proposer, rules='released', min_mask_region_area=10 ** 6)
    scene = none.prepare(view)
    grounding = none.ground(scene, said('mug'))
    answer = decide(scene, grounding, said('mug').command, none.settings)
    assert not len(scene.masks) and answer.outcome is Outcome.NO_MATCH
    assert grounding.heatmap.shape == view.size


def test_without_a_sam_the_map_alone_answers(model, view):
    with pytest.raises(BadInputError, match='mask_from=map'):
        method(model, None)
    made = method(model, None, mask_from='map')
    assert made.ground(made.prepare(view), said('mug')).own is not None


def test_companions_that_are_not_there_are_refused(model, proposer):
    with pytest.raises(BadInputError, match='without companions'):
        method(model, proposer, context='companions')
    other = PCNetModel(small.network(companions=3))
    made = method(other, proposer, context='companions', mask_from='map')
    view = View(np.zeros((60, 80, 3), np.uint8))
    assert made.ground(made.prepare(view), said('mug')).heatmap.shape == (60, 80)


def test_notes_say_what_was_cut_and_what_is_unknown(model):
    assert model.notes('the red mug') == ()
    notes = model.notes('the purple mug ' * 6)
    assert any('reads 10' in note for note in notes) and any('"purple"' in n for n in notes)
    released = PCNetModel(small.network(keep_end=False))
    assert any('as if it were empty' in note for note in released.notes('the red mug ' * 6))


def test_probability_is_a_logistic_function_of_the_maps(proposer, view):
    maps = one_peak(1, 1)
    high = Fixed(maps)
    high.calibration = Logistic(-1.0, {'peak': 0.5})
    made = method(high, proposer, mask_from='map')
    grounding = made.ground(made.prepare(view), said('mug'))
    assert grounding.probabilities[0] == pytest.approx(1 / (1 + np.exp(-(0.5 * 4 - 1))))
    again = calibration.from_dict(json.loads(json.dumps(calibration.to_dict(high.calibration))))
    assert again == high.calibration and calibration.from_dict({}) == calibration.PLAIN
    for wrong in ({'bias': 1}, {'bias': 0, 'weights': {'colour': 1.0}}, {'bias': 'x',
                                                                        'weights': {}}):
        with pytest.raises(WeightsError, match='calibration'):
            calibration.from_dict(wrong)


def test_every_sentence_has_cues(model, proposer):
    asked = method(model, proposer).read(said('mug'))
    assert asked == Asked('the mug', ('mug', 'the mug', 'mug', 'the mug', 'mug'))


# ---- files ---------------------------------------------------------------------------------

@pytest.fixture
def model_dir(tmp_path):
    small_networks.write_clip_and_sam(tmp_path)
    small_networks.write_pcnet(tmp_path, 'tabletop_pcnet')
    return tmp_path


def loaded(folder):
    return networks_of('tabletop', 'cpu', model_dir=folder).load('pcnet')


def sealed(folder):
    """Note the weights' SHA-256 anew, as whoever made another file would."""
    small_networks.seal(folder, 'tabletop_pcnet')


def test_a_file_comes_back(model_dir):
    found = loaded(model_dir)
    assert found.calibration == Logistic(0.1, {'inside': 2.0})
    rgb = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    asked = [Asked('the red mug', ('mug', 'red mug'))]
    torch.testing.assert_close(found.respond(found.look(rgb), asked),
                               PCNetModel(small.network()).respond(
                                   PCNetModel(small.network()).look(rgb), asked))


def test_a_truncated_file_is_refused(model_dir):
    path = model_dir / 'tabletop_pcnet.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match='damaged'):
        loaded(model_dir)
    sealed(model_dir)
    with pytest.raises(WeightsError):
        loaded(model_dir)


def test_a_foreign_file_is_refused(model_dir):
    (model_dir / 'tabletop_pcnet.safetensors').write_bytes(
        (model_dir / 'tabletop_clip.safetensors').read_bytes())
    sealed(model_dir)
    with pytest.raises(WeightsError, match='does not hold this PCNet'):
        loaded(model_dir)


@pytest.mark.parametrize('change, said', [
    (lambda c: c.clear(), 'no PCNet'), (lambda c: c['network'].update(depth=3), 'depth'),
    (lambda c: c['network'].update(stages=2), 'no place for'),
    (lambda c: c['network'].update(stride=5), 'stride'),
    (lambda c: c['network'].update(clip={}), 'residual'),
    (lambda c: c.update(network=[]), 'no PCNet'),
    (lambda c: c.update(calibration={'bias': []}), 'calibration')])
def test_a_foreign_configuration_is_refused(model_dir, change, said):
    path = model_dir / 'tabletop_pcnet.json'
    record = json.loads(path.read_text())
    change(record['config'])
    path.write_text(json.dumps(record))
    with pytest.raises(WeightsError, match=said):
        loaded(model_dir)


@pytest.mark.parametrize('profile', ['paper', 'robot'])
def test_profiles_without_a_network_say_how_to_get_one(profile):
    networks = networks_of(profile, 'cpu')
    with pytest.raises(BadInputError, match='ris train pcnet'):
        PCNetMethod.from_networks(networks, PCNetSettings())
    assert networks.name_of('pcnet_clip') == 'clip_rn50'
    assert 'pcnet' not in get_profile(profile).networks


def test_a_network_of_another_kind_is_refused(model_dir):
    networks = networks_of('tabletop', 'cpu', model_dir=model_dir)
    with pytest.raises(BadInputError, match='is no PCNet'):
        PCNetMethod.from_networks(networks, PCNetSettings(network='tabletop_clip'))
