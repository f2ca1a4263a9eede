"""PCNet's tables: rows, the document, the page, and one row trained and measured."""
import pytest

from ris_ros.evaluation.records import Record
from ris_ros.settings import from_mapping
from ris_ros.studies import pcnet_ablations as study
from ris_ros.studies import trained_rows
from ris_ros.studies.ablation_effects import EFFECTS
from ris_ros.studies.ablations import FOLDER, PAGE, marks, read_result, write_result
from ris_ros.studies.pcnet_rows import ANSWERS, FULL, MAIN, STAGES, TABLES, TRAINED, labels
from ris_ros.types import BadInputError

SHARED = {'profile': 'tabletop', 'dataset': 'tabletop', 'split': 'test', 'seeds': [1, 2],
          'version': '0', 'machine': {}, 'device': 'the processor', 'budget': '5 steps',
          'training_scenes': 7}


def records(good):
    """Return 40 records over 10 scenes; `good` of a hundred pixels are right."""
    return [Record(f'{k // 4}/{k % 4}', str(k // 4), f'{k // 4}:{k % 2}', 'the mug', 'answerable',
                   ('relation' if k % 2 else 'attribute',), None, None, '', 0.5, 0.0, good + k % 3,
                   100, good, 100, 1, 1, k % 4 > 0, None, 0.0, 0.0, False) for k in range(40)]


def write(work, keys, **changes):
    for place, row in enumerate(r for r in TRAINED if r.key in keys):
        found = {row.key: records(40 + place)}
        if row.key == FULL:
            found |= {f'answer_{name}': records(20) for name in ANSWERS if name != MAIN}
            found |= {name: records(30) for name in STAGES}
        trained_rows.write_row(work, row, found, {
            'shared': {**SHARED, **changes.get(row.key, {})}, 'changes': dict(row.network),
            'trained': {'steps': 5, 'seconds': 1.0}})


def read(work):
    return {row.key: trained_rows.read_row(work, row.key) for row in TRAINED
            if trained_rows.row_path(work, row.key).exists()}


def test_rows_are_those_of_the_tables():
    keys = {row.key for row in TRAINED}
    assert len(keys) == len(TRAINED)
    shown = {key for table in TABLES for key in table['rows']}
    assert shown == set(labels()) and keys <= shown
    assert {key for e in EFFECTS['pcnet'] for key in (e.worse, e.better)} <= shown
    whole = next(row for row in TRAINED if row.key == FULL)
    assert not whole.network and not whole.training


def test_rows_are_settings_that_fit():
    pytest.importorskip('torch')
    from ris_ros.methods.pcnet.settings import PCNetSettings
    from ris_ros.training.pcnet.settings import (
        NetworkSettings,
        TabletopPCNet,
        check_training,
        tabletop_network,
    )
    for row in TRAINED:
        network = from_mapping(NetworkSettings, row.network, tabletop_network())
        check_training(from_mapping(TabletopPCNet, {'steps': 1, **row.training}), network.stages)
    for given in (*ANSWERS.values(), *STAGES.values()):
        from_mapping(PCNetSettings, given)


def test_published_numbers_are_those_of_the_paper():
    """Tables 2 to 4 and 9 on RefCOCOg val (G): mIoU of the map."""
    paper = {(e.worse, e.better): dict((n, (a, b)) for n, a, b in e.paper)['RefCOCOg val']
             for e in EFFECTS['pcnet']}
    assert paper['cls', 'cls_crm'] == (25.3, 26.8) and paper['no_iad', FULL] == (29.8, 30.7)
    assert paper['stages_1', FULL] == (27.4, 29.8) and paper[FULL, 'stages_4'] == (29.8, 29.5)
    assert paper['add', FULL] == (28.5, 29.8) and paper['stage_1', FULL] == (28.6, 29.8)


def test_the_page_has_every_row(tmp_path):
    keys = [row.key for row in TRAINED if row.key != 'batch']
    write(tmp_path, keys)
    result = study.document(read(tmp_path))
    opening, closing = marks('pcnet')
    (tmp_path / 'docs').mkdir()
    (tmp_path / PAGE).write_text(f'before\n{opening}\nnot measured\n{closing}\nafter\n')
    write_result(tmp_path / FOLDER / 'pcnet.json', result)
    assert study.main(['--root', str(tmp_path), '--table-only']) == 0
    text = (tmp_path / PAGE).read_text()
    assert text.startswith('before') and 'not measured' not in text
    for key in keys:
        assert labels()[key] in text
    assert 'Left out: texts read one another' in text and 'PointM' in text
    assert 'same budget (5 steps)' in text
    assert opening in text and closing in text and text.rstrip().endswith('after')
    assert read_result(tmp_path / FOLDER / 'pcnet.json')['rows'][FULL]['pointm'] == 0.75


def test_rows_of_different_runs_do_not_stand_in_one_table(tmp_path):
    write(tmp_path, ['cls', FULL], cls={'budget': '7 steps'})
    with pytest.raises(BadInputError, match='differently'):
        study.document(read(tmp_path))
    with pytest.raises(BadInputError, match='no row'):
        study.document({})


def test_a_damaged_row_is_named(tmp_path):
    write(tmp_path, [FULL])
    trained_rows.row_path(tmp_path, FULL).write_text('{')
    with pytest.raises(BadInputError, match=r'full\.json cannot be read'):
        read(tmp_path)


def test_a_row_trained_and_measured(tmp_path, monkeypatch):
    torch = pytest.importorskip('torch')
    for needed in ('open_clip', 'segment_anything', 'spacy', 'cv2', 'safetensors'):
        pytest.importorskip(needed)
    import pcnet_networks as small
    import prompt_ris_training
    import small_networks

    from ris_ros.models.weights import MODEL_DIR_VARIABLE
    from ris_ros.studies import pcnet_train
    from ris_ros.training.pcnet.command import run
    torch.set_num_threads(1)
    models = tmp_path / 'models'
    models.mkdir()
    small_networks.write_clip_and_sam(models)
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(models))
    own = pcnet_train.own_clip(64)
    monkeypatch.setattr(pcnet_train, 'own_clip', lambda size: {
        **small.CLIP, 'vocabulary': own['vocabulary'],
        'text_cfg': {**small.CLIP['text_cfg'], 'context_length': 24}})
    for work, first in (('train', 80500), ('test', 100000)):
        prompt_ris_training.shards(tmp_path / work / 'train', range(3))
        prompt_ris_training.shards(tmp_path / work / 'val', range(first, first + 2))
        run(pcnet_train.train_arguments([
            '--stage', 'sentences', '--work', str(tmp_path / work), '--scenes', '3',
            '--val-scenes', '2', '--val-first-seed', str(first), '--per-object', '3']))
    given = ['--root', str(tmp_path), '--work', str(tmp_path / 'rows'), '--material',
             str(tmp_path / 'train'), '--test', str(tmp_path / 'test'), '--steps-per-row', '1',
             '--device', 'cpu', '--rows', 'stages_1', FULL, '--set', 'images=2', '--network',
             'image_size=64', '--network', 'channels=16']
    args = study.parser().parse_args(given)
    study.run(args, tmp_path / FOLDER / 'pcnet.json')
    result = read_result(tmp_path / FOLDER / 'pcnet.json')
    assert set(result['rows']) == {'stages_1', FULL, *STAGES,
                                   *(f'answer_{name}' for name in ANSWERS if name != MAIN)}
    assert result['n'] > 0 and result['seeds'] == [100000, 100001]
    assert result['rows'][FULL]['pointm'] is not None
    monkeypatch.setattr(pcnet_train.Bench, 'measure', lambda *_: pytest.fail('trained again'))
    study.run(args, tmp_path / FOLDER / 'pcnet.json')
