"""The modern methods: their answers are the library's own, and an absent network is told."""
from __future__ import annotations

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
from ris_ros.methods.zoo.grounded_sam import GroundedSam
from ris_ros.methods.zoo.sam3 import Sam3
from ris_ros.methods.zoo.settings import ClipSegSettings, GroundedSamSettings, Sam3Settings
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
