"""The modern methods over tiny networks of random weights, with the library's processors."""
import json

import torch
import transformers as tf

from ris_ros.models.pretrained import Pretrained

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WORDS = ['the', 'red', 'mug', 'box', 'on', 'right', 'green', 'bowl', 'left', 'of', 'biggest',
         'can', '.', 'a']


def spread(model, std=0.2):
    """Return the model with weights far from zero, so that picture and words matter."""
    torch.manual_seed(1)
    for value in model.parameters():
        if value.ndim > 1:
            torch.nn.init.normal_(value, std=std)
    return model.eval().requires_grad_(False)


def clip_tokenizer(length=16):
    vocab = {}
    for letter in '!abcdefghijklmnopqrstuvwxyz.':
        vocab[letter] = len(vocab)
        vocab[f'{letter}</w>'] = len(vocab)
    for special in ('<|startoftext|>', '<|endoftext|>'):   # the last ones, as CLIP has them
        vocab[special] = len(vocab)
    return tf.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=length), len(vocab)


def bert_tokenizer():
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]
    return tf.BertTokenizer(vocab={w: i for i, w in enumerate(words)}, model_max_length=32), \
        len(words)


def clip_parts(vocab, length=16):
    text = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 1,
            'num_attention_heads': 2, 'vocab_size': vocab, 'max_position_embeddings': length,
            'bos_token_id': vocab - 2, 'eos_token_id': vocab - 1, 'pad_token_id': vocab - 1}
    vision = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 3,
              'num_attention_heads': 2, 'image_size': 32, 'patch_size': 8}
    return text, vision


def clipseg():
    tokenizer, vocab = clip_tokenizer()
    text, vision = clip_parts(vocab)
    torch.manual_seed(0)
    model = tf.CLIPSegForImageSegmentation(tf.CLIPSegConfig(
        text_config=text, vision_config=vision, projection_dim=16, reduce_dim=8,
        extract_layers=[0, 1, 2], decoder_num_attention_heads=2, decoder_intermediate_size=16))
    images = tf.ViTImageProcessor(image_mean=MEAN, image_std=STD, size={'height': 32,
                                                                         'width': 32})
    return Pretrained(spread(model), tf.CLIPSegProcessor(images, tokenizer))


def owlv2():
    tokenizer, vocab = clip_tokenizer()
    text, vision = clip_parts(vocab)
    torch.manual_seed(0)
    model = tf.Owlv2ForObjectDetection(tf.Owlv2Config(
        text_config=text, vision_config=vision, projection_dim=16))
    images = tf.Owlv2ImageProcessor(size={'height': 32, 'width': 32})
    return Pretrained(spread(model), tf.Owlv2Processor(images, tokenizer))


def grounding_dino():
    tokenizer, vocab = bert_tokenizer()
    backbone = tf.SwinConfig(embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2], window_size=4,
                             image_size=64, out_features=['stage1', 'stage2', 'stage3'])
    text = tf.BertConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                         num_attention_heads=2, vocab_size=vocab)
    torch.manual_seed(0)
    model = tf.GroundingDinoForObjectDetection(tf.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1,
        encoder_ffn_dim=32, decoder_layers=2, decoder_ffn_dim=32, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=6, num_feature_levels=4, max_text_len=32))
    images = tf.GroundingDinoImageProcessor(size={'shortest_edge': 256, 'longest_edge': 400})
    return Pretrained(spread(model), tf.GroundingDinoProcessor(images, tokenizer))


def sam3():
    tokenizer, vocab = clip_tokenizer(32)
    backbone = {'model_type': 'sam3_vit_model', 'hidden_size': 16, 'intermediate_size': 32,
                'num_hidden_layers': 2, 'num_attention_heads': 2, 'image_size': 64,
                'patch_size': 8, 'pretrain_image_size': 32, 'window_size': 4,
                'global_attn_indexes': [1]}
    text = {'hidden_size': 16, 'intermediate_size': 32, 'projection_dim': 16, 'vocab_size': vocab,
            'num_hidden_layers': 1, 'num_attention_heads': 2, 'max_position_embeddings': 32,
            'bos_token_id': vocab - 2, 'eos_token_id': vocab - 1, 'pad_token_id': vocab - 1}
    torch.manual_seed(0)
    model = tf.Sam3Model(tf.Sam3Config(
        vision_config={'backbone_config': backbone, 'fpn_hidden_size': 32,
                       'backbone_feature_sizes': [[32, 32], [16, 16], [8, 8]]},
        text_config=text,
        geometry_encoder_config={'hidden_size': 32, 'num_layers': 1, 'num_attention_heads': 2,
                                 'intermediate_size': 32},
        detr_encoder_config={'hidden_size': 32, 'num_layers': 1, 'num_attention_heads': 2,
                             'intermediate_size': 32},
        detr_decoder_config={'hidden_size': 32, 'num_layers': 1, 'num_queries': 5,
                             'num_attention_heads': 2, 'intermediate_size': 32},
        mask_decoder_config={'hidden_size': 32, 'num_upsampling_stages': 2,
                             'num_attention_heads': 2}))
    images = tf.Sam3ImageProcessor(size={'height': 64, 'width': 64})
    return Pretrained(spread(model, 0.1), tf.Sam3Processor(images, tokenizer))


def small_sam():
    """Return a proposer over the small SAM of `small_networks`."""
    import small_networks

    from ris_ros.models.options import ProposalSettings
    from ris_ros.models.sam import build_sam, proposer_for
    torch.manual_seed(0)
    sam = build_sam(small_networks.SAM)
    with torch.no_grad():
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(300)
    return proposer_for(sam, ProposalSettings(), 'cpu', 'fp32')


def save(pretrained, folder):
    """Write a network as published: weights, configuration, processor."""
    folder.mkdir(parents=True, exist_ok=True)
    pretrained.model.save_pretrained(folder)
    pretrained.processor.save_pretrained(folder)
    return json.loads((folder / 'config.json').read_text())
