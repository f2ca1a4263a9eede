"""Phrases, flags and token positions of the stored parses under the released rules."""
import json
import os
from pathlib import Path

import pytest

pytest.importorskip('spacy')

from ris_ros.language.docs import doc_from_rows
from ris_ros.language.hybridgl import text_plan

ROOT = Path(os.environ.get('RIS_REFERENCE_DIR', Path(__file__).parent / 'vectors'))


def cases(name):
    path = ROOT / f'{name}.json'
    if not path.exists():
        pytest.fail(f'{path} is missing; set RIS_REFERENCE_DIR to the folder of the vectors')
    return json.loads(path.read_text())


def test_hybridgl_phrases_and_flags():
    for case in cases('hybridgl')['cases']:
        plan = text_plan(doc_from_rows(case['parse']), 'released')
        expected = (case['noun_phrase'], tuple(case['other_noun_phrases']),
                    case['direction'], case['relation'])
        assert (plan.noun_phrase, plan.other_noun_phrases,
                plan.direction, plan.relation) == expected, case['expression']
