"""`ris segment` and `ris methods`: documents, files, exit codes."""
import dataclasses
import io
import json

import numpy as np
import pytest

pil = pytest.importorskip('PIL.Image')

from ris_ros.cli.files import read_camera, read_depth
from ris_ros.cli.main import main
from ris_ros.overlay import draw_overlay, outline
from ris_ros.segmenter import Segmenter
from ris_ros.types import (
    BadInputError,
    Camera,
    Candidate,
    Command,
    Option,
    Outcome,
    Question,
    Regions,
    Segmentation,
    Target,
)

IMAGE = np.full((60, 80, 3), 200, dtype=np.uint8)
MASK = np.zeros((60, 80), dtype=bool)
MASK[20:40, 30:50] = True
FOUND = Segmentation(MASK, 0.8, 0.5, Outcome.SUCCEEDED_2D, 'found "the mug" with score 0.80',
                     (Candidate(1, 3, 0.8, MASK, (30.0, 20.0, 20.0, 20.0)),),
                     command=Command('x', target=Target('the mug')), timings={'total': 0.1})
CAMERA = {'fx': 100, 'fy': 100, 'cx': 40, 'cy': 30, 'width': 80, 'height': 60}


class Fake:
    answer = FOUND

    def segment(self, rgb, text, depth=None, camera=None):
        assert rgb.shape == IMAGE.shape and text == 'the mug'
        assert (depth is None) == (camera is None)
        return self.answer


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """Picture, depth and camera files; returns a function that runs `ris segment` on them."""
    asked = {}

    def from_profile(profile, **kwargs):
        asked.update(kwargs, profile=profile)
        return Fake()
    monkeypatch.setattr(Segmenter, 'from_profile', from_profile)
    pil.fromarray(IMAGE).save(tmp_path / 'image.png')
    pil.fromarray(np.full((60, 80), 700, np.uint16)).save(tmp_path / 'depth.png')
    (tmp_path / 'camera.json').write_text(json.dumps(CAMERA))

    def run(*args):
        return main(['segment', str(tmp_path / 'image.png'), 'the mug',
                     *(a.replace('@', f'{tmp_path}/') for a in args)])
    run.asked = asked
    return run


def test_json_is_one_document(scene, capsys, tmp_path):
    assert scene('--json', '--set', 'alpha=0.5', '-o', '@over.png', '--mask', '@mask.png') == 0
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert out.err == '' and document['outcome'] == 'SUCCEEDED_2D' and document['code'] == 1
    assert document['box'] == [30, 20, 20, 20] and document['area'] == 400
    assert document['expression'] == 'the mug' and document['target_point'] is None
    assert scene.asked['settings'] == {'alpha': 0.5} and scene.asked['profile'] == 'tabletop'
    mask = np.array(pil.open(tmp_path / 'mask.png'))
    np.testing.assert_array_equal(mask, MASK * np.uint8(255))
    assert np.array(pil.open(tmp_path / 'over.png')).shape == IMAGE.shape
    assert not list(tmp_path.glob('.*')), 'no temporary file is left'


def test_with_depth_the_target_point(scene, capsys):
    assert scene('--json', '--depth', '@depth.png', '--camera-info', '@camera.json') == 0
    document = json.loads(capsys.readouterr().out)
    assert document['outcome'] == 'SUCCEEDED' and document['code'] == 0
    assert document['target_point'] == pytest.approx([0, 0, 0.7], abs=0.01)


def test_the_document_says_how_the_target_stands(scene, capsys, tmp_path):
    depth = np.full((60, 80), 800, np.uint16)
    depth[10:50, 20:60] = 700
    Image = pytest.importorskip('PIL.Image')
    Image.fromarray(depth).save(tmp_path / 'depth.png')
    asked = ('--depth', '@depth.png', '--camera-info', '@camera.json')
    assert scene('--json', *asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert document['surroundings']['height'] == pytest.approx(0.1, abs=0.01)
    assert document['surroundings']['free_above'] is True
    assert document['target_box']['size'][2] == pytest.approx(0.1, abs=0.01)
    assert scene(*asked) == 0
    assert 'top 0.1 m above the plane' in capsys.readouterr().out
    assert scene('--json') == 0
    document = json.loads(capsys.readouterr().out)
    assert document['surroundings'] is None and document['target_box'] is None


def test_too_little_depth_still_writes_what_there_is(scene, capsys, tmp_path):
    depth = np.full((60, 80), 700, np.uint16)
    depth[18:42, 28:52] = 0
    pil.fromarray(depth).save(tmp_path / 'depth.png')
    assert scene('--json', '--depth', '@depth.png', '--camera-info', '@camera.json',
                 '--mask', '@mask.png', '-o', '@over.png') == 0
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert out.err == '' and document['outcome'] == 'NO_DEPTH' and document['code'] == 12
    assert 'depth' in document['message'] and document['target_point'] is None
    assert document['depth_valid_ratio'] == 0 and document['area'] == 400
    np.testing.assert_array_equal(np.array(pil.open(tmp_path / 'mask.png')), MASK * np.uint8(255))
    assert (np.array(pil.open(tmp_path / 'over.png')) != IMAGE).any()
    assert scene('--depth', '@depth.png', '--camera-info', '@camera.json') == 0
    assert capsys.readouterr().out.startswith('NO_DEPTH: ')


def test_depth_and_camera_reach_the_method(scene, monkeypatch):
    seen = []
    monkeypatch.setattr(Fake, 'segment', lambda self, *asked: (seen.append(asked), FOUND)[1])
    assert scene('--depth', '@depth.png', '--camera-info', '@camera.json') == 0
    ((_, _, depth, camera),) = seen
    assert depth.dtype == np.float32 and np.allclose(depth, 0.7)
    assert camera == Camera(100, 100, 40, 30, 80, 60)


def test_where_nothing_can_be_written_nothing_is_computed(scene, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(Fake, 'segment', lambda *_: pytest.fail('too late'))
    (tmp_path / 'folder').mkdir()
    for place in ('@folder', '@image.png/x.png', '@none/x.png'):
        assert scene('--mask', place) == 2 and scene('-o', place) == 2
        assert 'cannot be written' in capsys.readouterr().err


def test_text_output(scene, capsys):
    assert scene() == 0
    assert 'SUCCEEDED_2D: found "the mug"' in capsys.readouterr().out


def test_an_invalid_command_is_bad_input(scene, capsys, monkeypatch):
    monkeypatch.setattr(Fake, 'answer', Segmentation(
        MASK & False, 0, 0, Outcome.INVALID_COMMAND, 'The command is empty.'))
    assert scene('--json') == 2
    out = capsys.readouterr()
    assert out.out == '' and out.err == 'ris: The command is empty.\n'


@pytest.mark.parametrize('args', [
    ['--depth', '@depth.png'], ['--camera-info', '@camera.json'],
    ['--depth', '@image.png', '--camera-info', '@camera.json'],
    ['--depth', '@absent.png', '--camera-info', '@camera.json'],
    ['--depth', '@depth.png', '--camera-info', '@depth.png'],
    ['--set', 'alpha=2'], ['--set', 'nothing=2'], ['--method', 'magic'],
    ['--mask', '@absent/mask.png']])
def test_bad_input_has_exit_code_two(scene, capsys, args):
    assert scene(*args) == 2
    out = capsys.readouterr()
    assert out.out == '' and out.err.startswith('ris: ') and out.err.count('\n') == 1


def test_a_picture_that_is_none(tmp_path, capsys):
    (tmp_path / 'c.txt').write_text('hello')
    assert main(['segment', str(tmp_path / 'c.txt'), 'x']) == 2
    assert 'c.txt' in capsys.readouterr().err


def test_depth_files(tmp_path):
    np.save(tmp_path / 'm.npy', np.full((4, 5), 0.5, np.float32))
    np.save(tmp_path / 'mm.npy', np.full((4, 5), 500, np.uint16))
    np.save(tmp_path / 'bad.npy', np.full((4, 5), 500, np.int64))
    for name in ('m.npy', 'mm.npy'):
        assert (read_depth(tmp_path / name, (4, 5)) == 0.5).all()
    with pytest.raises(BadInputError, match='must hold'):
        read_depth(tmp_path / 'bad.npy', (4, 5))
    with pytest.raises(BadInputError, match='register'):
        read_depth(tmp_path / 'm.npy', (5, 4))


@pytest.mark.parametrize('text, suffix', [
    (json.dumps(CAMERA), '.json'),
    (json.dumps({'k': [100, 0, 40, 0, 100, 30, 0, 0, 1], 'width': 80, 'height': 60}), '.json'),
    ('image_width: 80\nimage_height: 60\ncamera_matrix:\n  rows: 3\n  cols: 3\n'
     '  data: [100, 0, 40, 0, 100, 30, 0, 0, 1]\n', '.yaml')])
def test_camera_files(tmp_path, text, suffix):
    path = tmp_path / f'camera{suffix}'
    path.write_text(text)
    assert read_camera(path, (60, 80)) == Camera(100, 100, 40, 30, 80, 60)
    with pytest.raises(BadInputError, match='80x60'):
        read_camera(path, (480, 640))


def test_overlay():
    out = draw_overlay(IMAGE, MASK)
    assert out.dtype == np.uint8 and (out[~MASK] == IMAGE[~MASK]).all()
    assert (out[MASK] != IMAGE[MASK]).any(axis=1).all()
    assert outline(MASK).sum() == 400 - 16 * 16
    captioned = draw_overlay(IMAGE, FOUND, 'the mug', pixel=(40, 30))
    assert (captioned[0, 79] < 100).all(), 'the caption stands on a dark strip'
    assert (captioned[30, 40] == 255).all()
    assert (IMAGE == 200).all(), 'the picture handed in is not painted on'
    with pytest.raises(BadInputError, match='does not fit'):
        draw_overlay(IMAGE, MASK[:10])
    draw_overlay(IMAGE[:3, :3], MASK[:3, :3], 'text', pixel=(0, 0))


def test_methods_command(capsys):
    assert main(['methods', '--json']) == 0
    rows = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    alpha = next(f for f in rows['hybridgl']['settings'] if f['name'] == 'alpha')
    assert alpha['default'] == 0.6 and alpha['paper'] == '0.6' and alpha['type'] == 'float'
    assert main(['methods', 'hybridgl']) == 0
    assert 'alpha = 0.6' in capsys.readouterr().out
    assert main(['methods', 'magic']) == 2
    assert main(['methods', '--yaml']) == 2


def asking(text='the red mug or the blue mug?'):
    other = Candidate(2, 4, 0.7, np.roll(MASK, 20, axis=1), (50.0, 20.0, 20.0, 20.0))
    options = (Option(FOUND.candidates[0], 'the red mug', colour='red'),
               Option(other, 'the blue mug', colour='blue'))
    masks = Regions.of(np.stack([np.zeros_like(MASK)] * 3 + [MASK, other.mask]))
    return dataclasses.replace(
        FOUND, outcome=Outcome.AMBIGUOUS, message='"the mug" fits several objects; say which one',
        candidates=(FOUND.candidates[0], other), question=Question(text, options, 'mug'),
        regions=masks)


def test_answers_to_what_is_asked_back(scene, monkeypatch, capsys):
    monkeypatch.setattr(Fake, 'answer', asking())
    assert scene('--json') == 0
    document = json.loads(capsys.readouterr().out)
    assert document['outcome'] == 'AMBIGUOUS' and document['selected'] == []
    assert document['question']['text'] == 'the red mug or the blue mug?'
    assert [o['words'] for o in document['question']['options']] == ['the red mug', 'the blue mug']
    assert scene('--json', '--answer', 'the blue one') == 0
    document = json.loads(capsys.readouterr().out)
    assert document['outcome'] == 'SUCCEEDED_2D' and document['question'] is None
    assert document['box'] == [50, 20, 20, 20] and len(document['selected']) == 1
    assert scene('--answer', 'what time is it') == 2
    assert 'does not answer' in capsys.readouterr().err
    monkeypatch.setattr(Fake, 'answer', FOUND)
    assert scene('--answer', 'the blue one') == 2
    assert 'no question' in capsys.readouterr().err


def test_at_a_terminal_it_asks(scene, monkeypatch, capsys):
    from ris_ros.cli import segment
    monkeypatch.setattr(Fake, 'answer', asking())
    monkeypatch.setattr(segment, '_at_a_terminal', lambda: True)
    monkeypatch.setattr('sys.stdin', io.StringIO('hm what\nthe left one\n'))
    assert scene() == 0
    shown = capsys.readouterr()
    assert shown.err.count('the red mug or the blue mug?') == 2
    assert 'SUCCEEDED_2D: found the red mug' in shown.out
    monkeypatch.setattr('sys.stdin', io.StringIO('\n'))
    assert scene() == 0
    assert 'AMBIGUOUS' in capsys.readouterr().out
