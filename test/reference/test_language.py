"""Phrases, flags and token positions of the stored parses under the released rules."""
import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip('spacy')

from ris_ros.language import analyse, wordnet
from ris_ros.language.docs import doc_from_rows
from ris_ros.language.pipelines import load_pipeline
from ris_ros.methods.hybridgl.text import text_plan
from ris_ros.methods.iterprime import text as iterprime
from ris_ros.methods.tas import text as tas

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


def nested(value):
    """JSON's lists as tuples."""
    return tuple(nested(v) for v in value) if isinstance(value, list) else value


def test_tas_head_phrases_and_entities():
    for case in cases('tas')['cases']:
        plan = tas.text_plan(doc_from_rows(case['parse']), 'released')
        assert plan.noun_phrase == case['noun_phrase'], case['expression']
        assert plan.entity is not None
        assert (plan.entity.head, plan.entity.relations, plan.entity.superlatives) == (
            case['entity']['head'], nested(case['entity']['rel']), nested(case['entity']['sup'])
        ), case['expression']


# Ids of pieces that continue a word in the vectors' vocabulary (##a..##z, ##0..##9).
CONTINUATIONS = range(73, 109)


def piece_counter(case):
    """Number of word pieces per word, read off the stored ids."""
    sizes = []
    for token in case['token_ids'][iterprime.FIRST_PIECE:]:
        if token in CONTINUATIONS and sizes:
            sizes[-1] += 1
        else:
            sizes.append(1)
    counts = {}
    for word in case['expression'].split():
        parts = re.findall(r'\w+|[^\w\s]', word)  # the encoder splits punctuation off
        counts[word] = sum(sizes.pop(0) for _ in parts)
    assert not sizes, case['expression']
    return counts.__getitem__


def test_iterprime_primary_word_and_positions():
    for case in cases('iterprime')['cases']:
        words = case['expression'].split()
        primary = iterprime.primary_from_tree(case['tree'], words, case['upos'])
        plan = iterprime.plan_of_words(words, case['upos'], primary, case['expression'],
                                       piece_counter(case), 'released')
        assert (plan.primary_word or '[UNK]') == case['primary_word'], case['expression']
        expected = case['primary_word_tokens']
        assert plan.primary_tokens == (None if expected is None else tuple(expected))
        assert list(plan.effective_tokens) == case['effective_tokens'], case['expression']


def test_dependencies_find_the_primary_word_of_the_trees():
    same = []
    for case in cases('iterprime')['cases']:
        words = case['expression'].split()
        by_tree = iterprime.primary_from_tree(case['tree'], words, case['upos'])
        doc = analyse(case['expression'], 'shipped').doc
        found = iterprime.primary_from_dependencies(doc)
        same.append((None if by_tree is None else words[by_tree])
                    == (None if found is None else doc[found].text))
    assert sum(same) >= 0.8 * len(same), same


def test_tas_negatives_by_wordnet():
    wordnet_data = wordnet.find_folder()
    if wordnet_data is None:
        pytest.skip('WordNet is not installed (Debian: wordnet-base)')
    data = cases('tas')
    caption = load_pipeline('shipped')(data['overall_caption'])
    are_synonyms = tas.synonym_test(wordnet.open_wordnet(), 'released')
    for case in data['cases']:
        noun = tas.first_noun(tas.head_chunk(doc_from_rows(case['parse'])))
        assert list(tas.negatives(noun, caption, are_synonyms)) == case['negatives'], case
