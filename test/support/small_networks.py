"""Small random networks in the tabletop profile's places, as files of a model folder."""
from __future__ import annotations

import hashlib
import json

import pytest

CLIP = {'embed_dim': 16, 'quick_gelu': True,
        'vision_cfg': {'image_size': 64, 'patch_size': 8, 'width': 32, 'layers': 6,
                       'head_width': 16},
        'text_cfg': {'context_length': 12, 'width': 32, 'heads': 2, 'layers': 1},
        'vocabulary': ['bowl', 'left', 'mug', 'of', 'red', 'the']}
SAM = {'image_size': 160, 'patch_size': 8, 'prompt_dim': 32,
       'encoder': {'embed_dim': 32, 'depth': 2, 'num_heads': 2, 'global_attn_indexes': [1],
                   'window_size': 10, 'use_rel_pos': False},
       'decoder': {'depth': 1, 'num_heads': 2, 'mlp_dim': 64, 'iou_head_hidden_dim': 32}}

MATCHER = {'image_size': 64, 'patch': 8, 'vision_width': 16, 'vision_depth': 1, 'vision_heads': 2,
           'text_width': 16, 'text_layers': 6, 'fusion_layer': 2, 'heads': 2, 'intermediate': 32,
           'positions': 32, 'vocabulary': ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'there', 'is', 'a',
                                           'the', 'mug']}


def write(folder, name, model, config):
    safetensors = pytest.importorskip('safetensors.torch')
    path = folder / f'{name}.safetensors'
    safetensors.save_file(model.state_dict(), path)
    (folder / f'{name}.json').write_text(json.dumps({
        'config': config, 'sha256': hashlib.sha256(path.read_bytes()).hexdigest()}))


def seal(folder, name):
    """Note the SHA-256 of weights that were changed."""
    record = json.loads((folder / f'{name}.json').read_text())
    data = (folder / f'{name}.safetensors').read_bytes()
    record['sha256'] = hashlib.sha256(data).hexdigest()
    (folder / f'{name}.json').write_text(json.dumps(record))


def write_captioner(folder, name):
    pytest.importorskip('transformers')
    import transformers_folders

    from ris_ros.files import SUMS, write_sums
    transformers_folders.write(folder / name, 'git')
    write_sums(folder / name)
    (folder / f'{name}.json').write_text(json.dumps({
        'config': {}, 'sha256': hashlib.sha256((folder / name / SUMS).read_bytes()).hexdigest()}))


def write_clip_and_sam(folder):
    """Write the two; skips the test without their libraries."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('open_clip')
    pytest.importorskip('segment_anything')
    from ris_ros.models.clip import build_clip
    from ris_ros.models.sam import build_sam
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sam = build_sam(SAM)
    with torch.no_grad():  # so that some proposals survive the thresholds
        for mlp in sam.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(300)
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.8)
    write(folder, 'tabletop_clip', build_clip(CLIP), CLIP)
    write(folder, 'tabletop_sam', sam, SAM)


def write_matcher(folder, name):
    """Write an ALBEF with its vocabulary."""
    from ris_ros.models.albef import Albef, AlbefConfig
    sizes = {'vocab': len(MATCHER['vocabulary']), **MATCHER}
    del sizes['vocabulary']
    write(folder, name, Albef(AlbefConfig.from_dict(sizes)), {**MATCHER, 'vocab': sizes['vocab']})


def write_prompt_ris(folder, name):
    """Write a Prompt-RIS network with CLIP and SAM in it."""
    import prompt_ris_networks as small

    from ris_ros.methods.prompt_ris.calibration import Calibration
    from ris_ros.methods.prompt_ris.load import describe_network
    config = describe_network(small.CONFIG, small.clip_config(), small.SAM.to_dict(), {},
                              Calibration())
    write(folder, name, small.small_network(), config)


def prompt_ris_method():
    """Return Prompt-RIS over small random networks."""
    import prompt_ris_networks as small

    from ris_ros.methods.prompt_ris.method import PromptRisMethod
    from ris_ros.methods.prompt_ris.model import PromptRisModel
    return PromptRisMethod(PromptRisModel(small.small_network(), small.clip_config()))


def write_pcnet(folder, name, **changes):
    """Write a PCNet."""
    import pcnet_networks as small

    from ris_ros.methods.logistic import Logistic
    from ris_ros.methods.pcnet.load import describe_network
    network = small.network(**changes)
    write(folder, name, network, describe_network(network.config, Logistic(0.1, {'inside': 2.0})))


def pcnet_method():
    """Return PCNet over a small random network, with a small random SAM."""
    import pcnet_networks as small

    from ris_ros.methods.pcnet.method import PCNetMethod
    from ris_ros.methods.pcnet.model import PCNetModel
    return PCNetMethod(PCNetModel(small.network()), small.proposer())
