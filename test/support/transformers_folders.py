"""Folders as published for transformers, with tiny random networks inside."""
import json

import torch
import transformers as tf

WORDS = ['a', 'the', 'red', 'blue', 'mug', 'box', 'dog', 'on', 'table', 'photo', 'of', 'and']
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
VISION = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 1,
          'num_attention_heads': 2, 'image_size': 32, 'patch_size': 16}
TEXT = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 1,
        'num_attention_heads': 2, 'max_position_embeddings': 40}


def bert_tokenizer(folder):
    vocab = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]
    (folder / 'vocab.txt').write_text('\n'.join(vocab))
    tf.BertTokenizer(vocab=str(folder / 'vocab.txt')).save_pretrained(folder)
    return len(vocab)


def opt_tokenizer(folder):
    """A byte-level tokenizer as BLIP-2's: </s> begins, <image> stands for the picture."""
    vocab = {'<pad>': 1, '</s>': 2, '<unk>': 3, '\u010a': 4, '\u0120': 5, '!': 0}
    for letter in 'abcdefghijklmnopqrstuvwxyz':
        vocab[letter] = len(vocab)
    tokenizer = tf.GPT2Tokenizer(vocab=vocab, merges=[], bos_token='</s>', eos_token='</s>',
                                 unk_token='<unk>', pad_token='<pad>')
    tokenizer.add_special_tokens({'additional_special_tokens': ['<image>']})
    tokenizer.save_pretrained(folder)
    return len(tokenizer), tokenizer.convert_tokens_to_ids('<image>')


def write(folder, kind):
    """Write a network of one kind: git, blip, blip-2, blip-itc, blip-2-itc; return the model."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    if kind.startswith('blip-2'):
        model = blip2(folder, kind)
    else:
        size = bert_tokenizer(folder)
        tokens = {'vocab_size': size, 'pad_token_id': 0, 'bos_token_id': 2, 'eos_token_id': 3}
        if kind == 'git':
            model = tf.GitForCausalLM(tf.GitConfig(
                vision_config=VISION, **TEXT, **tokens))
        else:
            cls = tf.BlipForConditionalGeneration if kind == 'blip' else \
                tf.BlipForImageTextRetrieval
            model = cls(tf.BlipConfig(
                vision_config=VISION, projection_dim=8, image_text_hidden_size=8,
                text_config={**TEXT, **tokens, 'sep_token_id': 3, 'encoder_hidden_size': 16,
                             'projection_dim': 8}))
    # Far from zero, so that pictures matter.
    for name, value in model.named_parameters():
        if value.ndim > 1 and 'position' not in name:
            torch.nn.init.normal_(value, std=0.5)
    model.eval().save_pretrained(folder)
    size = {'height': 32, 'width': 32}
    picture = {'image_mean': MEAN, 'image_std': STD, 'size': size}
    if kind == 'git':
        picture |= {'do_center_crop': True, 'crop_size': size, 'size': {'shortest_edge': 32}}
    (folder / 'preprocessor_config.json').write_text(json.dumps(picture))
    return model


def blip2(folder, kind):
    qformer = {**TEXT, 'encoder_hidden_size': 16, 'cross_attention_frequency': 1}
    if kind == 'blip-2-itc':
        size = bert_tokenizer(folder)
        return tf.Blip2ForImageTextRetrieval(tf.Blip2Config(
            vision_config=VISION, num_query_tokens=4, image_text_hidden_size=8,
            qformer_config={**qformer, 'vocab_size': size, 'use_qformer_text_input': True}))
    size, image = opt_tokenizer(folder)
    return tf.Blip2ForConditionalGeneration(tf.Blip2Config(
        vision_config=VISION, qformer_config=qformer, num_query_tokens=4, image_token_index=image,
        text_config={'model_type': 'opt', 'vocab_size': size, 'hidden_size': 16,
                     'word_embed_proj_dim': 16, 'ffn_dim': 32, 'num_hidden_layers': 1,
                     'num_attention_heads': 2, 'max_position_embeddings': 64,
                     'bos_token_id': 2, 'eos_token_id': 4, 'pad_token_id': 1}))
