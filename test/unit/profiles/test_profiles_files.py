"""A profile is a file: shipped, a user's own beside it, or anywhere by its path."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ris_ros.methods.profile_settings import check_settings
from ris_ros.methods.registry import methods
from ris_ros.models import weights
from ris_ros.models.data_files import SHIPPED_DATA
from ris_ros.profiles import Profile, all_profiles, get_profile
from ris_ros.types import BadInputError

YAML = """\
extends: robot
help: our kitchen
networks:
  sam: sam_vit_h
  scorer: clip_vit_b_32
settings:
  "*": {points_per_side: 24, score_threshold: 0.3}
  tas: {mask_filter: "off"}
devices: {sam: "cuda:0"}
precisions: {sam_vit_h: bf16}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return a function that writes a profile into the user's folder."""
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))
    monkeypatch.delenv('RIS_PROFILE_DIR', raising=False)
    folder = tmp_path / 'config' / 'ris_ros' / 'profiles'
    folder.mkdir(parents=True)

    def write(content, name='kitchen.yaml'):
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path
    return write


def checked(name):
    """Return a profile after all checks that a user of it goes through."""
    profile = get_profile(name)
    check_settings(profile, methods())
    return profile


@pytest.mark.parametrize('name', ['tabletop', 'paper', 'robot'])
def test_shipped_profiles_are_whole(name):
    assert all_profiles()[name] == checked(name)
    assert Path(get_profile(name).origin) == SHIPPED_DATA / 'profiles' / f'{name}.json'


def test_a_users_own_profile_extends_a_shipped_one(own):
    own(YAML)
    robot, kitchen = get_profile('robot'), checked('kitchen')
    assert kitchen.networks == {**robot.networks, 'sam': 'sam_vit_h', 'scorer': 'clip_vit_b_32'}
    assert kitchen.settings['iterprime'] == robot.settings['iterprime'], 'inherited'
    assert kitchen.overrides('tas', {'mask_filter', 'points_per_side'}) == {
        'mask_filter': 'off', 'points_per_side': 24}
    assert kitchen.devices == {'sam': 'cuda:0'} and kitchen.precisions == {'sam_vit_h': 'bf16'}
    assert kitchen.help == 'our kitchen' and list(all_profiles())[-1] == 'kitchen'


def test_the_folder_of_the_environment_and_a_path(own, tmp_path, monkeypatch):
    (tmp_path / 'more').mkdir()
    path = tmp_path / 'more' / 'lab.yml'
    path.write_text(YAML)
    with pytest.raises(BadInputError, match=r'unknown profile .lab.; there are: modern, paper, '
                                            'robot, tabletop; one of your own is a file lab.yaml'):
        get_profile('lab')
    by_path = get_profile(path)
    assert by_path.name == 'lab' and by_path.networks['sam'] == 'sam_vit_h'
    monkeypatch.setenv('RIS_PROFILE_DIR', str(tmp_path / 'more'))
    assert get_profile('lab') == by_path
    own(YAML, 'lab.json.bak')  # no profile by its name
    with pytest.raises(BadInputError, match=r'RIS_PROFILE_DIR names .*nothing, which is no'):
        monkeypatch.setenv('RIS_PROFILE_DIR', str(tmp_path / 'nothing'))
        get_profile('robot')


def test_no_name_hides_another(own, tmp_path, monkeypatch):
    path = own({'extends': 'paper'}, 'tabletop.json')
    with pytest.raises(BadInputError, match=f'tabletop.json and in {path}; rename the second'):
        get_profile('tabletop')
    with pytest.raises(BadInputError, match=r'has the name of the profile in .*; rename the file'):
        get_profile(str(path))
    assert get_profile('paper').name == 'paper', 'others are not touched'
    with pytest.raises(BadInputError, match='rename the second'):
        all_profiles()
    path.unlink()
    assert get_profile(str(SHIPPED_DATA / 'profiles' / 'tabletop.json')).name == 'tabletop'
    own({}, 'lab.json')
    own('', 'lab.yaml')
    with pytest.raises(BadInputError, match=r"'lab' stands in .*lab.json and in .*lab.yaml"):
        get_profile('lab')


WRONG = {
    'network: {}': r'network: unknown key; did you mean networks\?',
    'networks: [clip]': 'networks: must be a mapping, not a list',
    'networks:': 'networks: must be a mapping, not nothing',
    'networks: {clip: 3}': 'networks.clip: must be text, not 3',
    'networks: {3: clip_rn50}': 'networks.3: must be text, not 3',
    'networks: {clip: clip_rn5}': r"networks.clip: unknown network 'clip_rn5'; did you mean",
    'networks: {clip: sam_vit_b}': 'networks.clip: sam_vit_b is of kind sam, not clip',
    'networks: {scorer: git_base_coco}': 'networks.scorer: .* of kind caption, not clip or itc',
    'networks: {cilp: clip_rn50}': 'networks.cilp: unknown role',
    'networks: {dpt_clip: sam_vit_b}': 'networks.dpt_clip: .* kind sam, not clip',
    'networks: {sam: {kind: sam, file: a.pth}}': 'networks.sam: .* needs format',
    'networks: {sam: {kind: sma, file: a, format: torch}}': "networks.sam.kind: .* 'sma'",
    'networks: {sam: {kind: sam, file: a, format: pickle}}': 'networks.sam.format: must be one',
    'networks: {sam: {kind: sam, file: a, fomat: torch}}': 'networks.sam.fomat: .* mean format',
    'networks: {sam: {kind: sam, file: 1, format: torch}}': 'networks.sam.file: must be text',
    'networks: {sam: {name: clip_rn50, kind: sam, file: a, format: torch}}':
        'networks.sam.name: clip_rn50 is a network of the manifest already',
    'settings: {tas: 3}': 'settings.tas: must be a mapping, not 3',
    'settings: {taz: {}}': r'settings.taz: unknown method; did you mean tas\?',
    'settings: {tas: {mask_filer: "on"}}': 'settings.tas.mask_filer: .* mean mask_filter',
    'settings: {tas: {mask_filter: off}}': 'settings.tas.mask_filter: .* not False; YAML reads on',
    'settings: {tas: {match_width: 1e-3}}': "settings.tas.match_width: .* '1e-3'; YAML reads 1e-3",
    'settings: {tas: {match_width: 7}}': r'settings.tas.match_width: .* must lie in \[0.0001, 1\]',
    'settings: {tas: {beams: [1]}}': 'settings.tas.beams: must be a number, .* not a list',
    'settings: {"*": {point_per_side: 8}}': r'settings.\*.point_per_side: .* mean points_per_side',
    'settings: {"*": {points_per_side: 0}}': r'settings.\*.points_per_side: .* must lie in',
    'devices: {clip: cuda:x}': "devices.clip: device must be .* not 'cuda:x'",
    'devices: {clip: mps}': "devices.clip: device 'mps' is not supported",
    'devices: {slam: cpu}': r'devices.slam: no role .*; did you mean sam\?',
    'precisions: {clip: int8}': "precisions.clip: must be one of fp32, bf16, fp16, not 'int8'",
    'sentence_threads: -1': 'sentence_threads: must be 0 .* not -1',
    'sentence_threads: true': 'sentence_threads: must be a whole number, not True',
    'help: 3': 'help: must be text',
    'extends: robt': "extends: unknown profile 'robt'",
    'extends: [robot]': 'extends: must be the name or the path',
}


@pytest.mark.parametrize('content', WRONG)
def test_a_wrong_file_is_one_error_with_file_and_key(content, own):
    path = own(content if 'extends' in content else f'extends: robot\n{content}')
    with pytest.raises(BadInputError, match=WRONG[content]) as error:
        checked('kitchen')
    assert str(path) in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('content, said', [
    ('help: a\nhelp: b', "'help' stands there twice"),
    ('settings: {tas: {beams: 1, beams: 2}}', "'beams' stands there twice"),
    ('- a\n- b', 'must hold one mapping'), ('3', 'must hold one mapping'),
    ('{[: ', 'cannot read the profile'), ('true: 3', 'must hold one mapping'),
    ('help: !!python/object/apply:os.system ["true"]', 'cannot read the profile'),
    ('a: ' * 5000, 'cannot read the profile'), ('[' * 100_000, 'cannot read the profile'),
    ('#' * (1 << 20) + '\n', 'larger than 1 MiB')])
def test_files_that_cannot_be_read(content, said, own):
    path = own(content)
    with pytest.raises(BadInputError, match=said) as error:
        get_profile('kitchen')
    assert str(path) in str(error.value)


@pytest.mark.parametrize('content, said', [
    ('{"help": "a", "help": "b"}', "'help' stands there twice"), ('{', 'cannot read'),
    ('[]', 'one mapping'), ('[' * 100_000, 'cannot read'), ('\xff', 'no text in UTF-8')])
def test_json_files_that_cannot_be_read(content, said, own):
    own('', 'x.json').write_bytes(content.encode('latin-1'))
    with pytest.raises(BadInputError, match=said):
        get_profile('x')


def test_merged_mappings_of_yaml_say_nothing_twice(own):
    own('notes: &a {x: 1, y: 2}\nsettings: {tas: &b {beams: 3}, '
        'text_only: {<<: *b, max_new_tokens: 7}}')
    assert checked('kitchen').settings['text_only'] == {'beams': 3, 'max_new_tokens': 7}


def test_extending_in_a_circle_is_said(own):
    own('extends: ../profiles/b.yaml', 'a.yaml')
    own('extends: ../profiles/a.yaml', 'b.yaml')
    own('extends: c', 'c.yaml')
    for name in 'abc':
        with pytest.raises(BadInputError, match='goes round in a circle'):
            get_profile(name)


def test_a_path_that_is_extended_is_read_from_its_file(own, tmp_path, monkeypatch):
    own('extends: parts/base.yaml')
    (own('', 'x.yaml').parent / 'parts').mkdir()
    own('extends: robot\nsentence_threads: 3', 'parts/base.yaml')
    monkeypatch.chdir(tmp_path)
    assert get_profile('kitchen').sentence_threads == 3


def test_a_profile_brings_networks_of_its_own(own):
    path = own('extends: tabletop\nnetworks:\n'
               '  sam: {kind: sam, file: my_sam.safetensors, format: safetensors}')
    profile = get_profile('kitchen')
    assert profile.networks['sam'] == 'kitchen.sam'
    assert profile.entries['kitchen.sam'] == weights.Entry(
        'kitchen.sam', 'sam', 'my_sam.safetensors', 'safetensors', folder=str(path.parent))


def test_a_profile_made_in_python_is_checked_by_its_name():
    profile = Profile('mine', '', {}, {'tas': {'alhpa': 0.5}})
    with pytest.raises(BadInputError, match=r'the profile mine: settings.tas.alhpa: .* alpha'):
        check_settings(profile, methods())


def test_light_commands_need_numpy_alone():
    """No YAML, no torch: shipped profiles are JSON so that these run in a bare installation."""
    script = """
import sys
heavy = ('yaml', 'torch', 'transformers', 'open_clip', 'safetensors', 'PIL', 'scipy', 'cv2')
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in heavy:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Absent())
from ris_ros.cli.main import main
from ris_ros.profiles import all_profiles, Networks
assert set(all_profiles()) >= {'tabletop', 'paper', 'robot'}
Networks(all_profiles()['tabletop'], 'cpu')
sys.exit(main(sys.argv[1:]))
"""
    for arguments in (['methods'], ['methods', 'hybridgl', '--json'], ['models', 'list'],
                      ['segment', '--help'], ['parse', 'the red mug', '--json']):
        done = subprocess.run([sys.executable, '-c', script, *arguments], capture_output=True,
                              text=True, timeout=120)
        assert done.returncode == 0, done.stderr


def test_the_example_of_the_readme(own):
    readme = (Path(__file__).parents[3] / 'README.md').read_text(encoding='utf-8')
    example = readme.split('<!-- own profile')[1].split('```yaml\n')[1].split('```')[0]
    path = own(example)
    profile = checked('kitchen')
    assert profile.networks == {'clip': 'kitchen.clip', 'sam': 'sam_vit_h', 'caption': 'blip_base',
                                'matcher': 'blip_itm_base',
                                'vocabulary': 'bert_vocabulary', 'pcnet_clip': 'clip_rn50'}
    assert profile.entries['kitchen.clip'].folder == str(path.parent)
    assert profile.devices == {'sam': 'cuda:0', 'clip': 'cpu'}
    assert profile.overrides('tas', {'points_per_side', 'mask_filter'}) == {
        'points_per_side': 16, 'mask_filter': 'off'}
