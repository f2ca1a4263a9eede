"""Each baseline prefers the region whose own feature is the text's."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('spacy')
functional = torch.nn.functional

from ris_ros.language import Analysis
from ris_ros.language.docs import doc_from_rows
from ris_ros.methods.baselines.oracle import Oracle
from ris_ros.methods.baselines.region_features import GlobalLocal, RegionToken
from ris_ros.methods.baselines.settings import TextOnlySettings
from ris_ros.methods.baselines.similarity_maps import ClipSurgery, GradCam, ScoreMap
from ris_ros.methods.baselines.text_only import TextOnly
from ris_ros.models import vit
from ris_ros.models.clip import ClipModel, build_clip
from ris_ros.models.proposals import Proposals
from ris_ros.types import BadInputError, Command, Target, View

CONFIG = {'embed_dim': 16, 'quick_gelu': True,
          'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 32, 'layers': 3,
                         'head_width': 16},
          'text_cfg': {'context_length': 8, 'width': 32, 'heads': 2, 'layers': 1},
          'vocabulary': ['mug', 'the']}
SAID = Analysis(Command('the mug', target=Target('the mug', 'mug')), doc_from_rows(
    [['the', 'DET', 'DT', 'det', 1], ['mug', 'NOUN', 'NN', 'ROOT', 1]]))
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
METHODS = [GlobalLocal, RegionToken, ScoreMap, ClipSurgery, GradCam]
SMALL = {'start_block': 1, 'gem_blocks': 2, 'map_size': 64}


class Given:
    device = 'cpu'

    def __init__(self, masks):
        self.masks = torch.as_tensor(masks)

    def propose(self, view):
        return Proposals.of(self.masks)


def make(cls, clip, masks):
    known = cls.settings_class.__dataclass_fields__
    return cls(clip, Given(masks), cls.settings_class(
        **{k: v for k, v in SMALL.items() if k in known}))


@pytest.fixture(scope='module')
def clip():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return ClipModel(build_clip(CONFIG), CONFIG)


def quarters():
    masks = torch.zeros(4, 64, 64, dtype=torch.bool)
    for i, (y, x) in enumerate([(0, 0), (0, 32), (32, 0), (32, 32)]):
        masks[i, y:y + 32, x:x + 32] = True
    return masks


@pytest.mark.parametrize('cls', METHODS)
@pytest.mark.parametrize('n', [0, 1, 4])
def test_answers_for_any_number_of_proposals(clip, cls, n):
    method = make(cls, clip, quarters()[:n])
    grounding = method.ground(method.prepare(View(IMAGE)), SAID)
    assert sorted(grounding.order.tolist()) == list(range(n))
    assert np.isfinite(grounding.scores).all()
    assert ((grounding.probabilities >= 0) & (grounding.probabilities <= 1)).all()
    with pytest.raises(BadInputError):
        method.ground(method.prepare(View(IMAGE)), Analysis(Command('', problem='nothing'), None))


@pytest.mark.parametrize('cls', METHODS[:2])
def test_a_text_like_a_regions_feature_finds_the_region(clip, cls, monkeypatch):
    method = make(cls, clip, quarters())
    scene = method.prepare(View(IMAGE))
    for wanted in range(4):
        feature = scene.cache['features'][wanted]
        monkeypatch.setattr(clip, 'encode_text', lambda t, f=feature: f.expand(len(t), -1))
        assert method.ground(scene, SAID).order[0] == wanted


@pytest.mark.parametrize('cls', METHODS[2:4])
def test_a_text_like_a_patch_lights_its_place(clip, cls, monkeypatch):
    method = make(cls, clip, quarters())
    scene = method.prepare(View(IMAGE))
    patches = scene.cache['patches'].reshape(8, 8, 16)
    mean = patches.mean(dim=(0, 1))
    for wanted, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        # What sets this quarter apart from the whole image.
        text = patches[y:y + 4, x:x + 4].mean(dim=(0, 1)) - mean
        monkeypatch.setattr(clip, 'encode_text', lambda t, f=text: torch.stack(
            [f if s else torch.zeros(16) for s in t]))
        grounding = method.ground(scene, SAID)
        assert grounding.order[0] == wanted
        assert grounding.heatmap.shape == (64, 64)


@pytest.mark.parametrize('cls', METHODS)
def test_whole_and_tiny_proposals_one_colour_and_long_sentences(clip, cls):
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[0], masks[1, 5, 60], masks[2, 3, :] = True, True, True
    method = make(cls, clip, masks)
    rows = [['mug', 'NOUN', 'NN', 'compound', 30]] * 30 + [['mug', 'NOUN', 'NN', 'ROOT', 30]]
    long = ' '.join(['mug'] * 31)
    said = Analysis(Command(long, target=Target(long, 'mug')), doc_from_rows(rows))
    for picture in (IMAGE, np.full_like(IMAGE, 128)):
        grounding = method.ground(method.prepare(View(picture)), said)
        assert sorted(grounding.order.tolist()) == [0, 1, 2]
        assert np.isfinite(grounding.scores).all()
        assert np.isfinite(grounding.probabilities).all()
        if grounding.heatmap is not None:
            assert np.isfinite(grounding.heatmap).all()


class Describer:
    """A captioner whose sentences are given."""

    image_size, fit = 16, 'stretch'
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self, *texts):
        self.texts = texts

    def caption(self, pixels):
        assert pixels.shape == (len(self.texts), 3, 16, 16)
        return list(self.texts)


@pytest.mark.parametrize('view', ['blur', 'crop'])
def test_text_only_chooses_the_caption_that_says_the_same(clip, view):
    captioner = Describer('the', 'the mug', '', 'mug ' * 40)
    method = TextOnly(clip, Given(quarters()), captioner, TextOnlySettings(caption_view=view))
    scene = method.prepare(View(IMAGE))
    grounding = method.ground(scene, SAID)
    assert grounding.order[0] == 1 and sorted(grounding.order.tolist()) == [0, 1, 2, 3]
    assert grounding.probabilities[1] == pytest.approx(1, abs=1e-5)
    assert grounding.heatmap is None and grounding.details['captions'] == captioner.texts
    empty = TextOnly(clip, Given(quarters()[:0]), Describer())
    assert not len(empty.ground(empty.prepare(View(IMAGE)), SAID).order)
    with pytest.raises(BadInputError):
        method.ground(scene, Analysis(Command('', problem='nothing'), None))


def test_the_oracle_takes_the_best_overlap():
    method, truth = Oracle(Given(quarters())), np.zeros((64, 64), bool)
    truth[10:40, :20] = True
    scene = method.prepare(View(IMAGE))
    grounding = method.ground(scene.with_truth(truth), SAID)
    assert grounding.order.tolist()[:2] == [0, 2]
    assert grounding.scores[0] == pytest.approx(22 * 20 / (32 * 32 + 8 * 20))
    nothing = method.ground(scene.with_truth(None), SAID)
    assert not len(nothing.order), 'nothing is meant, nothing is chosen'
    none = Oracle(Given(quarters()[:0]))
    assert not len(none.ground(none.prepare(View(IMAGE)).with_truth(truth), SAID).order)


def test_value_features_equal_the_plain_form(clip):
    visual, pixels = clip.visual, torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        x = visual.embed(pixels)
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        block = visual.transformer.resblocks[-1]
        value = functional.linear(block.ln_1(x), block.attn.in_proj_weight[64:],
                                  block.attn.in_proj_bias[64:])
        x = x + block.attn.out_proj(value)
        x = x + block.mlp(block.ln_2(x))
        expected = functional.normalize((visual.ln_post(x) @ visual.proj)[:, 1:], dim=-1)
        torch.testing.assert_close(vit.value_features(visual, pixels), expected)


def test_grad_cam_equals_a_finite_difference(clip):
    method = make(GradCam, clip, quarters())
    scene = method.prepare(View(IMAGE))
    got = method.similarity(scene, 'the mug')
    tokens, text = scene.cache['patches'].double(), method.unit_text('the mug').double()
    visual = build_clip(CONFIG).visual
    visual.load_state_dict(clip.visual.state_dict())
    visual = visual.double().eval().requires_grad_(False)
    block = visual.transformer.resblocks[-1]

    def score(x):
        feature = visual.ln_post(block(x)[:, 0]) @ visual.proj
        return float(functional.normalize(feature, dim=-1)[0] @ text)
    channel, step = torch.zeros(32, dtype=torch.float64), 1e-5
    for c in range(32):
        # Moving a channel of all patches at once gives the sum of its gradients.
        move = torch.zeros_like(tokens)
        move[0, 1:, c] = step
        channel[c] = (score(tokens + move) - score(tokens - move)) / (2 * step) / 64
    expected = (tokens[0, 1:] @ channel).clamp(min=0)
    torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=1e-3)
