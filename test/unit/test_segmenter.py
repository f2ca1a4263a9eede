"""The facade: outcomes, input checks, caching; then the real line over random networks."""
import dataclasses
import shutil
import threading
import time
import weakref

import numpy as np
import pytest
import small_networks

from ris_ros.language import Analysis
from ris_ros.methods.base import Method
from ris_ros.methods.hybridgl.settings import HybridGLSettings
from ris_ros.methods.options import OutcomeSettings
from ris_ros.methods.registry import (
    BUILT_IN,
    EVALUATION_ONLY,
    MODERN,
    find_method,
    methods,
)
from ris_ros.segmenter import Segmenter, method_settings
from ris_ros.settings import load_yaml, to_yaml
from ris_ros.types import BadInputError, Camera, Command, Grounding, Outcome, Scene, Target, View

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
MASKS = np.zeros((4, 60, 80), dtype=bool)
MASKS[0, 10:30, 10:30] = True   # an object
MASKS[1, 12:30, 12:30] = True   # the same object again, a little smaller
MASKS[2, 10:30, 50:70] = True   # another object
MASKS[3, 45:55, 5:75] = True    # a third


class Fake(Method):
    """A method that answers with the probabilities it was given."""

    name = 'fake'
    settings_class = OutcomeSettings
    device = 'cpu'

    @classmethod
    def from_networks(cls, networks, settings):
        raise NotImplementedError

    def __init__(self, probabilities=(0.9, 0.88, 0.3, 0.1), masks=MASKS):
        self.settings, self.masks = OutcomeSettings(), masks
        self.probabilities = np.array(probabilities, dtype=np.float32)
        self.prepared, self.running, self.overlap = 0, 0, False

    def prepare(self, view):
        self.prepared += 1
        n = len(self.masks)
        boxes = np.array([[10, 10, 20, 20], [12, 12, 18, 18], [50, 10, 20, 20], [5, 45, 70, 10]],
                         dtype=np.float32)[:n]
        return Scene('fake', view, self.masks, boxes, self.masks.sum((1, 2)), np.ones(n),
                     timings={'proposals': 0.1})

    def ground(self, scene, analysis):
        self.overlap |= self.running > 0
        self.running += 1
        time.sleep(0.001)  # gives another thread the chance to come in between
        order = np.argsort(-self.probabilities, kind='stable')
        self.running -= 1
        return Grounding(self.probabilities, order, self.probabilities, timings={'score': 0.01})


def analyse(text):
    if not text.strip():
        return Analysis(Command(text, problem='The command is empty.'), None)
    return Analysis(Command(text, target=Target(text)), None)


def segmenter(*args, **kwargs):
    return Segmenter(Fake(*args, **kwargs), analyse)


def test_a_clear_answer():
    out = segmenter().segment(IMAGE, 'the mug')
    assert out.outcome is Outcome.SUCCEEDED_2D and 'the mug' in out.message
    np.testing.assert_array_equal(out.mask, MASKS[0])
    assert out.score == pytest.approx(0.9)
    assert [c.index for c in out.candidates] == [0, 2, 3], 'the twin is the same object'
    assert [c.rank for c in out.candidates] == [1, 2, 3]
    assert out.margin == pytest.approx(0.6)
    assert {'parse', 'prepare_proposals', 'score', 'total'} <= set(out.timings)


@pytest.mark.parametrize('probabilities, outcome, chosen', [
    ((0.19, 0.1, 0.0, 0.0), Outcome.NO_MATCH, None),
    ((0.20, 0.1, 0.0, 0.0), Outcome.SUCCEEDED_2D, 0),
    ((0.80, 0.1, 0.75, 0.0), Outcome.AMBIGUOUS, 0),
    ((0.80, 0.79, 0.65, 0.0), Outcome.SUCCEEDED_2D, 0),
    ((0.10, 0.1, 0.15, 0.12), Outcome.NO_MATCH, None),
])
def test_outcomes(probabilities, outcome, chosen):
    out = segmenter(np.float64(probabilities)).segment(IMAGE, 'it')
    assert out.outcome is outcome
    expected = np.zeros(IMAGE.shape[:2], bool) if chosen is None else MASKS[chosen]
    np.testing.assert_array_equal(out.mask, expected)


def test_no_proposal_at_all():
    out = segmenter((), MASKS[:0]).segment(IMAGE, 'the mug')
    assert out.outcome is Outcome.NO_MATCH and 'no object' in out.message
    assert out.score == out.margin == 0 and not out.mask.any()


def test_a_sentence_that_names_nothing_costs_no_look():
    s = segmenter()
    out = s.segment(IMAGE, '  ')
    assert out.outcome is Outcome.INVALID_COMMAND and out.message == 'The command is empty.'
    assert s.method.prepared == 0 and out.mask.shape == (60, 80) and not out.mask.any()
    assert s.ground(s.prepare(IMAGE), ' ').outcome is Outcome.INVALID_COMMAND


def test_a_sentence_takes_the_threads_of_its_profile():
    torch = pytest.importorskip('torch')
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        method = Fake()
        seen, answer = [], method.ground

        def ground(scene, analysis):
            seen.append(torch.get_num_threads())
            if analysis.command.text == 'break':
                raise BadInputError('broken')
            return answer(scene, analysis)

        method.ground = ground
        single, every = (Segmenter(method, analyse, sentence_threads=n) for n in (1, 0))
        scene = single.prepare(IMAGE)
        single.ground(scene, 'the mug')
        with pytest.raises(BadInputError):
            single.ground(scene, 'break')
        assert seen == [1, 1] and torch.get_num_threads() == 2
        every.ground(scene, 'the mug')
        assert seen[-1] == 2
    finally:
        torch.set_num_threads(before)


def test_the_same_picture_is_prepared_once():
    s = segmenter()
    s.segment(IMAGE, 'a')
    out = s.segment(IMAGE.copy(), 'b')
    assert s.method.prepared == 1 and not any(k.startswith('prepare') for k in out.timings)
    other = IMAGE.copy()
    other[0, 0, 0] ^= 1
    s.segment(other, 'a')
    s.segment(np.ascontiguousarray(IMAGE.reshape(80, 60, 3)[:60]), 'a')
    assert s.method.prepared == 3
    s.segment(IMAGE, 'a')
    assert s.method.prepared == 4, 'the oldest of more than two scenes is forgotten'


DEPTH = np.full((60, 80), 0.7, np.float32)
CAMERA = Camera(70.0, 70.0, 40.0, 30.0, 80, 60)


def test_depth_and_camera_are_part_of_the_view():
    s = Segmenter(Fake(), analyse, scene_cache=9)
    views = [View(IMAGE), View(IMAGE, DEPTH), View(IMAGE, DEPTH + 0.1), View(IMAGE, DEPTH, CAMERA),
             View(IMAGE, None, CAMERA),
             View(IMAGE, DEPTH, dataclasses.replace(CAMERA, fx=71.0))]
    scenes = [s.prepare(view) for view in views]
    assert s.method.prepared == len(views), 'each is another view'
    assert [s.prepare(view) is scene for view, scene in zip(views, scenes, strict=True)] == [
        True] * len(views)
    s.segment(IMAGE, 'a', DEPTH.astype(np.float64), CAMERA)
    assert s.method.prepared == len(views), 'the same metres in another type'
    seen = scenes[3].view
    np.testing.assert_array_equal(seen.depth, DEPTH)
    assert seen.depth is not DEPTH and seen.camera == CAMERA


@pytest.mark.parametrize('depth, camera, said', [
    (DEPTH[:-1], None, 'register'), ([[0.5]], None, 'not list'),
    ((1000 * DEPTH).astype(np.uint16), None, 'metres'), (DEPTH[..., None], None, 'register'),
    (None, dataclasses.replace(CAMERA, width=640), '640x60')])
def test_depth_and_cameras_that_cannot_be_used(depth, camera, said):
    s = segmenter()
    for call in (lambda: s.segment(IMAGE, 'x', depth, camera),
                 lambda: s.prepare(View(IMAGE, depth, camera))):
        with pytest.raises(BadInputError, match=said):
            call()


def test_a_scene_is_kept_under_the_callers_key():
    s = segmenter()
    assert s.kept(('camera', 1)) is None
    scene = s.prepare(IMAGE, key=('camera', 1))
    assert s.kept(('camera', 1)) is scene and s.prepare(IMAGE, key=('camera', 1)) is scene
    s.prepare(IMAGE, key=('camera', 2))
    assert s.method.prepared == 2, 'the caller says that it is another view'
    assert s.kept(('camera', 1)) is scene, 'asking for it is using it'
    s.prepare(IMAGE, key=('camera', 3))
    assert s.kept(('camera', 2)) is None and s.kept(('camera', 1)) is scene
    s.forget()
    assert s.kept(('camera', 1)) is None and s.prepare(IMAGE, key=('camera', 1)) is not scene


@pytest.mark.parametrize('size', [0, 1, 3])
def test_no_more_scenes_are_in_memory_than_asked_for(size):
    s = Segmenter(Fake(), analyse, scene_cache=size)
    alive, most = weakref.WeakSet(), []
    prepare = s.method.prepare

    def counted(view):
        most.append(len(alive))   # while another is made
        scene = prepare(view)
        alive.add(scene)
        return scene

    s.method.prepare = counted
    for k in range(6):
        s.prepare(np.full_like(IMAGE, k))
    assert max(most) == max(size - 1, 0) and len(alive) == size


def test_candidates_are_listed_up_to_the_number_asked_for():
    s = segmenter()
    scene = s.prepare(IMAGE)
    assert [len(s.ground(scene, 'x', n).candidates) for n in (None, 1, 2, 254)] == [3, 1, 2, 3]
    assert len(s.segment(IMAGE, 'x', max_candidates=2).candidates) == 2
    assert len(Segmenter(Fake(), analyse, max_candidates=1).segment(IMAGE, 'x').candidates) == 1


def test_a_scene_does_not_change_with_the_callers_buffer():
    s, buffer = segmenter(), IMAGE.copy()
    scene = s.prepare(buffer)
    buffer[:] = 0
    np.testing.assert_array_equal(scene.image, IMAGE)


@pytest.mark.parametrize('image', [
    None, [[0]], IMAGE[..., 0], IMAGE[..., :2], IMAGE.astype(np.float32), IMAGE[:0], IMAGE[:, :0],
    np.zeros((4, 4, 4), np.uint8)])
def test_images_that_cannot_be_used(image):
    s = segmenter()
    for call in (lambda: s.segment(image, 'x'), lambda: s.prepare(image)):
        with pytest.raises(BadInputError, match='image'):
            call()


def test_calls_from_several_threads_do_not_overlap():
    s = segmenter()
    scene = s.prepare(IMAGE)
    threads = [threading.Thread(target=lambda: [s.ground(scene, 'x') for _ in range(5)])
               for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not s.method.overlap


def test_methods_and_profiles_that_do_not_exist():
    with pytest.raises(BadInputError, match='hybridgl'):
        Segmenter.from_profile('tabletop', method='magic')
    with pytest.raises(BadInputError, match='robot'):
        Segmenter.from_profile('kitchen')
    with pytest.raises(BadInputError, match='did you mean alpha'):
        Segmenter.from_profile('tabletop', settings={'alhpa': 0.5})
    assert set(BUILT_IN) <= set(methods()) and find_method('hybridgl').help
    assert method_settings('hybridgl') is HybridGLSettings


@pytest.mark.parametrize('name', sorted(BUILT_IN))
def test_the_settings_file_shows_every_default(name, request):
    path = request.config.rootpath / 'config' / 'methods' / f'{name}.yaml'
    info = find_method(name)
    assert load_yaml(info.settings_class(), path) == info.settings_class()()
    assert path.read_text() == to_yaml(info.settings_class(), f'Settings of {name}: {info.help}.')


# ---- the real line over small random networks ----------------------------------------------

@pytest.fixture(scope='module')
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('models')
    small_networks.write_clip_and_sam(folder)
    small_networks.write_captioner(folder, 'tabletop_captioner')
    small_networks.write_matcher(folder, 'tabletop_matcher')
    small_networks.write_prompt_ris(folder, 'tabletop_prompt_ris')
    small_networks.write_pcnet(folder, 'tabletop_pcnet')
    return folder


def said(text):
    pytest.importorskip('spacy')
    from ris_ros.language.docs import doc_from_rows
    rows = [['the', 'DET', 'DT', 'det', 1], ['mug', 'NOUN', 'NN', 'ROOT', 1]]
    return Analysis(Command(text, target=Target('the mug', 'mug')), doc_from_rows(rows))


def build(model_dir, **kwargs):
    return Segmenter.from_profile('tabletop', model_dir=model_dir, device='cpu', analyse=said,
                                  **kwargs)


# What a method must do without where the profile lacks a network.
LESS = {'iterprime': {'peak_filter': False}}


@pytest.mark.parametrize('method', sorted({*BUILT_IN} - EVALUATION_ONLY - MODERN))
def test_from_profile_to_an_answer(model_dir, method):
    settings = {'score_threshold': 0.0, **LESS.get(method, {})}
    s = build(model_dir, method=method, settings=settings)
    out = s.segment(IMAGE, 'the mug')
    assert out.outcome in (Outcome.SUCCEEDED_2D, Outcome.AMBIGUOUS) and out.mask.any()
    again = build(model_dir, method=method, settings=settings).segment(IMAGE, 'the mug')
    np.testing.assert_array_equal(out.mask, again.mask)
    assert out.score == again.score


def test_the_oracle_answers_the_evaluation_alone(model_dir):
    with pytest.raises(BadInputError, match='run `ris eval --method oracle`'):
        build(model_dir, method='oracle')
    s = build(model_dir, method='oracle', for_evaluation=True)
    assert s.needs_truth and not build(model_dir).needs_truth
    scene = s.prepare(IMAGE)
    with pytest.raises(BadInputError, match='take another method'):
        s.ground(scene, 'the mug')


def test_ris_eval_gives_the_oracle_the_truth(model_dir, tmp_path, monkeypatch):
    pytest.importorskip('pycocotools')
    from datasets_fixtures import refer_folder

    from ris_ros.cli.main import main
    from ris_ros.evaluation.document import read_document
    monkeypatch.setenv('RIS_MODEL_DIR', str(model_dir))
    root = refer_folder(tmp_path / 'data')
    assert main(['eval', 'refcoco', '--root', str(root), '--split', 'test', '--method', 'oracle',
                 '--device', 'cpu', '--json', str(tmp_path / 'o.json'), '--quiet']) == 0
    document = read_document(tmp_path / 'o.json')
    assert document['miou'] == pytest.approx(document['oracle_miou']) and document['miou'] > 0


def test_profile_settings_lie_under_the_callers(model_dir):
    assert build(model_dir).settings.start_block == 4
    assert build(model_dir, settings={'start_block': 2}).settings.start_block == 2


@pytest.mark.parametrize('shape', [(1, 1), (1, 40), (33, 1), (7, 300)])
def test_images_of_odd_sizes(model_dir, shape):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    out = build(model_dir).segment(picture, 'the mug')
    assert out.mask.shape == shape


def test_a_damaged_network_is_refused(model_dir, tmp_path):
    from ris_ros.types import WeightsError
    shutil.copytree(model_dir, tmp_path, dirs_exist_ok=True)
    network = tmp_path / 'tabletop_clip.safetensors'
    network.write_bytes(network.read_bytes()[:-1] + b'\0')
    with pytest.raises(WeightsError, match='damaged'):
        build(tmp_path)
    network.unlink()
    with pytest.raises(WeightsError, match='ris train tabletop'):
        build(tmp_path)
