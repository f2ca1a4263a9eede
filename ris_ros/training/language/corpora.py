"""What the parser is trained and tested on: the converted treebank and generated sentences."""
from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import require
from ris_ros.training.language.grammar import Grammar
from ris_ros.training.language.treebank import Node, convert, read_conllu

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab


def doc_of(vocab: Vocab, sentences: Iterable[list[Node]]) -> Doc:
    """Return one annotated Doc of one or more converted sentences."""
    tokens = require('spacy.tokens', 'language')
    columns: dict[str, list[Any]] = {k: [] for k in (
        'words', 'spaces', 'tags', 'pos', 'lemmas', 'heads', 'deps')}
    for nodes in sentences:
        start = len(columns['words'])
        for node in nodes:
            columns['words'].append(node.word)
            columns['spaces'].append(node.space)
            columns['tags'].append(node.tag)
            columns['pos'].append(node.pos if node.pos != '_' else 'X')
            columns['lemmas'].append(node.lemma)
            columns['heads'].append(start + (node.head if node.head >= 0 else node.index))
            columns['deps'].append(node.label)
        columns['spaces'][-1] = True
    return tokens.Doc(vocab, **columns)


def treebank_docs(vocab: Vocab, path: Path, rng: random.Random | None) -> Iterator[Doc]:
    """Yield the treebank as Docs: single sentences, or runs of one to three with `rng`."""
    run_of: list[list[Node]] = []
    for nodes in read_conllu(path):
        run_of.append(convert(nodes))
        if rng is None or rng.random() < 0.5 or len(run_of) == 3:
            yield doc_of(vocab, run_of)
            run_of = []
    if run_of:
        yield doc_of(vocab, run_of)


def write_corpora(ewt: Path, work: Path, commands: int, seed: int) -> None:
    """Write train.spacy and dev.spacy: the converted treebank and generated sentences."""
    spacy = require('spacy', 'language')
    docbin = require('spacy.tokens', 'language').DocBin
    vocab = spacy.blank('en').vocab
    work.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for part, count, first_seed in (('train', commands, seed),
                                    ('dev', min(600, commands), seed + 1)):
        docs = list(treebank_docs(vocab, ewt / f'en_ewt-ud-{part}.conllu',
                                  rng if part == 'train' else None))
        docs += [doc_of(vocab, [nodes]) for nodes in Grammar(first_seed).sentences(count)]
        rng.shuffle(docs)
        docbin(docs=docs, store_user_data=False).to_disk(work / f'{part}.spacy')
        print(f'{part}: {len(docs)} documents, {sum(len(d) for d in docs)} tokens', flush=True)
