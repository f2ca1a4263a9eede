"""The small captioner: what it is told, its start from CLIP, its folder, one short run."""
import importlib.util
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('transformers')
pytest.importorskip('open_clip')
if importlib.util.find_spec('mujoco') is None:
    pytest.skip('needs MuJoCo', allow_module_level=True)

from tabletop_jobs import job_of

from ris_ros.models.captioner import load_captioner
from ris_ros.models.clip import build_clip
from ris_ros.models.weights import Entry, WeightStore
from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.fit import fit
from ris_ros.training.tabletop import captioner as tabletop_captioner
from ris_ros.training.tabletop import captioner_texts as tabletop_told
from ris_ros.training.tabletop.settings import CaptionerSettings
from ris_ros.training.tabletop.shards import SceneStore, Thing, render_shards
from ris_ros.types import WeightsError

CLIP = {'embed_dim': 16, 'quick_gelu': False, 'mean': [0.5, 0.4, 0.3], 'std': [0.2, 0.3, 0.2],
        'vision_cfg': {'image_size': 64, 'patch_size': 16, 'width': 32, 'layers': 2,
                       'head_width': 16, 'mlp_ratio': 3.0},
        'text_cfg': {'context_length': 8, 'width': 16, 'heads': 2, 'layers': 1},
        'vocabulary': ['mug']}


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    return SceneStore(render_shards(tmp_path_factory.mktemp('shards'), 80200, 3, workers=1))


@pytest.fixture
def clip():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return build_clip(CLIP).eval()


def things(*rows):
    return [Thing(0, i, kind, colour, 'small', pixels, (x, 0, x + 10, 10))
            for i, (colour, kind, x, pixels) in enumerate(rows, 1)]


def test_frames_are_told_from_left_to_right():
    shown = things(('orange', 'can', 90, 500), ('red', 'mug', 10, 900))
    assert tabletop_told.told(shown) == 'a red mug and an orange can on a table'
    assert tabletop_told.told(shown, True) == 'an orange can and a red mug on a table'
    assert tabletop_told.told([]) == 'a table'
    many = things(*(('red', 'mug', 10 * i, 400 + i) for i in range(8)), ('blue', 'box', 0, 300))
    assert tabletop_told.told(many).count('mug') == tabletop_told.MOST_TOLD
    assert 'box' not in tabletop_told.told(many), 'the smallest is left out'
    assert tabletop_captioner.things_of(tabletop_told.told(shown)) == ['red mug', 'orange can']
    assert tabletop_captioner.things_of('a table') == []


def test_the_small_parser_finds_every_thing_of_a_frame():
    pytest.importorskip('spacy')
    from ris_ros.language.pipelines import load_pipeline
    from ris_ros.methods.tas.text import negative_phrases
    nlp, rng = load_pipeline('shipped'), np.random.default_rng(0)
    for count in (1, 2, 6):
        for _ in range(8):
            rows = [(str(rng.choice(list(COLOURS))), str(rng.choice(list(KINDS))), 20 * i, 400)
                    for i in range(count)]
            expected = [(f'a photo of {tabletop_told.named(c, k)}', k) for c, k, *_ in rows]
            found = negative_phrases(nlp(tabletop_told.told(things(*rows))))
            assert list(found) == [*expected, ('a photo of a table', 'table')]


def test_pictures_show_their_own_object(store):
    shown, rng = tabletop_told.Shown(store), np.random.default_rng(0)
    pictures, captions = shown.regions(rng, 60, 32)
    assert pictures.shape == (60, 32, 32, 3) and pictures.any((1, 2, 3)).all()
    known = {tabletop_told.named(t.colour, t.kind) for t in store.things} | {'a table'}
    assert set(captions) <= known and 'a table' in captions
    frames, texts = shown.frames(rng, 4, 32)
    assert frames.shape == (4, 32, 32, 3)
    assert all(word in tabletop_told.WORDS for text in texts for word in text.split())
    parts, told_of = shown.windows(rng, 12, 16)
    assert parts.shape == (12, 16, 16, 3)
    named = [len(tabletop_captioner.things_of(text)) for text in told_of]
    assert min(named) < np.mean([len(tabletop_captioner.things_of(text)) for text in texts])


def test_regions_look_as_tas_shows_them(store, tmp_path):
    """The quick view of training is that of inference, but for rounding of the filters."""
    thing = max(store.things, key=lambda t: t.pixels)
    shown, rng = tabletop_told.Shown(store), np.random.default_rng(1)
    mask = store.instances(thing.scene) == thing.instance
    task = tabletop_captioner.CaptionTask(
        tabletop_captioner.build_captioner(build_clip(CLIP).state_dict(), CLIP, 64), None,
        {**CLIP, 'mean': [0, 0, 0], 'std': [1 / 255] * 3},
        job_of(CaptionerSettings, store, tmp_path))
    quick = tabletop_told.squared(shown.region(rng, store.color(thing.scene), mask), 64)
    exact = task._as_tas(store, [thing])[0].permute(1, 2, 0).numpy()
    difference = np.abs(quick.astype(float) - exact)
    assert difference.mean() < 3 and np.quantile(difference, 0.9) < 10


@pytest.mark.parametrize('size', [64, 96])
def test_the_tower_is_clips(clip, size):
    model = tabletop_captioner.build_captioner(clip.state_dict(), CLIP, size).eval()
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        seen = model.git.image_encoder(pixels, interpolate_pos_encoding=size != 64)
        features = seen.last_hidden_state[:, 0] @ clip.visual.proj
        expected = clip.encode_image(pixels)
    assert model.git.image_encoder.vision_model.embeddings.position_embedding.weight.shape == (
        1 + (size // 16) ** 2, 32)
    # Of another grid it is CLIP's up to what resizing the positions there and back changes.
    torch.testing.assert_close(features, expected, atol=1e-5 if size == 64 else 0.3, rtol=0)


def test_a_short_run_leaves_a_folder_that_loads(store, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(tabletop_captioner, 'SIZE', 64)
    monkeypatch.setattr(tabletop_captioner, 'SMALL', 32)
    model = tabletop_captioner.build_captioner(clip.state_dict(), CLIP, 64)
    tokenizer = tabletop_captioner.tokenizer_of(tmp_path / 'words')
    job = job_of(CaptionerSettings, store, tmp_path, small_regions=4, small_windows=2,
                 full_regions=2, full_frames=2, validation_regions=4, validation_frames=2,
                 steps=4, full_early=0.5)
    task = tabletop_captioner.CaptionTask(model, tokenizer, CLIP, job)
    text = 'an orange can and a red mug on a table'
    assert tokenizer([text])['input_ids'] == tabletop_captioner.ids_of([text]).tolist()
    kinds = [set(task.source.draw(np.random.default_rng(i), i, 0.0)) for i in range(8)]
    assert {'regions', 'windows'} in kinds and {'regions', 'frames'} in kinds
    before = [p.detach().clone() for p in model.parameters()]
    outcome = fit(task, job.settings, tmp_path, job.runtime)
    assert {'region_both', 'frame_recall'} <= set(outcome.figures)
    assert all((a != b).any() for a, b in zip(before, model.parameters(), strict=True)
               if a.ndim > 1), 'tower and decoder are both trained'
    assert all(p.requires_grad for p in model.parameters())

    folder = tabletop_captioner.write_captioner(tmp_path, model, CLIP, outcome.record())
    entry = Entry('tabletop_captioner', 'caption', 'tabletop_captioner', 'transformers',
                  shipped=True)
    weights = WeightStore(tmp_path, {entry.name: entry})
    assert weights.verify(entry.name) == folder
    captioner = load_captioner(folder, beams=1, max_new_tokens=8)
    assert (captioner.image_size, captioner.fit, captioner.mean) == (64, 'stretch',
                                                                     (0.5, 0.4, 0.3))
    texts = captioner.caption(torch.randn(3, 3, 64, 64))
    assert len(texts) == 3
    assert all(word in tabletop_told.WORDS for text in texts for word in text.split())
    trained = {k: v for k, v in model.state_dict().items()}
    assert all(torch.equal(v, trained[k]) for k, v in captioner.model.state_dict().items())


def test_a_shipped_folder_is_what_its_json_says(tmp_path, clip):
    model = tabletop_captioner.build_captioner(clip.state_dict(), CLIP, 64)
    folder = tabletop_captioner.write_captioner(tmp_path, model, CLIP, {})
    name = tabletop_captioner.NAME
    weights = WeightStore(tmp_path, {name: Entry(name, 'caption', name, 'transformers',
                                                 shipped=True)})
    record = json.loads((tmp_path / f'{name}.json').read_text())
    assert record['bytes'] == sum(f.stat().st_size for f in folder.iterdir())
    (folder / 'vocab.txt').write_text('other')
    with pytest.raises(WeightsError, match=r'damaged: vocab\.txt .*train it again'):
        weights.verify(name)
    from ris_ros.files import write_sums
    write_sums(folder)
    with pytest.raises(WeightsError, match='its SHA256SUMS is not the recorded one'):
        weights.verify(name)


def test_the_clip_of_the_run_comes_before_the_shipped_one(tmp_path, clip):
    from ris_ros.training.engine.package import write_network
    if WeightStore().find('tabletop_clip') is not None:
        assert tabletop_captioner.clip_weights(tmp_path)[1]['embed_dim'] == 128
    write_network(tmp_path, 'tabletop_clip', clip.state_dict(), CLIP, {})
    state, config = tabletop_captioner.clip_weights(tmp_path)
    assert config['embed_dim'] == 16 and torch.equal(state['visual.proj'], clip.visual.proj)


def test_the_shipped_captioner():
    weights, name = WeightStore(), tabletop_captioner.NAME
    if weights.find(name) is None:
        pytest.skip('the tabletop captioner is not here; train it with: ris train tabletop')
    captioner = load_captioner(weights.verify(name), beams=1)
    texts = captioner.caption(torch.zeros(1, 3, captioner.image_size, captioner.image_size))
    assert all(word in tabletop_told.WORDS for word in texts[0].split())
    assert sum(f.stat().st_size for f in weights.path(name).iterdir()) < 8e6
