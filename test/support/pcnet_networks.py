"""A PCNet small enough for tests, and sentences it can read."""
import torch

from ris_ros.methods.pcnet.network import PCNet, PCNetConfig
from ris_ros.methods.pcnet.referring import Form

WORDS = ['a', 'ball', 'big', 'blue', 'bowl', 'box', 'green', 'left', 'mug', 'of', 'on', 'red',
         'right', 'small', 'the']
CLIP = {'embed_dim': 16, 'quick_gelu': True,
        'vision_cfg': {'layers': [1, 1, 1, 1], 'width': 8, 'image_size': 64},
        'text_cfg': {'context_length': 12, 'width': 16, 'heads': 2, 'layers': 1},
        'vocabulary': WORDS}


def config(**changes):
    form = Form(**changes.pop('form', {}))
    return PCNetConfig(**{'clip': CLIP, 'channels': 16, 'stages': 3, 'image_size': 64,
                          'stride': 16, 'text_length': 12, 'form': form, **changes})


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return PCNet(config(**changes)).eval()
