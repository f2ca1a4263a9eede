"""The losses of Prompt-RIS against the equations, on cases worked by hand."""
import math

import pytest

torch = pytest.importorskip('torch')

from ris_ros.training.prompt_ris.losses import (
    CLAMP,
    contrastive_loss,
    iou_of,
    overlaps,
    segmentation_loss,
)

SURE = 40.0      # a logit whose sigmoid is 1 or 0 in float32


def hard(rows):
    """Return (1, b, 1, n) logits of rows of zeros and ones."""
    return (torch.tensor(rows, dtype=torch.float32) * 2 - 1)[None, :, None] * SURE


def test_overlap_is_dice():
    made = overlaps(hard([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]]))
    expected = torch.tensor([[1, 2 / 5, 0], [2 / 5, 1, 2 / 4], [0, 2 / 4, 1]])
    torch.testing.assert_close(made[0], expected, rtol=0, atol=1e-6)


def test_overlap_of_soft_masks_has_squares_below():
    logits = torch.tensor([[0.0, 1.0], [-1.0, 2.0]])[None, :, None]
    s = logits[0, :, 0].sigmoid().tolist()
    both = s[0][0] * s[1][0] + s[0][1] * s[1][1]
    sizes = sum(v * v for row in s for v in row)
    assert overlaps(logits)[0, 0, 1].item() == pytest.approx(2 * both / sizes, abs=1e-6)


def test_contrast_equals_equation_8():
    logits = hard([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]])
    objects, weights = torch.tensor([[4, 4, 9]]), torch.tensor([[0.5, 0.25, 1.0]])
    o01, o12 = 2 / 5, 1 / 2
    same, low = -math.log(1 - CLAMP), -math.log(1 - CLAMP)    # the diagonal, and O = 0
    rows = [0.5 * (same - math.log(o01) + low), 0.25 * (-math.log(o01) + same - math.log(1 - o12)),
            1.0 * (low - math.log(1 - o12) + same)]
    loss = contrastive_loss(logits, objects, weights)
    assert loss.item() == pytest.approx(sum(rows) / 9, rel=1e-4)


def test_weights_are_those_of_the_row():
    """w_i belongs to the first index: a wrong mask asks nothing of itself."""
    logits = hard([[1, 1, 0, 0], [0, 1, 1, 0]])
    objects = torch.tensor([[0, 1]])
    first = contrastive_loss(logits, objects, torch.tensor([[1.0, 0.0]]))
    assert first.item() == pytest.approx(-math.log(1 - 0.5) / 4, rel=1e-4)
    assert contrastive_loss(logits, objects, torch.zeros(1, 2)).item() == 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('rows', [
    [[1] * 8, [1] * 8], [[0] * 8, [0] * 8], [[1] * 8, [0] * 8], [[1, 0] * 4, [1, 0] * 4]])
def test_contrast_stays_finite(rows, dtype):
    """A mask overlaps itself by 1.0000001 in float32, and ln(1 - O) is no number."""
    for objects in ([[1, 1]], [[1, 2]]):
        logits = hard(rows).to(dtype).requires_grad_()
        loss = contrastive_loss(logits, torch.tensor(objects), torch.ones(1, 2))
        loss.sum().backward()
        assert torch.isfinite(loss).all() and torch.isfinite(logits.grad).all()


def test_contrast_is_computed_in_float32_under_autocast():
    logits = torch.randn(1, 4, 16, 16)
    objects, weights = torch.tensor([[1, 1, 2, 3]]), torch.rand(1, 4)
    plain = contrastive_loss(logits, objects, weights)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = contrastive_loss(logits, objects, weights)
    torch.testing.assert_close(plain, mixed, rtol=0, atol=0)


def test_sentences_without_an_object_take_no_part():
    logits = torch.randn(1, 3, 4, 4)
    weights = torch.tensor([[0.5, 0.5, 0.9]])
    all_three = contrastive_loss(logits, torch.tensor([[1, 2, -1]]), weights)
    without = contrastive_loss(logits[:, :2], torch.tensor([[1, 2]]), weights[:, :2])
    assert all_three.item() == pytest.approx(without.item() * 4 / 9, rel=1e-5)


def test_weights_carry_no_gradient():
    logits, weights = torch.randn(1, 2, 4, 4, requires_grad=True), torch.rand(1, 2,
                                                                             requires_grad=True)
    contrastive_loss(logits, torch.tensor([[1, 2]]), weights).sum().backward()
    assert weights.grad is None and logits.grad.abs().max() > 0


def test_segmentation_loss_by_hand():
    logits = torch.tensor([[[0.0, 2.0]]])
    target = torch.tensor([[[0.0, 1.0]]])
    p = [0.5, 1 / (1 + math.exp(-2))]
    cross, dice = segmentation_loss(logits, target, smooth=1.0)
    assert cross.item() == pytest.approx(-(math.log(0.5) + math.log(p[1])) / 2, rel=1e-5)
    expected = 1 - (2 * p[1] + 1) / (p[0] ** 2 + p[1] ** 2 + 1 + 1)
    assert dice.item() == pytest.approx(expected, rel=1e-5)


def test_segmentation_loss_of_a_perfect_mask():
    target = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    cross, dice = segmentation_loss((target * 2 - 1) * SURE, target)
    assert cross.item() == pytest.approx(0, abs=1e-6) and dice.item() == pytest.approx(0, abs=1e-6)


def test_iou():
    logits = torch.tensor([[[1.0, 1.0, -1.0, -1.0]], [[-1.0, -1.0, -1.0, -1.0]]])
    target = torch.tensor([[[0.9, 0.2, 0.8, 0.0]], [[0.0, 0.0, 0.0, 0.0]]])
    assert iou_of(logits, target).tolist() == pytest.approx([1 / 3, 0])
