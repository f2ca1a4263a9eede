"""Our proposals equal SAM's own generator, mask for mask and in order."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')
segment_anything = pytest.importorskip('segment_anything')

from ris_ros.models import sam_decoder, sam_encoder, suppression
from ris_ros.models.architectures import architecture, architectures
from ris_ros.models.options import ProposalSettings
from ris_ros.models.proposals import Proposals, SamProposer, boxes_of
from ris_ros.models.sam import SamConfig, build_sam
from ris_ros.models.small_regions import remove_small_regions
from ris_ros.types import BadInputError, View

SMALL = {'image_size': 160, 'patch_size': 8, 'prompt_dim': 32,
         'encoder': {'embed_dim': 32, 'depth': 2, 'num_heads': 2, 'global_attn_indexes': [1],
                     'window_size': 10, 'use_rel_pos': False},
         'decoder': {'depth': 1, 'num_heads': 2, 'mlp_dim': 64, 'iou_head_hidden_dim': 32}}


class Blobs(torch.nn.Module):
    """Stands in for a trained decoder: discs with ragged holes, in a fixed order of calls."""

    def __init__(self, seed, side=80):
        super().__init__()
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:side, :side]
        n = 36 * 3
        cy, cx, r = rng.uniform(0, side, n), rng.uniform(0, side, n), rng.uniform(3, 25, n)
        distance = np.hypot(y - cy[:, None, None], x - cx[:, None, None])
        noise = np.kron(rng.normal(size=(n, side // 4, side // 4)), np.ones((4, 4)))
        logits = (r[:, None, None] - distance) + 4 * noise
        self.logits = torch.from_numpy(logits).float().unflatten(0, (36, 3))
        self.scores = torch.from_numpy(rng.uniform(0.4, 1, (36, 3))).float()
        self.at = 0

    def forward(self, sparse_prompt_embeddings, **_):
        part = slice(self.at, self.at + len(sparse_prompt_embeddings))
        self.at = part.stop % 36
        return self.logits[part], self.scores[part]


def image(seed, height=240, width=330):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def compare(sam, picture, exact=True, **settings):
    """Exact, or up to the rounding of another order of work in the decoder."""
    reference = segment_anything.SamAutomaticMaskGenerator(sam, **settings).generate(picture)
    got = SamProposer(sam, ProposalSettings(**settings)).propose(View(picture))
    assert len(got) == len(reference)
    for i, record in enumerate(reference):
        differs = np.mean(got.masks[i].numpy() != record['segmentation'])
        assert differs <= (0 if exact else 1e-4)
        # SAM's box is the distance between the outermost pixels, ours their extent.
        assert got.boxes[i].tolist() == [a + b for a, b in
                                         zip(record['bbox'], (0, 0, 1, 1), strict=True)]
        tolerance = 0 if exact else 1e-4
        assert got.scores[i].item() == pytest.approx(record['predicted_iou'], abs=tolerance)
        assert got.stability[i].item() == pytest.approx(record['stability_score'],
                                                        abs=tolerance)
    return len(reference)


@pytest.mark.parametrize('seed, area, batch', [(0, 300, 10), (1, 0, 36), (2, 2000, 64)])
def test_equal_to_the_librarys_generator(seed, area, batch):
    torch.manual_seed(seed)
    sam = build_sam(SMALL).eval()
    sam.mask_decoder = Blobs(seed)
    n = compare(sam, image(seed), points_per_side=6, points_per_batch=batch,
                pred_iou_thresh=0.6, stability_score_thresh=0.4, box_nms_thresh=0.5,
                min_mask_region_area=area)
    assert n > 5


def test_equal_through_a_real_decoder():
    torch.manual_seed(3)
    sam = build_sam(SMALL).eval()
    with torch.no_grad():
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(300)
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.65)
    settings = {'points_per_side': 6, 'pred_iou_thresh': 0.6, 'stability_score_thresh': 0.3,
                'box_nms_thresh': 0.7, 'min_mask_region_area': 300}
    counts = [compare(sam, image(seed, 200, 160), exact=False, **settings) for seed in range(3)]
    assert sum(counts) > 0


@pytest.mark.parametrize('positions', [True, False])
@pytest.mark.parametrize('values', [500, 10_000, 1 << 20])
def test_encoder_equals_the_librarys(positions, values, monkeypatch):
    torch.manual_seed(0)
    encoder = build_sam({**SMALL, 'encoder': {**SMALL['encoder'], 'use_rel_pos': positions,
                                              'window_size': 7}}).image_encoder
    encoder.eval().requires_grad_(False)
    for parameter in encoder.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))  # positions are zero
    pixels = torch.randn(1, 3, 160, 160)
    monkeypatch.setattr(sam_encoder, 'CPU_SCORES', values)
    torch.testing.assert_close(sam_encoder.encode(encoder, pixels), encoder(pixels), rtol=1e-4,
                               atol=1e-4)


@pytest.mark.parametrize('seed, least', [(0, 0.0), (1, 0.05)])
def test_point_decoder_equals_the_librarys(seed, least, monkeypatch):
    torch.manual_seed(seed)
    sam = build_sam(SMALL).eval().requires_grad_(False)
    for parameter in sam.mask_decoder.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))  # biases are zero, weights tiny
    embedding = torch.randn(1, 32, 20, 20)
    points = torch.rand(7, 2) * 160
    sparse, dense = sam.prompt_encoder(points=(points[:, None], torch.ones(7, 1)), boxes=None,
                                       masks=None)
    logits, scores = sam.mask_decoder(
        image_embeddings=embedding, image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=True)
    limit = scores.max(dim=1).values.median().item() if least else 0.0
    kept = (scores > limit).any(dim=1) if least else torch.ones(7, dtype=torch.bool)
    monkeypatch.setattr(sam_decoder, 'CPU_TOKEN_VALUES', 3 * 32 * 400)  # three at a time
    got, found = sam_decoder.PointDecoder(sam, embedding)(points, limit)
    assert 0 < kept.sum() < 7 or not least
    torch.testing.assert_close(found, scores[kept], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got, logits[kept], rtol=1e-4, atol=1e-4)


def test_shared_pixels_are_counted_exactly_under_autocast():
    masks = torch.ones(2, 101, 103, dtype=torch.bool)
    masks[1, 0, 0] = False
    with torch.autocast('cpu', torch.bfloat16):
        assert suppression.intersections(masks).tolist() == [[10403, 10402], [10402, 10402]]
    assert suppression.intersections(masks[:0]).shape == (0, 0)


def test_of_masks_that_share_much_the_best_stays():
    masks = torch.zeros(6, 10, 10, dtype=torch.bool)
    masks[0, :4, :4] = True                   # an object
    masks[1, :4, :2] = True                   # half of it, better than the pair
    masks[2, :4, :8] = True                   # it and its neighbour in one
    masks[3, :4, 4:8] = True                  # the neighbour
    masks[4, 6:, :5] = True                   # alone
    masks[5, 6:, 4:9] = True                  # shares a fifth with it
    quality = torch.tensor([0.9, 0.5, 0.4, 0.6, 0.7, 0.3])
    assert suppression.unshared(masks, quality, 0.8).tolist() == [0, 3, 4, 5]
    # Without the object its half beats the pair, and the neighbour is on its own.
    assert suppression.unshared(masks[1:], quality[1:], 0.8).tolist() == [0, 2, 3, 4]
    # A pair that is better than its parts takes both with it.
    assert suppression.unshared(masks, torch.tensor([0.5, 0.5, 0.9, 0.5, 1, 1]), 0.8
                              ).tolist() == [2, 4, 5]
    # Who is beaten only by the beaten comes back: 1 beats 2, 0 beats 1, and 2 stays.
    chain = torch.zeros(3, 1, 12, dtype=torch.bool)
    chain[0, 0, :6], chain[1, 0, 2:8], chain[2, 0, 5:11] = True, True, True
    assert suppression.unshared(chain, torch.tensor([3.0, 2.0, 1.0]), 0.4).tolist() == [0, 2]
    assert len(suppression.unshared(masks[:0], quality[:0], 0.5)) == 0


def test_overlap_nms_keeps_a_subset():
    torch.manual_seed(0)
    sam = build_sam(SMALL).eval()
    sam.mask_decoder = Blobs(0)
    common = {'points_per_side': 6, 'pred_iou_thresh': 0.6, 'stability_score_thresh': 0.4,
              'box_nms_thresh': 0.9, 'min_mask_region_area': 0}
    every, few = (SamProposer(sam, ProposalSettings(**common, overlap_nms_thresh=limit)).propose(
        View(image(0))) for limit in (1.0, 0.5))
    assert 0 < len(few) < len(every)
    known = {mask.numpy().tobytes() for mask in every.masks}
    assert all(mask.numpy().tobytes() in known for mask in few.masks)
    flat = few.masks.flatten(1).float()
    share = flat @ flat.T / torch.minimum(flat.sum(1)[:, None], flat.sum(1)[None])
    assert share.fill_diagonal_(0).max() < 0.6    # measured on the decoder's coarser grid


def test_small_regions_at_the_edges():
    amg = pytest.importorskip('segment_anything.utils.amg')
    rng = np.random.default_rng(0)
    for turn in range(60):
        height, width = rng.integers(1, 40, 2)
        coarse = rng.normal(size=(4, height // 3 + 1, width // 3 + 1)) > (turn % 4 - 1) / 2
        masks = np.kron(coarse, np.ones((3, 3), dtype=bool))[:, :height, :width].astype(bool)
        masks[0], masks[1, :height // 2], masks[2, height // 2:] = False, False, False
        area = int(rng.choice([5, 30, 400]))
        got, changed = remove_small_regions(torch.from_numpy(masks), area)
        for i, mask in enumerate(masks):
            expected, holes = amg.remove_small_regions(mask, area, 'holes')
            expected, islands = amg.remove_small_regions(expected, area, 'islands')
            np.testing.assert_array_equal(got[i].numpy(), expected)
            assert changed[i] == (holes or islands)


def test_no_candidate_gives_no_proposal():
    torch.manual_seed(0)
    nothing = ProposalSettings(pred_iou_thresh=1.0)
    got = SamProposer(build_sam(SMALL), nothing).propose(View(image(0)))
    assert len(got) == 0 and got.masks.shape == (0, 240, 330) and got.boxes.shape == (0, 4)


def test_small_regions_hand_made():
    masks = torch.zeros(3, 20, 20, dtype=torch.bool)
    masks[0, 2:12, 2:12] = True
    masks[0, 5, 5] = False        # a hole of one pixel
    masks[0, 18, 18] = True       # an island of one pixel
    masks[1, 0:2, 0:2] = True     # all islands small: the larger one survives
    masks[1, 19, 0:3] = True
    masks[2, 5:15, 5:15] = True   # nothing to do
    out, changed = remove_small_regions(masks, 10)
    assert changed.tolist() == [True, True, False]
    assert out[0].sum() == 100 and out[0, 5, 5] and not out[0, 18, 18]
    assert out[1].sum() == 4 and out[1, 0, 0]
    assert torch.equal(out[2], masks[2])


def test_boxes_are_pixel_extents():
    masks = torch.zeros(2, 10, 12, dtype=torch.bool)
    masks[0, 3:5, 4:9] = True
    assert boxes_of(masks).tolist() == [[4, 3, 5, 2], [0, 0, 0, 0]]


@pytest.mark.parametrize('name', [n for n in architectures('sam') if n != 'vit_t'])
def test_published_layouts_have_the_published_tensors(name):
    with torch.device('meta'):
        ours = {k: v.shape for k, v in build_sam(architecture(name, 'sam')).state_dict().items()}
        theirs = segment_anything.sam_model_registry[name]().state_dict()
    assert ours == {k: v.shape for k, v in theirs.items()}


def test_configuration_round_trip_and_unknown_field():
    config = SamConfig.from_dict(SMALL)
    assert SamConfig.from_dict(config.to_dict()) == config
    with pytest.raises(BadInputError, match='sise'):
        SamConfig.from_dict({'image_sise': 3})
    with pytest.raises(BadInputError, match='multiple'):
        build_sam({'image_size': 100, 'patch_size': 16})


@pytest.mark.parametrize('count', [0, 1, 7, 300])
@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.5, 0.7, 1.0])
def test_nms_chooses_as_torchvision(count, threshold, monkeypatch):
    ops = pytest.importorskip('torchvision.ops')
    monkeypatch.setattr(suppression, 'ROWS_VALUES', 2100)   # seven rows at once
    rng = np.random.default_rng(count)
    corners = rng.integers(0, 40, (count, 2)).astype(np.float32)
    sizes = rng.integers(0, 20, (count, 2)).astype(np.float32)   # empty boxes among them
    boxes = torch.from_numpy(np.hstack([corners, corners + sizes]))
    scores = torch.from_numpy(rng.integers(0, 9, count).astype(np.float32))   # many ties
    expected = ops.nms(boxes, scores, threshold)
    assert torch.equal(suppression.nms(boxes.long(), scores, threshold), expected)


def test_nms_does_not_round_its_threshold():
    ops = pytest.importorskip('torchvision.ops')
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 3, 10]])   # IoU 0.3, above it in float32
    for threshold in (0.3, float(np.float32(0.3))):
        kept = suppression.nms(boxes, torch.tensor([1.0, 0.5]), threshold)
        assert torch.equal(kept, ops.nms(boxes, torch.tensor([1.0, 0.5]), threshold))


def test_a_network_of_the_library_itself_takes_the_quick_way():
    sam = segment_anything.modeling.Sam(**{
        name: getattr(build_sam(SMALL), name) for name in (
            'image_encoder', 'prompt_encoder', 'mask_decoder')})
    assert sam_decoder.can_decode(sam)
    own = segment_anything.modeling.MaskDecoder(
        transformer_dim=32, transformer=segment_anything.modeling.TwoWayTransformer(1, 32, 2, 8))
    sam.mask_decoder = own
    assert sam_decoder.can_decode(sam)
    sam.mask_decoder = torch.nn.Identity()
    assert not sam_decoder.can_decode(sam)


@pytest.mark.parametrize('size', [(120, 160), (160, 120), (48, 64), (333, 200)])
@pytest.mark.parametrize('kind', ['discs', 'edges', 'nothing', 'all', 'nan', 'infinite'])
def test_rows_without_a_mask_need_no_look(size, kind):
    proposer = SamProposer(build_sam(SMALL))
    long = max(size)
    input_size = tuple(int(length * 160 / long + 0.5) for length in size)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :80]
    cy, cx, radius = rng.uniform(25, 40, 5), rng.uniform(0, 80, 5), rng.uniform(2, 8, 5)
    logits = 2 * (radius[:, None, None] - np.hypot(y - cy[:, None, None], x - cx[:, None, None]))
    if kind == 'edges':
        logits[:] = -9
        logits[0, 0, 0] = logits[1, :, 0] = logits[2, 79, 5] = 30
    elif kind in ('nothing', 'all'):
        logits[:] = -9 if kind == 'nothing' else 9
    elif kind in ('nan', 'infinite'):
        logits[1, 30, 30] = np.nan if kind == 'nan' else np.inf
    small = torch.from_numpy(logits).float()
    ((chunk, full),) = proposer._enlarged(small, input_size, size)
    rows = proposer._rows_above(chunk, input_size, size)
    if kind == 'discs':
        assert rows.start > 0 and rows.stop - rows.start < 0.8 * size[0]
    for part, whole in zip(proposer._measure(full, rows), proposer._measure(full), strict=True):
        torch.testing.assert_close(part, whole, rtol=0, atol=0, equal_nan=True)


def test_points_are_prompted_as_the_grid_is():
    """The grid's own points, handed in, give what `propose` gives; none give none."""
    sam = build_sam(SMALL)
    proposer = SamProposer(sam, ProposalSettings(points_per_side=3, pred_iou_thresh=0.0,
                                                 stability_score_thresh=0.0))
    view = View(image(0))
    whole = proposer.propose(view)
    height, width = view.size
    centres = (np.arange(3) + 0.5) / 3
    points = np.stack(np.meshgrid(centres * width, centres * height), axis=-1).reshape(-1, 2)
    again = proposer.propose_at(view, points)
    assert len(whole) and torch.equal(whole.masks, again.masks)
    assert torch.equal(whole.scores, again.scores) and again.source == whole.source == 'sam'
    one = proposer.propose_at(view, points[:1])
    assert 0 < len(one) <= 3
    assert len(proposer.propose_at(view, points[:0])) == 0


def test_some_of_the_proposals_keep_what_holds_for_all():
    masks = torch.rand(4, 6, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    plane = object()
    found = Proposals(masks, boxes_of(masks), torch.arange(4.0), torch.ones(4), 'note', 'sam',
                      plane)
    for keep, places in ((torch.tensor([True, False, True, False]), [0, 2]),
                         (torch.tensor([3, 1]), [3, 1]), (slice(2), [0, 1])):
        some = found.some(keep).to('cpu')
        assert torch.equal(some.masks, masks[places]) and some.scores.tolist() == places
        assert torch.equal(some.boxes, found.boxes[places]) and len(some.stability) == 2
        assert (some.note, some.source, some.support) == ('note', 'sam', plane)


def test_pixels_shared_with_others_are_those_among_all():
    masks = torch.rand(5, 6, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    all_pairs = suppression.intersections(masks)
    assert torch.equal(suppression.intersections(masks[2:], masks[:2]), all_pairs[2:, :2])
