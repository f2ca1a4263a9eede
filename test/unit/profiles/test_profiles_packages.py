"""Another package brings a kind of network, a profile and a method; nothing here changes."""
import hashlib
import json
import sys

import numpy as np
import other_package
import pytest

from ris_ros.methods.registry import methods
from ris_ros.profiles import Networks, all_profiles, get_profile
from ris_ros.segmenter import Segmenter
from ris_ros.types import BadInputError, Outcome, WeightsError

METHOD = """
    from dataclasses import dataclass

    import numpy as np

    from ris_ros.methods.base import Method
    from ris_ros.methods.options import OutcomeSettings
    from ris_ros.settings import option
    from ris_ros.types import Grounding, Regions, Scene


    @dataclass(frozen=True)
    class HueSettings(OutcomeSettings):
        nearness: float = option(60.0, 'how far from the colour', minimum=0.0, maximum=442.0)


    class Hues(Method):
        name = 'hues'
        settings_class = HueSettings

        def __init__(self, table, settings, device):
            self.table, self.settings, self.device = table, settings, device

        @classmethod
        def from_networks(cls, networks, settings):
            return cls(networks.load('hues'), settings, networks.place_of('hues')[0])

        def prepare(self, view):
            return Scene.without_proposals(self.name, view, {}, {})

        def ground(self, scene, analysis):
            colours = [self.table[w] for w in analysis.doc.text.split() if w in self.table]
            far = np.linalg.norm(scene.image - np.array(colours[0], float), axis=-1)
            mask = far < self.settings.nearness
            return Grounding(np.ones(1, np.float32), np.zeros(1, np.int64),
                             np.array([mask.any()], np.float32), own=Regions.of(mask[None]))
"""
NETWORK = """
    import json


    def load(source, brightness=1.0):
        table = json.loads(source.path().read_text())
        return {word: [brightness * v for v in rgb] for word, rgb in table.items()}
"""
PROFILE = """
    help: names of colours
    networks:
      hues: {kind: hues, file: hues.txt, format: text, licence: CC0-1.0}
      plain_hues: hued.hues
    settings:
      hues: {nearness: 30.0}
      "*": {score_threshold: 0.5}
"""
GROUPS = {'ris_ros.networks': {'hues': 'hued.network:load'},
          'ris_ros.profiles': {'hued': 'hued:PROFILE'},
          'ris_ros.methods': {'hues': 'hued.method:Hues'}}
HUES = json.dumps({'red': [200, 30, 40], 'green': [20, 180, 60]})


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the search path; what was imported from it is forgotten afterwards."""
    folder = tmp_path / 'site'
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))
    monkeypatch.delenv('RIS_PROFILE_DIR', raising=False)
    yield folder
    for name in [n for n in sys.modules if n.partition('.')[0] == 'hued']:
        del sys.modules[name]


@pytest.fixture
def hued(site):
    other_package.install(site, 'hued', {
        'hued/__init__.py': "from pathlib import Path\n"
                            "PROFILE = Path(__file__).with_name('profile.yaml')\n",
        'hued/method.py': METHOD, 'hued/network.py': NETWORK, 'hued/profile.yaml': PROFILE,
        'hued/hues.txt': HUES}, GROUPS)
    record_sum(site)
    return site


def record_sum(site):
    """Give the profile's network the SHA-256 of its file, as its package would."""
    path = site / 'hued' / 'profile.yaml'
    digest = hashlib.sha256((site / 'hued' / 'hues.txt').read_bytes()).hexdigest()
    path.write_text(path.read_text().replace('CC0-1.0', f'CC0-1.0, sha256: {digest}'))


def picture():
    rgb = np.full((48, 64, 3), 128, np.uint8)
    rgb[10:20, 10:30] = 205, 32, 38
    rgb[30:40, 20:50] = 25, 170, 60
    return rgb


def test_a_segmenter_over_another_packages_kind_profile_and_method(hued):
    pytest.importorskip('spacy')
    pytest.importorskip('torch')
    segmenter = Segmenter.from_profile('hued', method='hues', device='cpu')
    assert segmenter.settings.nearness == 30.0 and segmenter.settings.score_threshold == 0.5
    rgb = picture()
    for text, where in (('the red mug', (slice(10, 20), slice(10, 30))),
                        ('the green bowl', (slice(30, 40), slice(20, 50)))):
        answer = segmenter.segment(rgb, text)
        wanted = np.zeros(rgb.shape[:2], dtype=bool)
        wanted[where] = True
        assert answer.outcome is Outcome.SUCCEEDED_2D
        np.testing.assert_array_equal(answer.mask, wanted)
    assert segmenter.segment(np.zeros_like(rgb), 'the red mug').outcome is Outcome.NO_MATCH
    narrow = Segmenter.from_profile('hued', method='hues', device='cpu',
                                    settings={'nearness': 1.0})
    assert narrow.segment(rgb, 'the red mug').outcome is Outcome.NO_MATCH


def test_what_the_package_brings_is_listed(hued, capsys):
    from ris_ros.cli.main import main
    assert methods()['hues'].help.startswith('from another package')
    assert all_profiles()['hued'].help == 'names of colours'
    assert main(['models', 'list', '--json']) == 0
    row = next(r for r in json.loads(capsys.readouterr().out) if r['name'] == 'hued.hues')
    assert row['profiles'] == ['hued'] and row['here'] and row['licence'] == 'CC0-1.0'
    assert main(['models', 'verify', 'hued']) == 0
    assert 'hued.hues: whole' in capsys.readouterr().out


def test_its_network_is_loaded_once_per_choice_of_options(hued):
    networks = Networks(get_profile('hued'), 'cpu')
    plain, bright = networks.load('hues'), networks.load('hues', brightness=2.0)
    assert networks.load('hued.hues') is networks.load('plain_hues') is plain
    assert bright['red'] == [400, 60, 80] and networks.load('hues', brightness=2.0) is bright
    networks.release()
    assert networks.load('hues') is not plain


def test_its_network_is_checked_before_it_is_read(hued):
    (hued / 'hued' / 'hues.txt').write_text(HUES.replace('200', '201'))
    with pytest.raises(WeightsError, match='damaged'):
        Networks(get_profile('hued'), 'cpu').load('hues')
    (hued / 'hued' / 'hues.txt').unlink()
    with pytest.raises(WeightsError, match=r'not in .*hued; put hues.txt there'):
        Networks(get_profile('hued'), 'cpu').load('hues')


def test_its_settings_are_checked_when_it_is_asked_for(hued):
    pytest.importorskip('torch')
    path = hued / 'hued' / 'profile.yaml'
    path.write_text(path.read_text().replace('nearness: 30.0', 'nearnes: 30.0'))
    with pytest.raises(BadInputError, match=r'settings.hues.nearnes: .* mean nearness'):
        Segmenter.from_profile('hued', method='hues', device='cpu')
    path.write_text(path.read_text().replace('nearnes: 30.0', 'nearness: 500.0'))
    with pytest.raises(BadInputError, match=r'settings.hues.nearness: .* must lie in \[0, 442\]'):
        Segmenter.from_profile('hued', method='hues', device='cpu')
    path.write_text(path.read_text().replace('score_threshold: 0.5', 'nearness: 3.0')
                    .replace('500.0', '5.0'))
    from ris_ros.methods.registry import settings_for
    assert settings_for('hues', get_profile('hued')).nearness == 5.0
    assert settings_for('tas', get_profile('hued')).score_threshold == 0.2, "it is another's"


def test_a_profile_as_a_mapping(site):
    other_package.install(site, 'hued', {
        'hued.py': "GOOD = {'extends': 'robot', 'sentence_threads': 2}\n"
                   "BAD = {'extends': 'robot', 'sentence_thread': 2}\nODD = 3\n"},
        {'ris_ros.profiles': {'good': 'hued:GOOD', 'bad': 'hued:BAD', 'odd': 'hued:ODD',
                              'gone': 'hued:GONE', 'none': 'hued_not:X'}})
    assert get_profile('good').sentence_threads == 2
    for name, said in (('bad', r'bad \(hued:BAD\): sentence_thread: unknown key; did you mean'),
                       ('odd', r'odd \(hued:ODD\) must be a mapping or the path of a file'),
                       ('gone', r'gone \(hued:GONE\) cannot be loaded'),
                       ('none', r'none \(hued_not:X\) cannot be loaded')):
        with pytest.raises(BadInputError, match=said):
            get_profile(name)
    assert get_profile('robot').name == 'robot', 'what others got wrong is theirs'


def test_no_package_replaces_what_is_shipped(site):
    other_package.install(site, 'hued', {'hued.py': "P = {'extends': 'robot'}\nload = dict\n"}, {
        'ris_ros.profiles': {'tabletop': 'hued:P'}, 'ris_ros.networks': {'clip': 'hued:load'}})
    with pytest.raises(BadInputError, match=r"'tabletop' stands in .* the entry point hued:P"):
        get_profile('tabletop')
    with pytest.raises(BadInputError, match=r"two packages bring networks of kind 'clip'"):
        Networks(get_profile('robot'), 'cpu')


def test_a_kind_that_cannot_be_loaded(site):
    other_package.install(site, 'hued', {
        'hued.py': "P = {'networks': {'hues': {'kind': 'hues', 'file': 'x', 'format': 'text'}}}"},
        {'ris_ros.profiles': {'hued': 'hued:P'}, 'ris_ros.networks': {'hues': 'hued:load'}})
    with pytest.raises(BadInputError, match="kind 'hues' cannot be loaded with hued:load"):
        Networks(get_profile('hued'), 'cpu').load('hues')
