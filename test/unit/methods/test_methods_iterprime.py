"""IteRPrimE's refinement, mask choice and behaviour at the edges, over a small random matcher."""
import dataclasses
import hashlib
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('spacy')
pytest.importorskip('cv2')

from ris_ros.language import Analysis
from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.iterprime import maps
from ris_ros.methods.iterprime.method import IteRPrimE, part_counts
from ris_ros.methods.iterprime.settings import IterPrimeSettings
from ris_ros.methods.iterprime.text import IterPrimeText
from ris_ros.models.albef import Albef, AlbefConfig
from ris_ros.models.matcher import Matcher
from ris_ros.models.proposals import Proposals
from ris_ros.models.weights import Entry
from ris_ros.models.wordpiece import WordPiece
from ris_ros.profiles import Networks, Profile, get_profile
from ris_ros.types import BadInputError, Command, Target, View, WeightsError

VOCABULARY = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'there', 'is', 'a', 'red', 'mug', 'left', 'of',
              'the', 'bowl']
SIZES = {'image_size': 64, 'patch': 8, 'vision_width': 16, 'vision_depth': 1, 'vision_heads': 2,
         'text_width': 24, 'text_layers': 4, 'fusion_layer': 2, 'heads': 2, 'intermediate': 32,
         'vocab': len(VOCABULARY), 'positions': 512}
H, W = 48, 64
RED_MUG = [('red', 'ADJ', 'JJ', 'amod', 1), ('mug', 'NOUN', 'NN', 'ROOT', 1)]
LEFT = [('left', 'ADJ', 'JJ', 'ROOT', 0)]
LONG = [('the', 'DET', 'DT', 'det', 1), ('bowl', 'NOUN', 'NN', 'ROOT', 1),
        ('left', 'ADJ', 'JJ', 'amod', 1), ('of', 'ADP', 'IN', 'prep', 1),
        ('the', 'DET', 'DT', 'det', 6), ('red', 'ADJ', 'JJ', 'amod', 6),
        ('mug', 'NOUN', 'NN', 'pobj', 3)]


@pytest.fixture(scope='module')
def matcher():
    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = Albef(AlbefConfig.from_dict(SIZES))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Matcher(model, WordPiece(VOCABULARY))


def make(matcher, **settings):
    return IteRPrimE(matcher, None, IterPrimeSettings(layer=2, **settings))


def analysis(rows):
    text = ' '.join(row[0] for row in rows)
    return Analysis(Command(text, target=Target(text)), doc_from_rows(rows))


def picture():
    return np.random.default_rng(0).integers(0, 255, (H, W, 3), dtype=np.uint8)


def tiles():
    """Twelve tiles that cover the image, so that one of them holds any peak."""
    masks = torch.zeros(12, H, W, dtype=torch.bool)
    for i in range(12):
        masks[i, i // 4 * 16:i // 4 * 16 + 16, i % 4 * 16:i % 4 * 16 + 16] = True
    return masks


def scene_of(method, masks=None):
    masks = tiles() if masks is None else masks
    return method.prepare_with(View(picture()), Proposals.of(masks))


@pytest.mark.parametrize('rules', ['paper', 'released'])
@pytest.mark.parametrize('hide', ['attention', 'image'])
def test_a_sentence_has_a_map_and_a_mask_at_its_peak(matcher, rules, hide):
    method = make(matcher, rules=rules, hide=hide)
    scene = scene_of(method)
    got = method.ground(scene, analysis(RED_MUG))
    assert got.heatmap.shape == (H, W) and got.heatmap.min() == 0 and got.heatmap.max() == 1
    peaks = np.argwhere(got.heatmap == 1)
    assert all(any(scene.masks[i][y, x] for y, x in peaks) for i in got.order)
    assert got.probabilities[got.order[0]] == pytest.approx(got.details['match'][0])
    assert 1 <= len(got.details['match']) <= 3
    best = scene.masks[got.order[0]]
    assert got.scores[got.order[0]] == pytest.approx(
        (best.sum() + got.heatmap[best].sum()) / (best.sum() + 1e-5), rel=1e-5)


@pytest.mark.parametrize('settings', [
    {}, {'rules': 'released'}, {'hide': 'image'}, {'sentence_batch': 2},
    {'stop': 'never', 'iterations': 4}])
def test_sentences_together_as_one_by_one(matcher, settings):
    method = make(matcher, **settings)
    scene = scene_of(method)
    said = [analysis(rows) for rows in (RED_MUG, LONG, LEFT)]
    for one, many in zip((method.ground(scene, a) for a in said),
                         method.ground_many(scene, said), strict=True):
        np.testing.assert_allclose(one.heatmap, many.heatmap, atol=2e-4)
        np.testing.assert_allclose(one.details['match'], many.details['match'], atol=1e-5)
        assert one.order.tolist() == many.order.tolist()


def test_what_was_seen_is_hidden_and_counts_as_image_does_not_change(matcher, monkeypatch):
    method = make(matcher, stop='never', iterations=3)
    scene = scene_of(method)
    towers, masks = [], []
    visual, attend = matcher.model.visual_encoder.forward, matcher.attend
    monkeypatch.setattr(matcher.model.visual_encoder, 'forward',
                        lambda x: towers.append(len(x)) or visual(x))
    monkeypatch.setattr(matcher, 'attend', lambda look, r, seen, layer: masks.append(
        None if seen is None else seen.clone()) or attend(look, r, seen, layer))
    method.ground(scene, analysis(RED_MUG))
    assert not towers, 'the image tower runs in prepare only'
    assert masks[0] is None and len(masks) == 3
    assert not masks[1].all() and (masks[2] <= masks[1]).all(), 'what is hidden stays hidden'
    method = make(matcher, stop='never', iterations=3, hide='image')
    method.ground_many(scene, [analysis(RED_MUG), analysis(LONG)])
    assert towers == [2, 2], 'hiding in the image costs a tower run per further look'


# ---- bad input -------------------------------------------------------------------------------

def test_a_sentence_without_an_object(matcher):
    method = make(matcher)
    with pytest.raises(BadInputError, match='say what'):
        method.ground(scene_of(method), Analysis(Command('x', problem='say what'), None))


@pytest.mark.parametrize('mode', range(5))
@pytest.mark.parametrize('rules', ['paper', 'released'])
def test_no_noun_gives_a_map_all_the_same(matcher, rules, mode):
    method = make(matcher, rules=rules, mode=mode)
    got = method.ground(scene_of(method), analysis(LEFT))
    assert got.details['plan'].primary_tokens is None
    assert got.heatmap.max() == 1 and len(got.order)


def test_unknown_words_only(matcher):
    method = make(matcher)
    rows = [('blorp', 'NOUN', 'NN', 'ROOT', 0)]
    with pytest.raises(BadInputError, match='knows no word of "blorp"'):
        method.ground(scene_of(method), analysis(rows))


def test_a_sentence_beyond_the_position_table(matcher):
    method = make(matcher)
    rows = [('mug', 'NOUN', 'NN', 'ROOT', 0)] * 509
    with pytest.raises(BadInputError, match='513 word pieces, the matcher takes 512'):
        method.ground(scene_of(method), analysis(rows))
    assert method.ground(scene_of(method), analysis(rows[1:])).heatmap.max() == 1


def test_a_flat_map_chooses_nothing(matcher, monkeypatch):
    method = make(matcher)
    attend = matcher.attend

    def nothing(*args):
        found = attend(*args)
        return dataclasses.replace(found, gradients=[g * 0 for g in found.gradients])

    monkeypatch.setattr(matcher, 'attend', nothing)
    got = method.ground(scene_of(method), analysis(RED_MUG))
    assert got.details['flat'] and not got.heatmap.any() and np.isfinite(got.heatmap).all()
    assert not len(got.order) and not got.probabilities.any()
    assert len(got.details['match']) == 1, 'there is nothing to hide, so it looks once'


def test_no_mask_holds_the_peak(matcher):
    method = make(matcher)
    whole = scene_of(method)
    heat = method.ground(whole, analysis(RED_MUG)).heatmap
    away = torch.from_numpy(np.stack([heat < 0.9, heat < 0.2]))
    assert not len(method.ground(scene_of(method, away), analysis(RED_MUG)).order)
    free = make(matcher, peak_filter=False)
    got = free.ground(scene_of(free, away), analysis(RED_MUG))
    assert got.order.tolist() == [0, 1], 'without the filter the warmer one comes first'


def test_masks_of_many_parts_and_empty_ones(matcher):
    masks = torch.zeros(4, H, W, dtype=torch.bool)
    masks[0] = True
    masks[1, ::2] = True   # 24 stripes
    masks[2, ::2, ::2] = masks[2, 1::2, 1::2] = True  # touch at corners only
    assert part_counts(masks).tolist() == [1, 24, H * W // 2, 0]
    method = make(matcher, peak_filter=False)
    assert method.ground(scene_of(method, masks), analysis(RED_MUG)).order.tolist() == [0]
    free = make(matcher, peak_filter=False, component_limit=0)
    order = free.ground(scene_of(free, masks), analysis(RED_MUG)).order
    assert sorted(order.tolist()) == [0, 1, 2], 'an empty mask is never a candidate'


def test_no_masks_at_all(matcher):
    method = make(matcher)
    got = method.ground(scene_of(method, torch.zeros(0, H, W, dtype=torch.bool)),
                        analysis(RED_MUG))
    assert not len(got.order) and got.scores.shape == (0,) and got.heatmap.max() == 1


def test_layers_and_proposers_that_are_not_there(matcher):
    with pytest.raises(BadInputError, match=r'must lie in \[2, 2\]'):
        IteRPrimE(matcher, None)
    with pytest.raises(BadInputError, match='prepare_with'):
        make(matcher).prepare(View(picture()))


# ---- refinement on hand-made maps ------------------------------------------------------------

GRID = torch.zeros(1, 4, 4)
GRID[0, 1, 1], GRID[0, 2, 3] = 1.0, 0.4
OTHER = torch.zeros(1, 4, 4)
OTHER[0, 3, 0] = 1.0


def run(matches, looks, **how):
    """Return the refined map when the looks show `looks` and match by `matches`."""
    turns = iter(zip(looks, matches, strict=True))
    masks = []

    def step(rows, seen):
        masks.append(seen)
        found, match = next(turns)
        return found, torch.tensor([match])

    out, = maps.refine(step, 1, (4, 4), maps.Refinement(**how), (8, 8))
    return out, masks


def test_released_rule_keeps_the_look_that_made_it_stop():
    out, masks = run([0.9, 0.8, 0.7], [GRID, OTHER, GRID], stop='released')
    assert len(out.match) == 2
    torch.testing.assert_close(out.heat, (0.8 * GRID + 0.2 * OTHER)[0])
    assert masks[1][0].logical_not().nonzero().tolist() == [[1, 1]], 'the bright place is hidden'


def test_paper_rule_gives_back_the_map_before():
    """Half of what was dark is lit after the first look, so the second must match better."""
    steep = maps.steep(GRID)
    first = 0.2 * steep[0]
    out, _ = run([0.9, 0.8, 0.7], [GRID, OTHER, GRID], stop='paper', smooth=True)
    assert len(out.match) == 2
    torch.testing.assert_close(out.heat, first)
    overlooked = 1 - float(maps.enlarge(first[None], (8, 8)).mean())
    out, _ = run([0.9, 0.9 / overlooked + 1e-3], [GRID, OTHER], stop='paper', smooth=True,
                 iterations=2)
    torch.testing.assert_close(out.heat, 0.8 * first + 0.2 * maps.steep(OTHER)[0])
    out, _ = run([0.9, 0.9 / overlooked - 1e-3], [GRID, OTHER], stop='paper', smooth=True,
                 iterations=2)
    torch.testing.assert_close(out.heat, first)


def test_never_stopping_and_what_stays_hidden():
    out, masks = run([0.9, 0.1, 0.05], [GRID, OTHER, GRID], stop='never')
    assert len(out.match) == 3
    assert masks[2][0].logical_not().nonzero().tolist() == [[1, 1], [3, 0]]


def test_no_primary_word_under_both_rules():
    torch.manual_seed(0)
    a, g = torch.rand(2, 6, 4, 4), torch.rand(2, 6, 4, 4)
    words, none = IterPrimeText(None, None, (4, 5)), IterPrimeText(None, None, ())
    product = (a * g).mean(0)
    torch.testing.assert_close(maps.word_map(a, g, words, 0, 'paper'),
                               maps.stretch(product[[0, 4, 5]].mean(0)))
    torch.testing.assert_close(maps.word_map(a, g, none, 0, 'paper'),
                               maps.stretch(product.mean(0)))
    means = a.mean(0) * g.mean(0)
    torch.testing.assert_close(maps.word_map(a, g, words, 4, 'released'),
                               maps.stretch(means.mean(0)))
    torch.testing.assert_close(maps.word_map(a, g, none, 0, 'released'), maps.stretch(means[0]))


# ---- profiles --------------------------------------------------------------------------------

def test_a_matcher_that_is_missing_is_said_with_what_to_do(tmp_path):
    from ris_ros.segmenter import Segmenter
    bare = tmp_path / 'bare.json'
    bare.write_text(json.dumps({'help': 'none', 'networks': {'sam': 'tabletop_sam'}}))
    with pytest.raises(BadInputError, match='bare has no image-text matcher'):
        Segmenter.from_profile(str(bare), method='iterprime', device='cpu')
    with pytest.raises(WeightsError, match='ris models fetch'):
        Segmenter.from_profile('robot', method='iterprime', device='cpu', model_dir=tmp_path)
    with pytest.raises(WeightsError, match='train them with: ris train tabletop'):
        Segmenter.from_profile('tabletop', method='iterprime', device='cpu', model_dir=tmp_path)


def test_a_matcher_from_files(matcher, tmp_path):
    """Once with its words in its own record, once in the published layout with a word list."""
    state = matcher.model.state_dict()
    torch.save({'model': state, 'epoch': 1}, tmp_path / 'small.pth')
    digest = hashlib.sha256((tmp_path / 'small.pth').read_bytes()).hexdigest()
    (tmp_path / 'small.json').write_text(json.dumps(
        {'sha256': digest, 'config': {**SIZES, 'vocabulary': VOCABULARY}}))
    profile = Profile('p', '', {'matcher': 'small', 'vocabulary': 'words'})
    networks = Networks(profile, 'cpu', 'fp32', tmp_path)
    networks.store.entries['small'] = Entry('small', 'matcher', 'small.pth', 'torch')
    loaded = networks.matcher()
    assert networks.matcher('small') is loaded
    wanted = make(matcher)
    got = make(loaded).ground(scene_of(wanted), analysis(RED_MUG))
    np.testing.assert_array_equal(
        got.heatmap, wanted.ground(scene_of(wanted), analysis(RED_MUG)).heatmap)
    text = '\n'.join(VOCABULARY)
    (tmp_path / 'words.txt').write_text(text)
    (tmp_path / 'small.json').write_text(json.dumps({'sha256': digest, 'config': SIZES}))
    networks = Networks(profile, 'cpu', 'fp32', tmp_path)
    networks.store.entries.update({
        'small': Entry('small', 'matcher', 'small.pth', 'torch'),
        'words': Entry('words', 'vocabulary', 'words.txt', 'text',
                       sha256=hashlib.sha256(text.encode()).hexdigest())})
    assert networks.matcher().tokenizer.ids == loaded.tokenizer.ids
    assert get_profile('paper').networks['matcher'] == 'albef_14m'
