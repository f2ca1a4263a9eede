"""PCNet in training: what a batch is, what a step costs, resuming, and that it learns."""
import dataclasses
import os
import pickle
import signal

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
import pcnet_networks as small
import pcnet_training as made_up

from ris_ros.training.engine.draws import as_tensors, draw
from ris_ros.training.engine.fit import fit
from ris_ros.training.pcnet import losses
from ris_ros.training.pcnet.drawing import Drawing, PairsSource
from ris_ros.training.pcnet.pairs import Pairs, Picture, Said
from ris_ros.training.pcnet.settings import PCNetTraining, TabletopPCNet, check_training
from ris_ros.types import BadInputError


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batch_of(task, index=0):
    return draw(task.source, task.settings.seed, index, 0.0)


# ---- batches ------------------------------------------------------------------------------------

def test_a_batch_is_a_function_of_its_number():
    task = made_up.task()
    again = pickle.loads(pickle.dumps(task.source))
    one, two, other = batch_of(task), draw(again, 0, 0, 0.5), batch_of(task, 1)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one['rows'], other['rows'])


def test_what_a_batch_says_is_about_its_pictures():
    task = made_up.task(extra=2)
    source, texts = task.source, made_up.pairs_of(made_up.Squares(8)).texts()
    squares = made_up.Squares(8)
    for index in range(5):
        batch = draw(source, 0, index, 0.0)
        said = [texts[n] for n in batch['name'].tolist()]
        rows = batch['rows'].tolist()
        assert len(said) == 3 * len(rows) and batch['known'].all()
        for e, text in enumerate(said):
            colours = squares.colours[rows[e % len(rows)]]
            assert any(colour in text for colour in colours)
            own = [c for c in colours if c in said[e % len(rows)]]
            if e >= len(rows):      # another object than the own text's
                assert own[0] not in text
        pixels = torch.stack([torch.from_numpy(squares.read(r)).permute(2, 0, 1) for r in rows])
        assert torch.equal(batch['pixels'], pixels)


def test_every_text_of_a_step_is_read_once(monkeypatch):
    task, counts, seen = made_up.task(contrary_weight=1.0), [], []
    network = task.network
    texts, pictures = network.encode_tokens, network.image_tokens
    monkeypatch.setattr(network, 'encode_tokens', lambda t: counts.append(t) or texts(t))
    monkeypatch.setattr(network, 'image_tokens', lambda p: seen.append(len(p)) or pictures(p))
    batch = batch_of(task)
    task.loss(batch, 0.0)
    assert seen == [4] and len(counts) == 1
    different = {tuple(row) for row in counts[0].tolist()}
    needed = 2 * 4 * (1 + 2 + 1)            # texts, two cues and a contrary of each
    assert len(different) < needed and len(counts[0]) % 32 == 0


def test_a_picture_without_a_second_object_takes_any_sentence_and_says_so():
    alone = Pairs('alone', [Picture(str(r), r, (Said('a', f'the {c} box', ('box', 'box', 'box')),))
                            for r, c in enumerate(('red', 'blue'))])
    source = PairsSource(alone, made_up.Squares(2), np.ones((3, 4), np.int32),
                         Drawing(2, 1, 3, image_size=64))
    batch = source.draw(np.random.default_rng(0), 0, 0.0)
    assert not batch['known'].any() and len(batch['text']) == 4
    task = made_up.task(iad='paper', ras='off', cls_weight=0.0)
    own = batch_of(task)
    own['known'] = torch.zeros_like(own['known'])
    value, _ = task.loss(own, 0.0)
    assert float(value.detach()) == 0


def test_siblings_are_preferred_where_they_are_asked_for():
    said = tuple(Said(name, text, (text.split()[-1],) * 3) for name, text in (
        ('a', 'red mug'), ('b', 'blue mug'), ('c', 'green box'), ('d', 'big box')))
    pairs = Pairs('likes', [Picture('0', 0, said)])
    heads = {text: text.split()[-1] for text in pairs.texts() if ' ' in text}
    texts = pairs.texts()

    def share(siblings):
        source = PairsSource(pairs, made_up.Squares(1), np.ones((len(texts), 3), np.int32),
                             Drawing(1, 1, 3, siblings=siblings, pixels=False))
        same = 0
        for index in range(60):
            own, other = (texts[n] for n in source.draw(np.random.default_rng(index), index, 0.0)
                          ['name'])
            assert own != other
            same += heads[own] == heads[other]
        return same / 60

    assert share(1.0) == 1 and 0.1 < share(0.0) < 0.6


def test_mirrored_pictures_are_drawn_only_where_they_are_asked_for():
    plain = Picture('0', 0, (Said('a', 'the box on the left', ('box',) * 3),))
    mirror = Picture('0', 0, (Said('a', 'the box on the right', ('box',) * 3),), True)
    pairs = Pairs('both', [plain, mirror])
    squares = made_up.Squares(1)

    def batch(mirrored):
        return PairsSource(pairs, squares, np.ones((9, 3), np.int32), Drawing(
            2, 0, 3, 'picture', mirror=mirrored, image_size=64)).draw(
                np.random.default_rng(0), 0, 0.0)

    assert not batch(False)['mirror'].any()
    both = batch(True)
    order = both['mirror'].argsort()
    assert both['mirror'].sum() == 1
    first, second = both['pixels'][order]
    assert np.array_equal(first[..., ::-1], second) and not np.array_equal(first, second)
    task = made_up.task()
    flipped = task.unpack(task.proposals[:2], torch.tensor([False, True]))
    assert torch.equal(flipped[0].flip(-1), flipped[1])


# ---- losses -------------------------------------------------------------------------------------

@pytest.mark.parametrize('changes', [
    {}, {'iad': 'released', 'ras': 'released', 'anchor_weight': 1.0}, {'iad': 'hinge'},
    {'iad': 'regions', 'cls': 'regions', 'cls_form': 'both', 'cls_extra': True},
    {'cls_form': 'softmax', 'contrary_weight': 1.0}, {'extra': 3, 'criterion': 'mean'},
    {'extra': 0, 'iad': 'off'}, {'ras': 'off', 'iad': 'off'}, {'pictures': 'device'},
    {'cls': 'regions', 'outside_weight': 1.0}, {'augment': True, 'ras_overlap': 'half_dice'}])
@pytest.mark.parametrize('form', [{}, {'rows': 'alone', 'sees': 'each', 'start': 'cue'},
                                  {'reshape': True, 'image_text': True, 'text_weight': 0.1}])
def test_every_loss_has_a_gradient(changes, form):
    task = made_up.task(made_up.settings(**changes), made_up.network_settings(**form))
    torch.manual_seed(0)
    value, parts = task.loss(batch_of(task), 0.0)
    value.backward()
    assert torch.isfinite(value) and parts
    assert task.network.visual_projection.weight.grad.abs().sum() > 0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in task.network.parameters())


def test_the_sum_is_that_of_the_weighted_parts():
    task = made_up.task(cls_weight=5.0, ras_weight=0.5, iad_weight=2.0)
    value, parts = task.loss(batch_of(task), 0.0)
    expected = 5 * parts['cls'] + 0.5 * parts['ras'] + 2 * parts['iad']
    torch.testing.assert_close(value.detach(), expected)


def test_the_parts_are_the_losses_by_the_long_way():
    """Classification and RaS of a step, from the stages' scores picture by picture."""
    task = made_up.task()
    batch = batch_of(task)
    _, parts = task.loss(batch, 0.0)
    network = task.network
    visual = network.image_tokens(task.shown.pixels(batch))
    read = network.encode_tokens(batch['tokens'])
    stages = network(visual, read[batch['text']], read[batch['cues']])
    cls = torch.stack([losses.classification(s.scores[..., :4]) for s in stages]).mean()
    torch.testing.assert_close(parts['cls'], cls.detach())
    masks = task.unpack(task.proposals[batch['rows']])
    maps = [torch.cat([losses.soft_maps(s.scores[b, :, b].view(1, 4, 4), 64) for b in range(4)])
            for s in stages]
    torch.testing.assert_close(parts['ras'], losses.ras(maps, masks).detach())
    others = [torch.cat([losses.soft_maps(s.scores[b, :, 4 + b].view(1, 4, 4), 64)
                         for b in range(4)]) for s in stages]
    iad = torch.stack([losses.iad(losses.alignment(m, masks), losses.alignment(d, masks)[None],
                                  batch['known']) for m, d in zip(maps, others, strict=True)])
    torch.testing.assert_close(parts['iad'], iad.mean().detach())


def test_a_contrary_that_is_true_of_the_picture_is_the_same_as_asking_it_alone():
    from ris_ros.training.pcnet.task import own_scores
    for form in ({}, {'sees': 'each', 'start': 'cue', 'rows': 'alone'}):
        task = made_up.task(network=made_up.network_settings(**form))
        network, batch = task.network.eval(), batch_of(task)
        with torch.no_grad():
            visual = network.image_tokens(task.shown.pixels(batch))
            read = network.encode_tokens(batch['tokens'])
            found = own_scores(network, visual, read[batch['text']], read[batch['cues']])
            for picture in range(4):
                rows = [picture, 4 + picture]
                maps = network.answer(network.looks(visual[picture:picture + 1]),
                                      read[batch['text']][rows], read[batch['cues']][rows])[-1]
                torch.testing.assert_close(found[picture].T, maps, rtol=0, atol=1e-3)


def test_clips_own_weights_learn_slower():
    task = made_up.task(backbone_rate=0.1)
    assert task.scale_of('clip.visual.conv1.weight') == 0.1
    assert task.scale_of('stages.0.v_proj1.0.weight') == 1.0


def test_no_loss_waits_for_a_device(monkeypatch):
    """Reading a number from a tensor is what makes a GPU wait."""
    task = made_up.task(made_up.settings(contrary_weight=1.0, cls='regions', cls_form='both',
                                         iad='regions', outside_weight=1.0),
                        made_up.network_settings(rows='alone', sees='each'))
    batch = batch_of(task)

    def refuse(*_):
        raise AssertionError('a tensor was read in a loss')

    for name in ('item', 'tolist', '__bool__', '__float__', '__int__', 'nonzero'):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    value, _ = task.loss(batch, 0.0)
    value.backward()


@pytest.mark.parametrize('changes, said', [
    ({'extra': 0}, 'extra to 1'), ({'anchor_weight': 1.0}, 'anchor_weight'),
    ({'outside_weight': 1.0}, 'cls=regions'),
    ({'cls_weight': 0.0, 'ras': 'off', 'iad': 'off'}, 'switched off')])
def test_settings_that_contradict_one_another(changes, said):
    with pytest.raises(BadInputError, match=said):
        check_training(dataclasses.replace(PCNetTraining(steps=1), **changes), 3)
    check_training(TabletopPCNet(steps=1), 3)


def test_defaults_are_the_papers():
    paper = PCNetTraining()
    assert (paper.rate, paper.weight_decay, paper.schedule, paper.power) == (5e-5, 1e-2, 'poly',
                                                                             0.9)
    assert (paper.images, paper.extra, paper.cls, paper.ras, paper.iad) == (36, 1, 'pixels',
                                                                            'paper', 'paper')


# ---- runs ---------------------------------------------------------------------------------------

def values(task):
    return task.network.state_dict()


def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    settings = made_up.settings(steps=6, checkpoint_seconds=1e6, augment=True, ras='released',
                                anchor_weight=1.0)
    whole = made_up.task(settings)
    fit(whole, settings, tmp_path / 'whole')
    broken = made_up.task(settings)
    plain, calls = broken.loss, []

    def loss(batch, fraction):
        calls.append(fraction)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(batch, fraction)

    broken.loss = loss
    with pytest.raises(KeyboardInterrupt):
        fit(broken, settings, tmp_path / 'broken')
    again = made_up.task(settings)
    fit(again, settings, tmp_path / 'broken')
    for name, value in values(whole).items():
        assert torch.equal(value, values(again)[name]), name
    rows = (tmp_path / 'broken' / 'pcnet.csv').read_text().splitlines()
    assert len(rows) >= 7 and 'cls' in rows[0] and 'pointm' in rows[0]


def test_drawn_pictures_and_those_on_the_device_train_alike(tmp_path):
    drawn = made_up.task(made_up.settings(steps=2))
    kept = made_up.task(made_up.settings(steps=2, pictures='device'))
    fit(drawn, drawn.settings, tmp_path / 'drawn')
    fit(kept, kept.settings, tmp_path / 'kept')
    for name, value in values(drawn).items():
        assert torch.equal(value, values(kept)[name]), name



def test_it_learns_where_the_words_point(tmp_path):
    """From pictures with sentences alone the peak comes to lie on what is meant."""
    settings = made_up.settings(
        steps=200, images=12, rate=2e-3, schedule='cosine', warmup=0.05, cls='regions', seed=1,
        cls_form='both', cls_extra=True, iad='regions', outside_weight=1.0, contrary_weight=1.0,
        pictures='device', log_steps=50)
    network = made_up.network_settings(rows='alone', sees='each', start='cue', image_text=True,
                                       positions=True)
    task = made_up.task(settings, network, count=24)
    with torch.no_grad():
        before = task.validation.figures(task.network.eval())
    outcome = fit(task, settings, tmp_path)
    # A square is a quarter of a picture; who finds squares but reads no word gets one half.
    assert outcome.figures['pointm'] >= 0.75 > 0.6 > before['pointm']
    held = made_up.task(settings, network, count=40)
    assert held.validation.figures(task.network.eval())['pointm'] >= 0.7


def test_validation_by_hand():
    task = made_up.task()
    found = task.validation.figures(task.network.eval())
    assert set(found) == {'pointm', 'map_miou', 'attribute', 'size'}
    assert found['pointm'] == pytest.approx((found['attribute'] + found['size']) / 2)


def test_a_number_of_another_type_stays_out_of_the_batch():
    batch = as_tensors(made_up.task().source.draw(np.random.default_rng(0), 0, 0.0))
    kinds = {name: value.dtype for name, value in batch.items()}
    assert kinds['tokens'] == kinds['text'] == kinds['rows'] == torch.int64
    assert kinds['pixels'] == torch.uint8 and kinds['known'] == torch.bool


def test_the_small_network_of_tests_is_the_one_that_learns():
    assert made_up.task().network.config.clip == small.CLIP
