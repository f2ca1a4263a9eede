"""Shared pictures and contradicting objects are found."""
from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from datasets_fixtures import refer_folder

from ris_ros.cli.main import main
from ris_ros.datasets.leakage import DETECTOR_NOTE, leakage_report
from ris_ros.types import BadInputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return refer_folder(tmp_path)


def test_shared_pictures_are_counted(root: Path) -> None:
    report = leakage_report(root)
    # the fixture's train and val references are on the same picture, those of the tests are not
    assert report['shared_images'] == {'refcoco (unc) train': {'refcoco (unc) val': 1}}
    assert report['splits']['refcoco (unc) testB'] == 1
    assert report['object_conflicts'] == 0
    assert report['notes'][-1] == DETECTOR_NOTE


def test_pictures_are_compared_across_data_sets(root: Path) -> None:
    refer_folder(root, 'refcoco+')
    shared = leakage_report(root)['shared_images']
    assert shared['refcoco+ (unc) train'] == {'refcoco (unc) val': 1, 'refcoco+ (unc) val': 1}


def test_object_that_is_another_one_elsewhere(root: Path) -> None:
    refer_folder(root, 'refcoco+')
    path = root / 'refcoco+' / 'instances.json'
    data = json.loads(path.read_text())
    data['annotations'][0]['category_id'] = 77
    path.write_text(json.dumps(data))
    report = leakage_report(root)
    assert report['object_conflicts'] == 1
    assert 'object 11 differs between refcoco and refcoco+' in report['notes']


def test_google_split_is_warned_of(root: Path) -> None:
    refer_folder(root, 'refcocog')
    (root / 'refcocog' / 'refs(unc).p').rename(root / 'refcocog' / 'refs(google).p')
    assert any('split by object' in note for note in leakage_report(root)['notes'])


def test_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match='none of refcoco'):
        leakage_report(tmp_path)


def test_on_the_command_line(root: Path, capsys) -> None:
    assert main(['eval', 'refcoco', '--root', str(root), '--leakage']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['splits']['refcoco (unc) train'] == 1
    refs = pickle.loads((root / 'refcoco' / 'refs(unc).p').read_bytes())
    assert len({r['image_id'] for r in refs if r['split'] == 'train'}) == 1
