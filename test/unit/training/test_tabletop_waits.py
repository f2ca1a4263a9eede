"""No step of a tabletop trainer waits for the GPU: neither its loss nor gradient nor optimiser."""
import dataclasses
import importlib.util

import pytest

torch = pytest.importorskip('torch')
for library in ('transformers', 'open_clip', 'segment_anything', 'cv2'):
    pytest.importorskip(library)
if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from device_waits import Waits, waits_of
from tabletop_jobs import job_of

from ris_ros.models.wordpiece import WordPiece
from ris_ros.training.engine.draws import draw
from ris_ros.training.engine.optimiser import Optimiser
from ris_ros.training.tabletop import captioner, clip, matcher, sam
from ris_ros.training.tabletop.clip_views import Views
from ris_ros.training.tabletop.matcher_data import Pictures
from ris_ros.training.tabletop.settings import (
    CaptionerSettings,
    ClipSettings,
    MatcherSettings,
    SamSettings,
)
from ris_ros.training.tabletop.shards import SceneStore, render_shards


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return SceneStore(render_shards(tmp_path_factory.mktemp('shards'), 80300, 2, workers=1))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sam_task(store, work):
    config = dataclasses.replace(sam.TABLETOP_SAM, image_size=64)
    return sam.SamTask(sam.SamTrainee(config), config, job_of(
        SamSettings, store, work, images=2, prompts=3))


def clip_task(store, work):
    config = clip.tabletop_clip_config()
    config['vision_cfg'] |= {'width': 32, 'layers': 5, 'head_width': 16}
    config['text_cfg'] |= {'width': 32, 'heads': 2, 'layers': 1}
    views = Views(store, work)
    return clip.ClipTask(clip.ClipTrainee(config), config, views, views, job_of(
        ClipSettings, store, work, local=6, hybrid=4, crop=4, whole=2, dense=1))


def matcher_task(store, work):
    config = {**matcher.tabletop_matcher_config(), 'image_size': 80, 'vision_width': 16,
              'vision_depth': 1, 'vision_heads': 2, 'text_width': 16, 'heads': 2,
              'intermediate': 32}
    tokenizer = WordPiece(config['vocabulary'])
    return matcher.MatcherTask(matcher.MatcherTrainee(config), tokenizer,
                               Pictures(store, 80, 16, work), job_of(
                                   MatcherSettings, store, work, scenes=2, kept=20))


def captioner_task(store, work):
    state, config = captioner.clip_weights(work)
    return captioner.CaptionTask(captioner.build_captioner(state, config), None, config, job_of(
        CaptionerSettings, store, work, small_regions=2, small_windows=2, full_regions=1,
        full_frames=1))


@pytest.mark.parametrize('task_of', [sam_task, clip_task, matcher_task, captioner_task])
def test_a_step_waits_for_nothing(task_of, store, tmp_path):
    task = task_of(store, tmp_path)
    optimiser = Optimiser(task.groups(task.job.settings), task.job.settings)
    batches = [draw(task.source, 0, index, 0.9) for index in range(3)]
    waits_of(task, batches[0], 0.9, optimiser)      # what is made once may wait
    assert [w for b in batches for w in waits_of(task, b, 0.9, optimiser)] == []


def test_waiting_is_found():
    x = torch.arange(4.0)
    with Waits() as waits:
        x.sum().item()
        x[x > 1]
        x[[0, 2]]
        if x.any():
            torch.tensor([1.0])
        torch.where(x > 1, x, 0)
        x[torch.tensor([1, 2])]
    assert [w.split()[0] for w in waits.found] == ['_local_scalar_dense', 'index', 'lift_fresh',
                                                   '_local_scalar_dense', 'lift_fresh',
                                                   'lift_fresh']
