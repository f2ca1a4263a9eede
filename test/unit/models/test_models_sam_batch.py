"""SAM's decoder over several images against the library's own, one image at a time."""
import pytest

pytest.importorskip('torch')
pytest.importorskip('segment_anything')
import torch
from prompt_ris_networks import small_sam

from ris_ros.models.sam_batch import decode_batch


def one_by_one(sam, embeddings, sparse, dense, known, multimask):
    rows = []
    for row in range(len(embeddings)):
        masks, scores = sam.mask_decoder(
            image_embeddings=embeddings[row:row + 1], image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse[row:row + 1, known[row]],
            dense_prompt_embeddings=dense[row:row + 1], multimask_output=multimask)
        best = scores[0].argmax()
        rows.append((masks[0, best], scores[0, best]))
    masks, scores = zip(*rows, strict=True)
    return torch.stack(masks), torch.stack(scores)


@pytest.mark.parametrize('output', ['single', 'best'])
def test_equals_the_library_row_by_row(output):
    sam = small_sam()
    generator = torch.Generator().manual_seed(1)
    embeddings, dense = (torch.randn(5, 32, 8, 8, generator=generator) for _ in range(2))
    sparse = torch.randn(5, 6, 32, generator=generator)
    known = torch.tensor([[True] * 6, [True, False] * 3, [False] * 6,
                          [True] * 3 + [False] * 3, [False] * 5 + [True]])
    with torch.no_grad():
        masks, scores = decode_batch(sam, embeddings, sparse, dense, known, output)
        expected = one_by_one(sam, embeddings, sparse, dense, known, output == 'best')
    assert masks.shape == (5, 32, 32)
    torch.testing.assert_close(masks, expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(scores, expected[1], rtol=0, atol=1e-5)


def test_without_padding_no_mask_is_needed():
    sam = small_sam()
    embeddings, sparse = torch.randn(2, 32, 8, 8), torch.randn(2, 3, 32)
    dense = torch.randn(2, 32, 8, 8)
    with torch.no_grad():
        plain = decode_batch(sam, embeddings, sparse, dense)
        masked = decode_batch(sam, embeddings, sparse, dense, torch.ones(2, 3).bool())
    torch.testing.assert_close(plain[0], masked[0], rtol=0, atol=1e-5)
