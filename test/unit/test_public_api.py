"""What `import ris_ros` offers is a promise; this list changes with the CHANGELOG only."""
import subprocess
import sys

import ris_ros

PUBLIC = {
    'BadInputError', 'Camera', 'Candidate', 'Command', 'Dialogue', 'Grounding', 'Level',
    'MissingDependencyError', 'Option', 'Outcome', 'Question', 'Regions', 'Relation', 'RisError',
    'Scene', 'Segmentation', 'Segmenter', 'Target', 'View', 'WeightsError', '__version__'}
# name -> number: part of the ROS contract.
CODES = {
    'SUCCEEDED': 0, 'SUCCEEDED_2D': 1, 'NO_MATCH': 10, 'AMBIGUOUS': 11, 'NO_DEPTH': 12,
    'TARGET_LOST': 13, 'INVALID_COMMAND': 20, 'NOT_ACTIVE': 21, 'REJECTED_BUSY': 22,
    'SUPERSEDED': 23, 'CANCELED': 24, 'TIMEOUT': 30, 'NO_IMAGE': 31, 'STALE_IMAGE': 32,
    'TF_ERROR': 33, 'UNCALIBRATED': 34, 'DEPTH_MISMATCH': 35, 'INVALID_IMAGE': 36,
    'MODEL_ERROR': 40, 'OUT_OF_MEMORY': 41}


def test_public_names_are_those_that_were_promised():
    assert set(ris_ros.__all__) == PUBLIC
    assert set(dir(ris_ros)) >= PUBLIC
    for name in PUBLIC:
        assert getattr(ris_ros, name) is not None


def test_errors_are_caught_as_one():
    for name in ('BadInputError', 'WeightsError', 'MissingDependencyError'):
        assert issubclass(getattr(ris_ros, name), ris_ros.RisError)
    assert issubclass(ris_ros.BadInputError, ValueError)


def test_outcomes_keep_their_codes():
    assert {outcome.name: outcome.code for outcome in ris_ros.Outcome} == CODES


def test_the_facade_keeps_its_arguments():
    import inspect
    made = inspect.signature(ris_ros.Segmenter.from_profile).parameters
    assert {'profile', 'method', 'device', 'precision', 'model_dir', 'settings'} <= set(made)
    assert list(inspect.signature(ris_ros.Segmenter.segment).parameters)[1:3] == ['rgb', 'text']
    assert {'mask', 'score', 'margin', 'outcome', 'message', 'candidates', 'heatmap', 'command',
            'timings', 'notes'} <= set(ris_ros.Segmentation.__dataclass_fields__)


def test_import_is_light():
    code = ('import sys, ris_ros; heavy = {"torch", "numpy", "spacy", "cv2", "transformers"} & '
            'set(sys.modules); sys.exit(str(heavy) if heavy else 0)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    import pytest
    with pytest.raises(AttributeError, match='no attribute'):
        ris_ros.nothing  # noqa: B018
