"""What the small CLIP is told, and the losses that relate captions and the bare table."""
import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from tabletop_jobs import job_of, with_settings

from ris_ros.models.clip import tokenizer_for
from ris_ros.training.engine.draws import as_tensors
from ris_ros.training.tabletop import clip as tabletop_clip
from ris_ros.training.tabletop import clip_plain
from ris_ros.training.tabletop.clip_draws import PLACES, ClipSource
from ris_ros.training.tabletop.clip_texts import (
    BACKGROUND,
    Names,
    any_caption,
    fits,
    plain_caption,
    related_table,
)
from ris_ros.training.tabletop.clip_views import GRID, PATCH, Views
from ris_ros.training.tabletop.settings import ClipSettings, PlainClipSettings
from ris_ros.training.tabletop.shards import SceneStore, render_shards


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return SceneStore(render_shards(tmp_path_factory.mktemp('shards'), 80100, 3, workers=1))


@pytest.fixture(scope='module')
def source(store, tmp_path_factory):
    views = Views(store, tmp_path_factory.mktemp('views'))
    return ClipSource(views, tokenizer_for(tabletop_clip.tabletop_clip_config()), ClipSettings())


def test_captions_that_follow_from_each_other():
    said = [Names('mug', 'red'), Names('mug', None), Names(None, 'red'), Names('mug', 'blue'),
            Names(BACKGROUND, None), Names('mug', None), Names(None, None)]
    wanted = {(0, 1), (0, 2), (0, 5), (1, 3), (1, 5), (3, 5), (0, 6), (1, 6), (2, 6), (3, 6),
              (5, 6)}
    table = related_table(said)
    assert {(i, j) for i, j in zip(*np.nonzero(table), strict=True) if i < j} == wanted
    assert (table == table.T).all() and not table.diagonal().any()


def test_a_plain_caption_says_nothing_of_places_or_other_things():
    rng = np.random.default_rng(0)
    for _ in range(200):
        text, said = plain_caption(rng, Names('bowl', 'green'))
        assert fits(said, Names('bowl', 'green'))
        assert not {'left', 'right', 'on', 'behind', 'top', 'next'} & set(text.split())
    assert any(any_caption(rng)[1].kind == BACKGROUND for _ in range(200))


def test_text_loss_brings_relatives_together():
    related = torch.tensor(related_table([Names('mug', 'red'), Names('mug', None),
                                          Names(BACKGROUND, None), Names(BACKGROUND, None)]))
    near = torch.nn.functional.normalize(torch.tensor(
        [[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]), dim=-1)
    far = near[[0, 2, 1, 3]]
    assert tabletop_clip.text_loss(near, related, 10.0) < 0.01
    assert tabletop_clip.text_loss(far, related, 10.0) > 1.0
    none = torch.zeros(4, 4, dtype=torch.bool)
    assert float(tabletop_clip.text_loss(near, none, 10.0)) == 0.0


def test_dense_batches_hold_patches_of_the_table(source):
    rng, seen = np.random.default_rng(1), 0
    for _ in range(5):
        dense, shown, patches = source._dense(rng, 2, 8)
        assert len(dense['row']) == len(shown) + len(patches)
        assert np.allclose(dense['weight'].sum(1), 1)
        assert ((dense['weight'][len(shown):] == 1).sum(1) == 1).all()
        seen += sum(names[0].kind == BACKGROUND for names in patches)
    assert seen >= 10


def test_a_patch_says_what_lies_there(source):
    views = source.views
    cover = {i: (views.instances[0] == i).reshape(GRID, PATCH, GRID, PATCH).mean((1, 3)).ravel()
             for i in range(12)}
    from ris_ros.training.tabletop.clip_draws import _covers
    rng = np.random.default_rng(2)
    for place, names in source._patches(rng, 0, _covers(views, 0), 120):
        if names.kind == BACKGROUND:
            assert cover[0][place] > 0.98
        else:
            thing = next(t for t in views.store.by_scene[0] if cover[t.instance][place] > 0.7)
            assert (thing.kind, thing.colour) == (names.kind, names.colour)


def test_the_words_of_a_batch_fit_together(source):
    batch = source.draw(np.random.default_rng(3), 0, 0.0)
    views = sum(len(batch[k]['index']) for k in ('local', 'hybrid', 'crop', 'whole')) + len(
        batch['dense']['row'])
    captions = len(batch['text'])
    assert batch['true'].shape == (views, captions)
    assert batch['related'].shape == (captions, captions)
    assert len(batch['named']) == len(batch['kind']) == len(batch['colour'])


def test_text_and_peak_reports_see_what_they_name(store, source, tmp_path):
    model = tabletop_clip.ClipTrainee(tabletop_clip.tabletop_clip_config())
    report = tabletop_clip.text_report(model.clip, source.tokenizer)
    assert set(report) == {'text_related', 'text_table', 'text_nearer'}
    report = tabletop_clip.peak_report(model, source.tokenizer, source.views)
    assert all(0 <= v <= 1 for v in report.values())


def test_windows_show_what_stands_in_them(store, tmp_path):
    frames = clip_plain.Frames(store, tmp_path)
    assert len(frames.shown(0, clip_plain.WHOLE)) == len(store.truths[0]) + 1
    for thing in store.by_scene[0]:
        x, y = frames.places[0][thing.instance - 1] * (640, 480)
        x0, y0, x1, y1 = thing.box
        assert x0 - 30 <= x <= x1 + 30 and y0 - 60 <= y <= y1 + 60
    rng = np.random.default_rng(0)
    for _ in range(50):
        window = frames.window(rng, 1)
        assert (window >= -1e-9).all() and (window <= 1 + 1e-9).all()
        assert frames.cut(1, window).shape == (224, 224, 3)
        assert frames.shown(1, window)[-1] == Names(BACKGROUND, None)


def test_the_plain_network_never_reads_an_instance(store, tmp_path, monkeypatch):
    """Its batches come from pictures, poses and the camera alone."""
    monkeypatch.setattr(SceneStore, 'instances', lambda self, scene: pytest.fail('a mask is read'))
    frames = clip_plain.Frames(store, tmp_path)
    source = clip_plain.PlainSource(frames, tokenizer_for(tabletop_clip.tabletop_clip_config()),
                                    PlainClipSettings())
    for fraction in (0.0, 0.9):
        batch = source.draw(np.random.default_rng(4), 0, fraction)
        assert batch['true'].any(1).all() and batch['patches'].dtype == np.uint8


def test_the_plain_network_trains_and_is_written(store, tmp_path):
    job = with_settings(job_of(PlainClipSettings, store, tmp_path), windows=4, frames=2, texts=4,
                        validation_windows=6)
    outcome = clip_plain.train_clip_plain(job)
    assert (job.out / 'tabletop_clip_plain.safetensors').is_file()
    assert set(PlainClipSettings.figures) <= set(outcome.figures)


def test_losses_have_gradients_for_both_towers(store, source):
    model = tabletop_clip.ClipTrainee(tabletop_clip.tabletop_clip_config())
    task = tabletop_clip.ClipTask.__new__(tabletop_clip.ClipTask)
    task.model = model
    task.job = type('Job', (), {'settings': ClipSettings()})()
    loss, parts = task.loss(as_tensors(source.draw(np.random.default_rng(5), 0, 0.0)), 0.0)
    assert set(parts) == {'captions', 'names', 'texts'}
    loss.backward()
    assert model.clip.token_embedding.weight.grad.abs().sum() > 0
    assert model.clip.visual.conv1.weight.grad.abs().sum() > 0
    assert PLACES == GRID * GRID
