"""Networks that are folders: fetched at a pinned revision, checked file by file."""
import hashlib
import types
from pathlib import Path

import pytest

from ris_ros.cli.main import main
from ris_ros.files import write_sums
from ris_ros.models import fetch as fetch_module
from ris_ros.models.fetch import fetch
from ris_ros.models.weights import Entry, WeightStore
from ris_ros.types import WeightsError

ENTRY = Entry('talker', 'caption', 'talker-base', 'transformers', licence='MIT',
              repository='someone/talker-base', revision='c' * 40)
FILES = {'config.json': b'{}', 'vocab.txt': b'a', 'model.safetensors': b'weights',
         'pytorch_model.bin': b'old weights', 'README.md': b'read me'}


class Hub(types.SimpleNamespace):
    """Stands in for huggingface_hub, with one repository."""

    def __init__(self, files, sent=None):
        super().__init__(errors=types.SimpleNamespace(HfHubHTTPError=OSError), asked=[])
        self.files, self.sent = files, sent or files

    def HfApi(self):  # noqa: N802
        return self

    def list_repo_tree(self, repository, revision, recursive):
        assert (repository, revision) == (ENTRY.repository, ENTRY.revision)
        return [types.SimpleNamespace(path=name, size=len(data), lfs=types.SimpleNamespace(
            sha256=hashlib.sha256(data).hexdigest())) for name, data in self.files.items()]

    def snapshot_download(self, repository, revision, local_dir, allow_patterns):
        assert revision == ENTRY.revision
        self.asked.append(sorted(allow_patterns))
        for name in allow_patterns:
            path = Path(local_dir, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.sent[name])


@pytest.fixture
def store(tmp_path):
    return WeightStore(tmp_path, {'talker': ENTRY})


def serve(monkeypatch, hub):
    monkeypatch.setattr(fetch_module, 'require', lambda module, extra: hub)
    monkeypatch.delenv('RIS_OFFLINE', raising=False)
    return hub


def test_fetched_once_and_checked(store, monkeypatch):
    hub = serve(monkeypatch, Hub(FILES))
    folder = fetch(store, 'talker')
    assert hub.asked == [['config.json', 'model.safetensors', 'vocab.txt']], 'no pickles'
    assert fetch(store, 'talker') == folder == store.verify('talker') and len(hub.asked) == 1
    for name, data in (('vocab.txt', b'b'), ('extra.py', b'code')):
        before = (folder / name).read_bytes() if (folder / name).exists() else None
        (folder / name).write_bytes(data)
        with pytest.raises(WeightsError, match=f'damaged.*{name}.*ris models fetch talker'):
            store.verify('talker')
        if before is not None:
            (folder / name).write_bytes(before)


def test_state_dicts_where_there_is_nothing_else(store, monkeypatch):
    old = {k: v for k, v in FILES.items() if k != 'model.safetensors'}
    assert 'pytorch_model.bin' in serve(monkeypatch, Hub(old)).files
    assert (fetch(store, 'talker') / 'pytorch_model.bin').is_file()


def test_what_did_not_arrive_whole_is_not_kept(store, monkeypatch):
    serve(monkeypatch, Hub(FILES, {**FILES, 'model.safetensors': b'half'}))
    with pytest.raises(WeightsError, match=r'model\.safetensors of talker did not arrive whole'):
        fetch(store, 'talker')
    assert store.find('talker') is None
    serve(monkeypatch, Hub(FILES))
    assert fetch(store, 'talker').is_dir()


def test_offline_and_failing(store, monkeypatch):
    with pytest.raises(WeightsError, match='switched off; put talker-base into'):
        fetch(store, 'talker', offline=True)
    hub = serve(monkeypatch, Hub(FILES))
    monkeypatch.setattr(hub, 'snapshot_download', lambda *args, **options: _fail())
    with pytest.raises(WeightsError, match='run the same command again'):
        fetch(store, 'talker')


def _fail():
    raise OSError('the line is dead')


def test_put_there_by_hand(store, tmp_path, capsys):
    folder = tmp_path / 'blip-image-captioning-base'
    folder.mkdir()
    (folder / 'config.json').write_text('{}')
    assert main(['models', 'verify', 'blip_base', '--model-dir', str(tmp_path)]) == 1
    assert 'cannot be checked' in capsys.readouterr().err
    write_sums(folder)
    assert main(['models', 'verify', 'blip_base', '--model-dir', str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(['models', 'list', '--model-dir', str(tmp_path)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if 'blip_base' in line)
    assert 'here' in row and 'robot' in row
