"""Accuracy of a language pipeline on the treebank's test file and on the checked commands."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ris_ros.lazy import require
from ris_ros.training.language import doc_of, treebank_docs
from ris_ros.training.language_grammar import Grammar

MEASURES = {'tag_acc': 'tags', 'pos_acc': 'coarse tags', 'dep_uas': 'attachment (UAS)',
            'dep_las': 'attachment with label (LAS)', 'lemma_acc': 'lemmas'}


def score_docs(nlp: Any, docs: list[Any]) -> dict[str, float]:
    """Return accuracies in percent; the pipeline tokenises the raw text itself.

    Punctuation does not count in the attachment scores (spaCy's scorer leaves it out).
    """
    example = require('spacy.training', 'language').Example
    scores = nlp.evaluate([example(nlp.make_doc(d.text), d) for d in docs])
    return {k: 100 * scores[k] for k in MEASURES if scores.get(k) is not None}


def report(folder: Path, ewt: Path) -> dict[str, dict[str, float]]:
    """Return scores of the pipeline in `folder` per test set, in percent."""
    nlp = require('spacy', 'language').load(folder)
    unseen = [doc_of(nlp.vocab, [nodes]) for nodes in Grammar(990001).sentences(1000)]
    test = list(treebank_docs(nlp.vocab, ewt / 'en_ewt-ud-test.conllu', None))
    return {'treebank test': score_docs(nlp, test),
            'generated, unseen seed': score_docs(nlp, unseen)}


def print_report(folder: Path, ewt: Path) -> None:
    """Print the scores as a small table."""
    for name, scores in report(folder, ewt).items():
        print(name + ': ' + ', '.join(f'{MEASURES[k]} {v:.1f} %' for k, v in scores.items()))
