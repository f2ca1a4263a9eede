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


def proposer(**changes):
    """Return a proposer over a small random SAM, some of whose proposals pass."""
    from small_networks import SAM

    from ris_ros.models.options import ProposalSettings
    from ris_ros.models.proposals import SamProposer
    from ris_ros.models.sam import build_sam
    torch.manual_seed(0)
    sam = build_sam(SAM)
    with torch.no_grad():
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(300)
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.8)
    return SamProposer(sam, ProposalSettings(**{'points_per_side': 4, 'min_mask_region_area': 20,
                                                **changes}))
