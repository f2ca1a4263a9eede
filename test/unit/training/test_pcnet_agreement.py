"""Sentences about one thing agree on where it is: the common choice, its losses, its draws."""


import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
import pcnet_networks as small
import pcnet_training as made_up

from ris_ros.methods.pcnet.settings import PCNetSettings
from ris_ros.models.proposals import Proposals, boxes_of
from ris_ros.training.engine.draws import draw
from ris_ros.training.pcnet import agreement
from ris_ros.training.pcnet.backbone import Backbone, BackboneTask, Standardised
from ris_ros.training.pcnet.drawing import Drawing, PairsSource
from ris_ros.training.pcnet.proposals import (
    count_of,
    scaled,
    stamp_of,
    stored_proposals,
    without_empty,
)
from ris_ros.training.pcnet.run import tokens_of_texts
from ris_ros.training.pcnet.settings import BackboneTraining, PCNetTraining, check_training
from ris_ros.training.pcnet.showing import KeptMaps, Shown
from ris_ros.training.pcnet.task import PCNetTask
from ris_ros.types import BadInputError

APART = torch.eye(3)[None]
AGREEING = {'references': 2, 'sentences': 2, 'agree_weight': 1.0, 'paint_weight': 0.5}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_what_one_sentence_knows_decides_for_the_other():
    inside = torch.tensor([[[[9.0, 0.0, 0.0], [0.1, 0.2, 0.1]]]])
    said = torch.ones(1, 1, 2, dtype=torch.bool)
    common = agreement.common_choice(inside, said, APART)
    assert common.regions[0, 0].argmax() == 0 and common.trust[0, 0] > 0.95
    inside.requires_grad_()
    agreement.towards(inside, said, common).backward()
    unsure = inside.grad[0, 0, 1]
    assert unsure[0] < 0 < unsure[1] and inside.grad[0, 0, 0].abs().max() < unsure.abs().max()


def test_two_references_do_not_choose_the_same_thing():
    # Both like the first; the second has another that it likes almost as much.
    inside = torch.tensor([[[[4.0, 0.0, 0.0]], [[4.0, 3.5, 0.0]]]])
    said = torch.ones(1, 2, 1, dtype=torch.bool)
    common = agreement.common_choice(inside, said, APART)
    assert common.regions[0].argmax(dim=1).tolist() == [0, 1]
    # Nor a part of what the other has: proposals 0 and 1 are nearly one.
    near = torch.tensor([[[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    inside = torch.tensor([[[[4.0, 0.0, 0.0]], [[0.0, 3.5, 3.2]]]])
    common = agreement.common_choice(inside, said, near)
    assert common.regions[0].argmax(dim=1).tolist() == [0, 2]


def test_where_no_proposal_fits_nothing_is_believed():
    flat = torch.zeros(1, 1, 3, 40)
    said = torch.ones(1, 1, 3, dtype=torch.bool)
    common = agreement.common_choice(flat, said, torch.eye(40)[None])
    # 40 equal proposals: a chance of 1/40 each and sentence, against 1/10.
    each, nowhere = 40 * (1 / 40) ** 3, 0.1 ** 3
    assert float(common.trust[0, 0]) < each / (each + nowhere) + 1e-3 < 0.5


def test_sentences_that_are_not_there_count_nothing():
    inside = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    said = torch.ones(2, 2, 3, dtype=torch.bool)
    said[0, 1] = said[1, 0, 2] = False
    overlaps = torch.eye(4).expand(2, -1, -1)
    common = agreement.common_choice(inside, said, overlaps)
    other = torch.where(said[..., None], inside, 7 * torch.ones_like(inside))
    again = agreement.common_choice(other, said, overlaps)
    torch.testing.assert_close(common.regions, again.regions)
    assert common.trust[0, 1] == 0
    for loss in (agreement.towards(inside, said, common) - agreement.towards(other, said, again),
                 agreement.contrary_there(inside, inside + 1, said, common)
                 - agreement.contrary_there(other, other + 1, said, again)):
        assert abs(float(loss)) < 1e-6


def test_a_map_is_painted_where_the_choice_is():
    masks = torch.zeros(1, 2, 32, 32)
    masks[0, 0, :16, :16] = masks[0, 1, 16:, 16:] = 1
    said = torch.ones(1, 1, 1, dtype=torch.bool)
    common = agreement.Common(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1))
    right, wrong = torch.full((2, 4, 4), -9.0)
    right[:2, :2] = wrong[2:, 2:] = 9
    found = [float(agreement.painted(m.reshape(1, 1, 1, 16), said, masks, common))
             for m in (right, wrong)]
    assert found[0] < 0.01 and found[1] == pytest.approx(8 * 9 / 4, rel=0.01)
    doubted = common._replace(trust=torch.full((1, 1), 0.5))
    half = float(agreement.painted(wrong.reshape(1, 1, 1, 16), said, masks, doubted))
    assert half == pytest.approx(found[1] / 2)


def test_drawn_sentences_are_about_the_reference_they_stand_for():
    texts = made_up.pairs_of(made_up.Squares(8)).texts()
    task = made_up.task(**AGREEING)
    batch = draw(task.source, 0, 0, 0.0)
    assert batch['group_text'].shape == batch['group_said'].shape == (2 * 2 * 4,)
    by_tokens = {tuple(row.tolist()): text for row, text in zip(
        torch.from_numpy(task.source.tokens), texts, strict=True)}
    length = batch['tokens'].shape[1]
    said = [by_tokens[tuple(row.tolist() + [0] * (task.source.tokens.shape[1] - length))]
            for row in batch['tokens'][batch['group_text']]]
    squares = made_up.Squares(8)
    there = batch['group_said'].tolist()
    assert any(there)
    for b, row in enumerate(batch['rows'].tolist()):
        named = [[c for c in squares.colours[row] for k in range(2)
                  if there[(r * 2 + k) * 4 + b] and c in said[(r * 2 + k) * 4 + b]]
                 for r in range(2)]
        assert all(len(set(found)) == 1 for found in named) and named[0][0] != named[1][0]


def test_without_references_a_batch_is_what_it_was():
    source = made_up.task().source
    batch = source.draw(np.random.default_rng(0), 0, 0.0)
    assert not any(name.startswith('group') for name in batch)


@pytest.mark.parametrize('form', [{}, {'rows': 'alone', 'sees': 'each', 'start': 'cue'}])
@pytest.mark.parametrize('contrary', [0.0, 1.0])
def test_agreement_rises_and_has_a_gradient(form, contrary):
    task = made_up.task(made_up.settings(**AGREEING, contrary_weight=contrary, agree_after=0.5),
                        made_up.network_settings(**form))
    batch = draw(task.source, 0, 0, 0.0)
    early, parts = task.loss(batch, 0.0)
    late, _ = task.loss(batch, 1.0)
    assert ('against' in parts) == bool(contrary) and parts['agree'] > 0
    rest = parts['agree'] + 0.5 * parts['paint'] + contrary * parts.get('against', 0.0)
    torch.testing.assert_close(late.detach() - early.detach(), rest, rtol=1e-3, atol=1e-3)
    late.backward()
    assert task.network.visual_projection.weight.grad.abs().sum() > 0


def test_what_stages_read_of_a_picture_is_worked_out_once():
    task = made_up.task(network=made_up.network_settings(rows='alone', sees='each'))
    network, batch = task.network.eval(), draw(task.source, 0, 0, 0.0)
    with torch.no_grad():
        visual = network.image_tokens(task.shown.pixels(batch))
        read = network.encode_tokens(batch['tokens'])
        texts, cues = read[batch['text']], read[batch['cues']]
        for one, two in zip(network(visual, texts, cues),
                            network(visual, texts, cues, network.looks(visual)), strict=True):
            torch.testing.assert_close(one.scores, two.scores)


@pytest.mark.parametrize('changes', [{'references': 3}, {'agree_weight': 1.0},
                                     {'paint_weight': 0.1}])
def test_agreement_of_nothing_is_refused(changes):
    with pytest.raises(BadInputError, match='both or neither'):
        check_training(PCNetTraining(**changes), 3)




# ---- the small CLIP and the kept tower ----------------------------------------------------------

def test_a_clip_alone_gives_what_was_standardised():
    """Means and variances go into the weights, the text's mean through the bias before."""
    torch.manual_seed(0)
    backbone = Backbone(small.config(stride=16)).eval()
    for part in (backbone.of_places, backbone.of_texts):
        part.mean.normal_()
        part.variance.uniform_(0.2, 3.0)
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    tokens = torch.randint(1, 5, (3, 12))
    alone = Backbone(small.config(stride=16)).eval()
    alone.clip.load_state_dict(backbone.folded())
    with torch.no_grad():
        cells, read = backbone.look(pixels)[1], backbone.read(tokens)
        for part, given, found in ((backbone.of_places, cells.flatten(0, 1),
                                    alone.look(pixels)[1].flatten(0, 1)),
                                   (backbone.of_texts, read, alone.read(tokens))):
            expected = part(given, torch.ones(len(given), dtype=torch.bool))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_standardised_over_what_counts():
    part = Standardised(2).train()
    x = torch.tensor([[1.0, 0.0], [3.0, 4.0], [100.0, 100.0]])
    found = part(x, torch.tensor([True, True, False]))
    torch.testing.assert_close(found[:2], torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), rtol=0,
                               atol=1e-3)
    torch.testing.assert_close(part.mean, torch.tensor([0.2, 0.2]))


WHOLE = {'whole_weight': 1.0, 'text_weight': 0.3}


@pytest.mark.parametrize('changes', [{}, {'standardise': False}, {'references': 0},
                                     {'dense': 'cells'}, WHOLE])
def test_every_loss_of_the_small_clip_has_a_gradient(changes):
    settings = dataclasses.replace(BackboneTraining(
        device='cpu', steps=4, images=4, references=2, pictures='drawn'), **changes)
    whole = made_up.task()
    source, texts = whole.source, made_up.pairs_of(made_up.Squares(8)).texts()
    referring = settings.references
    drawing = Drawing(4, 0 if referring else 1, 2, 'picture', pixels=True, image_size=64,
                      references=referring, sentences=2 if referring else 0, contraries=False)
    source = PairsSource(made_up.pairs_of(made_up.Squares(8)), made_up.Squares(8),
                         tokens_of_texts(whole.network.config, texts), drawing)
    model = Backbone(whole.network.config)
    task = BackboneTask(model, source, Shown(), settings, None, whole.proposals)
    value, parts = task.loss(draw(source, 0, 0, 0.0), 1.0)
    value.backward()
    assert torch.isfinite(value) and 'dense' in parts
    assert ('agree' in parts) == (changes in ({}, {'standardise': False}, WHOLE))
    assert model.clip.visual.conv1.weight.grad.abs().sum() > 0
    assert model.clip.token_embedding.weight.grad.abs().sum() > 0


def test_a_kept_tower_gives_the_maps_of_its_pictures_and_does_not_learn():
    values = made_up.settings(pictures='device', mirror=True)
    task = made_up.task(values)
    network, batch = task.network, draw(task.source, 0, 0, 0.0)
    kept = KeptMaps(network, task.shown, range(8))
    assert network.training
    batch['mirror'] = torch.tensor([True, False, True, False])
    with torch.no_grad():
        expected = network.eval().last_map(task.shown.pixels(batch))
    torch.testing.assert_close(kept.maps(batch), expected, rtol=0.02, atol=0.02)
    again = PCNetTask(network.train(), task.source, task.shown, task.proposals, values, kept=kept)
    means = network.clip.visual.bn1.running_mean.clone()
    again.loss(batch, 1.0)[0].backward()
    assert all(p.grad is None for p in network.clip.visual.parameters())
    assert network.visual_projection.weight.grad is not None
    assert torch.equal(network.clip.visual.bn1.running_mean, means)
    with pytest.raises(BadInputError, match='pictures=device'):
        KeptMaps(network, Shown(), range(8))


def test_empty_places_are_left_out():
    bits = torch.zeros(3, 5, 32, 4, dtype=torch.uint8)
    assert without_empty(bits).shape[1] == 1
    bits[1, 2, 3, 0] = 7
    assert torch.equal(without_empty(bits), bits[:, :3])


def test_proposals_of_smaller_pictures(tmp_path):
    """SAM sees them smaller, its least area shrinks along, and the folder says so."""
    seen = []

    def propose(view):
        seen.append(view.rgb.shape)
        masks = torch.zeros(2, *view.size, dtype=torch.bool)
        masks[0, :16, :16], masks[1, :15, :16] = True, True
        return Proposals(masks, boxes_of(masks), torch.ones(2), torch.ones(2))

    settings = dataclasses.replace(PCNetSettings(), min_mask_region_area=1024, most_proposals=2)
    squares = made_up.Squares(2)
    stamp = stamp_of(squares.keys, 'sam', settings, 2)
    found = stored_proposals(tmp_path, stamp, squares, propose)
    assert seen == [(32, 32, 3)] * 2 and scaled(settings, 2).min_mask_region_area == 256
    assert count_of(found).tolist() == [1, 1]          # 240 pixels are too few, 256 are not
    with pytest.raises(BadInputError, match='shrink'):
        stored_proposals(tmp_path, stamp_of(squares.keys, 'sam', settings), squares, propose)
