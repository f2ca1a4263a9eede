"""A profile named by its path: fetched over a line that is cut, verified, used; no code needed."""
import hashlib
import json

import numpy as np
import pytest
from weights_server import Server

torch = pytest.importorskip('torch')
for needed in ('spacy', 'cv2', 'PIL', 'safetensors'):
    pytest.importorskip(needed)

from PIL import Image

from ris_ros.cli import models as command
from ris_ros.cli.main import main

CLIP = {'embed_dim': 16, 'quick_gelu': True,
        'vision_cfg': {'image_size': 32, 'patch_size': 8, 'width': 64, 'layers': 4},
        'text_cfg': {'context_length': 77, 'vocab_size': 49408, 'width': 16, 'heads': 2,
                     'layers': 1}}
SAM = {'image_size': 128, 'patch_size': 16, 'prompt_dim': 32, 'mask_in_chans': 8,
       'tiny': {'embed_dims': [8, 16, 20, 40], 'depths': [1, 1, 1, 1], 'num_heads': [1, 2, 4, 5],
                'window_sizes': [3, 3, 5, 3], 'strides': [2, 2, 1]},
       'decoder': {'depth': 1, 'num_heads': 2, 'mlp_dim': 64, 'iou_head_hidden_dim': 32}}


def clip_archive(path):
    """Write a CLIP as OpenAI's archives are: half precision, its sizes beside the weights."""
    from ris_ros.models.clip import build_clip

    class Archive(torch.nn.Module):
        def __init__(self, state):
            super().__init__()
            for name, value in state.items():
                parent = self
                *above, last = name.split('.')
                for part in above:
                    if not hasattr(parent, part):
                        parent.add_module(part, torch.nn.Module())
                    parent = getattr(parent, part)
                parent.register_buffer(last, value)

        def forward(self):
            return 0
    torch.manual_seed(0)
    state = {k: v.half() if v.is_floating_point() else v
             for k, v in build_clip(CLIP).state_dict().items()}
    sizes = {'input_resolution': 32, 'context_length': 77, 'vocab_size': 49408}
    torch.jit.save(torch.jit.script(Archive(
        {**state, **{k: torch.tensor(v) for k, v in sizes.items()}})), path)


def sam_file(path):
    from ris_ros.models.sam import build_sam
    torch.manual_seed(0)
    sam = build_sam(SAM)
    with torch.no_grad():
        sam.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.9)
    torch.save(sam.state_dict(), path)


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp('published')
    clip_archive(folder / 'ViT-B-16.pt')
    sam_file(folder / 'mobile_sam.pt')
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_from_a_server_to_an_answer(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, 'RETRIES', 0)
    monkeypatch.delenv('RIS_OFFLINE', raising=False)
    monkeypatch.setenv('RIS_ARCHITECTURE_DIR', str(tmp_path / 'architectures'))
    (tmp_path / 'architectures').mkdir()
    for name, kind, config in (('small_clip', 'clip', CLIP), ('small_sam', 'sam', SAM)):
        (tmp_path / 'architectures' / f'{name}.json').write_text(
            json.dumps({'kind': kind, 'config': config}))
    weights, profile = tmp_path / 'weights', tmp_path / 'mine.json'
    weights.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(
        tmp_path / 'i.png')
    with Server(dict(published), mode='cut') as server:
        networks = {role: {
            'name': f'my_{role}', 'kind': role, 'file': file, 'format': form, 'config': config,
            'url': f'{server.url}/{file}', 'licence': 'MIT',
            'sha256': hashlib.sha256(published[file]).hexdigest(), 'bytes': len(published[file])}
            for role, file, form, config in (
                ('clip', 'ViT-B-16.pt', 'torchscript', 'small_clip'),
                ('sam', 'mobile_sam.pt', 'torch', 'small_sam'))}
        profile.write_text(json.dumps({'extends': 'robot', 'networks': networks, 'settings': {
            'hybridgl': {'start_block': 1, 'gem_blocks': 1, 'pred_iou_thresh': 0.0,
                         'stability_score_thresh': 0.0, 'min_mask_region_area': 0,
                         'points_per_side': 2}}}))
        asked = ['my_clip', 'my_sam', '--model-dir', str(weights)]
        first = ['models', 'fetch', str(profile), '--model-dir', str(weights), '--offline']
        assert main(first) == 1, 'says what is missing'
        assert 'my_clip is not on this machine' in capsys.readouterr().err
        store = command.WeightStore(weights)
        store.entries.update(command.get_profile(str(profile)).entries)
        monkeypatch.setattr(command, 'WeightStore', lambda folder: store)
        assert main(['models', 'fetch', *asked]) == 1   # the first file is cut
        said = capsys.readouterr()
        assert 'my_clip' in said.err and 'to continue' in said.err and 'my_sam: ' in said.out
        assert main(['models', 'fetch', *asked]) == 0
        assert 'licence: MIT' in capsys.readouterr().err
        ranges = [wanted for path, wanted in server.asked if path == 'ViT-B-16.pt']
        assert ranges[0] is None and ranges[1].startswith('bytes='), 'continued'
    assert main(['models', 'verify', *asked]) == 0
    assert sorted(p.name for p in weights.iterdir()) == [
        'ViT-B-16.json', 'ViT-B-16.safetensors', 'mobile_sam.json', 'mobile_sam.safetensors']
    capsys.readouterr()
    segment = ['segment', str(tmp_path / 'i.png'), 'the box on the right', '--profile',
               str(profile), '--method', 'hybridgl', '--device', 'cpu', '--model-dir',
               str(weights), '--json']
    assert main(segment) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['candidates'] and told['outcome'] in ('SUCCEEDED_2D', 'AMBIGUOUS', 'NO_MATCH')
    good = (weights / 'mobile_sam.safetensors').read_bytes()
    (weights / 'mobile_sam.safetensors').write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert main(segment) == 1, 'the server is gone, and nothing damaged is used'
    assert 'mobile_sam.safetensors is damaged' in capsys.readouterr().err
