"""Prompt-RIS as a method: answers, notes, what SAM gets, several objects, probabilities."""
import dataclasses
import json

import pytest

pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')
pytest.importorskip('safetensors')
import numpy as np
import torch
from prompt_ris_networks import CONFIG, SAM, clip_config, small_network

from ris_ros.language.analyser import Analysis
from ris_ros.methods.prompt_ris.calibration import Calibration, Logistic, logit
from ris_ros.methods.prompt_ris.load import describe_network
from ris_ros.methods.prompt_ris.method import PromptRisMethod
from ris_ros.methods.prompt_ris.model import PromptRisModel
from ris_ros.methods.prompt_ris.settings import PromptRisSettings
from ris_ros.models.weights import Entry
from ris_ros.profiles import Networks, Profile, get_profile
from ris_ros.training.engine.package import write_network
from ris_ros.types import BadInputError, Command, Target, View, WeightsError

FULL = dataclasses.replace(CONFIG, presence=True, fit='pad')


def analysis_of(text):
    target = Target(text) if text else None
    problem = None if text else 'the command names no object'
    return Analysis(Command(text or 'lift', target=target, problem=problem), None)


def picture(size=(48, 64), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def method(config=FULL, calibration=None, **settings):
    model = PromptRisModel(small_network(config), clip_config(), calibration)
    return PromptRisMethod(model, PromptRisSettings(**settings))


def test_an_answer_has_everything():
    made = method(region_logit=-20.0)
    scene = made.prepare(View(picture()))
    assert scene.masks.shape == (0, 48, 64) and scene.timings['embed'] > 0
    found = made.ground(scene, analysis_of('the red mug'))
    regions = found.regions(scene)
    assert found.own is regions and regions.masks.shape[1:] == (48, 64)
    assert regions.masks.dtype == bool and len(found.scores) == len(regions)
    assert found.heatmap.shape == (48, 64) and found.heatmap.dtype == np.float32
    assert 0 <= found.heatmap.min() <= found.heatmap.max() <= 1
    assert ((found.probabilities >= 0) & (found.probabilities <= 1)).all()
    assert set(found.details) == {'peak', 'inside', 'quality', 'presence'}
    assert found.timings['answer'] > 0 and found.notes == ()


def test_sentences_side_by_side_equal_one_by_one():
    """The point is left out: where a map is flat, rounding decides on the highest cell."""
    made = method(point_prompt=False, sentences=2)
    scene = made.prepare(View(picture()))
    texts = ['the red mug', '', 'the bowl left of the mug', 'mug']
    many = made.ground_many(scene, [analysis_of(t) for t in texts])
    assert many[1] is None
    for text, together in zip(texts, many, strict=True):
        if text:
            alone = made.ground(scene, analysis_of(text))
            np.testing.assert_allclose(together.probabilities, alone.probabilities, atol=1e-4)
            assert (together.own.masks == alone.own.masks).mean() > 0.999
            np.testing.assert_allclose(together.heatmap, alone.heatmap, atol=1e-4)


def test_a_command_without_an_object():
    made = method()
    with pytest.raises(BadInputError, match='names no object'):
        made.ground(made.prepare(View(picture())), analysis_of(''))


@pytest.mark.parametrize('size', [(48, 64), (64, 48), (61, 83), (200, 31), (16, 16)])
@pytest.mark.parametrize('fit', ['stretch', 'pad'])
def test_pictures_of_any_shape(size, fit):
    made = method(dataclasses.replace(FULL, fit=fit))
    scene = made.prepare(View(picture(size)))
    found = made.ground(scene, analysis_of('the red mug'))
    assert found.own.masks.shape[1:] == size and found.heatmap.shape == size


def test_a_picture_of_one_row_is_refused():
    with pytest.raises(BadInputError, match='640x1'):
        method().prepare(View(picture((1, 640))))


def test_a_long_sentence_is_cut_and_the_answer_says_so():
    made = method()
    scene = made.prepare(View(picture()))
    long = 'the red mug left of the small blue bowl on the big mug'
    cut = made.ground(scene, analysis_of(long))
    assert len(cut.notes) == 1 and '13 words' in cut.notes[0] and 'reads 10' in cut.notes[0]
    ids, _ = made.model.tokens([long])
    assert ids.shape[1] == 12 and int(ids[0].argmax()) == 11, 'the end token stays the last'
    same = made.ground(scene, analysis_of('the red mug left of the small blue bowl on'))
    assert same.notes == ()
    np.testing.assert_array_equal(cut.own.masks, same.own.masks)


def test_unknown_words_are_told():
    made = method()
    found = made.ground(made.prepare(View(picture())), analysis_of('the Vase on the vase'))
    assert found.notes == ('this network does not know "vase"',)


@pytest.mark.parametrize('prompt', ['mask_prompt', 'point_prompt', 'text_prompt'])
def test_prompts_can_be_left_out(prompt):
    made = method(max_objects=1)
    scene = made.prepare(View(picture()))
    with_all = made.ground(scene, analysis_of('the red mug'))
    without = made.with_settings(PromptRisSettings(max_objects=1, **{prompt: False}))
    other = without.ground(scene, analysis_of('the red mug'))
    assert other.details['quality'] != with_all.details['quality']


def test_coarse_masks_need_no_sam():
    made = method(answer='coarse', max_objects=1)
    scene = made.prepare(View(picture()))
    assert scene.cache['picture'].embedding is None
    found = made.ground(scene, analysis_of('the red mug'))
    # Enlarged over SAM's grid as masks are, so within a pixel of the enlarged map.
    assert ((found.heatmap > 0.5) == found.own.masks[0]).mean() > 0.97


def test_another_network_is_another_method():
    made = method()
    with pytest.raises(BadInputError, match='network is built into the method'):
        made.with_settings(PromptRisSettings(network='x'))


def test_several_objects_become_several_answers():
    """The response map of an ambiguous sentence has a region per object."""
    made = method(answer='coarse')
    coarse = made.model.network.coarse

    def two_peaks(picture, tokens):
        found = coarse(picture, tokens)
        logits = torch.full_like(found.logits, -6.0)
        logits[:, 1, 0], logits[:, 1, 3] = 4.0, 3.0
        return dataclasses.replace(found, logits=logits)

    made.model.network.coarse = two_peaks
    scene = made.prepare(View(picture()))
    found = made.ground(scene, analysis_of('the mug'))
    assert len(found.own) == 2 and not (found.own.masks[0] & found.own.masks[1]).any()
    assert found.own.boxes[0][0] == 0 and found.own.boxes[1][0] > 32
    one = made.with_settings(PromptRisSettings(answer='coarse', max_objects=1))
    assert len(one.ground(scene, analysis_of('the mug')).own) == 1


def test_an_empty_mask_is_no_candidate():
    made = method(mask_threshold=20.0)
    found = made.ground(made.prepare(View(picture())), analysis_of('the red mug'))
    assert not len(found.order) and (found.probabilities == 0).all()
    assert np.isneginf(found.scores).all()


# ---------------------------------------------------------------- probabilities
def test_calibration_chooses_its_evidence():
    features = {'presence': np.array([2.0, -2.0]), 'peak': np.array([0.0, 1.0]),
                'inside': np.array([1.0, 1.0]), 'quality': np.array([0.5, 0.5])}
    fitted = Calibration({'head': Logistic(0.5, {'presence': 2.0}),
                          'mask': Logistic(-1.0, {'peak': 3.0})})
    expected = 1 / (1 + np.exp(-np.array([4.5, -3.5])))
    np.testing.assert_allclose(fitted.probability('head', features), expected, rtol=1e-5)
    without = {k: v for k, v in features.items() if k != 'presence'}
    np.testing.assert_allclose(fitted.probability('both', without),
                               1 / (1 + np.exp(-np.array([-1.0, 2.0]))), rtol=1e-5)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    np.testing.assert_allclose(logit(np.array([0.5, 0.0])), [0, np.log(1e-6 / (1 - 1e-6))])


@pytest.mark.parametrize('data', [{'head': 3}, {'nose': {'bias': 0, 'weights': {}}},
                                  {'head': {'bias': 'x', 'weights': {}}},
                                  {'head': {'bias': 0, 'weights': {'peak': 1}}}])
def test_a_damaged_calibration(data):
    with pytest.raises(WeightsError, match='calibration'):
        Calibration.from_dict(data)


# ---------------------------------------------------------------- files
def write(folder, change=lambda state, config: None, bases=None, name='made'):
    network = small_network(FULL)
    state = {k: v.half() if v.is_floating_point() and 'gaussian' not in k else v
             for k, v in network.state_dict().items()
             if k.partition('.')[0] not in (bases or {})}
    config = describe_network(FULL, clip_config(), SAM.to_dict(), bases or {},
                              Calibration({'head': Logistic(0.25, {'presence': 1.5})}))
    change(state, config)
    write_network(folder, name, state, config, {})
    return network


def networks_of(folder, **more):
    entry = Entry('made', 'prompt_ris', 'made.safetensors', 'safetensors', folder=str(folder))
    return Networks(Profile('p', '', {'prompt_ris': 'made'}, entries={'made': entry, **more}),
                    'cpu')


def test_a_written_network_comes_back(tmp_path):
    network = write(tmp_path)
    made = PromptRisMethod.from_networks(networks_of(tmp_path), PromptRisSettings())
    assert made.model.network.config == FULL
    assert made.model.calibration.fits['head'].bias == 0.25
    for name, value in made.model.network.state_dict().items():
        assert value.dtype == network.state_dict()[name].dtype
        torch.testing.assert_close(value, network.state_dict()[name], rtol=2e-3, atol=1e-4)
    rgb = picture()
    found = made.ground(made.prepare(View(rgb)), analysis_of('the red mug'))
    assert found.own.masks.shape[1:] == (48, 64)


def test_parts_of_other_networks_are_taken_from_there(tmp_path):
    from ris_ros.files import sha256_of
    sam = small_network(FULL).sam
    path = write_network(tmp_path, 'base_sam', sam.state_dict(), SAM.to_dict(), {})
    bases = {'sam': {'name': 'base_sam', 'sha256': sha256_of(path)}}
    network = write(tmp_path, bases=bases)
    entry = Entry('base_sam', 'sam', 'base_sam.safetensors', 'safetensors',
                  folder=str(tmp_path))
    model = networks_of(tmp_path, base_sam=entry).load('prompt_ris')
    for name, value in model.network.sam.state_dict().items():
        assert torch.equal(value, network.sam.state_dict()[name])
    other = {k: v + 1 for k, v in sam.state_dict().items()}
    write_network(tmp_path, 'base_sam', other, SAM.to_dict(), {})
    with pytest.raises(WeightsError, match='trained over another base_sam'):
        networks_of(tmp_path, base_sam=entry).load('prompt_ris')


@pytest.mark.parametrize(('change', 'words'), [
    (lambda s, c: s.pop('coarse_decoder.text_in.weight'), 'lacks coarse_decoder.text_in.weight'),
    (lambda s, c: s.update(stray=torch.zeros(1)), 'has no place for stray'),
    (lambda s, c: s.update({'sam_prompts.norm.bias': torch.zeros(3)}), 'another shape'),
    (lambda s, c: c['network'].update(prompts='many'), 'prompts must be of type int'),
    (lambda s, c: c['network'].update(colour=1), "unknown setting 'colour'"),
    (lambda s, c: c['network'].update(prompt_heads=5), 'does not fit together'),
    (lambda s, c: c.pop('network'), 'no Prompt-RIS network'),
    (lambda s, c: c.update(clip=3), 'no Prompt-RIS network')])
def test_foreign_and_damaged_files(tmp_path, change, words):
    write(tmp_path, change)
    with pytest.raises(WeightsError, match=words):
        networks_of(tmp_path).load('prompt_ris')


def test_a_truncated_file(tmp_path):
    write(tmp_path)
    path = tmp_path / 'made.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match='damaged'):
        networks_of(tmp_path).load('prompt_ris')


def test_a_profile_without_a_network_says_how_to_get_one():
    for name in ('paper', 'robot'):
        with pytest.raises(BadInputError, match='ris train prompt_ris'):
            PromptRisMethod.from_networks(Networks(get_profile(name), 'cpu'),
                                          PromptRisSettings())
    with pytest.raises(BadInputError, match='is no Prompt-RIS network'):
        PromptRisMethod.from_networks(Networks(get_profile('paper'), 'cpu'),
                                      PromptRisSettings(network='clip_vit_b_16'))
