"""Weights by name: found, checked, read, downloaded from a server on this machine."""
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ris_ros.cli.main import main
from ris_ros.files import sha256_of
from ris_ros.models.fetch import fetch
from ris_ros.models.weights import Entry, WeightStore, read_manifest, read_state
from ris_ros.profiles import all_profiles
from ris_ros.types import BadInputError, WeightsError

CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `mode` makes it misbehave."""

    def __init__(self, mode='good'):
        super().__init__(('127.0.0.1', 0), Handler)
        self.mode, self.ranges = mode, []

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}/weights.bin'


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        wanted = self.headers.get('Range')
        self.server.ranges.append(wanted)
        start = int(wanted[6:-1]) if wanted and self.server.mode != 'no-range' else 0
        if self.server.mode == 'missing':
            self.send_error(404)
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:] if self.server.mode != 'wrong' else b'x' * len(CONTENT)
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.server.mode == 'cut':
            self.server.mode = 'good'
            body = body[:len(body) // 3]
        self.wfile.write(body)


@pytest.fixture
def server():
    servers = []

    def start(mode='good'):
        server = Server(mode)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def store_for(folder, url, sha256=DIGEST):
    entry = Entry('net', 'clip', 'weights.bin', 'torch', url=url, sha256=sha256)
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
    store = store_for(tmp_path, 'http://127.0.0.1:9/weights.bin')
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
    store = store_for(tmp_path, 'http://127.0.0.1:9/')
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
    entry = Entry('net', 'clip', 'weights.bin', 'torch', config='layout', url=running.url)
    store = WeightStore(tmp_path, {'net': entry})
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
    unpublished = {'albef_14m', 'blip_itm_base', 'mask2former_swin_l'}
    for entry in entries.values():
        pinned = len(getattr(entry, 'revision', '')) == 40
        assert entry.shipped or pinned or entry.url.startswith('https://')
        assert entry.shipped or pinned or len(entry.sha256) == 64 or (
            entry.name in unpublished and entry.config)
        assert (entry.licence and entry.kind in ('clip', 'sam')) or entry.kind
    for profile in all_profiles().values():
        assert set(profile.networks.values()) <= set(entries)


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
