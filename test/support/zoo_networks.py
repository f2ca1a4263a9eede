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


def _bart_tokenizer():
    """A byte-level tokenizer as Florence-2's: places are words of their own."""
    vocab = {'<s>': 0, '<pad>': 1, '</s>': 2, '<unk>': 3, '\u0120': 4}
    for letter in 'abcdefghijklmnopqrstuvwxyz.:?,':
        vocab[letter] = len(vocab)
    tokenizer = tf.RobertaTokenizer(vocab=vocab, merges=[])
    places = [f'<loc_{i}>' for i in range(1000)]
    tokenizer.add_special_tokens({'additional_special_tokens': [
        '<image>', *places, '<poly>', '</poly>', '<sep>', '<and>']})
    tokenizer.image_token, tokenizer.image_token_id = '<image>', \
        tokenizer.convert_tokens_to_ids('<image>')
    return tokenizer


def florence2():
    tokenizer = _bart_tokenizer()
    vision = {'depths': [1, 1], 'patch_size': [7, 3], 'patch_stride': [4, 2],
              'patch_padding': [3, 1], 'patch_prenorm': [False, True], 'embed_dim': [8, 16],
              'num_heads': [1, 2], 'num_groups': [1, 2], 'window_size': 4, 'projection_dim': 16}
    text = {'model_type': 'bart', 'd_model': 16, 'encoder_layers': 1, 'decoder_layers': 1,
            'encoder_attention_heads': 2, 'decoder_attention_heads': 2, 'encoder_ffn_dim': 32,
            'decoder_ffn_dim': 32, 'vocab_size': len(tokenizer), 'max_position_embeddings': 256,
            'bos_token_id': 0, 'pad_token_id': 1, 'eos_token_id': 2, 'decoder_start_token_id': 2}
    torch.manual_seed(0)
    model = tf.Florence2ForConditionalGeneration(tf.Florence2Config(
        vision_config=vision, text_config=text, image_token_id=tokenizer.image_token_id,
        is_encoder_decoder=True))
    images = tf.CLIPImageProcessor(size={'height': 32, 'width': 32}, do_center_crop=False,
                                   image_mean=MEAN, image_std=STD)
    images.image_seq_length = (32 // 8) ** 2 + 1
    return Pretrained(spread(model), tf.Florence2Processor(
        images, tokenizer, post_processor_config={'polygons': {}, 'phrase_grounding': {}}))


TEMPLATE = ("{% for m in messages %}{% for part in m['content'] %}{% if part['type'] == 'image' %}"
            '<|vision_start|><|image_pad|><|vision_end|>'
            "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}:")


def qwen():
    vocab = {'\u0120': 0}
    for code in [*range(33, 127)]:
        vocab[chr(code)] = len(vocab)
    tokenizer = tf.Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({'additional_special_tokens': [
        '<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>']})
    ids = {name: tokenizer.convert_tokens_to_ids(f'<|{name}|>') for name in (
        'vision_start', 'vision_end', 'image_pad', 'video_pad')}
    torch.manual_seed(0)
    model = tf.Qwen2_5_VLForConditionalGeneration(tf.Qwen2_5_VLConfig(
        text_config={'hidden_size': 32, 'intermediate_size': 32, 'num_hidden_layers': 1,
                     'num_attention_heads': 2, 'num_key_value_heads': 1,
                     'vocab_size': len(tokenizer) + 8, 'max_position_embeddings': 2048,
                     'rope_parameters': {'rope_type': 'default', 'rope_theta': 10000.0,
                                         'mrope_section': [2, 3, 3]}},
        vision_config={'depth': 1, 'hidden_size': 16, 'intermediate_size': 32, 'num_heads': 2,
                       'patch_size': 14, 'out_hidden_size': 32, 'window_size': 56,
                       'fullatt_block_indexes': [0]},
        image_token_id=ids['image_pad'], video_token_id=ids['video_pad'],
        vision_start_token_id=ids['vision_start'], vision_end_token_id=ids['vision_end']))
    images = tf.Qwen2VLImageProcessor(size={'shortest_edge': 56 * 56, 'longest_edge': 112 * 112})
    processor = tf.Qwen2_5_VLProcessor(images, tokenizer, tf.Qwen2VLVideoProcessor(),
                                       chat_template=TEMPLATE)
    return Pretrained(spread(model), processor)
