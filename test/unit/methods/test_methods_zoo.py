"""The modern methods: their answers are the library's own, and an absent network is told."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip('torch')
for needed in ('transformers', 'cv2', 'torchvision'):
    pytest.importorskip(needed)

import zoo_networks

from ris_ros.files import write_sums
from ris_ros.language import Analysis
from ris_ros.methods.registry import MODERN, find_method, settings_for
from ris_ros.methods.zoo.clipseg import ClipSeg, regions_of
from ris_ros.methods.zoo.common import masks_in_boxes, within
from ris_ros.methods.zoo.florence2 import OUTLINE, Florence2, outlines
from ris_ros.methods.zoo.grounded_sam import GroundedSam
from ris_ros.methods.zoo.sam3 import Sam3
from ris_ros.methods.zoo.settings import (
    ClipSegSettings,
    Florence2Settings,
    GroundedSamSettings,
    Sam3Settings,
    VlmBoxSettings,
)
from ris_ros.methods.zoo.vlm_box import VlmBox
from ris_ros.methods.zoo.writing import read_boxes, write
from ris_ros.models.pretrained import KINDS, load_pretrained
from ris_ros.profiles import get_profile
from ris_ros.segmenter import networks_of
from ris_ros.types import BadInputError, Command, Target, View, WeightsError

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def said(text):
    return Analysis(Command(text, target=Target(text, text.split()[-1])), None)


def test_clipseg_draws_the_librarys_map():
    network = zoo_networks.clipseg()
    method = ClipSeg(network)
    scene = method.prepare(View(IMAGE))
    maps = {}
    for text in ('the red mug', 'the bowl'):
        inputs = network.processor(text=[text], images=[IMAGE], return_tensors='pt', padding=True)
        with torch.no_grad():
            theirs = network.model(**inputs, interpolate_pos_encoding=True).logits
            theirs = torch.nn.functional.interpolate(
                theirs.reshape(1, 1, *theirs.shape[-2:]), (60, 80), mode='bilinear',
                align_corners=False)[0, 0].sigmoid()
        found = method.ground(scene, said(text))
        np.testing.assert_allclose(found.heatmap, theirs.numpy(), atol=1e-5)
        maps[text] = found.heatmap
    assert np.abs(maps['the red mug'] - maps['the bowl']).max() > 1e-3, 'words matter'


def test_clipseg_answers_with_separate_regions():
    method = ClipSeg(zoo_networks.clipseg(), ClipSegSettings(min_area=4))
    scene = method.prepare(View(IMAGE))
    heat = np.full((60, 80), 0.1, np.float32)
    heat[5:15, 5:15], heat[30:50, 40:70], heat[58, 2] = 0.9, 0.6, 1.0
    method.map_of = lambda *_: torch.from_numpy(heat)
    found = method.ground(scene, said('the mug'))
    assert found.own.areas.tolist() == [100, 600] and found.own.boxes[0].tolist() == [5, 5, 10, 10]
    np.testing.assert_allclose(found.probabilities, [0.9, 0.6], atol=1e-6)
    assert len(regions_of(np.zeros((4, 5), bool))) == 0


def test_sam3_answers_as_the_library():
    network = zoo_networks.sam3()
    method = Sam3(network, Sam3Settings(least=0.0, min_area=0))
    found = method.ground(method.prepare(View(IMAGE)), said('the red mug'))
    inputs = network.processor(images=IMAGE, text='the red mug', return_tensors='pt')
    with torch.no_grad():
        out = network.model(**{k: v for k, v in inputs.items() if k != 'original_sizes'})
    theirs = network.processor.post_process_instance_segmentation(
        out, threshold=0.0, target_sizes=[(60, 80)])[0]
    order = np.argsort(-theirs['scores'].numpy(), kind='stable')
    kept = [i for i in order if theirs['masks'][i].any()]
    np.testing.assert_allclose(found.probabilities, theirs['scores'].numpy()[kept], atol=1e-5)
    np.testing.assert_array_equal(found.own.masks, theirs['masks'].numpy()[kept].astype(bool))


@pytest.mark.parametrize('make, dino', [(zoo_networks.grounding_dino, True),
                                        (zoo_networks.owlv2, False)])
def test_boxes_are_the_librarys(make, dino):
    network = make()
    method = GroundedSam(network, zoo_networks.small_sam(),
                         GroundedSamSettings(least=0.0, text_threshold=0.0))
    boxes, scores = method.detect(View(IMAGE), 'the red mug')
    text = 'the red mug.' if dino else [['the red mug']]
    inputs = network.processor(images=IMAGE, text=text, return_tensors='pt')
    with torch.no_grad():
        out = network.model(**inputs)
    theirs = network.processor.post_process_grounded_object_detection(
        out, threshold=0.0, target_sizes=[(60, 80)],
        **({'input_ids': inputs['input_ids'], 'text_threshold': 0.0} if dino else {}))[0]
    np.testing.assert_allclose(boxes, theirs['boxes'].numpy(), atol=1e-3)
    np.testing.assert_allclose(scores, theirs['scores'].numpy(), atol=1e-5)
    assert len(boxes) and not np.allclose(
        scores, method.detect(View(IMAGE), 'the green bowl')[1]), 'words matter'


def test_masks_are_drawn_in_the_boxes_of_the_picture(monkeypatch):
    method = GroundedSam(zoo_networks.owlv2(), zoo_networks.small_sam(), GroundedSamSettings(
        max_objects=2, min_area=0))
    scene = method.prepare(View(IMAGE))
    boxes = np.array([[5, 5, 30, 40], [-10, -10, 200, 200], [90, 10, 99, 20], [10, 10, 40, 40],
                      [np.nan, 0, 5, 5]])
    monkeypatch.setattr(method, 'detect', lambda *_: (boxes, np.array([.5, .9, .99, .2, .98])))
    found = method.ground(scene, said('the mug'))
    assert found.details['boxes'] == [[0, 0, 80, 60], [5, 5, 30, 40]], 'the best, cut to it'
    expected = masks_in_boxes(method.sam, scene.cache['sam'],
                              np.array([[0, 0, 80, 60.], [5, 5, 30, 40]]), (60, 80))
    assert len(found.own) == sum(m.any() for m in expected)


def test_boxes_outside_are_no_boxes():
    cut, inside = within(np.array([[0, 0, 0.5, 9], [70, 50, 99, 99]]), (60, 80))
    assert inside.tolist() == [False, True] and cut[1].tolist() == [70, 50, 80, 60]
    assert within(np.zeros((0, 4)), (60, 80))[0].shape == (0, 4)


# ---- networks that write ----------------------------------------------------------------------

def scripted(network, text, sure=0.5):
    """Let a network write a text, each token with one probability."""
    ids = network.processor.tokenizer(text, add_special_tokens=False)['input_ids']
    size = network.model.config.text_config.vocab_size
    scores = []
    for token in ids:
        row = torch.full((1, size), float(np.log((1 - sure) / (size - 1))))
        row[0, token] = float(np.log(sure))
        scores.append(row)
    asked = {}

    def generate(**inputs):
        asked.update(inputs)
        start = inputs.get('input_ids') if not network.model.config.is_encoder_decoder else \
            torch.tensor([[2]])
        return SimpleNamespace(sequences=torch.cat([start, torch.tensor([ids])], dim=1),
                               logits=tuple(scores))
    network.model.generate = generate
    return asked


def test_a_vision_language_model_answers_with_boxes():
    """In pixels of the picture as the processor resized it, for Qwen2.5."""
    network = zoo_networks.qwen()
    method = VlmBox(network, zoo_networks.small_sam(), VlmBoxSettings(min_area=0))
    scene = method.prepare(View(IMAGE))
    image = network.processor.image_processor(images=[IMAGE], return_tensors='pt')
    _, rows, columns = image['image_grid_thw'][0].tolist()
    half = [0, 0, columns * 14 // 2, rows * 14]
    asked = scripted(network, '[{"bbox_2d":' + str(half).replace(' ', '') + ',"label":"mug"}]')
    found = method.ground(scene, said('the red mug'))
    assert found.details['boxes'] == [[0, 0, pytest.approx(40, abs=0.6), 60]]
    assert found.notes == () and 'the' in network.processor.tokenizer.decode(
        asked['input_ids'][0]).replace('\u0120', ' ')
    expected = masks_in_boxes(method.sam, scene.cache['sam'],
                              np.array(found.details['boxes']), (60, 80))
    assert len(found.own) == int(expected.any())
    if len(found.own):
        assert found.probabilities[0] == pytest.approx(0.5, abs=0.01)
    scripted(network, '[]')
    assert len(method.ground(scene, said('the dog')).own) == 0
    scripted(network, 'no_such_thing')
    found = method.ground(scene, said('the dog'))
    assert len(found.own) == 0 and 'no list of boxes' in found.notes[0]


def test_boxes_in_thousandths_of_other_models(monkeypatch):
    network = zoo_networks.qwen()
    monkeypatch.setattr(type(network), 'kind', property(lambda _: 'qwen3_vl'))
    method = VlmBox(network, zoo_networks.small_sam())
    scripted(network, '[500,0,1000,500]')
    boxes, _, _ = method.ask(View(IMAGE), 'the mug')
    assert boxes.tolist() == [[40, 0, 80, 30]]


@pytest.mark.parametrize('text, boxes', [
    ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]\n```', [[1, 2, 3, 4]]),
    ('[[1, 2, 3, 4], [5, 6, 7, 8]]', [[1, 2, 3, 4], [5, 6, 7, 8]]),
    ('Sure: {"bbox": [1, 2.5, 3, 4]} it is', [[1, 2.5, 3, 4]]), ('[]', []), ('nothing', None),
    ('[{"bbox_2d": [1, 2, 3]}]', None), ('[{"bbox_2d": ["a", 2, 3, 4]}]', None),
    ('[1, 2, true, 4]', None), ('[1e99, 2, 3, 4]', None), ('[' * 5000, None), ('{"a": 1}', None),
    (str([[1, 2, 3, 4]] * 3000), [[1, 2, 3, 4]] * 100)])
def test_reading_boxes(text, boxes):
    found = read_boxes(text)
    assert (found is None) if boxes is None else found.tolist() == boxes


def test_florence_draws_what_it_writes():
    network = zoo_networks.florence2()
    method = Florence2(network, None, Florence2Settings(min_area=0))
    scene = method.prepare(View(IMAGE))
    places = [250, 250, 750, 250, 750, 750, 250, 750]
    asked = scripted(network, ''.join(f'<loc_{p}>' for p in places), 0.8)
    found = method.ground(scene, said('the red mug'))
    assert len(found.own) == 1 and found.probabilities[0] == pytest.approx(0.8, abs=0.01)
    x, y, width, height = found.own.boxes[0]
    assert (x, y) == pytest.approx((20, 15), abs=1) and (width, height) == pytest.approx(
        (41, 31), abs=2), 'places are thousandths of the picture'
    assert network.processor.image_token_id in asked['input_ids'][0]
    scripted(network, 'nothing.')
    assert len(method.ground(scene, said('the dog')).own) == 0


def test_florence_with_boxes_and_a_sam():
    network = zoo_networks.florence2()
    method = Florence2(network, zoo_networks.small_sam(), Florence2Settings(
        answer='box', min_area=0))
    scene = method.prepare(View(IMAGE))
    scripted(network, 'mug<loc_0><loc_0><loc_500><loc_999>')
    answer, _ = method.ask(View(IMAGE), '<CAPTION_TO_PHRASE_GROUNDING>', 'mug')
    assert answer['bboxes'][0] == pytest.approx([0, 0, 40, 60], abs=1)
    expected = masks_in_boxes(method.sam, scene.cache['sam'], np.array(answer['bboxes']),
                              (60, 80))
    assert len(method.ground(scene, said('mug')).own) == int(expected.any())


def test_confidence_is_the_librarys():
    """Of a real, small network: the product of the probabilities of what it wrote."""
    network = zoo_networks.florence2()
    inputs = network.processor(text=f'{OUTLINE}mug', images=IMAGE, return_tensors='pt')
    for beams in (1, 2):
        ids, sure = write(network, inputs, 8, beams)
        assert 0 < sure <= 1 and ids
    ids, sure = write(network, inputs, 8)
    with torch.no_grad():
        decoder = torch.tensor([[2, *ids]])
        logits = network.model(**inputs, decoder_input_ids=decoder[:, :-1]).logits[0]
        chosen = logits.log_softmax(-1)[range(len(ids)), ids]
    assert sure == pytest.approx(float(chosen.mean().exp()), abs=1e-3)


def test_outlines_of_several_parts():
    square = [10.0, 10, 20, 10, 20, 20, 10, 20]
    masks = outlines([[square, [30.0, 30, 35, 30, 35, 35, 30, 35, 7]], [[1.0, 2, 3]]], (60, 80))
    assert masks[0, 15, 15] and masks[0, 32, 32] and not masks[1].any()


# ---- over folders as published ----------------------------------------------------------------

def test_from_the_published_folder_to_an_answer(tmp_path):
    """Through manifest, checksums and profile, as a user has them."""
    network = zoo_networks.clipseg()
    zoo_networks.save(network, tmp_path / 'clipseg-rd64-refined')
    write_sums(tmp_path / 'clipseg-rd64-refined')
    networks = networks_of('modern', 'cpu', model_dir=tmp_path)
    method = find_method('clipseg').load().from_networks(
        networks, settings_for('clipseg', get_profile('modern')))
    mine = method.ground(method.prepare(View(IMAGE)), said('the red mug'))
    other = ClipSeg(network)
    expected = other.ground(other.prepare(View(IMAGE)), said('the red mug'))
    np.testing.assert_allclose(mine.heatmap, expected.heatmap, atol=1e-5)


@pytest.mark.parametrize('name', sorted(MODERN))
def test_a_profile_without_the_network(name):
    with pytest.raises(BadInputError, match=r'profile tabletop has no .* use the profile modern'):
        find_method(name).load().from_networks(networks_of('tabletop', 'cpu'),
                                               find_method(name).settings_class()())


@pytest.mark.parametrize('kind', sorted(KINDS))
def test_a_folder_of_something_else(kind, tmp_path):
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="type 'bert', which is no"):
        load_pretrained(tmp_path, kind)


def test_another_kind_of_network_is_refused():
    networks = networks_of('modern', 'cpu')
    with pytest.raises(BadInputError, match='clip_rn50 is no detector'):
        GroundedSam.network_of(networks, 'clip_rn50')


def test_no_code_of_a_folder_is_run():
    """`trust_remote_code` stands nowhere in the package."""
    from pathlib import Path

    import ris_ros
    for path in Path(ris_ros.__file__).parent.rglob('*.py'):
        assert 'trust_remote_code' not in path.read_text(), path
