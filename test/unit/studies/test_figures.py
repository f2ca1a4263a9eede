import json
from pathlib import Path

import pytest

from ris_ros.studies import figures
from ris_ros.studies.pages import fill, filled

ROOT = Path(__file__).resolve().parents[3]


def _document(name):
    path = ROOT / figures.FOLDER / name
    if not path.exists():
        pytest.skip(f'{path.name} has not been measured yet')
    return json.loads(path.read_text())


def test_readme_shows_the_measured_demo():
    wanted = figures.demo_text(_document('demo.json'))
    assert filled(ROOT / 'README.md', figures.MARKS['demo']) == wanted


def test_readme_shows_the_measured_speed():
    wanted = figures.bench_text(_document('bench_hybridgl.json'),
                                _document('bench_language.json'))
    assert filled(ROOT / 'README.md', figures.MARKS['bench']) == wanted


def test_readme_shows_the_measured_orders_of_work():
    wanted = figures.orders_text(ROOT / figures.FOLDER)
    assert filled(ROOT / 'README.md', figures.MARKS['orders']) == wanted
    assert wanted.count('\n') == 1 + sum(2 if 'paper' not in name else 1
                                         for _, name, _ in figures.ORDERS)


def test_readme_shows_the_published_effects():
    wanted = figures.effects_text(ROOT / figures.ABLATIONS)
    assert filled(ROOT / 'README.md', figures.MARKS['effects']) == wanted
    assert all(text in wanted for texts in figures.EFFECTS.values() for text in texts)


def test_marks_with_the_same_end_are_filled_apart(tmp_path):
    page = tmp_path / 'README.md'
    demo, bench = figures.MARKS['demo'], figures.MARKS['bench']
    page.write_text(f'a\n{demo[0]}\n{demo[1]}\nb\n{bench[0]}\nold\n{bench[1]}\nc\n')
    fill(page, 'one', demo)
    fill(page, 'two', bench)
    fill(page, 'three', demo)
    assert filled(page, demo) == 'three' and filled(page, bench) == 'two'
    assert page.read_text().startswith('a\n') and page.read_text().endswith('\nc\n')


def test_readme_shows_what_the_node_was_measured_at():
    for name in ('overhead', 'campaign', 'soak'):
        _document(f'node_{name}.json')
    wanted = figures.node_text(ROOT / figures.FOLDER)
    assert filled(ROOT / 'README.md', figures.MARKS['node']) == wanted
    assert 'one result each' in wanted and 'load' in wanted
