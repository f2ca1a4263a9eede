"""The table in the README comes from the JSON files beside it."""
from __future__ import annotations

from pathlib import Path

import pytest
from datasets_fixtures import refer_folder
from eval_fakes import EXTRA, HEADER, FakeSpec, evaluate

from ris_ros.evaluation.document import build_document, read_document, write_document
from ris_ros.studies import leaderboard, pages
from ris_ros.types import BadInputError

pytestmark = pytest.mark.filterwarnings('ignore:__array__ implementation:DeprecationWarning')
PROJECT = Path(__file__).parents[3]
RESULTS = PROJECT / leaderboard.FOLDER


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = refer_folder(tmp_path / 'data', extra=EXTRA)
    for shift in (0, 1):
        header = {**HEADER, 'method': f'fake{shift}', 'profile': 'tabletop'}
        dataset, record = evaluate(root, tmp_path / f'{shift}.jsonl', header=header,
                                   spec=FakeSpec(shift=shift))
        write_document(tmp_path / leaderboard.FOLDER / f'fake{shift}.json',
                       build_document(header, dataset, record, tmp_path / 'r'))
    (tmp_path / 'README.md').write_text(
        f'# Title\n{leaderboard.START}\nold\n{leaderboard.END}\ntail\n')
    return tmp_path


def test_table_is_filled_between_the_marks(project: Path) -> None:
    assert leaderboard.main(['--root', str(project), '--table-only']) == 0
    page = (project / 'README.md').read_text()
    assert page.startswith('# Title\n') and page.endswith('\ntail\n') and 'old' not in page
    document = read_document(project / leaderboard.FOLDER / 'fake1.json')
    (row,) = (line for line in page.splitlines() if line.startswith('| `fake1` |'))
    assert f'**{100 * document["miou"]:.1f}**' in row
    rows = [line.split('`')[1] for line in page.splitlines() if line.startswith('| `')]
    by_miou = sorted(rows, key=lambda m: -read_document(
        project / leaderboard.FOLDER / f'{m}.json')['miou'])
    assert rows == by_miou
    again = (project / 'README.md').read_bytes()
    leaderboard.main(['--root', str(project), '--table-only'])
    assert (project / 'README.md').read_bytes() == again


def test_heat_maps_are_compared_where_there_are_several(project: Path) -> None:
    results = leaderboard.read_results(project / leaderboard.FOLDER)
    assert all(r['pointm'] is not None for r in results)
    head, _, first, *_ = leaderboard.table(results).splitlines()
    place = head.split(' | ').index('PointM')
    assert first.split(' | ')[place] == f'{100 * results[0]["pointm"]:.1f}'
    results[1]['pointm'] = None
    assert 'PointM' not in leaderboard.table(results)


def test_methods_whose_networks_are_here_are_evaluated(monkeypatch, capsys) -> None:
    from ris_ros.segmenter import Segmenter

    def build(profile, method):
        if method in ('tas', 'text_only'):
            raise BadInputError('there is no captioner')
    monkeypatch.setattr(Segmenter, 'from_profile', build)
    chosen = leaderboard.choose_methods(None)
    assert {'hybridgl', 'clip_only', 'grad_cam'} <= set(chosen)
    assert not {'tas', 'text_only', 'oracle'} & set(chosen)
    assert 'tas is left out: there is no captioner' in capsys.readouterr().err
    assert leaderboard.choose_methods(['tas']) == ['tas'], 'who asks for it is told by it'


def test_what_has_a_use_for_depth_is_measured_with_and_without(monkeypatch) -> None:
    from ris_ros.studies import leaderboard
    assert leaderboard.seeing('hybridgl') == leaderboard.seeing('iterprime') == (False, True)
    assert leaderboard.seeing('prompt_ris') == leaderboard.seeing('pcnet') == (False,)
    commands = []
    monkeypatch.setattr(leaderboard.subprocess, 'run', lambda command, check: (
        commands.append(command) or type('Done', (), {'returncode': 0})))
    monkeypatch.setattr(leaderboard, 'fill', lambda *_: None)
    monkeypatch.setattr(leaderboard, 'read_results', lambda _: [])
    monkeypatch.setattr(leaderboard, 'table', lambda _: '')
    assert leaderboard.main(['--methods', 'tas']) == 0
    plain, with_depth = commands
    assert '--colour-only' in plain and '--colour-only' not in with_depth
    assert plain[plain.index('--json') + 1].endswith('tas.json')
    assert with_depth[with_depth.index('--json') + 1].endswith('tas_depth.json')


def test_the_table_says_what_a_method_saw(project: Path) -> None:
    results = leaderboard.read_results(project / leaderboard.FOLDER)
    results[0] = {**results[0], 'colour_only': False, 'proposals': 'auto'}
    rows = [line for line in leaderboard.table(results).splitlines() if line.startswith('| `')]
    assert '| colour and depth (proposals: auto) |' in rows[0] and '| colour |' in rows[1]


def test_results_over_different_sentences_are_refused(project: Path, capsys) -> None:
    path = project / leaderboard.FOLDER / 'fake0.json'
    document = read_document(path)
    for column in document['samples'].values():
        column.pop()
    write_document(path, document)
    assert leaderboard.main(['--root', str(project), '--table-only']) == 2
    assert 'different sentences' in capsys.readouterr().err


def test_missing_marks_and_results_are_named(project: Path) -> None:
    (project / 'README.md').write_text('# Title\n')
    with pytest.raises(BadInputError, match='needs the marks'):
        pages.fill(project / 'README.md', 'x', (leaderboard.START, leaderboard.END))
    with pytest.raises(BadInputError, match='holds no result'):
        leaderboard.read_results(project / 'nowhere')


@pytest.mark.skipif(not list(RESULTS.glob('*.json')), reason='no results in this checkout')
def test_readme_shows_what_the_results_say() -> None:
    shown = pages.filled(PROJECT / 'README.md', (leaderboard.START, leaderboard.END))
    assert shown == leaderboard.table(leaderboard.read_results(RESULTS)), \
        'run scripts/leaderboard --table-only'
