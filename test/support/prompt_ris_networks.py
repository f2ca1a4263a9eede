"""Small Prompt-RIS networks with random weights."""
import torch

from ris_ros.methods.prompt_ris.config import NetworkConfig
from ris_ros.models.clip import build_clip
from ris_ros.models.sam import SamConfig, SamDecoderConfig, SamEncoderConfig, build_sam

WORDS = ['the', 'red', 'blue', 'mug', 'bowl', 'left', 'of', 'on', 'big', 'small']
CLIP = {'embed_dim': 24, 'quick_gelu': False,
        'vision_cfg': {'image_size': 64, 'patch_size': 16, 'width': 32, 'layers': 3,
                       'head_width': 8, 'mlp_ratio': 2.0},
        'text_cfg': {'context_length': 12, 'width': 24, 'heads': 4, 'layers': 3},
        'vocabulary': WORDS}
SAM = SamConfig(image_size=64, patch_size=8,
                encoder=SamEncoderConfig(embed_dim=16, depth=2, num_heads=2,
                                         global_attn_indexes=(1,), window_size=4,
                                         use_rel_pos=False, mlp_ratio=2.0),
                prompt_dim=32, mask_in_chans=4,
                decoder=SamDecoderConfig(depth=2, num_heads=4, mlp_dim=48, iou_head_depth=2,
                                         iou_head_hidden_dim=32))
CONFIG = NetworkConfig(image_size=64, prompts=4, prompt_heads=4, text_length=12, coarse_width=32,
                       coarse_heads=4, text_heads=4)


def clip_config(**changes):
    """Return the configuration of the CLIP; layers=(image, text) changes the depths."""
    layers = changes.pop('layers', None)
    config = {**CLIP, 'vision_cfg': dict(CLIP['vision_cfg']), 'text_cfg': dict(CLIP['text_cfg']),
              **changes}
    if layers:
        config['vision_cfg']['layers'], config['text_cfg']['layers'] = layers
    return config


def small_sam(seed=0):
    """Return a SAM whose every part has random weights, position encoding included."""
    torch.manual_seed(seed)
    return build_sam(SAM).eval()


def small_network(config=CONFIG, clip=None, seed=0, random_prompts=True):
    """Return a network in evaluation mode; random_prompts: they do depend on the features."""
    from ris_ros.methods.prompt_ris.network import PromptRis
    torch.manual_seed(seed)
    network = PromptRis(build_clip(clip or clip_config()), small_sam(seed), config).eval()
    if random_prompts:
        for prompter in [*network.prompting.v2l, *network.prompting.l2v]:
            torch.nn.init.normal_(prompter.attention.out.weight, std=0.3)
            torch.nn.init.normal_(prompter.tokens)
    return network


def tokens_of(texts, length=None, clip=None):
    """Return the token ids of texts, cut to the longest or to `length`."""
    from ris_ros.models.clip import tokenizer_for
    ids = tokenizer_for(clip or clip_config())(texts)
    return ids[:, :length or int((ids != 0).sum(dim=1).max())]
