"""Files: whole or not at all, modes, links, devices, errors that say what to do; SHA256SUMS."""
from __future__ import annotations

import errno
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ris_ros.files import (
    SUMS,
    atomic_folder,
    atomic_path,
    read_sums,
    read_text,
    remove_stale,
    sha256_of,
    verify_sums,
    write_bytes,
    write_json,
    write_sums,
    write_text,
    writing_error,
)
from ris_ros.types import BadInputError, RisError, WeightsError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def umask():
    old = os.umask(0o027)
    yield 0o027
    os.umask(old)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'x.txt'
    write_bytes(path, b'old')
    with pytest.raises(TypeError):
        write_bytes(path, 'text')   # type: ignore[arg-type]
    assert path.read_bytes() == b'old' and names(tmp_path) == ['x.txt']
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text('half')
        raise KeyboardInterrupt
    assert path.read_bytes() == b'old' and names(tmp_path) == ['x.txt']
    write_text(path, 'ä\n')
    assert path.read_bytes() == 'ä\n'.encode()
    write_json(path, {'a': [1]}, indent=None, durable=True)
    assert path.read_text() == '{"a": [1]}\n'


def test_the_temporary_file_lies_beside_with_the_same_suffix(tmp_path):
    with atomic_path(tmp_path / 'new' / 'a.npy') as temporary:
        assert temporary.parent == tmp_path / 'new' and temporary.suffix == '.npy'
        np.save(temporary, np.arange(3))
        assert not (tmp_path / 'new' / 'a.npy').exists()
    assert np.load(tmp_path / 'new' / 'a.npy').tolist() == [0, 1, 2]
    assert names(tmp_path / 'new') == ['a.npy']


def test_writers_that_bring_a_private_file_give_one_of_the_usual_mode(tmp_path, umask):
    def private(path: Path) -> None:   # as safetensors does: another file under the same name
        path.unlink()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    with atomic_path(tmp_path / 'w') as temporary:
        private(temporary)
    assert stat.S_IMODE((tmp_path / 'w').stat().st_mode) == 0o666 & ~umask


def test_an_old_file_keeps_its_mode_and_a_protected_one_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / 'secret'
    write_text(path, 'a')
    path.chmod(0o600)
    write_text(path, 'b')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.read_text() == 'b'
    path.chmod(0o400)
    if os.geteuid() == 0:   # who may do anything is told nothing by access()
        monkeypatch.setattr(os, 'access', lambda *_: False)
    with pytest.raises(BadInputError, match='Permission denied; name another place'):
        write_text(path, 'c')
    assert path.read_text() == 'b' and names(tmp_path) == ['secret']


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'real').mkdir()
    link, target = tmp_path / 'link', tmp_path / 'real' / 'file'
    link.symlink_to(target)
    write_text(link, 'through')
    assert link.is_symlink() and target.read_text() == 'through'
    assert names(tmp_path / 'real') == ['file']


def test_devices_and_pipes_are_written_to_not_replaced(tmp_path):
    write_text('/dev/null', 'gone')
    assert stat.S_ISCHR(os.stat('/dev/null').st_mode)
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, 'through the pipe')
    reader.join(10)
    assert got == [b'through the pipe'] and stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(RisError, match='free some space'):
        write_bytes('/dev/full', b'x' * (1 << 16))


@pytest.mark.parametrize('where, text', [
    ('folder', 'it is a folder'), ('file/x', 'is no folder'), ('none/x', 'there is no folder'),
    ('x' * 300, 'name too long')])
def test_paths_that_cannot_be_written_are_bad_input(tmp_path, where, text):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('')
    with pytest.raises(BadInputError) as caught:
        write_text(tmp_path / where, '', parents=where != 'none/x')
    assert text in str(caught.value) and 'name another place' in str(caught.value)
    assert names(tmp_path) == ['file', 'folder']


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path):
    name = 'ü' * 120 + '.json'   # 245 of the 255 bytes that a name may have
    write_text(tmp_path / name, 'x')
    assert names(tmp_path) == [name]


FULL = """
import resource, sys
from ris_ros.files import write_bytes
from ris_ros.types import BadInputError, RisError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_bytes(sys.argv[1], b'y' * 500)
try:
    write_bytes(sys.argv[1], b'x' * 5000)
except RisError as error:
    print(type(error).__name__, error)
"""


def test_no_room_is_a_failure_and_leaves_the_old_file(tmp_path):
    assert resource.RLIMIT_FSIZE is not None
    out = subprocess.run([sys.executable, '-c', FULL, str(tmp_path / 'f')], text=True, check=True,
                         capture_output=True).stdout
    assert out.startswith('RisError') and 'cannot be written' in out
    assert (tmp_path / 'f').read_bytes() == b'y' * 500 and names(tmp_path) == ['f']
    full = writing_error('f', OSError(errno.ENOSPC, 'No space left on device'))
    assert not isinstance(full, BadInputError) and 'free some space' in str(full)


def test_an_error_about_another_file_names_that_file(tmp_path):
    with pytest.raises(BadInputError, match=r'out\.txt.*elsewhere'), \
            atomic_path(tmp_path / 'out.txt'):
        (tmp_path / 'deep' / 'elsewhere').read_text()


def test_durable_files_reach_the_disk_before_their_name_does(tmp_path, monkeypatch):
    order: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, 'fsync', lambda handle: (order.append('sync'), real_fsync(handle)))
    monkeypatch.setattr(os, 'replace', lambda *a: (order.append('replace'), real_replace(*a)))
    write_text(tmp_path / 'x', '1')
    assert order == ['replace']
    order.clear()
    write_text(tmp_path / 'x', '2', durable=True)
    assert order == ['sync', 'replace', 'sync']   # the file, its name, the folder


def test_folders_are_replaced_whole(tmp_path):
    folder = tmp_path / 'net'
    for text in ('one', 'two'):
        with atomic_folder(folder) as fresh:
            assert fresh.parent == tmp_path
            write_text(fresh / text, text)
        assert names(folder) == [text]
    with pytest.raises(ValueError), atomic_folder(folder) as fresh:
        write_text(fresh / 'three', '')
        raise ValueError
    with atomic_folder(folder, keep=True) as fresh:
        write_text(fresh / 'four', '')
    assert names(folder) == ['two'] and names(tmp_path) == ['net']
    (tmp_path / 'file').write_text('')
    with pytest.raises(BadInputError, match='is no folder'), atomic_folder(tmp_path / 'file/x'):
        pass


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, '-c', ''])
    dead.wait()
    (tmp_path / f'.shard.pid{dead.pid}.abcd.tmp').mkdir()
    (tmp_path / f'.a.pid{dead.pid}.abcd.tmp.npz').touch()
    kept = [f'.b.pid{os.getpid()}.abcd.tmp.npz', '.c.tmp', 'd.tmp', '.pid1.txt']
    for name in kept:
        (tmp_path / name).touch()
    remove_stale(tmp_path)
    assert names(tmp_path) == sorted(kept)


# --- SHA256SUMS ----------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    out = tmp_path / 'net'
    for name, text in (('config.json', '{}'), ('sub/weights', 'w'), ('two  words', 't')):
        write_text(out / name, text)
    write_sums(out)
    return out


def test_sums_are_those_of_sha256sum(folder):
    subprocess.run(['sha256sum', '--check', '--strict', '--quiet', SUMS], cwd=folder, check=True)
    assert set(read_sums(folder)) == {'config.json', 'sub/weights', 'two  words'}
    binary = ''.join(f'{digest.upper()} *{name}\n' for name, digest in read_sums(folder).items())
    (folder / SUMS).write_text(binary + '\n')
    assert verify_sums(folder, 'do this') == folder
    assert sha256_of(folder / 'sub/weights') == read_sums(folder)['sub/weights']


def test_every_kind_of_damage_is_found(folder):
    (folder / '__pycache__').mkdir()
    (folder / '__pycache__' / 'x.pyc').touch()
    verify_sums(folder, 'do this')
    (folder / 'sub/weights').write_text('v')
    with pytest.raises(WeightsError, match=r'damaged: sub/weights .*SHA-256; do this'):
        verify_sums(folder, 'do this')
    (folder / 'sub/weights').unlink()
    with pytest.raises(WeightsError, match='damaged: sub/weights is missing'):
        verify_sums(folder, 'do this')
    (folder / 'sub/weights').write_text('w')
    (folder / 'extra.py').touch()
    with pytest.raises(WeightsError, match=r'extra\.py'):
        verify_sums(folder, 'do this')
    (folder / 'extra.py').unlink()
    verify_sums(folder, 'do this')
    (folder / SUMS).write_text('nonsense\n')
    with pytest.raises(WeightsError, match=r'cannot be checked.*nonsense'):
        verify_sums(folder, 'do this')
    (folder / SUMS).unlink()
    with pytest.raises(WeightsError, match='SHA256SUMS is missing'):
        verify_sums(folder, 'do this')


def test_text_is_read_within_bounds(tmp_path):
    path = tmp_path / 'camera.json'
    path.write_bytes(b'\xef\xbb\xbf' + json.dumps({'fx': 1}).encode())
    assert json.loads(read_text(path)) == {'fx': 1}
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(BadInputError, match='UTF-8'):
        read_text(path)
    with pytest.raises(BadInputError, match='larger'):
        read_text(Path('/dev/zero'))
    with pytest.raises(BadInputError, match='directory'):
        read_text(tmp_path)
    with pytest.raises(BadInputError, match='is missing'):
        read_text(tmp_path / 'none')
