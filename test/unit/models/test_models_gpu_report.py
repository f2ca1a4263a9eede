"""The report for machines with a GPU runs: tiny networks on a processor, every column filled."""
import importlib.util
import json

import pytest

pytest.importorskip('torch')
for needed in ('transformers', 'spacy', 'cv2'):
    pytest.importorskip(needed)


@pytest.fixture
def report(request):
    path = request.config.rootpath / 'benchmarks' / 'gpu_report.py'
    spec = importlib.util.spec_from_file_location('gpu_report', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_table_and_one_document(report, tmp_path, capsys):
    path = tmp_path / 'r.json'
    asked = ['--small', '--device', 'cpu', '--methods', 'tas', '--json', str(path)]
    assert report.main(asked) == 0
    rows = json.loads(path.read_text())['rows']
    assert [(r['method'], r['precision']) for r in rows] == [('tas', 'fp32'), ('tas', 'bf16')]
    assert all(r['first_s'] > 0 and r['further_s'] > 0 and r['parameters'] for r in rows)
    assert 0 <= rows[1]['same_choice'] <= 1 and '| tas | bf16 |' in capsys.readouterr().out


def test_what_has_no_time_left_is_said(report, tmp_path):
    path = tmp_path / 'r.json'
    report.main(['--small', '--device', 'cpu', '--methods', 'tas', '--minutes', '-1', '--json',
                 str(path)])
    assert all('minutes are over' in r['failed'] for r in json.loads(path.read_text())['rows'])


def test_agreement_counts_masks_not_numbers(report):
    import numpy as np
    one, other = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    one[0], other[1] = True, True
    rows = [{'method': 'a', 'precision': 'fp32', 'chosen': [one, other, None, one]},
            {'method': 'a', 'precision': 'bf16', 'chosen': [one, one, None, None]}]
    report.agreement(rows)
    assert rows[1]['same_choice'] == 0.5 and 'chosen' not in rows[0]
