"""Every command that segments has the same options for method and networks, and hands them on."""
from __future__ import annotations

import argparse
import json
import pickle

import numpy as np
import pytest

pytest.importorskip('torch')
pil = pytest.importorskip('PIL.Image')

from ris_ros import arguments
from ris_ros.arguments import add_method_options, method_options, network_options
from ris_ros.cli import bench, segment
from ris_ros.cli import eval as eval_cli
from ris_ros.cli.main import main
from ris_ros.evaluation.evaluate import SegmenterSpec
from ris_ros.segmenter import Segmenter
from ris_ros.studies import ablations
from ris_ros.types import BadInputError

NETWORKS = {'--profile', '--device', '--precision', '--model-dir'}
METHOD = {*NETWORKS, '--rules', '--set'}


def parser_of(add_arguments) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser


def commands():
    yield 'ris segment', parser_of(segment.add_arguments), {*METHOD, '--method'}
    yield 'ris eval', parser_of(eval_cli.add_arguments), {*METHOD, '--method'}
    yield 'ris bench', parser_of(bench.add_arguments), METHOD
    yield 'scripts/ablations', ablations._parser(), NETWORKS   # rows say method and settings
    try:
        from ris_ros.demo.run import build_parser
    except ImportError:   # no ROS here
        return
    yield 'scripts/demo', build_parser(), {*METHOD, '--method'}


@pytest.mark.parametrize('name, parser, wanted', list(commands()), ids=lambda v: v if isinstance(
    v, str) else '')
def test_no_command_lacks_an_option(name, parser, wanted):
    def described(given: argparse.ArgumentParser) -> dict:
        return {option: (action.default, action.dest, action.help, action.choices)
                for action in given._actions for option in action.option_strings}
    expected = described(parser_of(add_method_options))
    assert wanted <= set(expected)
    for option in wanted:
        assert described(parser).get(option) == expected[option], f'{name} {option}'


def parsed(*words: str) -> argparse.Namespace:
    return parser_of(add_method_options).parse_args(words)


def test_options_become_arguments_of_the_segmenter(tmp_path, monkeypatch):
    monkeypatch.delenv('RIS_MODEL_DIR', raising=False)
    found = method_options(parsed('--set', 'beta=1.5', '--set', 'blur=off', '--rules', 'released',
                                  '--device', 'cpu', '--precision', 'bf16',
                                  '--model-dir', str(tmp_path / '.'), '--pipeline',
                                  'shipped'))
    assert found == {'method': 'hybridgl', 'pipeline': 'shipped', 'profile': 'tabletop',
                     'device': 'cpu',
                     'precision': 'bf16', 'model_dir': str(tmp_path.resolve()),
                     'settings': {'rules': 'released', 'beta': 1.5, 'blur': False}}
    assert method_options(parsed())['settings'] == {}
    assert method_options(parsed(), 'clip_only')['method'] == 'clip_only'
    with pytest.raises(BadInputError, match='rules'):   # it has one way only
        method_options(parsed('--method', 'clip_only', '--rules', 'released'))


def test_the_folder_that_the_environment_names_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv('RIS_MODEL_DIR', str(tmp_path))
    assert network_options(parsed('--device', 'cpu'))['model_dir'] == str(tmp_path.resolve())


BAD = [('--profile', 'magic'), ('--pipeline', 'en_core_web_nothing'), ('--device', 'tpu'),
       ('--precision', 'int4'),
       ('--precision', 'fp16', '--device', 'cpu'), ('--model-dir', '/nowhere'),
       ('--set', 'nothing=1'), ('--rules', 'released', '--method', 'clip_only')]


@pytest.mark.parametrize('words', BAD, ids=' '.join)
def test_bad_options_are_told_before_anything_long_begins(words, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(eval_cli, 'open_dataset', lambda *_: pytest.fail('too late'))
    monkeypatch.setattr('ris_ros.evaluation.bench.tabletop_images',
                        lambda *_: pytest.fail('too late'))
    assert main(['eval', 'tabletop', *words]) == 2
    if '--method' not in words:
        assert main(['bench', 'hybridgl', *words]) == 2
    out = capsys.readouterr()
    assert out.out == '' and all(line.startswith('ris: ') for line in out.err.splitlines())


def test_worker_processes_get_everything(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(Segmenter, 'from_profile', lambda *args, **kwargs: asked.update(
        kwargs, profile=args[0]))
    options = {'profile': 'robot', 'method': 'tas', 'device': 'cpu', 'precision': 'bf16',
               'model_dir': str(tmp_path), 'settings': {'captions': False}}
    pickle.loads(pickle.dumps(SegmenterSpec(**options))).build()
    assert {name: asked[name] for name in options} == options and asked['for_evaluation']


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'folder' / 'i.png'
    path.parent.mkdir()
    pil.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path)
    pil.fromarray(np.ones((40, 60), np.uint8)).save(path.parent / 'm.png')
    (path.parent / 'refs.json').write_text(json.dumps(
        [{'image': 'i.png', 'mask': 'm.png', 'expression': 'a cup'}]))
    return path


@pytest.mark.parametrize('workers', ['0', '1'])
def test_eval_looks_for_weights_where_it_is_told(picture, tmp_path, capsys, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    assert main(['eval', 'folder', '--root', str(picture.parent), '--workers', workers,
                 '--model-dir', str(tmp_path / 'empty'), '--quiet']) == 1
    assert f'not in {tmp_path / "empty"}' in capsys.readouterr().err.splitlines()[-1]


def test_bench_and_eval_say_under_what_they_measured(picture, tmp_path, capsys, monkeypatch):
    from eval_fakes import FakeSpec

    from ris_ros.evaluation import evaluate
    asked = []
    fake = lambda **options: (asked.append(options), FakeSpec())[1]   # noqa: E731
    monkeypatch.setattr(evaluate, 'SegmenterSpec', fake)
    monkeypatch.setattr(eval_cli, 'SegmenterSpec', fake)
    monkeypatch.chdir(tmp_path)
    said = ['--precision', 'bf16', '--device', 'cpu', '--model-dir', str(tmp_path)]
    expected = {'precision': 'bf16', 'device': 'cpu', 'model_dir': str(tmp_path.resolve())}
    assert main(['bench', 'hybridgl', '--image', str(picture), '--expression', 'x', '--json',
                 *said]) == 0
    document = json.loads(capsys.readouterr().out)
    assert expected.items() <= document.items() and expected.items() <= asked[0].items()
    assert main(['eval', 'folder', '--root', str(picture.parent), '--json', '--quiet',
                 *said]) == 0
    document = json.loads(capsys.readouterr().out)
    assert expected.items() <= document.items() and expected.items() <= asked[1].items()
    assert main(['eval', 'folder', '--root', str(picture.parent), '--json', '--quiet']) == 0
    assert len(list((tmp_path / 'ris_eval').iterdir())) == 2, 'other weights are another run'


def test_the_demo_hands_them_to_the_node(tmp_path):
    pytest.importorskip('rclpy')
    from ris_ros.demo import run as demo
    options = demo.build_parser().parse_args([
        '--method', 'tas', '--precision', 'bf16', '--device', 'cpu', '--model-dir', str(tmp_path),
        '--set', 'captions=off'])
    command = demo.node_command(options)
    for text in ('method:="tas"', 'precision:="bf16"', f'model_dir:="{tmp_path.resolve()}"',
                 'tas.captions:=false', 'image_timeout_s:=20.0'):
        assert command[command.index(text) - 1] == '-p'
    assert [demo.ros_value(v) for v in (True, 3, 0.5, 1e-7, 2.0, 'off')] == [
        'true', '3', '0.5', '0.0000001', '2.0', '"off"']
    assert demo.main(['--device', 'tpu']) == 2
    assert arguments.PRECISIONS == ('fp32', 'bf16', 'fp16')
