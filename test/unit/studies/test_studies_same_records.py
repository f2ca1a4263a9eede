"""Two records are the same in all but their times, or the first difference is named."""
import json

import pytest

pytest.importorskip('pycocotools')

from datasets_fixtures import refer_folder
from eval_fakes import HEADER, FakeSpec, evaluate

from ris_ros.studies.same_records import main


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    """Two runs of the same method in different order, and one of another."""
    folder = tmp_path_factory.mktemp('records')
    root = refer_folder(folder / 'data')
    evaluate(root, folder / 'old' / 'a.samples.jsonl', 'test')
    evaluate(root, folder / 'new' / 'a.samples.jsonl', 'test', spec=FakeSpec(seconds=0.01))
    evaluate(root, folder / 'other' / 'a.samples.jsonl', 'test', spec=FakeSpec(shift=1))
    evaluate(root, folder / 'few.jsonl', 'test', limit=2)
    return folder


def changed(records, path, **values):
    """Return a copy of the old record with fields of its second sample changed."""
    lines = [json.loads(line) for line in (records / 'old/a.samples.jsonl').open()]
    second = [line for line in lines if 'sample' in line][1]
    assert second['sample'].keys() >= values.keys()
    second['sample'].update(values)
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return path


def turned(records, path):
    """Return a copy of the old record with its images in the opposite order."""
    head, *images, end = (records / 'old/a.samples.jsonl').read_text().splitlines(keepends=True)
    groups, start = [], 0
    for stop, line in enumerate(images, 1):
        if '"group"' in line:
            groups.append(images[start:stop])
            start = stop
    assert len(groups) > 1
    path.write_text(''.join([head, *(line for g in reversed(groups) for line in g), end]))
    return path


def test_times_and_order_do_not_count(records, tmp_path, capsys):
    assert main([str(records / 'old'), str(records / 'new')]) == 0
    assert 'the same' in capsys.readouterr().out
    later = changed(records, tmp_path / 'x', prepare_s=9.0, ground_s=9.0, stages={'score': 9.0})
    assert main([str(records / 'old/a.samples.jsonl'), str(later)]) == 0
    other = turned(records, tmp_path / 'y')
    assert main([str(records / 'old/a.samples.jsonl'), str(other)]) == 0


@pytest.mark.parametrize('field, value', [
    ('score', 0.123), ('candidates', 9), ('mask', None), ('outcome', 'NO_MATCH'), ('i', 1),
    ('point', None), ('tags', ['x'])])
def test_any_other_field_counts(records, tmp_path, capsys, field, value):
    old, new = records / 'old/a.samples.jsonl', tmp_path / 'x'
    changed(records, new, **{field: value})
    assert main([str(old), str(new)]) == 1
    said = capsys.readouterr().out
    assert field in said and 'sample' in said
    assert main([str(old), str(new), '--ignore', field]) == 0


def test_another_method_other_samples_and_no_record(records, tmp_path, capsys):
    assert main([str(records / 'old'), str(records / 'other')]) == 1
    assert main([str(records / 'old/a.samples.jsonl'), str(records / 'few.jsonl')]) == 1
    assert 'old record alone' in capsys.readouterr().out
    evaluate(records / 'data', tmp_path / 'h', 'test', header={**HEADER, 'method': 'else'})
    assert main([str(records / 'old/a.samples.jsonl'), str(tmp_path / 'h')]) == 1
    assert "method: 'fake', then 'else'" in capsys.readouterr().out
    evaluate(records / 'data', tmp_path / 'k', 'test', header={**HEADER, 'digest': 'ab'})
    assert main([str(records / 'old/a.samples.jsonl'), str(tmp_path / 'k')]) == 0
    assert 'one header alone: digest' in capsys.readouterr().out
    assert main([str(records / 'old'), str(tmp_path)]) == 2
    assert main([str(tmp_path), str(tmp_path)]) == 2
    assert 'missing' in capsys.readouterr().err
