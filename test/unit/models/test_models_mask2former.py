"""Mask2Former's proposals: input size, every query, and weights in the published names."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')

from ris_ros.models import mask2former as m
from ris_ros.models.options import Mask2FormerSettings
from ris_ros.types import BadInputError, View, WeightsError

CONFIG = {'num_queries': 7, 'num_labels': 5, 'hidden_dim': 32, 'feature_size': 32,
          'mask_feature_size': 32, 'encoder_feedforward_dim': 32, 'encoder_layers': 1,
          'decoder_layers': 2, 'num_attention_heads': 2, 'dim_feedforward': 32,
          'backbone_config': {
              'model_type': 'swin', 'image_size': 64, 'embed_dim': 8, 'depths': [1, 1, 1, 1],
              'num_heads': [1, 2, 2, 4], 'window_size': 4,
              'out_features': ['stage1', 'stage2', 'stage3', 'stage4']}}
SETTINGS = Mask2FormerSettings(shortest_side=50, longest_side=90)


@pytest.fixture(scope='module')
def network():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return transformers.Mask2FormerForUniversalSegmentation(m.network_config(CONFIG)).eval()


@pytest.mark.parametrize('size, expected', [
    ((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((100, 1000), (133, 1333)),
    ((800, 800), (800, 800)), ((1, 2000), (1, 1333))])
def test_input_size(size, expected):
    assert m.input_size(size, 800, 1333) == expected


def test_every_query_is_a_proposal(network):
    """By the steps of the published decoding, written out plainly."""
    proposer = m.Mask2FormerProposer(network, SETTINGS)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    pixels, filled = proposer.pixels(image)
    assert pixels.shape == (1, 3, 64, 96) and filled == (50, 75)
    assert not pixels[..., 50:, :].any() and not pixels[..., 75:].any()
    got = proposer.propose(View(image))
    with torch.no_grad():
        logits = network(pixel_values=pixels).masks_queries_logits
    full = torch.nn.functional.interpolate(logits, size=(64, 96), mode='bilinear')
    full = torch.nn.functional.interpolate(full[..., :50, :75], size=(40, 60), mode='bilinear')
    wanted = full[0].sigmoid() > 0.35
    assert torch.equal(got.masks, wanted) and len(got) == 7
    assert got.boxes.shape == (7, 4) and 0 <= float(got.scores.min()) <= float(
        got.scores.max()) <= 1


def test_weights_in_the_published_names(network, tmp_path):
    safetensors = pytest.importorskip('safetensors.torch')
    network.save_pretrained(tmp_path)
    state = safetensors.load_file(tmp_path / 'model.safetensors')
    loaded = m.load_mask2former(state, CONFIG).eval()
    pixels = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixel_values=pixels).masks_queries_logits,
                                   network(pixel_values=pixels).masks_queries_logits)
    without = {name: value for name, value in state.items() if 'mask_embedder' not in name}
    with pytest.raises(WeightsError, match='tensors are missing'):
        m.load_mask2former(without, CONFIG)
    with pytest.raises(WeightsError, match='of another shape'):
        m.load_mask2former(state, {**CONFIG, 'num_queries': 9})
    with pytest.raises(BadInputError, match='Swin'):
        m.load_mask2former(state, {**CONFIG, 'backbone_config': {'model_type': 'resnet'}})
