"""PCNet's stages: what a batch does to them, and that answers depend on nothing else."""
import dataclasses

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')

import pcnet_networks as small

from ris_ros.methods.pcnet.asking import answer_alone, answer_beside, companions_of, looks
from ris_ros.methods.pcnet.network import PCNet, PCNetConfig
from ris_ros.methods.pcnet.referring import (
    MODULATIONS,
    PAPER,
    RELEASED,
    Form,
    ReferringModule,
    run_stages,
)
from ris_ros.types import BadInputError

OURS = Form(rows='alone', sees='each', start='cue', text_weight=1.0, cue_residual=True)
FORMS = {'released': RELEASED, 'paper': PAPER, 'sound': Form(), 'ours': OURS,
         'each, in a batch': Form(sees='each')}
SCALE = 10.0


def batch(images=3, groups=1, seed=0, channels=16, stages=3):
    torch.manual_seed(seed)
    texts = images * groups
    modules = [ReferringModule(channels).eval() for _ in range(stages)]
    return (modules, torch.randn(images, 25, channels), torch.randn(texts, channels),
            torch.randn(texts, stages - 1, channels))


def own_maps(stages):
    images = stages[0].visual.shape[0]
    index = torch.arange(images)
    return torch.stack([s.scores.expand(images, -1, -1)[index, :, index] for s in stages])


@pytest.mark.parametrize('form', FORMS.values(), ids=FORMS)
@pytest.mark.parametrize('groups', [1, 2])
def test_shapes(form, groups):
    modules, visual, text, cues = batch(groups=groups)
    for stage in run_stages(modules, form, visual, text, cues, SCALE):
        assert stage.scores.shape == (3, 25, 3 * groups)
        assert stage.visual.shape == visual.shape
        assert torch.isfinite(stage.scores).all()


@pytest.mark.parametrize('modulation', MODULATIONS)
@pytest.mark.parametrize('sees', ['own', 'each'])
def test_every_modulation_reads_its_cues(modulation, sees):
    form = Form(modulation=modulation, sees=sees)
    modules, visual, text, cues = batch()
    before = run_stages(modules, form, visual, text, cues, SCALE)
    after = run_stages(modules, form, visual, text, cues + torch.randn_like(cues), SCALE)
    assert not torch.allclose(before[0].scores, after[0].scores, atol=1e-3)


def test_released_inference_is_another_network_than_its_training():
    """Asked alone, the visual update is the same everywhere, and other texts are missing."""
    modules, visual, text, cues = batch()
    trained = run_stages(modules, RELEASED, visual, text, cues, SCALE)
    alone = run_stages(modules, RELEASED, visual[:1], text[:1], cues[:1], SCALE)
    difference = (own_maps(trained)[:, 0] - own_maps(alone)[:, 0]).abs().amax(dim=1)
    assert (difference > 0.05).all()
    module, looked = modules[0], modules[0].look(visual[:1])
    change = module.answered(looked, alone[0].text)
    assert float(change.detach().std(dim=1).max()) < 1e-4   # a constant map, normalised: its bias
    among_others = module.answered(looked, trained[0].text)
    assert float(among_others.detach().std(dim=1).max()) > 1e-2


def test_the_reshape_reads_half_of_a_batch_with_two_groups():
    """As released: even rows see the cues of the own texts alone, odd rows those of the others."""
    modules, visual, text, cues = batch(groups=2)
    changed = text.clone()
    changed[3:] = torch.randn(3, 16)     # with one stage the cue is the text itself

    def texts(form):
        with torch.no_grad():
            return [run_stages(modules[:1], form, visual, t, cues[:, :0], SCALE)[0].text
                    for t in (text, changed)]

    before, after = texts(RELEASED)
    assert torch.equal(before[0], after[0]) and torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])
    before, after = texts(dataclasses.replace(RELEASED, reshape=False))
    assert not torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


@pytest.mark.parametrize('form', FORMS.values(), ids=FORMS)
def test_an_answer_does_not_depend_on_what_else_is_asked(form):
    modules, visual, text, cues = batch(images=1, groups=5)
    looked = looks(modules, form, visual)
    together = answer_alone(modules, form, looked, text, cues, SCALE)
    for row in range(5):
        single = answer_alone(modules, form, looked, text[[row]], cues[[row]], SCALE)
        for a, b in zip(together, single, strict=True):
            torch.testing.assert_close(a[[row]], b, rtol=0, atol=1e-4)


@pytest.mark.parametrize('form', FORMS.values(), ids=FORMS)
def test_an_answer_is_that_of_a_batch_of_one(form):
    modules, visual, text, cues = batch(images=1)
    asked = answer_alone(modules, form, looks(modules, form, visual), text, cues, SCALE)
    trained = run_stages(modules, form, visual, text, cues, SCALE)
    for a, b in zip(asked, trained, strict=True):
        torch.testing.assert_close(a[0], b.scores[0, :, 0], rtol=0, atol=1e-3)


@pytest.mark.parametrize('form', [PAPER, Form(), Form(modulation='vta_add')])
def test_among_companions_a_network_answers_as_it_was_trained(form):
    modules, visual, text, cues = batch(images=4)
    every = companions_of(modules, form, visual, text, cues, SCALE)
    companions = [type(c)(c.cues[1:], c.texts[1:]) for c in every]
    asked = answer_beside(modules, form, companions, visual[:1], text[:1], cues[:1], SCALE)
    trained = own_maps(run_stages(modules, form, visual, text, cues, SCALE))[:, 0]
    for a, b in zip(asked, trained, strict=True):
        torch.testing.assert_close(a[0], b, rtol=0, atol=2e-3)


def test_among_companions_too_no_answer_depends_on_another():
    modules, visual, text, cues = batch(images=4)
    companions = companions_of(modules, Form(), visual, text, cues, SCALE)
    together = answer_beside(modules, Form(), companions, visual[:1], text, cues, SCALE)
    single = answer_beside(modules, Form(), companions, visual[:1], text[2:3], cues[2:3], SCALE)
    torch.testing.assert_close(together[-1][2:3], single[-1], rtol=0, atol=1e-3)


def test_a_cue_that_sees_its_own_picture_tells_pictures_apart_without_its_words():
    """Why `sees: each` is there: equal words about two pictures become unequal texts."""
    modules, visual, text, cues = batch(images=2)
    text[1], cues[1] = text[0], cues[0]
    own = run_stages(modules, Form(rows='alone'), visual, text, cues, SCALE)[0]
    assert not torch.equal(own.text[0], own.text[1])
    each = run_stages(modules, Form(rows='alone', sees='each'), visual, text, cues, SCALE)[0]
    torch.testing.assert_close(each.scores[..., 0], each.scores[..., 1])


def test_the_first_map_of_start_cue_is_that_of_the_cue_alone():
    modules, visual, text, cues = batch()
    one = run_stages(modules, OURS, visual, text, cues, SCALE)
    two = run_stages(modules, OURS, visual, torch.randn_like(text), cues, SCALE)
    torch.testing.assert_close(one[0].scores, two[0].scores)
    assert not torch.allclose(one[2].scores, two[2].scores, atol=1e-3)


@pytest.mark.parametrize('stride, side', [(8, 8), (16, 4), (32, 2)])
def test_tokens_of_a_picture(stride, side):
    network = small.network(stride=stride)
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert network.image_tokens(pictures).shape == (2, side * side, 16)


def test_places_tell_equal_cells_apart():
    network = small.network(positions=True)
    tokens = network.image_tokens(torch.full((1, 3, 64, 64), 90, dtype=torch.uint8))[0]
    plain = small.network(positions=False).image_tokens(
        torch.full((1, 3, 64, 64), 90, dtype=torch.uint8))[0]
    middle = [5, 6]     # two cells away from the border are alike but for their place
    assert not torch.allclose(tokens[middle[0]], tokens[middle[1]], atol=1e-4)
    assert plain.shape == tokens.shape


def test_text_is_clips():
    """The tower equals open_clip's own, cut to the text length."""
    network = small.network()
    tokens, cut = network.tokenise(['the red mug', 'a big ball left of the bowl'])
    assert cut == [0, 0]
    expected = network.text_projection(network.clip.encode_text(tokens))
    torch.testing.assert_close(network.encode_tokens(tokens), expected, rtol=0, atol=1e-5)


def test_a_long_text_keeps_its_end_or_loses_it_as_released():
    long = 'the red mug left of the blue bowl on the big green box'
    longer = long + ' on the small ball'
    kept, released = small.network(), small.network(keep_end=False)
    tokens, cut = kept.tokenise([long, longer])
    assert tokens.shape == (2, 12) and cut == [3, 7]
    assert (tokens[:, -1] == kept.tokenizer.end_id).all()
    texts = released.tokenise([long, 'a small ball ' * 6])[0]
    features = released.encode_tokens(texts)
    # Without the end token the highest id decides, which here is one of the words.
    assert not (texts == released.tokenizer.end_id).any() and features.shape == (2, 16)


def test_published_pieces_without_an_end_all_read_the_start():
    """CLIP's byte pairs: end 49407, start 49406; a cut text is read at position 0."""
    config = small.config(keep_end=False, text_length=20)
    clip = {k: v for k, v in config.clip.items() if k != 'vocabulary'}
    clip['text_cfg'] = {**clip['text_cfg'], 'context_length': 77, 'vocab_size': 49408}
    network = PCNet(dataclasses.replace(config, clip=clip)).eval()
    tokens, cut = network.tokenise(['one two three four five six ' * 4, 'seven eight nine ' * 8])
    assert min(cut) > 0
    features = network.encode_tokens(tokens)
    torch.testing.assert_close(features[0], features[1])
    whole = PCNet(dataclasses.replace(config, clip=clip, keep_end=True)).eval()
    different = whole.encode_tokens(whole.tokenise(['one two three four five six ' * 4,
                                                    'seven eight nine ' * 8])[0])
    assert not torch.allclose(different[0], different[1], atol=1e-4)


@pytest.mark.parametrize('values, said', [
    ({'stride': 7}, 'stride'), ({'image_size': 60}, 'multiple of 32'), ({'stages': 5}, 'stages'),
    ({'clip': {'vision_cfg': {'layers': 12}}}, 'residual'),
    ({'companions': 4, 'form': {'sees': 'each'}}, 'companions'),
    ({'form': {'rows': 'some'}}, 'rows'), ({'form': {'reshape': True, 'sees': 'each'}}, 'reshape'),
])
def test_sizes_that_make_no_network_are_refused(values, said):
    with pytest.raises(BadInputError, match=said):
        small.config(**values)


def test_a_configuration_comes_back_from_json():
    import json
    config = small.config(positions=True, form={'rows': 'alone'})
    again = PCNetConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    with pytest.raises(BadInputError, match='unknown field'):
        PCNetConfig.from_dict({**config.to_dict(), 'depth': 3})


def test_too_few_cues_are_refused():
    modules, visual, text, cues = batch()
    with pytest.raises(BadInputError, match='need 2 cues'):
        run_stages(modules, Form(), visual, text, cues[:, :1], SCALE)
