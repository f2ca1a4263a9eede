"""MobileSAM's and SAM 2.1's published formats: random weights, read by the product."""
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from ris_ros.models.architectures import architecture
from ris_ros.models.options import ProposalSettings
from ris_ros.models.sam import SamConfig, build_sam, proposer_for
from ris_ros.models.tiny_vit import TinyViT
from ris_ros.models.tiny_vit_config import TinyViTConfig
from ris_ros.models.weights import Entry, WeightStore
from ris_ros.profiles import Networks, Profile
from ris_ros.types import BadInputError, View, WeightsError

TINY = {'embed_dims': [8, 16, 20, 40], 'depths': [1, 1, 2, 1], 'num_heads': [1, 2, 4, 5],
        'window_sizes': [3, 3, 5, 3], 'strides': [2, 2, 1], 'classes': 7}
SMALL = {'image_size': 128, 'patch_size': 16, 'tiny': TINY, 'prompt_dim': 32, 'mask_in_chans': 8,
         'decoder': {'depth': 1, 'num_heads': 2, 'mlp_dim': 64, 'iou_head_hidden_dim': 32}}
EVERYTHING = ProposalSettings(points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0,
                              min_mask_region_area=0)
IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def networks_with(folder, entry):
    networks = Networks(Profile('p', '', {'sam': entry.name}, entries={entry.name: entry}),
                        'cpu', 'fp32', folder)
    return networks


def test_the_published_shapes():
    """Names and shapes of mobile_sam.pt, which its own loader demands to the letter."""
    with torch.device('meta'):
        sam = build_sam(architecture('vit_t', 'sam'))
    shapes = {name: tuple(value.shape) for name, value in sam.state_dict().items()}
    assert sum(np.prod(s) for s in shapes.values()) * 4 / 40728226 == pytest.approx(1, abs=0.01)
    encoder = 'image_encoder'
    for name, shape in {
            'patch_embed.seq.0.c.weight': (32, 3, 3, 3), 'patch_embed.seq.2.bn.running_var': (64,),
            'layers.0.blocks.1.conv2.c.weight': (256, 1, 3, 3),
            'layers.0.downsample.conv3.bn.bias': (128,),
            'layers.1.blocks.0.attn.attention_biases': (4, 49),
            'layers.2.blocks.5.attn.qkv.weight': (480, 160),
            'layers.2.blocks.0.attn.attention_biases': (5, 196),
            'layers.2.downsample.conv2.c.weight': (320, 1, 3, 3),
            'layers.3.blocks.1.mlp.fc1.weight': (1280, 320),
            'layers.3.blocks.1.mlp.norm.weight': (320,),
            'layers.3.blocks.0.local_conv.c.weight': (320, 1, 3, 3),
            'norm_head.bias': (320,), 'head.weight': (1000, 320),
            'neck.0.weight': (256, 320, 1, 1), 'neck.1.bias': (256,),
            'neck.2.weight': (256, 256, 3, 3), 'neck.3.weight': (256,)}.items():
        assert shapes[f'{encoder}.{name}'] == shape
    assert 'layers.3.downsample' not in ''.join(shapes) and not any(
        'distances' in name for name in shapes), 'what is computed is not in the file'
    with torch.device('meta'):
        out = sam.image_encoder(torch.zeros(1, 3, 1024, 1024))
    assert out.shape == (1, 256, 64, 64)


def test_the_configuration_says_one_encoder():
    config = SamConfig.from_dict(SMALL)
    assert 'encoder' not in config.to_dict() and config.to_dict()['tiny']['classes'] == 7
    assert SamConfig.from_dict(config.to_dict()) == config
    with pytest.raises(BadInputError, match=r'TinyViT encoder.*embed_dim'):
        SamConfig.from_dict({'tiny': {'embed_dim': [1]}})


def test_a_published_file_proposes(tmp_path):
    """From the .pt as published to masks, boxes and points."""
    torch.manual_seed(0)
    sam = build_sam(SMALL).eval()
    for module in sam.modules():   # statistics as after training, so that they matter
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    torch.save(sam.state_dict(), tmp_path / 'mobile_sam.pt')
    (tmp_path / 'mobile_sam.json').write_text(json.dumps({'config': SMALL, 'sha256': ''}))
    entry = Entry('mine', 'sam', 'mobile_sam.pt', 'torch')
    from ris_ros.files import sha256_of
    (tmp_path / 'mobile_sam.json').write_text(json.dumps(
        {'config': SMALL, 'sha256': sha256_of(tmp_path / 'mobile_sam.pt')}))
    proposer = networks_with(tmp_path, entry).proposer(EVERYTHING)
    found = proposer.propose(View(IMAGE))
    expected = proposer_for(sam, EVERYTHING, 'cpu', 'fp32').propose(View(IMAGE))
    assert torch.equal(found.masks, expected.masks) and found.masks.shape[1:] == (60, 80)
    embedded = proposer.embed(View(IMAGE))
    masks, scores = proposer.at_boxes(embedded, torch.tensor([[5., 5, 40, 30]]), (60, 80))
    assert masks.shape == (1, 60, 80) and masks.dtype == torch.bool and scores.shape == (1,)


def test_boxes_are_asked_as_the_library_asks(tmp_path):
    from ris_ros.lazy import require_part
    torch.manual_seed(0)
    sam = build_sam(SMALL).eval()
    proposer = proposer_for(sam, EVERYTHING, 'cpu', 'fp32')
    embedding, input_size = proposer.embed(View(IMAGE))
    boxes = torch.tensor([[5., 5, 40, 30], [0, 0, 80, 60]])
    assert require_part('segment_anything.modeling', 'models')
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder(points=None, boxes=boxes * 128 / 80, masks=None)
        logits, scores = sam.mask_decoder(
            image_embeddings=embedding, image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense,
            multimask_output=False)
        theirs = sam.postprocess_masks(logits, input_size, (60, 80))[:, 0] > 0
    masks, mine = proposer.at_boxes((embedding, input_size), boxes, (60, 80))
    assert (masks ^ theirs).float().mean() < 1e-3
    torch.testing.assert_close(mine, scores[:, 0], atol=1e-5, rtol=1e-5)


def test_windows_do_not_see_each_other():
    """A window's answer depends on its own places alone; the padding is of zeros."""
    torch.manual_seed(0)
    net = TinyViT(TinyViTConfig(**{k: tuple(v) if isinstance(v, list) else v
                                   for k, v in TINY.items()}), 128, 32).eval()
    block = net.layers[1].blocks[0]
    x = torch.randn(1, 16, 8, 8)
    y = x.clone()
    y[:, :, 0, 0] += torch.randn(16)   # not the same for all channels: those are normalised
    with torch.no_grad():
        change = (block._windows(x) - block._windows(y)).abs().sum(1)[0] > 1e-6
    assert change[:3, :3].all() and not change[3:].any() and not change[:, 3:].any()


# ---- SAM 2 ------------------------------------------------------------------------------------

def sam2_folder(folder, video=False, side=64):
    """Write a tiny SAM 2 as published: 2.1's own folder holds the video model's config."""
    import transformers as tf
    torch.manual_seed(0)
    backbone = tf.Sam2HieraDetConfig(
        hidden_size=8, image_size=[side, side], num_attention_heads=1,
        blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[4, 4, 4, 2],
        window_positional_embedding_background_size=[2, 2], global_attention_blocks=[3])
    vision = tf.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[side // 4] * 2, [side // 8] * 2, [side // 16] * 2])
    parts = {
        'vision_config': vision,
        'prompt_encoder_config': tf.Sam2PromptEncoderConfig(
            hidden_size=32, image_size=side, patch_size=16, mask_input_channels=8),
        'mask_decoder_config': tf.Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=32, num_hidden_layers=2, num_attention_heads=2,
            iou_head_hidden_dim=32)}
    model = tf.Sam2Model(tf.Sam2Config(**parts)).eval()
    for value in model.parameters():   # far from zero, so that prompts matter
        if value.ndim > 1:
            torch.nn.init.normal_(value, std=0.2)
    model.save_pretrained(folder)
    if video:
        config = json.loads((folder / 'config.json').read_text())
        config['model_type'] = 'sam2_video'
        (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'preprocessor_config.json').write_text(json.dumps({
        'image_mean': [0.485, 0.456, 0.406], 'image_std': [0.229, 0.224, 0.225],
        'size': {'height': side, 'width': side}}))
    return model


@pytest.fixture(scope='module')
def sam2(tmp_path_factory):
    pytest.importorskip('transformers')
    from ris_ros.files import write_sums
    folder = tmp_path_factory.mktemp('weights')
    model = sam2_folder(folder / 'sam2.1-hiera-tiny', video=True)
    write_sums(folder / 'sam2.1-hiera-tiny')
    networks = Networks(Profile('p', '', {'sam': 'sam2_1_tiny'}), 'cpu', 'fp32', folder)
    networks.store.entries['sam2_1_tiny'] = Entry(
        'sam2_1_tiny', 'sam', 'sam2.1-hiera-tiny', 'transformers', repository='facebook/x')
    return model, networks.proposer(EVERYTHING), folder


def test_sam2_proposes(sam2):
    found = sam2[1].propose(View(IMAGE))
    assert len(found) and found.masks.shape[1:] == (60, 80) and found.masks.dtype == torch.bool


def test_sam2_against_the_librarys_own_processor(sam2):
    """Pixels, prompts and masks as the library makes them itself."""
    pytest.importorskip('torchvision')
    import transformers as tf
    model, proposer, _ = sam2
    processor = tf.Sam2Processor(tf.Sam2ImageProcessor(size={'height': 64, 'width': 64},
                                                       mask_size={'height': 16, 'width': 16}))
    box, point = [12.0, 9.0, 60.0, 50.0], [30.0, 20.0]
    for prompt, asked in (({'input_boxes': [[box]]}, False),
                          ({'input_points': [[[point]]], 'input_labels': [[[1]]]}, True)):
        inputs = processor(images=IMAGE, return_tensors='pt', **prompt)
        with torch.no_grad():
            out = model(**{k: v for k, v in inputs.items() if k != 'original_sizes'},
                        multimask_output=asked)
        theirs = processor.post_process_masks(out.pred_masks, inputs['original_sizes'])[0][0]
        embedded = proposer.embed(View(IMAGE))
        if asked:
            masks, scores = proposer.at_points(embedded, torch.tensor([point]), (60, 80))
        else:
            masks, scores = proposer.at_boxes(embedded, torch.tensor([box]), (60, 80))
        best = int(out.iou_scores[0, 0].argmax())
        assert (masks[0] ^ theirs[best].bool()).float().mean() < 0.01
        torch.testing.assert_close(scores[0], out.iou_scores[0, 0, best], atol=5e-3, rtol=5e-3)


def test_another_network_in_the_folder(sam2, tmp_path):
    import transformers_folders

    from ris_ros.files import write_sums
    transformers_folders.write(tmp_path / 'sam2.1-hiera-tiny', 'git')
    write_sums(tmp_path / 'sam2.1-hiera-tiny')
    store = WeightStore(tmp_path)
    assert store.entry('sam2_1_tiny').files
    networks = Networks(Profile('p', '', {'sam': 'sam2_1_tiny'}), 'cpu', 'fp32', tmp_path)
    with pytest.raises(WeightsError, match=r"type 'git', which is no SAM 2"):
        networks.proposer(EVERYTHING)
