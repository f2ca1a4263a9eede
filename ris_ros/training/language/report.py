"""Accuracy of a language pipeline on the treebank's test file and on checked commands."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ris_ros.lazy import require
from ris_ros.training.language.corpora import doc_of, treebank_docs
from ris_ros.training.language.grammar import Grammar
from ris_ros.types import BadInputError

MEASURES = {'tag_acc': 'tags', 'pos_acc': 'coarse tags', 'dep_uas': 'attachment (UAS)',
            'dep_las': 'attachment with label (LAS)', 'lemma_acc': 'lemmas'}


def score_docs(nlp: Any, docs: list[Any]) -> dict[str, float]:
    """Return accuracies in percent; the pipeline tokenises the raw text itself.

    Punctuation does not count in the attachment scores (spaCy's scorer leaves it out).
    """
    example = require('spacy.training', 'language').Example
    scores = nlp.evaluate([example(nlp.make_doc(d.text), d) for d in docs])
    return {k: 100 * scores[k] for k in MEASURES if scores.get(k) is not None}


def checked_docs(vocab: Any, path: Path) -> list[Any]:
    """Return Docs of hand-checked commands: a JSON list of {"text", "parse": rows}.

    Rows are [word, universal POS, fine tag, label, head index].  Raises BadInputError for
    another form.
    """
    tokens = require('spacy.tokens', 'language')
    docs = []
    try:
        for case in json.loads(path.read_text(encoding='utf-8')):
            words, pos, tags, deps, heads = (list(c) for c in zip(*case['parse'], strict=True))
            spaces, rest = [], case['text']
            for word in words:
                rest = rest[len(word):]
                spaces.append(rest.startswith(' '))
                rest = rest.lstrip()
            docs.append(tokens.Doc(vocab, words=words, spaces=spaces, pos=pos, tags=tags,
                                   deps=deps, heads=heads))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f'{path} is not a list of checked commands ({error})') from error
    return docs


def report(folder: Path, ewt: Path, checked: Path | None = None,
           generated: int = 1000) -> dict[str, dict[str, float]]:
    """Return scores of the pipeline in `folder` per test set, in percent.

    The treebank's sentences are scored one by one, after conversion of their labels.
    """
    nlp = require('spacy', 'language').load(folder)
    unseen = [doc_of(nlp.vocab, [nodes]) for nodes in Grammar(990001).sentences(generated)]
    test = list(treebank_docs(nlp.vocab, ewt / 'en_ewt-ud-test.conllu', None))
    found = {'treebank test': score_docs(nlp, test),
             'generated, unseen seed': score_docs(nlp, unseen)}
    if checked is not None:
        found['checked commands'] = score_docs(nlp, checked_docs(nlp.vocab, checked))
    return found


def print_report(folder: Path, ewt: Path, checked: Path | None = None,
                 generated: int = 1000) -> None:
    """Print the scores, one line per test set."""
    for name, scores in report(folder, ewt, checked, generated).items():
        print(name + ': ' + ', '.join(f'{MEASURES[k]} {v:.1f} %' for k, v in scores.items()))
