"""The shipped PCNet: it loads, points where a sentence says, doubts what is not there."""
import json

import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')

from ris_ros.methods.pcnet.method import PCNetMethod
from ris_ros.methods.pcnet.model import Asked
from ris_ros.methods.registry import settings_for
from ris_ros.models.weights import SHIPPED, WeightStore
from ris_ros.profiles import Networks, get_profile
from ris_ros.types import View

NAME = 'tabletop_pcnet'


@pytest.fixture(scope='module')
def method():
    if WeightStore().find(NAME) is None:
        pytest.skip('the shipped networks are not in this checkout')
    torch.set_num_threads(1)
    profile = get_profile('tabletop')
    return PCNetMethod.from_networks(Networks(profile, 'cpu'), settings_for('pcnet', profile))


@pytest.fixture(scope='module')
def scene(method):
    """Two round things on a table, for which no simulator is needed."""
    y, x = np.mgrid[:480, :640]
    rgb = np.full((480, 640, 3), 150, np.uint8)
    rgb[np.hypot(y - 240, (x - 180) * 0.8) < 60] = 190, 25, 25
    rgb[np.hypot(y - 240, (x - 460) * 0.8) < 60] = 25, 150, 45
    return method.prepare(View(rgb))


def asked(colour, kind='plate'):
    return Asked(f'the {colour} {kind}', (kind, f'{colour} {kind}', f'the {colour} {kind}'))


def test_it_points_at_the_colour_that_is_said(method, scene):
    red, green = method.answer(scene, [asked('red'), asked('green')])
    for found, column in ((red, 180), (green, 460)):
        row, peak = divmod(int(found.heatmap.argmax()), 640)
        assert abs(row - 240) < 60 and abs(peak - column) < 75
        mask = found.regions(scene).masks[found.order[0]]
        assert mask[240, column] and mask.mean() < 0.15


def test_what_is_not_there_is_less_likely(method, scene):
    red, absent = method.answer(scene, [asked('red'), asked('yellow', 'banana')])
    assert max(red.probabilities) > max(absent.probabilities)


def test_its_file_says_what_it_is():
    """Figures, calibration, and a size that can be shipped."""
    if not (SHIPPED / f'{NAME}.json').is_file():
        pytest.skip('the shipped networks are not in this checkout')
    record = json.loads((SHIPPED / f'{NAME}.json').read_text(encoding='utf-8'))
    assert record['bytes'] == (SHIPPED / f'{NAME}.safetensors').stat().st_size < 8 << 20
    assert {'pointm', 'map_miou', 'calibration'} <= set(record['validation'])
    assert record['config']['network']['form']['rows'] == 'alone'
