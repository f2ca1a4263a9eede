"""PCNet's losses: facts about the released ones, and cases worked by hand."""
import math

import pytest

torch = pytest.importorskip('torch')

import torch.nn.functional as F

from ris_ros.training.pcnet import losses

YES = torch.ones(1, 1, dtype=torch.bool)


def maps(*boxes, side=8):
    """Return (n, side, side) 0 or 1 from x0, y0, x1, y1."""
    out = torch.zeros(len(boxes), side, side)
    for row, (x0, y0, x1, y1) in zip(out, boxes, strict=True):
        row[y0:y1, x0:x1] = 1
    return out


LEFT, RIGHT, BOTH = (0, 0, 4, 8), (4, 0, 8, 8), (0, 0, 8, 8)


@pytest.mark.parametrize('loss', [losses.iad, losses.iad_released], ids=['paper', 'released'])
def test_iad_has_no_gradient_where_both_texts_pick_one_proposal(loss):
    own = torch.tensor([[0.9, 0.2, 0.1]], requires_grad=True)
    same = torch.tensor([[[0.8, 0.3, 0.1]]], requires_grad=True)
    other = torch.tensor([[[0.1, 0.8, 0.1]]], requires_grad=True)
    loss(own, same, YES).backward()
    assert not own.grad.any() and not same.grad.any()
    own.grad = None
    loss(own, other, YES).backward()
    assert own.grad.abs().sum() > 0.1          # and it keeps pushing pairs that differ already


@pytest.mark.parametrize('sound', ['hinge', 'regions'])
def test_the_sound_variants_push_where_both_texts_pick_one_proposal(sound):
    def loss(own, other):
        if sound == 'hinge':
            return losses.iad_hinge(own, other, YES)
        return losses.iad_regions(5 * own, 5 * other, YES, torch.eye(3)[None])

    own = torch.tensor([[0.9, 0.2, 0.1]], requires_grad=True)
    same = torch.tensor([[[0.8, 0.3, 0.1]]], requires_grad=True)
    value = loss(own, same)
    value.backward()
    assert own.grad[0, 0] > 0.01 and same.grad[0, 0, 0] > 0.01     # away from the shared one
    apart = loss(own.detach(), torch.tensor([[[0.0, 0.0, 0.9]]]))
    assert float(apart.detach()) < float(value.detach())


def test_the_hinge_lets_pairs_be_that_differ():
    own = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    loss = losses.iad_hinge(own, torch.tensor([[[0.0, 1.0, 0.0]]]), YES)
    loss.backward()
    assert float(loss.detach()) == 0 and not own.grad.any()


def test_a_part_is_no_other_thing_than_its_whole():
    whole_and_half = maps(BOTH, LEFT)[None]
    overlaps = losses.proposal_overlaps(whole_and_half)
    torch.testing.assert_close(overlaps, torch.tensor([[[1.0, 0.5], [0.5, 1.0]]]))
    own, other = torch.tensor([[9.0, -9.0]]), torch.tensor([[[-9.0, 9.0]]])
    apart = losses.iad_regions(own, other, YES, torch.eye(2)[None])
    alike = losses.iad_regions(own, other, YES, overlaps)
    assert float(apart) < 1e-3 and float(alike) == pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize('loss', [losses.iad, losses.iad_released, losses.iad_hinge,
                                  lambda *a: losses.iad_regions(*a, torch.eye(3)[None])])
def test_a_text_of_another_picture_counts_nothing(loss):
    own = torch.tensor([[0.9, 0.2, 0.1]], requires_grad=True)
    loss(own, torch.tensor([[[0.8, 0.3, 0.1]]]), ~YES).backward()
    assert not own.grad.any()


def test_values_of_iad():
    own, other = torch.tensor([[0.9, 0.2]]), torch.tensor([[[0.1, 0.8]]])
    assert float(losses.iad(own, other, YES)) == pytest.approx(-1)     # 1 - ||(1,-1)||^2
    assert float(losses.iad(own, own[None], YES)) == pytest.approx(1)
    assert float(losses.iad_released(own, other, YES)) == pytest.approx(0, abs=1e-4)
    assert float(losses.iad_released(own, own[None], YES)) == pytest.approx(1)


def test_ambiguity_is_none_on_the_one_proposal_and_grows_beyond_it():
    proposals = maps(LEFT, RIGHT)[None]
    exact, spread, wrong = maps(LEFT, BOTH, RIGHT)
    value = losses.ambiguity(exact[None], proposals)
    assert float(value) == pytest.approx(0)
    assert float(losses.ambiguity(spread[None], proposals)) == pytest.approx(1.0)   # 1-(1/2-1/2)
    assert float(losses.ambiguity(wrong[None], proposals)) == pytest.approx(0)      # the other one


def test_ras_is_a_hinge_on_growing_ambiguity():
    proposals = maps(LEFT, RIGHT)[None]
    sharp, spread = maps(LEFT)[0][None], maps(BOTH)[0][None]
    assert float(losses.ras([spread, sharp], proposals)) == 0
    assert float(losses.ras([sharp, spread], proposals)) == pytest.approx(1.0)
    assert float(losses.ras([sharp], proposals)) == 0
    assert float(losses.ras([sharp, spread], torch.zeros_like(proposals))) == 0   # none there


def test_released_ras_rewards_overlap_with_the_background_of_the_earlier_stage():
    """As coded: shrink = 1 - (right_j - right_j+1), which has no stop and raises right_j."""
    proposals, chosen = maps(LEFT, RIGHT)[None], torch.tensor([0])
    first = maps(LEFT)[0][None].clone().requires_grad_()
    second = maps(LEFT)[0][None].clone().requires_grad_()
    found = losses.ras_released([first, second], proposals, chosen, 0)
    found.shrink.backward()
    assert float(first.grad[0, 0, 6]) < 0 < float(second.grad[0, 0, 6])
    assert float(found.shrink) == pytest.approx(1)
    assert float(found.foreground[0]) == pytest.approx(0.5)      # half-Dice is at most one half


def test_half_dice_and_soft_iou():
    a, b = maps(LEFT)[0], maps(BOTH)[0]
    assert float(losses.half_dice(a, b)) == pytest.approx(32 / 96, abs=1e-5)
    assert float(losses.soft_iou(a, b)) == pytest.approx(0.5)
    assert float(losses.soft_iou(torch.zeros(8, 8), torch.zeros(8, 8))) == 0


@pytest.mark.parametrize('shape', [(4, 10, 10), (2, 20, 20), (3, 6, 9), (1, 1, 1)])
def test_soft_maps_equal_the_long_way(shape):
    torch.manual_seed(0)
    responses = torch.randn(shape)
    large = F.relu(F.interpolate(responses[:, None], (320, 320), mode='bilinear'))
    normal = F.relu(large / (large.amax(dim=(2, 3), keepdim=True) + 1e-5) - 1e-5)
    expected = F.interpolate(normal, (32, 32), mode='bilinear', align_corners=True)[:, 0]
    torch.testing.assert_close(losses.soft_maps(responses), expected, rtol=0, atol=1e-5)


def test_a_map_that_is_dark_stays_dark():
    assert not losses.soft_maps(-torch.rand(2, 10, 10)).any()


def test_classification_by_hand():
    scores = torch.tensor([[[2.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [0.0, 3.0]]])  # 2 x 2 pixels
    logits = []
    for picture in scores:
        share = torch.cat([torch.ones(2, 1), picture], 1).softmax(1)[:, 1:].mean(0)
        logits.append(picture.mean(0) + picture.amax(0)
                      + (1 - share) ** 3 * torch.log(0.01 + share))
    logits = torch.stack(logits)
    expected = F.multilabel_soft_margin_loss(logits, torch.eye(2))
    torch.testing.assert_close(losses.classification(scores), expected)


def test_region_logits_are_the_best_mean_inside_of_a_proposal():
    grid = 4
    proposals = torch.zeros(2, 3, 8, 8)
    proposals[0, :2] = maps(LEFT, RIGHT)
    weights = losses.region_weights(proposals, grid)
    scores = torch.randn(2, grid * grid, 5)
    there = proposals.flatten(2).any(dim=2)
    found = losses.region_logits(scores, weights, there, temperature=1e-3)
    large = F.interpolate(scores[0].T.view(1, 5, grid, grid), (8, 8), mode='bilinear')[0]
    means = torch.stack([large[..., :4].mean((1, 2)), large[..., 4:].mean((1, 2))])
    torch.testing.assert_close(found[0], means.amax(0), rtol=0, atol=1e-2)
    torch.testing.assert_close(found[1], scores[1].amax(0))      # no proposal: its best pixel


def test_what_no_proposal_covers_may_not_be_brighter():
    proposals = torch.zeros(3, 1, 8, 8)
    proposals[0, 0] = maps(LEFT)[0]
    proposals[1, 0] = 1                                   # covered all over
    own = torch.zeros(3, 16, 1)
    own[:, 3] = 4.0                                       # a cell on the right
    own.requires_grad_()
    value = losses.outside(own, torch.full((3, 1), 1.0), proposals, temperature=1e-2)
    assert float(value.detach()) == pytest.approx(float(F.softplus(torch.tensor(3.0))), abs=1e-2)
    value.backward()
    assert own.grad[0, 3] > 0.5 and not own.grad[1:].any()
    assert not own.grad[0].view(4, 4)[:, :2].any()        # what the proposal covers is let be


def test_contrast_excuses_pairs_that_are_no_negatives():
    logits = torch.tensor([[1.0, 9.0], [-2.0, 1.0]], requires_grad=True)
    same = torch.tensor([[False, True], [False, False]])
    value = losses.contrast(logits, same)
    value.backward()
    assert logits.grad[0, 1] == 0
    expected = F.cross_entropy(torch.tensor([[1.0, -1e4], [-2.0, 1.0]]), torch.arange(2))
    other = F.cross_entropy(torch.tensor([[1.0, -2.0], [-1e4, 1.0]]), torch.arange(2))
    torch.testing.assert_close(value.detach(), (expected + other) / 2)
    assert float(losses.contrast(torch.eye(3) * 20, torch.eye(3, dtype=torch.bool))) < 1e-3


def test_contrary_wants_what_is_said_before_its_contrary():
    own, turned = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 9.0])
    known = torch.tensor([True, True, False])
    expected = (F.softplus(torch.tensor(-2.0)) + F.softplus(torch.tensor(2.0))) / 2
    torch.testing.assert_close(losses.contrary(own, turned, known), expected)


def test_calibration_falls_as_pictures_leave_the_other_texts():
    texts = torch.eye(3)
    near = losses.calibration(torch.ones(3, 3), texts)
    far = losses.calibration(torch.eye(3), texts)
    assert float(far) == pytest.approx(0, abs=1e-6) and float(near) > 0.5
    assert float(losses.calibration(texts[:1], texts[:1])) == 0


def test_nothing_waits_for_a_device_in_a_loss():
    """On meta tensors whatever reads a value fails."""
    own = torch.rand(2, 5, device='meta')
    others = torch.rand(3, 2, 5, device='meta')
    known = torch.ones(3, 2, device='meta', dtype=torch.bool)
    proposals = torch.ones(2, 5, 32, 32, device='meta')
    some = [torch.rand(2, 32, 32, device='meta') for _ in range(3)]
    for loss in (losses.iad, losses.iad_released, losses.iad_hinge):
        assert loss(own, others, known).device.type == 'meta'
    assert losses.iad_regions(own, others, known, losses.proposal_overlaps(proposals)).ndim == 0
    assert losses.ras(some, proposals).ndim == 0
    assert losses.ras_released(some, proposals, torch.zeros(2, device='meta',
                                                            dtype=torch.long), 1).shrink.ndim == 0
    assert losses.classification(torch.rand(2, 9, 2, device='meta')).ndim == 0
