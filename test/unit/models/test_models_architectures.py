"""Architectures are files with one reader, which knows a wrong field from a right one."""
import json

import pytest

from ris_ros.models.architectures import architecture, architectures
from ris_ros.models.sam import SamConfig
from ris_ros.types import BadInputError


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'none'))
    monkeypatch.setenv('RIS_ARCHITECTURE_DIR', str(tmp_path))

    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path
    return write


def test_the_published_ones_are_there_by_kind():
    assert architectures('clip') == ['RN50', 'ViT-B-16', 'ViT-B-32', 'ViT-L-14']
    assert architectures('sam') == ['vit_b', 'vit_h', 'vit_l', 'vit_t']
    assert architectures('matcher') == ['albef', 'blip_base']
    assert architectures('mask2former') == ['swin_l_panoptic'] and architectures('none') == []


def test_the_published_sam_is_the_default_and_its_file_says_all():
    assert SamConfig.from_dict(architecture('vit_b', 'sam')) == SamConfig()
    for name in ('vit_b', 'vit_h', 'vit_l'):
        assert SamConfig.from_dict(architecture(name, 'sam')).to_dict() == {
            **architecture(name, 'sam'),
            'encoder': {**architecture(name, 'sam')['encoder'], 'global_attn_indexes': tuple(
                architecture(name, 'sam')['encoder']['global_attn_indexes'])}}


def test_parameters_of_the_manifest_are_those_of_the_networks():
    """From which `ris models list` says how much memory the weights take."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('transformers')
    from ris_ros.models.albef import Albef, AlbefConfig
    from ris_ros.models.clip import build_clip
    from ris_ros.models.mask2former import network_config
    from ris_ros.models.sam import build_sam
    from ris_ros.models.weights import read_manifest
    build = {'clip': build_clip, 'sam': build_sam,
             'matcher': lambda c: Albef(AlbefConfig.from_dict(c)),
             'mask2former': lambda c: __import__(
                 'transformers').Mask2FormerForUniversalSegmentation(network_config(c))}
    with torch.device('meta'):
        for entry in (e for e in read_manifest().values() if e.config):
            network = build[entry.kind](architecture(entry.config, entry.kind))
            assert sum(p.numel() for p in network.parameters()) == entry.parameters, entry.name


def test_the_published_matchers():
    pytest.importorskip('torch')
    from ris_ros.models.albef import AlbefConfig
    assert AlbefConfig.from_dict(architecture('albef', 'matcher')) == AlbefConfig()
    blip = AlbefConfig.from_dict(architecture('blip_base', 'matcher'))
    assert (blip.fusion_layer, blip.separator, blip.image_size) == (0, True, 384)


def test_the_published_mask2former_is_facebooks():
    pytest.importorskip('transformers')
    from ris_ros.models.mask2former import network_config
    config = network_config(architecture('swin_l_panoptic', 'mask2former'))
    assert (config.num_queries, config.num_labels) == (200, 133)
    assert config.backbone_config.depths == [2, 2, 18, 2]
    with pytest.raises(BadInputError, match='nun_queries'):
        network_config({**architecture('swin_l_panoptic', 'mask2former'), 'nun_queries': 3})
    with pytest.raises(BadInputError, match='widow_size'):
        network_config({'backbone_config': {'widow_size': 7}})


def test_a_users_own_stands_beside_the_shipped_ones(own):
    own('tiny.json', {'kind': 'sam', 'config': {'image_size': 64}})
    own('tiny2.yaml', 'kind: sam\nconfig: {image_size: 32}\n')
    assert architecture('tiny', 'sam') == {'image_size': 64}
    assert architecture('tiny2', 'sam') == {'image_size': 32}
    assert architectures('sam')[-2:] == ['tiny', 'tiny2']
    with pytest.raises(BadInputError, match='tiny is of kind sam, not clip'):
        architecture('tiny', 'clip')
    with pytest.raises(BadInputError, match="unknown architecture 'tinny'; there are: RN50"):
        architecture('tinny', 'sam')
    own('vit_b.json', {'kind': 'sam', 'config': {}})
    with pytest.raises(BadInputError, match=r"'vit_b' stands in .* rename the second"):
        architecture('vit_b', 'sam')


@pytest.mark.parametrize('content, said', [
    ({'kind': 'sam'}, 'config must be there'), ({'config': {}}, 'kind must be there'),
    ({'kind': 'sam', 'config': {}, 'sauce': ''}, "unknown key 'sauce'"),
    ({'kind': 'sam', 'config': []}, 'config must be there and be of type dict'),
    ({'kind': 'sam', 'config': {}, 'source': 3}, 'source must'), ('[]', 'one mapping'),
    ('{"kind": "sam", "kind": "clip"}', 'stands there twice')])
def test_wrong_files(content, said, own):
    path = own('bad.json', content)
    with pytest.raises(BadInputError, match=said) as error:
        architecture('bad', 'sam')
    assert str(path) in str(error.value)


@pytest.mark.parametrize('data, said', [
    ({'image_size': '64'}, "image_size in the SAM configuration must be of type int, not '64'"),
    ({'image_size': True}, 'image_size'), ({'image_size': 64.0}, 'image_size'),
    ({'encoder': {'global_attn_indexes': [1, 'x']}}, 'global_attn_indexes in the SAM encoder'),
    ({'encoder': {'mlp_ratio': '4'}}, 'mlp_ratio'), ({'encoder': [3]}, 'must be a mapping'),
    ({'encoder': {'dept': 3}}, "unknown field in the SAM encoder: .'dept'"),
    ({'decoder': {'depth': None}}, 'depth in the SAM decoder must be of type int, not None')])
def test_sizes_are_checked_by_name_and_type(data, said):
    with pytest.raises(BadInputError, match=said):
        SamConfig.from_dict(data)


def test_whole_numbers_do_for_ratios():
    assert SamConfig.from_dict({'encoder': {'mlp_ratio': 3}}).encoder.mlp_ratio == 3
