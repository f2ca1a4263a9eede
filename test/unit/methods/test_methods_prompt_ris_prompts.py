"""From CLIP to SAM: layouts, the point table, what is dropped, the straight-through gradient."""
import dataclasses

import pytest

pytest.importorskip('torch')
pytest.importorskip('segment_anything')
import numpy as np
import torch
from prompt_ris_networks import CONFIG, small_network, small_sam

from ris_ros.methods.prompt_ris.layout import OUTSIDE, Layout, resized
from ris_ros.methods.prompt_ris.sam_prompts import (
    SamPrompts,
    gumbel_noise,
    point_table,
    point_tokens,
    soft_point,
)
from ris_ros.types import BadInputError


# ---------------------------------------------------------------- layouts
def test_layout_of_the_paper():
    layout = Layout.of((375, 500), 'stretch', 480, 16, 1024, 16)
    assert (layout.grid, layout.sam, layout.side) == ((30, 30), (1024, 1024), 256)
    assert layout.clip == (480, 480) and layout.cells == (256, 256)


def test_layout_that_keeps_the_sides():
    layout = Layout.of((480, 640), 'pad', 384, 16, 256, 8)
    assert layout.clip == (288, 384) and layout.grid == (18, 24)
    assert layout.sam == (192, 256) and layout.cells == (96, 128) and layout.side == 128
    tall = Layout.of((640, 480), 'pad', 384, 16, 256, 8)
    assert tall.grid == (24, 18) and tall.cells == (128, 96)


def test_what_shows_no_picture_is_a_sure_no():
    layout = Layout.of((48, 64), 'pad', 64, 16, 64, 8)
    cells = layout.on_mask_grid(torch.full((2, 3, 4), 5.0))
    assert cells.shape == (2, 32, 32)
    assert (cells[:, :24] == 5).all() and (cells[:, 24:] == OUTSIDE).all()
    assert layout.inside(cells).shape == (2, 24, 32)


@pytest.mark.parametrize('size', [(48, 64), (50, 64), (37, 64), (64, 21), (64, 64)])
def test_masks_come_back_where_they_were(size):
    layout = Layout.of(size, 'pad', 64, 16, 64, 8)
    height, width = size
    truth = torch.zeros(height, width)
    truth[height // 4:height // 2, width // 3:2 * width // 3] = 1
    small = torch.nn.functional.interpolate(truth[None, None], layout.cells, mode='area')[0]
    logits = torch.full((1, 32, 32), -4.0)
    logits[:, :layout.cells[0], :layout.cells[1]] = 8 * small - 4
    back = layout.on_picture(logits, size)
    assert back.shape == (1, height, width)
    both = ((back[0] > 0) & (truth > 0)).sum() / ((back[0] > 0) | (truth > 0)).sum()
    assert both > 0.7


@pytest.mark.parametrize('size', [(50, 64), (49, 64), (100, 128)])
def test_enlarging_equals_sam(size):
    """All but the last rows, where cells that show no picture have no say here."""
    sam = small_sam()
    layout = Layout.of(size, 'pad', 64, 16, 64, 8)
    logits = torch.randn(3, 32, 32)
    expected = sam.postprocess_masks(logits[:, None], layout.sam, size)[:, 0]
    found = layout.on_picture(logits, size)
    last = None if size[0] == 49 else -size[0] // 12
    torch.testing.assert_close(found[:, :last], expected[:, :last], rtol=0, atol=1e-5)


def test_a_picture_of_one_row_is_refused():
    with pytest.raises(BadInputError, match='640x1, too narrow'):
        Layout.of((1, 640), 'pad', 384, 16, 256, 8)


def test_resizing_is_that_of_pillow():
    from PIL import Image
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    ours = resized(torch.from_numpy(picture).permute(2, 0, 1)[None], (20, 28))[0]
    theirs = np.asarray(Image.fromarray(picture).resize((28, 20), Image.Resampling.BILINEAR))
    assert np.abs(ours.permute(1, 2, 0).numpy() - theirs.astype(float)).max() <= 1


# ---------------------------------------------------------------- points
def test_point_table_equals_sams_own_encoding():
    sam = small_sam()
    table = point_table(sam.prompt_encoder, 32)
    # A cell is two pixels of the 64: its centre lies between them, where SAM adds a half.
    ys, xs = np.mgrid[0:32, 0:32].reshape(2, -1)
    points = torch.from_numpy(np.stack([2 * xs + 0.5, 2 * ys + 0.5], -1)).float()
    with torch.no_grad():
        own, _ = sam.prompt_encoder(points=(points[None], torch.ones(1, len(points))),
                                    boxes=torch.zeros(1, 4), masks=None)
    torch.testing.assert_close(table, own[0, :len(points)], rtol=0, atol=2e-6)


def test_single_points_equal_the_table():
    sam = small_sam()
    cells = torch.tensor([0, 31, 32, 500, 1023])
    torch.testing.assert_close(point_tokens(sam.prompt_encoder, cells, 32),
                               point_table(sam.prompt_encoder, 32)[cells], rtol=0, atol=2e-6)


def test_straight_through_gradient():
    """Forward the token of the drawn cell; backward that of the soft mixture."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 20, generator=generator, requires_grad=True)
    table, noise = torch.randn(20, 6, generator=generator), gumbel_noise(logits, generator)
    drawn = soft_point(logits, table, 0.7, noise)
    chosen = (logits + noise).argmax(dim=1)
    torch.testing.assert_close(drawn, table[chosen], rtol=0, atol=1e-6)
    wanted = torch.randn(3, 6, generator=generator)
    (drawn * wanted).sum().backward()
    copy = logits.detach().clone().requires_grad_()
    ((((copy + noise) / 0.7).softmax(1) @ table) * wanted).sum().backward()
    torch.testing.assert_close(logits.grad, copy.grad)
    assert logits.grad.abs().max() > 0


def test_gumbel_noise_is_gumbel():
    noise = gumbel_noise(torch.zeros(200000), torch.Generator().manual_seed(0))
    assert abs(noise.mean().item() - 0.5772) < 0.01
    assert abs(noise.std().item() - 1.2825) < 0.01
    assert torch.isfinite(noise).all()


def test_no_point_outside_the_picture():
    network = small_network(dataclasses.replace(CONFIG, fit='pad'))
    layout = network.layout((48, 64))
    picture = network.look(layout, torch.randn(1, 3, *layout.clip))
    cells = torch.full((1, 32, 32), -30.0)
    cells[:, 24:] = OUTSIDE     # higher than anything inside
    cells[0, 5, 7] = -20
    table = point_table(network.sam.prompt_encoder, 32)
    torch.testing.assert_close(network.point(picture, cells), table[5 * 32 + 7][None], rtol=0,
                               atol=2e-6)
    from ris_ros.methods.prompt_ris.network import PointDraw
    cells = torch.zeros(200, 32, 32)
    drawn = network.point(picture, cells, PointDraw(generator=torch.Generator().manual_seed(0)))
    distance = torch.cdist(drawn, table)
    assert (distance.argmin(dim=1) < 24 * 32).all()


# ---------------------------------------------------------------- what is dropped
def prompts(**fields):
    torch.manual_seed(0)
    return SamPrompts(dataclasses.replace(CONFIG, **fields), 24, 32)


def test_a_dropped_mask_is_sams_own_for_none():
    sam, made = small_sam(), prompts()
    cells = torch.randn(2, 32, 32)
    with torch.no_grad():
        dense = made.dense(sam, cells, torch.tensor([True, False]))
        _, mask = sam.prompt_encoder(points=None, boxes=None, masks=cells[:1, None])
        _, none = sam.prompt_encoder(points=None, boxes=None, masks=None)
    torch.testing.assert_close(dense[:1], mask)
    torch.testing.assert_close(dense[1:], none)
    assert (dense[0] - dense[1]).abs().max() > 1e-3


@pytest.mark.parametrize(('fields', 'shape', 'dropped'), [
    ({}, 4, [False, True, True, False]), ({'point_pad': True}, 5, [False, False, True, True,
                                                                   False]),
    ({'dropped_point': 'not_a_point'}, 4, [True, True, True, False])])
def test_dropped_points(fields, shape, dropped):
    sam, made = small_sam(), prompts(**fields)
    point, text = torch.randn(1, 32), torch.randn(1, 3, 32)
    keep = torch.tensor([[True, True, False]])
    with torch.no_grad():
        tokens, known = made.sparse(sam, point, text, keep, torch.tensor([[False, True]]))
        _, without_text = made.sparse(sam, point, text, keep, torch.tensor([[True, False]]))
    assert tokens.shape == (1, shape, 32)
    assert known[0].tolist() == dropped
    assert without_text[0].tolist() == [True] * (shape - 3) + [False] * 3
    none = sam.prompt_encoder.not_a_point_embed.weight
    if 'dropped_point' in fields:
        torch.testing.assert_close(tokens[:, 0], none)
    elif 'point_pad' in fields:
        torch.testing.assert_close(tokens[:, 1], none)
