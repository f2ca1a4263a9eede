"""How `ris` ends: closed pipes, full disks, Ctrl-C, surprises; one sentence and an exit code."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ris_ros.cli import main as cli
from ris_ros.cli import methods as methods_cli
from ris_ros.types import RisError

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': os.pathsep.join(
    [str(ROOT), str(ROOT / 'test' / 'support')])}
RIS = [sys.executable, '-m', 'ris_ros.cli.main']


def ended(code: int, text: str, words: list[str], monkeypatch, capsys, error: BaseException
          ) -> None:
    def fail(_):
        raise error
    monkeypatch.setattr(methods_cli, 'run', fail)
    assert cli.main(words) == code
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('ris: ') and err.count('\n') == 1 and text in err


@pytest.mark.parametrize('error, code, text', [
    (KeyboardInterrupt(), 130, 'interrupted'), (MemoryError(), 1, 'memory'),
    (PermissionError(13, 'Permission denied', '/x/y'), 1, '/x/y: Permission denied'),
    (OSError(28, 'No space left on device'), 1, 'free some space'),
    (BrokenPipeError(32, 'Broken pipe'), 1, 'Broken pipe'),   # not that of standard output
    (RisError('do that'), 1, 'do that'), (ModuleNotFoundError("No module named 'torch'"), 1,
                                          'pip install'),
    (RuntimeError('CUDA\n out of memory'), 1, 'RuntimeError: CUDA out of memory')])
def test_every_error_is_one_sentence(error, code, text, monkeypatch, capsys):
    monkeypatch.delenv(cli.TRACEBACK_VARIABLE, raising=False)
    ended(code, text, ['methods'], monkeypatch, capsys, error)


def test_a_traceback_can_be_had(monkeypatch, capsys):
    monkeypatch.setenv(cli.TRACEBACK_VARIABLE, '1')
    with pytest.raises(RuntimeError):
        ended(1, '', ['methods'], monkeypatch, capsys, RuntimeError('why'))


@pytest.mark.parametrize('words', [['methods', 'iterprime'], ['methods', '--json']])
def test_a_reader_that_goes_away_ends_it_quietly(words):
    with subprocess.Popen([*RIS, *words], env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b''
    assert process.returncode == 141


def test_output_that_finds_no_room_is_told():
    with open('/dev/full', 'w') as full:
        done = subprocess.run([*RIS, 'methods', '--json'], env=ENVIRONMENT, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == 'ris: No space left on device; free some space and try again\n'


def test_no_output_at_all():
    done = subprocess.run(f'{sys.executable} -m ris_ros.cli.main methods >&-', shell=True,
                          env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, '')


WORKERS = """
import sys
from pathlib import Path
from datasets_fixtures import refer_folder
from eval_fakes import EXTRA, FakeSpec
from ris_ros.cli import eval as eval_cli
from ris_ros.cli.main import main

if __name__ == '__main__':
    root = refer_folder(Path('data'), extra=EXTRA)
    eval_cli.SegmenterSpec = lambda **_: FakeSpec(seconds=float(sys.argv[2]), log=Path('log'))
    eval_cli.method_options = lambda args: {
        'method': 'clip_only', 'profile': 'tabletop', 'device': 'cpu', 'settings': {}}
    sys.exit(main(['eval', 'refcoco', '--root', str(root), '--split', 'train', '--quiet',
                   '--workers', sys.argv[1]]))
"""


def living(group: int) -> list[str]:
    """Return the processes of a group that are no zombies."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, _, of_group = path.read_text().rpartition(')')[2].split()[:3]
            if int(of_group) == group and state != 'Z':
                found.append(path.with_name('cmdline').read_bytes().decode())
        except OSError:
            continue
    return found


@pytest.mark.parametrize('workers', ['0', '2'])
def test_ctrl_c_ends_an_evaluation_and_its_workers(tmp_path, workers):
    (tmp_path / 'run.py').write_text(textwrap.dedent(WORKERS))
    process = subprocess.Popen(
        [sys.executable, 'run.py', workers, '600'], cwd=tmp_path, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    try:
        while not (tmp_path / 'log').exists():   # the method is at work
            assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGINT)   # as the terminal does: every process gets it
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130 and out == ''
    assert 'Traceback' not in err and err.endswith('ris: interrupted\n')
    limit = time.monotonic() + 60
    while left := living(process.pid):   # the pool's helpers end when they see that it is gone
        assert time.monotonic() < limit, left
        time.sleep(0.05)


def test_a_record_that_cannot_be_written_is_told(tmp_path):
    from ris_ros.evaluation.records import RecordWriter, read_record
    from ris_ros.types import BadInputError
    with pytest.raises(BadInputError, match='it is a folder'):
        RecordWriter(tmp_path, {}, None)
    with pytest.raises(BadInputError, match='cannot be read'):
        read_record(tmp_path)
    (tmp_path / 'full').symlink_to('/dev/full')
    with pytest.raises(RisError, match='free some space'):
        RecordWriter(tmp_path / 'full', {}, None)


@pytest.mark.parametrize('option', ['--json', '--record', '--report'])
def test_eval_looks_at_once_whether_its_results_can_be_written(tmp_path, option, monkeypatch,
                                                               capsys):
    from ris_ros.cli import eval as eval_cli
    monkeypatch.setattr(eval_cli, 'open_dataset', lambda *_: pytest.fail('too late'))
    (tmp_path / 'file').touch()
    assert cli.main(['eval', 'tabletop', option, str(tmp_path / 'file' / 'x')]) == 2
    assert 'is no folder' in capsys.readouterr().err
