"""`ris profiles`, and that every command hands on which networks were asked for."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets_fixtures import refer_folder
from eval_fakes import FakeSpec

from ris_ros.cli import eval as eval_cli
from ris_ros.cli.main import main
from ris_ros.evaluation import evaluate
from ris_ros.evaluation.evaluate import SegmenterSpec


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch) -> Path:
    """A user's own profile."""
    folder = tmp_path / 'config' / 'ris_ros' / 'profiles'
    folder.mkdir(parents=True)
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))
    monkeypatch.delenv('RIS_PROFILE_DIR', raising=False)
    monkeypatch.delenv('RIS_MODEL_DIR', raising=False)
    path = folder / 'kitchen.json'
    path.write_text(json.dumps({'extends': 'tabletop', 'help': 'ours',
                                'settings': {'tas': {'alpha': 0.3}}}))
    return path


def test_profiles_are_listed_and_shown(kitchen: Path, capsys) -> None:
    assert main(['profiles']) == 0
    out = capsys.readouterr().out
    assert f'kitchen: ours\n    {kitchen}\n' in out and 'robot: CLIP' in out
    assert main(['profiles', 'kitchen']) == 0
    out = capsys.readouterr().out
    assert '  settings.tas.alpha: 0.3\n' in out and '  networks.sam: tabletop_sam\n' in out
    assert main(['profiles', str(kitchen), '--json']) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown['settings']['tas']['alpha'] == 0.3 and shown['origin'] == str(kitchen)
    assert main(['profiles', '--json']) == 0
    assert {p['name'] for p in json.loads(capsys.readouterr().out)} == {
        'kitchen', 'modern', 'paper', 'robot', 'tabletop'}


def test_a_wrong_profile_is_bad_input(kitchen: Path, capsys) -> None:
    kitchen.write_text('{"settings": {"tas": {"alhpa": 0.3}}}')
    for arguments in (['profiles'], ['profiles', 'kitchen'], ['profiles', str(kitchen)]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith(f'ris: the profile {kitchen}: settings.tas.alhpa: ')
    assert main(['models', 'fetch', 'kitchn']) == 2
    assert "'kitchn' is neither a network nor a profile" in capsys.readouterr().err


def test_models_of_a_users_own_profile(kitchen: Path, capsys) -> None:
    by_name, by_path = (main(['models', 'verify', name]) for name in ('kitchen', str(kitchen)))
    out, err = capsys.readouterr()
    assert out.count('tabletop_sam: whole') == 2
    # What the profile names and is not there yet is said, and is a failure.
    assert by_name == by_path == (1 if 'are not in' in err else 0)
    assert all('train them with: ris train' in line for line in err.splitlines())


@pytest.fixture
def asked(monkeypatch, tmp_path: Path) -> list[SegmenterSpec]:
    """Collect what `ris eval` builds its predictor of."""
    found: list[SegmenterSpec] = []

    def spec(**options):
        found.append(SegmenterSpec(**options))
        return FakeSpec()
    monkeypatch.setattr(eval_cli, 'SegmenterSpec', spec)
    monkeypatch.setattr(evaluate, 'SegmenterSpec', spec)
    monkeypatch.chdir(tmp_path)
    return found


def test_eval_says_which_networks_it_used(kitchen: Path, asked, tmp_path: Path, capsys) -> None:
    root = refer_folder(tmp_path / 'data')
    arguments = ['eval', 'refcoco', '--root', str(root), '--split', 'test', '--quiet', '--json',
                 'a.json', '--profile', str(kitchen), '--method', 'tas', '--pipeline', 'shipped']
    more = ['--device', 'cpu', '--precision', 'fp32,sam=bf16', '--model-dir', str(tmp_path)]
    assert main([*arguments, *more]) == 0
    assert asked[0] == SegmenterSpec(str(kitchen), 'tas', 'cpu', {}, 'fp32,sam=bf16',
                                     str(tmp_path), 'shipped', 'expression')
    document = json.loads(Path('a.json').read_text())
    assert (document['profile'], document['precision'], document['device'],
            document['model_dir']) == ('kitchen', 'fp32,sam=bf16', 'cpu', str(tmp_path))
    assert document['pipeline'].startswith('shipped ') and document['reader'] == 'expression'
    digest = document['profile_digest']
    kitchen.write_text(kitchen.read_text().replace('ours', 'mine'))
    assert main([*arguments, *more, '--reuse']) == 0, 'the same networks and settings'
    kitchen.write_text(kitchen.read_text().replace('0.3', '0.4'))
    capsys.readouterr()
    assert main([*arguments, *more, '--reuse']) == 2, 'answers of two profiles are not mixed'
    assert 'profile_digest' in capsys.readouterr().err
    assert main([*arguments, *more, '--fresh']) == 0
    assert json.loads(Path('a.json').read_text())['profile_digest'] != digest


def test_bench_says_which_networks_it_used(kitchen: Path, asked, tmp_path: Path, capsys,
                                           monkeypatch) -> None:
    from ris_ros.evaluation import bench
    monkeypatch.setattr(bench, 'run_bench', lambda spec, images, repeats: {'ran': True})
    monkeypatch.setattr(bench, 'tabletop_images', lambda scenes: [])
    assert main(['bench', 'tas', '--profile', 'kitchen', '--device', 'cpu,sam=cpu',
                 '--precision', 'bf16', '--model-dir', str(tmp_path), '--json',
                 '--pipeline', 'shipped']) == 0
    assert asked == [SegmenterSpec('kitchen', 'tas', 'cpu,sam=cpu', {}, 'bf16',
                                   str(tmp_path), 'shipped')]
    document = json.loads(capsys.readouterr().out)
    assert document['precision'] == 'bf16' and document['profile'] == 'kitchen'
    assert document['pipeline'].startswith('shipped ')


@pytest.mark.parametrize('arguments, said', [
    (['--device', 'cuda:7'], ('no usable GPU', 'there is no GPU 7')),
    (['--precision', 'fp32,slam=bf16'], ('precision slam=bf16',)),
    (['--profile', 'none.yaml'], ('none.yaml is missing',)),
    (['--model-dir', 'nowhere'], ('nowhere is not a folder',))])
def test_segment_refuses_networks_that_cannot_be(arguments, said, tmp_path: Path, capsys,
                                                 monkeypatch) -> None:
    image = pytest.importorskip('PIL.Image')
    pytest.importorskip('torch')
    monkeypatch.chdir(tmp_path)
    image.new('RGB', (8, 8)).save('a.png')
    assert main(['segment', 'a.png', 'the mug', *arguments]) == 2
    err = capsys.readouterr().err
    assert any(text in err for text in said) and err.count('\n') == 1
