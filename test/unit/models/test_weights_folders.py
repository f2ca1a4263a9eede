"""Networks on the hub: fetched at a pinned revision, checked file by file.

The real huggingface_hub asks a server of ours.
"""
import dataclasses

import pytest
from weights_server import REVISION, Server

from ris_ros.cli.main import main
from ris_ros.files import read_sums, write_sums
from ris_ros.models.fetch import fetch
from ris_ros.models.weights import Entry, WeightStore
from ris_ros.types import WeightsError

ENTRY = Entry('talker', 'caption', 'talker-base', 'transformers', licence='MIT',
              repository='someone/talker-base', revision=REVISION)
FILES = {'config.json': b'{}', 'vocab.txt': b'a', 'model.safetensors': b'weights' * 9000,
         'pytorch_model.bin': b'old weights' * 900, 'README.md': b'read me',
         'onnx/model.json': b'{"of": "another runtime"}', 'chat_template.jinja': b'{{ x }}'}


@pytest.fixture
def hub(monkeypatch):
    constants = pytest.importorskip('huggingface_hub.constants')
    for variable in ('RIS_OFFLINE', 'HF_HUB_OFFLINE', 'HF_TOKEN'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    with Server(repositories={'someone/talker-base': dict(FILES)}) as server:
        monkeypatch.setenv('HF_ENDPOINT', server.url)
        yield server


@pytest.fixture
def store(tmp_path):
    return WeightStore(tmp_path, {'talker': ENTRY})


def fetched(server):
    return [path.rpartition('/')[2] for path, _ in server.asked if '/resolve/' in path]


def test_fetched_once_and_checked(store, hub):
    told, seen = [], []
    folder = fetch(store, 'talker', lambda *a: seen.append(a), tell=told.append)
    assert sorted(fetched(hub)) == ['chat_template.jinja', 'config.json', 'model.safetensors',
                                    'vocab.txt'], 'no pickles, nothing of other runtimes'
    assert told == ['talker: 0.1 MB from https://huggingface.co/someone/talker-base, licence: MIT']
    total = sum(len(FILES[n]) for n in fetched(hub))
    assert seen[-1] == (total, total)
    count = len(hub.asked)
    assert fetch(store, 'talker') == folder == store.verify('talker') and len(hub.asked) == count
    assert [p.name for p in folder.parent.iterdir()] == ['talker-base']
    for name, data in (('vocab.txt', b'b'), ('extra.py', b'code')):
        before = (folder / name).read_bytes() if (folder / name).exists() else None
        (folder / name).write_bytes(data)
        with pytest.raises(WeightsError, match=f'damaged.*{name}.*ris models fetch talker'):
            store.verify('talker')
        if before is not None:
            (folder / name).write_bytes(before)


def test_state_dicts_where_there_is_nothing_else(store, hub):
    del hub.repositories['someone/talker-base']['model.safetensors']
    assert (fetch(store, 'talker') / 'pytorch_model.bin').is_file()


def test_a_cut_in_the_largest_file_is_continued(store, hub):
    hub.mode = 'cut'
    with pytest.raises(WeightsError, match='run the same command again to continue'):
        fetch(store, 'talker')
    assert store.find('talker') is None
    fetch(store, 'talker')
    asked = [wanted for path, wanted in hub.asked if path.endswith('model.safetensors')]
    assert asked[0] is None and asked[1].startswith('bytes=') and len(asked) == 2
    assert fetched(hub).count('config.json') == 1, 'what was whole is not fetched again'


def test_what_did_not_arrive_whole_is_not_kept(store, hub):
    for mode, said in (('wrong', r'SHA-256 differs|content is not that'), ('html', 'web page')):
        hub.mode = mode
        with pytest.raises(WeightsError, match=said):
            fetch(store, 'talker')
        assert store.find('talker') is None
    hub.mode = 'good'
    assert fetch(store, 'talker').is_dir()


def test_another_file_than_the_known_one(store, hub):
    store.entries['talker'] = dataclasses.replace(ENTRY, files={'model.safetensors': '0' * 64})
    with pytest.raises(WeightsError, match=r'model\.safetensors of .* is another file'):
        fetch(store, 'talker')


def test_one_file_of_a_repository(tmp_path, hub):
    entry = Entry('words', 'vocabulary', 'words.txt', 'text', licence='MIT',
                  repository='someone/talker-base', revision=REVISION, remote='vocab.txt')
    store = WeightStore(tmp_path, {'words': entry})
    assert fetch(store, 'words').read_bytes() == b'a' and fetched(hub) == ['vocab.txt']
    assert store.verify('words').name == 'words.txt'
    (tmp_path / 'words.txt').unlink()
    (tmp_path / 'words.json').unlink()
    store.entries['words'] = dataclasses.replace(entry, remote='none.txt')
    with pytest.raises(WeightsError, match=f'has no none.txt at revision {REVISION}'):
        fetch(store, 'words')


def test_offline_and_failing(store, hub, monkeypatch):
    with pytest.raises(WeightsError, match=r'switched off; put talker-base .*--from FOLDER'):
        fetch(store, 'talker', offline=True)
    hub.mode = 'gated'
    with pytest.raises(WeightsError, match=r'accept its licence.*hf auth login'):
        fetch(store, 'talker')
    hub.mode, hub.repositories = 'good', {}
    with pytest.raises(WeightsError, match=r'cannot be asked for talker .*ris models export'):
        fetch(store, 'talker')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(WeightsError, match=r'switched off .by HF_HUB_OFFLINE'):
        fetch(store, 'talker')


def test_a_folder_brought_by_hand(store, tmp_path):
    bag = tmp_path / 'bag'
    for place in (bag / 'talker-base', tmp_path / 'elsewhere'):
        place.mkdir(parents=True)
    (bag / 'talker-base' / 'config.json').write_text('{}')
    other = WeightStore(tmp_path / 'elsewhere', {'talker': ENTRY})
    folder = fetch(other, 'talker', source=bag)
    assert set(read_sums(folder)) == {'config.json'} and other.verify('talker') == folder
    strict = WeightStore(tmp_path, {'talker': dataclasses.replace(
        ENTRY, files={'model.safetensors': '0' * 64})})
    with pytest.raises(WeightsError, match=r'model\.safetensors .* is missing or not that of'):
        fetch(strict, 'talker', source=bag)
    assert strict.find('talker') is None
    # ... or put in its place without a list: that is written at the first fetch.
    (bag / 'talker-base').rename(tmp_path / 'talker-base')
    assert fetch(store, 'talker') == store.verify('talker') == tmp_path / 'talker-base'


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
