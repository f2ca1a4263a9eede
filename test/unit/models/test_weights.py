"""Weights by name: found, checked, read, downloaded from a server on this machine."""
import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import urllib.request

import pytest
from weights_server import Server

from ris_ros.cli.main import main
from ris_ros.files import sha256_of
from ris_ros.models.export import export
from ris_ros.models.fetch import fetch
from ris_ros.models.kinds import kinds
from ris_ros.models.weights import FORMATS, Entry, WeightStore, read_manifest, read_state
from ris_ros.profiles import all_profiles
from ris_ros.types import BadInputError, WeightsError

CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv('RIS_OFFLINE', raising=False)
    with contextlib.ExitStack() as stack:
        yield lambda mode='good', content=CONTENT: stack.enter_context(
            Server({'weights.bin': content}, mode=mode))


def store_for(folder, url, sha256=DIGEST, **more):
    entry = Entry('net', 'clip', 'weights.bin', 'text', url=f'{url}/weights.bin', sha256=sha256,
                  **more)
    made = Entry('made', 'clip', 'made.safetensors', 'safetensors', shipped=True)
    return WeightStore(folder, {'net': entry, 'made': made})


def test_fetch_shows_progress_and_keeps_the_file(tmp_path, server):
    running, seen = server(), []
    store = store_for(tmp_path, running.url)
    path = fetch(store, 'net', lambda done, total: seen.append((done, total)))
    assert path == tmp_path / 'weights.bin' and path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert fetch(store, 'net') == path and len(running.ranges) == 1, 'downloaded once'
    assert list(tmp_path.iterdir()) == [path], 'nothing else is left'


def test_an_interrupted_download_is_continued(tmp_path, server):
    running = server('cut')
    store = store_for(tmp_path, running.url)
    with pytest.raises(WeightsError, match='continue'):
        fetch(store, 'net')
    have = (tmp_path / 'weights.bin.part').stat().st_size
    assert 0 < have < len(CONTENT) and store.find('net') is None
    assert fetch(store, 'net').read_bytes() == CONTENT
    assert running.ranges == [None, f'bytes={have}-']
    assert [p.name for p in tmp_path.iterdir()] == ['weights.bin']


def test_a_server_that_cannot_continue_starts_over(tmp_path, server):
    (tmp_path / 'weights.bin.part').write_bytes(CONTENT[:1000])
    store = store_for(tmp_path, server('no-range').url)
    assert fetch(store, 'net').read_bytes() == CONTENT


def test_a_whole_or_stale_part_file(tmp_path, server):
    running = server()
    part = tmp_path / 'weights.bin.part'
    part.write_bytes(CONTENT)
    assert fetch(store_for(tmp_path, running.url), 'net').read_bytes() == CONTENT
    (tmp_path / 'weights.bin').unlink()
    part.write_bytes(b'y' * (len(CONTENT) + 5))
    assert fetch(store_for(tmp_path, running.url), 'net').read_bytes() == CONTENT


def test_wrong_content_is_refused_and_removed(tmp_path, server):
    with pytest.raises(WeightsError, match='SHA-256 differs'):
        fetch(store_for(tmp_path, server('wrong').url), 'net')
    assert list(tmp_path.iterdir()) == []


def test_other_failures_name_the_cure(tmp_path, server, monkeypatch):
    with pytest.raises(WeightsError, match='404'):
        fetch(store_for(tmp_path, server('missing').url), 'net')
    store = store_for(tmp_path, 'http://127.0.0.1:9')
    with pytest.raises(WeightsError, match='failed'):
        fetch(store, 'net', timeout_s=2)
    with pytest.raises(WeightsError, match='switched off'):
        fetch(store, 'net', offline=True)
    monkeypatch.setenv('RIS_OFFLINE', '1')
    with pytest.raises(WeightsError, match='switched off'):
        fetch(store, 'net')
    with pytest.raises(BadInputError, match='ris train tabletop'):
        fetch(store, 'made')
    with pytest.raises(BadInputError, match='unknown network'):
        fetch(store, 'nothing')


def test_missing_and_damaged_weights(tmp_path):
    store = store_for(tmp_path, 'http://127.0.0.1:9')
    with pytest.raises(WeightsError, match='ris models fetch net'):
        store.path('net')
    with pytest.raises(WeightsError, match='ris train tabletop'):
        store.path('made')
    (tmp_path / 'weights.bin').write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match='damaged'):
        store.verify('net')
    (tmp_path / 'weights.bin').write_bytes(CONTENT)
    assert store.verify('net').name == 'weights.bin'
    (tmp_path / 'made.safetensors').write_bytes(b'abc')
    with pytest.raises(WeightsError, match=r'made\.json'):
        store.verify('made')
    (tmp_path / 'made.json').write_text('[1]')
    with pytest.raises(WeightsError, match='no "config"'):
        store.record('made')
    with pytest.raises(BadInputError, match='not a folder'):
        WeightStore(tmp_path / 'absent')


def test_a_checksum_nobody_published_is_recorded_once(tmp_path, server):
    running = server()
    store = store_for(tmp_path, running.url, '', config='layout')
    path = fetch(store, 'net')
    assert store.expected_sha256('net') == DIGEST and store.verify('net') == path
    path.write_bytes(b'something else')
    with pytest.raises(WeightsError, match='damaged'):
        fetch(store, 'net')
    path.with_suffix('.json').unlink()
    assert fetch(store, 'net') == path, 'a file put there by hand is recorded as it is'
    assert store.record('net')['config'] == 'layout'


def test_the_manifest_is_sound():
    entries = read_manifest()
    for entry in entries.values():
        pinned = len(entry.revision) == 40
        assert entry.shipped or pinned or entry.url.startswith('https://')
        assert not entry.repository or pinned, 'a branch may change under our feet'
        assert not entry.sha256 or len(entry.sha256) == 64
        assert all(len(digest) == 64 for digest in entry.files.values())
        assert entry.licence and entry.kind in kinds() and entry.format in FORMATS
        assert entry.shipped or entry.size or entry.name == 'albef_14m'
    assert {e.name for e in entries.values() if e.checksum == 'recorded at first fetch'} == {
        'albef_14m'}, 'its publisher names neither checksum nor size'
    for profile in all_profiles().values():
        assert set(profile.networks.values()) <= set(entries)


def test_a_wrong_entry_fields_are_told(tmp_path):
    path = tmp_path / 'manifest.json'
    path.write_text('{"networks": [{"name": "x", "kind": "clip", "file": "x", "format": "text", '
                    '"sha265": ""}]}')
    with pytest.raises(WeightsError, match='sha265'):
        read_manifest(path)


def test_a_broken_manifest_is_an_error(tmp_path):
    path = tmp_path / 'manifest.json'
    for text in ('{', '{"networks": [{"nmae": "x"}]}', '[]'):
        path.write_text(text)
        with pytest.raises(WeightsError, match='manifest'):
            read_manifest(path)


def test_formats(tmp_path):
    torch = pytest.importorskip('torch')
    safetensors = pytest.importorskip('safetensors.torch')
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4)).half()
    state = net.state_dict()
    safetensors.save_file(state, tmp_path / 'a.safetensors')
    torch.save(state, tmp_path / 'a.pth')
    torch.save({'state_dict': state}, tmp_path / 'b.pth')
    torch.jit.save(torch.jit.script(net), tmp_path / 'a.pt')
    for file, form in (('a.safetensors', 'safetensors'), ('a.pth', 'torch'), ('b.pth', 'torch'),
                       ('a.pt', 'torchscript')):
        read = read_state(tmp_path / file, form)
        assert set(read) == set(state)
        assert all(torch.equal(read[k], state[k]) for k in state)
    (tmp_path / 'bad').write_bytes(b'not weights')
    for form in ('safetensors', 'torch', 'torchscript'):
        with pytest.raises(WeightsError, match='cannot be read'):
            read_state(tmp_path / 'bad', form)


class Malicious:
    def __reduce__(self):
        return (print, ('code ran',))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch = pytest.importorskip('torch')
    torch.save({'weight': Malicious()}, tmp_path / 'evil.pth')
    with pytest.raises(WeightsError, match='cannot be read'):
        read_state(tmp_path / 'evil.pth', 'torch')
    assert 'code ran' not in capsys.readouterr().out


def test_command_line(tmp_path, capsys):
    folder = ['--model-dir', str(tmp_path)]
    assert main(['models', 'list', '--json', *folder]) == 0
    rows = {r['name']: r for r in json.loads(capsys.readouterr().out)}
    assert rows['sam_vit_h']['profiles'] == ['paper'] and not rows['sam_vit_h']['here']
    assert main(['models', 'list', *folder]) == 0
    assert 'missing' in capsys.readouterr().out
    assert main(['models', 'fetch', 'paper', '--offline', *folder]) == 1
    assert 'switched off' in capsys.readouterr().err
    assert main(['models', 'fetch', 'nothing', *folder]) == 2
    assert main(['models', 'fetch', *folder]) == 2
    (tmp_path / 'ViT-B-32.pt').write_bytes(b'abc')
    capsys.readouterr()
    assert main(['models', 'verify', *folder]) == 1
    assert 'damaged' in capsys.readouterr().err
    assert main(['models', 'verify', 'robot', *folder]) == 1
    assert sha256_of(tmp_path / 'ViT-B-32.pt') == hashlib.sha256(b'abc').hexdigest()


def test_lists_say_what_is_pinned(tmp_path, capsys):
    assert main(['models', 'list', '--json', '--model-dir', str(tmp_path)]) == 0
    rows = {r['name']: r for r in json.loads(capsys.readouterr().out)}
    assert rows['albef_14m']['checksum'] == 'recorded at first fetch'
    assert rows['sam_vit_b']['checksum'] == 'published'
    assert rows['mask2former_swin_l']['checksum'] == 'of the pinned revision'
    assert rows['sam_vit_h']['gpu_bytes'] == {'fp32': 4 * 641090608, 'fp16': 2 * 641090608}
    assert main(['models', 'list', '--model-dir', str(tmp_path)]) == 0
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith('albef_14m'))
    assert 'recorded at first fetch' in row and 'BSD-3-Clause' in row and 'paper' in row


# ---- legacy formats ---------------------------------------------------------------------------

def legacy(tmp_path, served=True, **more):
    """Return a state, the bytes of its .pth, and an entry for it."""
    torch = pytest.importorskip('torch')
    state = {'a': torch.arange(6.).reshape(2, 3), 'b': torch.ones(4, dtype=torch.int64)}
    state['c'] = state['a']     # as tied weights share their storage
    path = tmp_path / 'made.pth'
    torch.save({'model': state, 'optimizer': {'step': 3}, 'epoch': 29}, path)
    data = path.read_bytes()
    path.unlink()
    return state, data, hashlib.sha256(data).hexdigest()


def entry_for(url, sha256='', **more):
    return Entry('old', 'clip', 'weights.pth', 'torch', url=f'{url}/weights.bin', sha256=sha256,
                 config='layout', **more)


@pytest.mark.parametrize('published', [True, False])
def test_a_legacy_file_becomes_safetensors_once(tmp_path, server, published):
    torch = pytest.importorskip('torch')
    state, data, digest = legacy(tmp_path)
    running = server(content=data)
    store = WeightStore(tmp_path, {'old': entry_for(running.url, digest if published else '')})
    path = fetch(store, 'old')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['weights.json', 'weights.safetensors']
    assert store.record('old')['source']['sha256'] == digest
    loaded, config = store.load('old')
    assert config == 'layout' and set(loaded) == set(state)
    assert all(torch.equal(loaded[k], state[k]) for k in state)
    assert fetch(store, 'old') == path and len(running.asked) == 1
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b'?')
    with pytest.raises(WeightsError, match=r'weights\.safetensors is damaged.*ris models fetch'):
        store.load('old')
    path.write_bytes(whole)
    if published:   # a newer record of the network is another file
        other = dataclasses.replace(store.entry('old'), sha256='0' * 64)
        with pytest.raises(WeightsError, match='made from another file'):
            WeightStore(tmp_path, {'old': other}).verify('old')


def test_a_legacy_file_put_there_by_hand_stays(tmp_path):
    torch = pytest.importorskip('torch')
    state, data, digest = legacy(tmp_path)
    (tmp_path / 'weights.pth').write_bytes(data)
    store = WeightStore(tmp_path, {'old': entry_for('http://127.0.0.1:9', digest)})
    for _ in range(2):
        assert all(torch.equal(store.load('old')[0][k], state[k]) for k in state)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'weights.json', 'weights.pth', 'weights.safetensors']
    assert store.find('old').name == 'weights.safetensors'


def test_files_of_a_users_own_are_not_rewritten(tmp_path):
    _, data, digest = legacy(tmp_path)
    (tmp_path / 'weights.pth').write_bytes(data)
    own = json.dumps({'config': {'sizes': 1}, 'sha256': digest})
    (tmp_path / 'weights.json').write_text(own)
    store = WeightStore(tmp_path, {'own': Entry('own', 'clip', 'weights.pth', 'torch')})
    assert store.load('own')[1] == {'sizes': 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['weights.json', 'weights.pth']
    assert (tmp_path / 'weights.json').read_text() == own


def test_what_is_no_weights_file_is_never_recorded(tmp_path, server):
    """Where no checksum is published, whatever came first must not become the right one."""
    torch = pytest.importorskip('torch')
    for content, said in ((b'<!DOCTYPE html>' * 99, 'web page'), (b'nonsense' * 99, 'format'),
                          (b'PK\x03\x04' + b'cut off' * 50, 'no weights file')):
        store = WeightStore(tmp_path, {'old': entry_for(server(content=content).url)})
        with pytest.raises(WeightsError, match=said):
            fetch(store, 'old')
        assert list(tmp_path.iterdir()) == []
    torch.save({'a': Malicious()}, tmp_path / 'evil')
    evil = (tmp_path / 'evil').read_bytes()
    (tmp_path / 'evil').unlink()
    with pytest.raises(WeightsError, match='cannot be read as torch'):
        fetch(WeightStore(tmp_path, {'old': entry_for(server(content=evil).url)}), 'old')
    assert list(tmp_path.iterdir()) == []
    (tmp_path / 'weights.pth').write_bytes(b'<html>put here by hand</html>')
    with pytest.raises(WeightsError, match=r'weights\.pth is a web page.*delete it'):
        fetch(store, 'old')
    assert (tmp_path / 'weights.pth').exists(), 'a file of the user is not removed'


# ---- what goes wrong --------------------------------------------------------------------------

def test_a_web_page_in_place_of_weights(tmp_path, server):
    running = server('html')
    with pytest.raises(WeightsError, match=r'weights\.bin sent a web page.*--from FOLDER'):
        fetch(store_for(tmp_path, running.url), 'net')
    assert list(tmp_path.iterdir()) == []


def test_another_size_is_told_before_the_download(tmp_path, server):
    running, seen = server(), []
    with pytest.raises(WeightsError, match=f'offers {len(CONTENT)} bytes, but net has 5'):
        fetch(store_for(tmp_path, running.url, bytes=5), 'net', lambda *a: seen.append(a))
    assert not seen


def test_room_is_looked_for_before(tmp_path, server, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=1000))
    for known in (0, len(CONTENT)):
        with pytest.raises(WeightsError, match=r'net needs 0\.8 MB .* 0\.0 MB are free; free'):
            fetch(store_for(tmp_path, server().url, bytes=known), 'net')
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile(tmp_path, server, monkeypatch):
    from ris_ros.models import download as module
    opened = module.Path.open

    def full(self, mode='r', *args, **options):
        if 'w' in mode and self.name.endswith('.part'):
            raise OSError(28, 'No space left on device', str(self))
        return opened(self, mode, *args, **options)
    monkeypatch.setattr(module.Path, 'open', full)
    with pytest.raises(WeightsError, match=r'the disk of .* is full.*free some space'):
        fetch(store_for(tmp_path, server().url), 'net', retries=3)


def test_a_folder_that_cannot_be_written_to(tmp_path, server, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr(os, 'open', refuse)     # root may write anywhere
    with pytest.raises(WeightsError, match=r'cannot be written to .*--model-dir or RIS_MODEL_DIR'):
        fetch(store_for(tmp_path, server().url), 'net')


def test_a_cut_is_taken_up_again_at_once(tmp_path, server, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda _: None)
    running = server('cut')
    assert fetch(store_for(tmp_path, running.url), 'net', retries=1).read_bytes() == CONTENT
    assert running.ranges[1].startswith('bytes=')


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(tmp_path, server):
    running = server('cut')
    store = store_for(tmp_path, running.url, '', config='x')
    with pytest.raises(WeightsError, match='continue'):
        fetch(store, 'net')
    running.files['weights.bin'] = CONTENT[::-1]
    assert fetch(store, 'net').read_bytes() == CONTENT[::-1], 'not half of one, half of the other'


def test_a_rest_of_unknown_origin_is_not_continued(tmp_path, server):
    (tmp_path / 'weights.bin.part').write_bytes(b'z' * 1000)
    running = server()
    assert fetch(store_for(tmp_path, running.url, '', config='x'), 'net').read_bytes() == CONTENT
    assert running.ranges == [None]


def _fetch_in_another_process(folder, url, ready):
    ready.wait()
    fetch(store_for(folder, url), 'net')


def test_two_processes_fetch_once(tmp_path, server):
    running, context = server(), multiprocessing.get_context('fork')
    ready = context.Event()
    others = [context.Process(target=_fetch_in_another_process, args=(
        tmp_path, running.url, ready)) for _ in range(3)]
    for other in others:
        other.start()
    ready.set()
    for other in others:
        other.join(30)
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert len(running.asked) == 1 and [p.name for p in tmp_path.iterdir()] == ['weights.bin']


def test_who_waits_is_told(tmp_path):
    from ris_ros.models.locking import only_one
    told, path = [], tmp_path / 'x'
    context = multiprocessing.get_context('fork')
    inside, leave = context.Event(), context.Event()

    def hold():
        with only_one(path):
            inside.set()
            leave.wait(20)
    other = context.Process(target=hold)
    other.start()
    assert inside.wait(20)
    with only_one(path, lambda: (told.append('waiting'), leave.set())):
        assert told == ['waiting']
    other.join(20)
    assert list(tmp_path.iterdir()) == []


# ---- by hand ----------------------------------------------------------------------------------

def test_files_brought_by_hand(tmp_path, monkeypatch):
    bag, here = tmp_path / 'bag', tmp_path / 'here'
    bag.mkdir()
    here.mkdir()
    store = store_for(here, 'http://127.0.0.1:9')
    with pytest.raises(BadInputError, match='no such folder'):
        fetch(store, 'net', source=tmp_path / 'none')
    with pytest.raises(WeightsError, match=r'bag has no file weights\.bin; get it from http'):
        fetch(store, 'net', source=bag)
    (bag / 'weights.bin').write_bytes(CONTENT[:-5])
    with pytest.raises(WeightsError, match='SHA-256 differs'):
        fetch(store, 'net', source=bag)
    assert list(here.iterdir()) == [] and (bag / 'weights.bin').exists()
    (bag / 'weights.bin').write_bytes(CONTENT)
    monkeypatch.setenv('RIS_OFFLINE', '1')
    assert fetch(store, 'net', source=bag) == here / 'weights.bin'
    assert (bag / 'weights.bin').exists()


def test_export_and_take_in_elsewhere(tmp_path, server):
    torch = pytest.importorskip('torch')
    state, data, digest = legacy(tmp_path)
    here, bag, there = (tmp_path / n for n in ('here', 'bag', 'there'))
    for folder in (here, there):
        folder.mkdir()
    entry = entry_for(server(content=data).url, digest)
    store = WeightStore(here, {'old': entry})
    with pytest.raises(WeightsError, match='ris models fetch old'):
        export(store, 'old', bag)
    fetch(store, 'old')
    copied = export(store, 'old', bag)
    assert json.loads((bag / 'models.json').read_text())['old']['file'] == copied.name
    other = WeightStore(there, {'old': entry})
    fetch(other, 'old', source=bag)
    assert all(torch.equal(other.load('old')[0][k], state[k]) for k in state)
    assert torch.equal(WeightStore(bag, {'old': entry}).load('old')[0]['a'], state['a'])
    (there / 'weights.safetensors').unlink()
    copied.write_bytes(copied.read_bytes()[:-1] + b'?')
    with pytest.raises(WeightsError, match='damaged'):
        fetch(other, 'old', source=bag)
    assert other.find('old') is None


def test_export_by_command(tmp_path, capsys):
    assert main(['models', 'export', 'tabletop_clip', '-o', str(tmp_path / 'bag')]) == 0
    assert sorted(p.name for p in (tmp_path / 'bag').iterdir()) == [
        'models.json', 'tabletop_clip.json', 'tabletop_clip.safetensors']
    assert main(['models', 'verify', 'tabletop_clip', '--model-dir', str(tmp_path / 'bag')]) == 0
    assert main(['models', 'export', '-o', str(tmp_path)]) == 2


def test_one_that_fails_does_not_keep_the_others(tmp_path, server, monkeypatch, capsys):
    from ris_ros.cli import models as command
    running = server()
    entries = {'bad': Entry('bad', 'clip', 'bad.bin', 'text', url=f'{running.url}/none',
                            sha256=DIGEST, licence='MIT'),
               **store_for(tmp_path, running.url, licence='Apache-2.0').entries}
    monkeypatch.setattr(command, 'WeightStore', lambda folder: WeightStore(folder, entries))
    monkeypatch.setattr(command, 'RETRIES', 0)
    assert main(['models', 'fetch', 'bad', 'net', '--model-dir', str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert 'net: ' in said.out and (tmp_path / 'weights.bin').exists()
    assert 'licence: Apache-2.0' in said.err and 'downloading bad' in said.err


def test_weights_of_another_architecture(tmp_path):
    """The message names the file and says what to do."""
    pytest.importorskip('torch')
    if importlib.util.find_spec('segment_anything') is None:
        pytest.skip('needs segment_anything')
    import small_networks

    from ris_ros.models.sam import build_sam
    encoder = {**small_networks.SAM['encoder'], 'embed_dim': 48}
    small_networks.write(tmp_path, 'tabletop_sam', build_sam(small_networks.SAM),
                         {**small_networks.SAM, 'encoder': encoder})
    from ris_ros.segmenter import networks_of
    with pytest.raises(WeightsError, match=r'tabletop_sam\.safetensors .*do not fit this SAM.*'
                                           r'reinstall ris_ros'):
        networks_of('tabletop', 'cpu', model_dir=tmp_path).load('sam')


def test_a_redirect_keeps_the_token_at_home():
    from ris_ros.models.download import _SameServer
    asked = urllib.request.Request('https://huggingface.co/a', headers={'Authorization': 'x'})
    for place, kept in (('https://huggingface.co/b', True), ('https://cdn.example/b', False),
                        ('http://huggingface.co/b', False)):
        made = _SameServer().redirect_request(asked, None, 302, 'found', {}, place)
        assert made.has_header('Authorization') == kept
