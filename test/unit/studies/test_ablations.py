"""Ablation rows, what they share, and the page that comes from the JSON files."""
from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_networks import write, write_clip_and_sam

from ris_ros.datasets.base import ArrayMask, OpenGroup, Sample
from ris_ros.methods.registry import BUILT_IN, MODERN, find_method
from ris_ros.models.options import Mask2FormerSettings, ProposalSettings
from ris_ros.settings import describe, from_mapping
from ris_ros.studies import ablations
from ris_ros.studies.ablation_effects import EFFECTS, judge, verdicts
from ris_ros.studies.ablation_rows import FULL, GROUPS, Plan, Row, Table, plan_of
from ris_ros.studies.ablation_run import Lab, LabSpec, SceneResult, _proposal_settings, measure
from ris_ros.studies.ablation_tables import group_text
from ris_ros.studies.pages import filled
from ris_ros.types import BadInputError

PROJECT = Path(__file__).parents[3]
RESULTS = sorted((PROJECT / ablations.FOLDER).glob('*.json'))


@pytest.mark.parametrize('group', GROUPS)
def test_rows_are_settings_and_effects_are_rows(group: str) -> None:
    plan = plan_of(group, 4, 6, ['clip_rn50'])
    keys = [row.key for row in plan.rows]
    assert len(keys) == len(set(keys))
    for row in plan.rows:
        settings_cls = find_method(row.method).settings_class()
        from_mapping(settings_cls, row.settings)
        assert set(row.networks) <= set(row.prepared) <= set(row.settings)
    for table in plan.tables:
        assert {table.against, *table.rows} <= set(keys)
    assert set(keys) == {key for table in plan.tables for key in table.rows}, 'all are shown'
    for effect in EFFECTS[group]:
        assert {effect.worse, effect.better} <= set(keys)
    told = [row for row in plan.rows if row.key == FULL]
    assert all(not row.settings for row in told)


def test_every_method_is_in_the_overview() -> None:
    shown = {row.method for row in plan_of('baselines', 4, 6).rows}
    assert shown == set(BUILT_IN) - {'pcnet', 'prompt_ris', 'spatial_rerank'} - MODERN


def test_start_blocks_stay_within_the_network() -> None:
    for start, layers in ((4, 6), (9, 12), (0, 1), (5, 6)):
        blocks = [row.settings['start_block'] for row in plan_of('hybridgl', start, layers).rows
                  if 'start_block' in row.settings]
        assert all(0 <= block < layers and block != start for block in blocks)


@pytest.mark.parametrize('interval, even, expected', [
    ((0.01, 0.03), False, 'yes'), ((-0.03, -0.01), False, 'no, the opposite'),
    ((-0.01, 0.03), False, 'no, too small to tell'), ((-0.03, 0.01), False, 'no, no gain'),
    ((-0.01, 0.03), True, 'yes'), ((0.01, 0.03), True, 'no, it helps'),
    ((-0.03, -0.01), True, 'no, it harms')])
def test_judgement(interval, even: bool, expected: str) -> None:
    assert judge(sum(interval) / 2, interval, even) == expected


# ---- from answers to the page ------------------------------------------------------------------

FACTS = {'profile': 'tabletop', 'dataset': 'tabletop', 'split': 'val', 'seeds': [80000, 80003],
         'version': '0', 'machine': {}, 'seconds': 1.0, 'workers': 0}


def answered(plan: Plan, group: str, gains: dict[str, int]) -> list[SceneResult]:
    """Four scenes of two sentences; a row's I of U = 100 is 50 and its gain."""
    results = []
    for scene in range(4):
        samples = tuple((f'{scene}/{k}', str(scene), f'{scene}:{k}', 'the left mug',
                         (('position', 'relation')[k], 'position words'), 90, 100)
                        for k in range(2))
        answers = {f'{group}/{row.key}': [(50 + gains.get(row.key, 0) + scene, 100, scene > 0)] * 2
                   for row in plan.rows}
        results.append(SceneResult(str(scene), samples, answers, dict.fromkeys(answers, 0)))
    return results


@pytest.fixture
def project(tmp_path: Path) -> Path:
    page = tmp_path / ablations.PAGE
    page.parent.mkdir()
    page.write_text((PROJECT / ablations.PAGE).read_text())
    gains = {'hybridgl': {'relation': 10, 'no_relation': -5}, 'tas': {'v_p': 5}}
    for group, changed in gains.items():
        plan = plan_of(group, 4, 6)
        left_out = {f'{group}/released': 'no network'} if group == 'tas' else {}
        ablations.write_result(
            tmp_path / ablations.FOLDER / f'{group}.json',
            ablations.result_of(group, plan, answered(plan, group, changed), left_out, FACTS))
    return tmp_path


def test_page_is_filled_from_the_results(project: Path) -> None:
    assert ablations.main(['--root', str(project), '--table-only']) == 0
    page = project / ablations.PAGE
    text = filled(page, ablations.marks('hybridgl')) or ''
    assert 'the best proposal reaches 90.0' in text
    (row,) = (line for line in text.splitlines() if line.startswith('| full without Rel |'))
    assert '| 46.5 |' in row and '| -5.0 (-5.0 to -5.0) |' in row and row.endswith('| 75.0 |')
    assert 'relation guidance helps (table 5) | RefCOCO 40.27 to 44.29; RefCOCOg 48.64 to 48.99 ' \
        '| 51.5 to 61.5 | +10.0 (+10.0 to +10.0) | yes |' in text
    assert 'coherence guidance changes little (table 5) | RefCOCO 44.29 to 44.29; RefCOCOg 48.99' \
        ' to 49.02 | 61.5 to 51.5 | -10.0 (-10.0 to -10.0) | no, it harms |' in text
    tas = filled(page, ablations.marks('tas')) or ''
    assert 'Left out: released rules, full (no network).' in tas
    again = page.read_bytes()
    ablations.main(['--root', str(project), '--table-only'])
    assert page.read_bytes() == again


def test_effects_on_some_sentences_are_measured_on_those(project: Path) -> None:
    result = ablations.read_result(project / ablations.FOLDER / 'hybridgl.json')
    found = {v.effect.text: v for v in verdicts('hybridgl', result)}
    assert found['relation guidance helps sentences with a relation'].n == 4
    assert found['relation guidance helps'].n == 8
    assert len(found) == len(EFFECTS['hybridgl'])
    del result['rows']['g2l']
    assert 'relation guidance helps' not in {v.effect.text for v in verdicts('hybridgl', result)}


def test_bad_arguments_and_files(project: Path, capsys) -> None:
    for arguments in (['--scenes', '0'], ['--first-seed', '5'], ['--scenes', '5000'],
                      ['--workers', '-1']):
        assert ablations.main(['--root', str(project), '--split', 'val', *arguments]) == 2
    assert 'seeds 80000 to' in capsys.readouterr().err
    (project / ablations.FOLDER / 'tas.json').write_text('{}')
    assert ablations.main(['--root', str(project), '--table-only']) == 2
    assert 'no result of scripts/ablations' in capsys.readouterr().err
    assert ablations.main(['--root', str(project / 'docs'), '--table-only']) == 2
    assert ablations.seeds_of('val', 3, None) == range(80000, 80003)


@pytest.mark.skipif(not RESULTS, reason='no results in this checkout')
@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.stem)
def test_the_page_shows_what_the_results_say(path: Path) -> None:
    result = ablations.read_result(path)
    shown = filled(PROJECT / ablations.PAGE, ablations.marks(path.stem))
    assert shown == group_text(result), 'run scripts/ablations --table-only'


# ---- over small random networks ----------------------------------------------------------------

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@dataclass(frozen=True)
class FakeScene:
    """Two answerable sentences and one without an answer."""

    key: str = '7'

    def open(self) -> OpenGroup:
        left, right = np.zeros((2, 60, 80), bool)
        left[10:50, 5:35], right[20:40, 50:70] = True, True
        texts = (('the red mug', left), ('the mug left of the bowl', right), ('the dog', None))
        return OpenGroup(IMAGE, [Sample(
            f'7/{k}', text, '7', f'7:{k}', None if mask is None else ArrayMask(mask),
            kind='absent' if mask is None else 'answerable', tags=('attribute',))
            for k, (text, mask) in enumerate(texts)])


@pytest.fixture(scope='module')
def model_dir(tmp_path_factory) -> Path:
    pytest.importorskip('spacy')
    folder = tmp_path_factory.mktemp('models')
    write_clip_and_sam(folder)
    return folder


def rows_to_try() -> tuple[Row, ...]:
    wanted = {'local', 'g2l', 'g2l_3', FULL, 'released', 'global_local_41'}
    hybridgl = [r for r in plan_of('hybridgl', 4, 6).rows if r.key in wanted]
    tas = [replace(r, key=f'tas_{r.key}') for r in plan_of('tas', 4, 6).rows
           if r.key in ('v', 'v_p', 'v_filter')]
    others = [r for r in plan_of('baselines', 4, 6).rows if r.key in ('clip_only', 'grad_cam',
                                                                      'oracle')]
    return (*hybridgl, *tas, *others)


def test_shared_scenes_give_what_each_row_gives_alone(model_dir: Path, monkeypatch) -> None:
    from ris_ros.models.proposals import SamProposer
    monkeypatch.setenv('RIS_MODEL_DIR', str(model_dir))
    made, propose = [], SamProposer.propose
    monkeypatch.setattr(SamProposer, 'propose',
                        lambda self, view: made.append(1) or propose(self, view))
    rows = rows_to_try()
    together = Lab(LabSpec('tabletop', 'cpu', rows))
    assert set(together.left_out) == {'tas_v_p'}, 'the only row that wants a captioner'
    (result,) = measure(LabSpec('tabletop', 'cpu', rows), [FakeScene()], 0)
    assert len(made) == 1, 'proposals are made once for all'
    assert [s[0] for s in result.samples] == ['7/0', '7/1'] and set(result.answers) == {
        row.key for row in rows} - {'tas_v_p'}
    assert result.samples[0][4] == ('attribute', 'no position words')
    for row in rows:
        if row.key in result.answers:
            alone = Lab(LabSpec('tabletop', 'cpu', (row,))).evaluate(FakeScene())
            assert alone.answers[row.key] == result.answers[row.key], row.key
    best = [(s[5], s[6]) for s in result.samples]
    assert [a[:2] for a in result.answers['oracle']] == best
    points = {key: [a[2] for a in answers] for key, answers in result.answers.items()}
    assert points['clip_only'] == points['g2l'] == [None, None], 'no map, or a flat one'
    assert None not in points[FULL] and None not in points['grad_cam']


def test_rows_with_other_proposals_have_them(model_dir: Path, monkeypatch) -> None:
    """Such a row once kept the proposals of the profile's settings."""
    monkeypatch.setenv('RIS_MODEL_DIR', str(model_dir))
    none = {'pred_iou_thresh': 1.0}
    rows = (Row('none', '', 'oracle', none), Row('some', '', 'oracle'),
            Row('too', '', 'clip_only', none))
    together = Lab(LabSpec('tabletop', 'cpu', rows)).evaluate(FakeScene())
    for row in rows:
        alone = Lab(LabSpec('tabletop', 'cpu', (row,))).evaluate(FakeScene())
        assert alone.answers[row.key] == together.answers[row.key], row.key
    assert together.answers['none'] == together.answers['too'] == [(0, 1200, None),
                                                                   (0, 400, None)]
    assert together.answers['some'][0][0] > 0


@pytest.fixture
def tas_and_iterprime(model_dir: Path, tmp_path: Path, monkeypatch) -> None:
    """Give the profile a small captioner and a small matcher of random weights."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('transformers')
    import transformers_folders

    from ris_ros.files import write_sums
    from ris_ros.models.albef import Albef, AlbefConfig
    for path in model_dir.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'there', 'is', 'a', 'the', 'mug', 'red', 'left',
             'of', 'bowl']
    sizes = {'image_size': 64, 'patch': 8, 'vision_width': 16, 'vision_depth': 1,
             'vision_heads': 2, 'text_width': 24, 'text_layers': 4, 'fusion_layer': 2, 'heads': 2,
             'intermediate': 32, 'positions': 64, 'vocab': len(words)}
    torch.manual_seed(5)
    matcher = Albef(AlbefConfig.from_dict(sizes))
    for parameter in matcher.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    write(tmp_path, 'matcher', matcher, {**sizes, 'vocabulary': words})
    transformers_folders.write(tmp_path / 'blip', 'blip')
    write_sums(tmp_path / 'blip')
    (tmp_path / 'profiles').mkdir()
    (tmp_path / 'profiles' / 'small.json').write_text(json.dumps({
        'extends': 'tabletop',
        'networks': {
            'matcher': {'kind': 'matcher', 'file': 'matcher.safetensors',
                        'format': 'safetensors'},
            'caption': {'kind': 'caption', 'file': 'blip', 'format': 'transformers'}},
        'settings': {'tas': {'min_mask_area': 20, 'mask_filter': 'on', 'beams': 1,
                             'max_new_tokens': 5},
                     'text_only': {'beams': 1, 'max_new_tokens': 5},
                     'iterprime': {'proposals': 'sam', 'layer': 2}}}))
    monkeypatch.setenv('RIS_PROFILE_DIR', str(tmp_path / 'profiles'))
    monkeypatch.setenv('RIS_MODEL_DIR', str(tmp_path))


def test_tas_and_iterprime_prepare_once_and_answer_as_alone(tas_and_iterprime, monkeypatch
                                                            ) -> None:
    from ris_ros.methods.iterprime.method import IteRPrimE
    from ris_ros.methods.tas.method import TAS
    wanted = {'tas': {'v', FULL, 'no_filter', 'released'},
              'iterprime': {'mode_1', FULL, 'image'}, 'baselines': {'text_only'}}
    rows = tuple(replace(row, key=f'{group}/{row.key}') for group, keys in wanted.items()
                 for row in plan_of(group, 4, 6).rows if row.key in keys)
    prepared: list[str] = []
    for cls in (TAS, IteRPrimE):
        def count(self, *args, _prepare=cls.prepare_with, **kwargs):
            prepared.append(self.name)
            return _prepare(self, *args, **kwargs)
        monkeypatch.setattr(cls, 'prepare_with', count)
    lab = Lab(LabSpec('small', 'cpu', rows))
    assert not lab.left_out
    together = lab.evaluate(FakeScene())
    assert prepared.count('iterprime') == 1 and prepared.count('tas') == 3
    assert not any(together.refused.values())
    for row in rows:
        alone = Lab(LabSpec('small', 'cpu', (row,))).evaluate(FakeScene())
        assert alone.answers[row.key] == together.answers[row.key], row.key
    assert None not in [a[2] for a in together.answers['iterprime/full']], 'it has a heat map'


def test_a_refused_sentence_counts_as_wrong(model_dir: Path, monkeypatch) -> None:
    monkeypatch.setenv('RIS_MODEL_DIR', str(model_dir))
    lab = Lab(LabSpec('tabletop', 'cpu', (Row('clip_only', '', 'clip_only'),)))
    (method,) = lab._methods.values()

    def refuse(scene, analysis):
        raise BadInputError('no word is known')
    method.ground = refuse
    result = lab.evaluate(FakeScene())
    assert result.refused == {'clip_only': 2}
    assert result.answers['clip_only'] == [(0, 1200, None), (0, 400, None)]


def test_table_without_its_reference_row() -> None:
    plan = Plan((Row('a', 'A', 'tas'),), (Table('T', 'gone', ('a',)),))
    text = group_text(ablations.result_of('tas', plan, answered(plan, 'tas', {}), {}, FACTS))
    assert '| A | 51.5 |' in text and 'to "' not in text


@pytest.mark.parametrize('settings', [ProposalSettings(), Mask2FormerSettings()])
def test_rows_share_proposals_only_under_equal_settings(
        settings: ProposalSettings | Mask2FormerSettings) -> None:
    for info in describe(settings):
        changed = (info.choices[-1] if info.choices else
                   info.default + 1 if isinstance(info.default, int) else info.default / 2)
        assert changed != info.default
        other = replace(settings, **{info.name: changed})
        assert _proposal_settings(other) != _proposal_settings(settings), info.name
