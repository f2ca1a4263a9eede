"""`ris train language`: train the spaCy pipeline that ships with the package.

Data: the English Web Treebank (CC BY-SA 4.0), its labels converted to those that spaCy's
English noun chunks understand, and as many words again of generated commands and referring
expressions.  The pipeline: tokens to vectors (hashed features, four convolutions), tagger,
coarse tags, parser, lemmatiser.  3000 updates, 13 passes over the data: about 20 minutes on
two free cores.
"""
from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from ris_ros.files import atomic_folder, write_sums, write_text
from ris_ros.lazy import require
from ris_ros.training.language.corpora import write_corpora
from ris_ros.training.language.report import print_report
from ris_ros.types import BadInputError

PIPELINE = ('tagger', 'morphologizer', 'parser', 'trainable_lemmatizer')
# Settings that differ from spaCy's own for a small pipeline, as dotted paths.
OVERRIDES: dict[str, Any] = {
    'components.tok2vec.model.embed.rows': [5000, 1000, 2500, 1000],
    'components.parser.model.hidden_width': 64,
    'components.parser.model.maxout_pieces': 2,
    'components.parser.min_action_freq': 20,
    'components.trainable_lemmatizer.min_tree_freq': 6,
    'training.optimizer.use_averages': True,
    'training.dropout': 0.15,
    'training.eval_frequency': 500,
    'training.patience': 4000,
    'training.batcher.size': {'@schedules': 'compounding.v1', 'start': 300, 'stop': 2500,
                              'compound': 1.002, 't': 0.0},
    'training.score_weights': {'tag_acc': 0.25, 'pos_acc': 0.2, 'dep_uas': 0.15, 'dep_las': 0.3,
                               'lemma_acc': 0.1},
    # Commands come without capitals: half of the treebank's sentences are seen so.
    'corpora.train.augmenter': {'@augmenters': 'spacy.lower_case.v1', 'level': 0.4},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `ris train language`."""
    parser.add_argument('--ewt', type=Path, required=True, metavar='DIR',
                        help='folder with en_ewt-ud-{train,dev,test}.conllu')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder for the finished pipeline')
    parser.add_argument('--work', type=Path, metavar='DIR',
                        help='folder for corpora and checkpoints (default: OUT with -work)')
    parser.add_argument('--commands', type=int, default=22000,
                        help='generated sentences (default %(default)s)')
    parser.add_argument('--max-steps', type=int, default=3000,
                        help='updates at most (default %(default)s)')
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--resume', action='store_true',
                        help='start from the weights of the last checkpoint in the work folder')
    parser.add_argument('--evaluate-only', action='store_true',
                        help='only report the accuracy of the pipeline in OUT')
    parser.add_argument('--test-commands', type=int, default=1000,
                        help='generated sentences of the report (default %(default)s)')
    parser.add_argument('--checked', type=Path, metavar='FILE',
                        help='hand-checked commands to report on as well '
                             '(test/data/commands_60.json)')


def run(args: argparse.Namespace) -> int:
    """Make the corpora, train, report on the test file, write the finished pipeline.

    Raises BadInputError when a treebank file is missing.
    """
    require('spacy', 'language')
    if args.evaluate_only:
        print_report(args.out, args.ewt, args.checked, args.test_commands)
        return 0
    work = args.work or args.out.with_name(args.out.name + '-work')
    write_corpora(args.ewt, work, args.commands, args.seed)
    best = train(work, args.max_steps, args.seed, args.resume)
    write_pipeline(best, args.out, args.ewt)
    print_report(args.out, args.ewt, args.checked, args.test_commands)
    return 0


def make_config(work: Path, max_steps: int, seed: int, resume: bool) -> Any:
    """Return spaCy's small-pipeline configuration with our settings."""
    init = require('spacy.cli.init_config', 'language')
    config = init.init_config(lang='en', pipeline=list(PIPELINE), optimize='efficiency',
                              silent=True)
    overrides = dict(OVERRIDES)
    overrides.update({'paths.train': str(work / 'train.spacy'),
                      'paths.dev': str(work / 'dev.spacy'),
                      'training.max_steps': max_steps, 'system.seed': seed})
    for path, value in overrides.items():
        *sections, key = path.split('.')
        target = config
        for section in sections:
            target = target[section]
        target[key] = value
    last = work / 'model-last'
    if resume:
        if not last.is_dir():
            raise BadInputError(f'{last} is not there; train once without --resume')
        config['components'] = {name: {'source': str(last)} for name in ('tok2vec', *PIPELINE)}
    return config


def train(work: Path, max_steps: int, seed: int, resume: bool) -> Path:
    """Train with spaCy's own loop; return the folder of the best checkpoint."""
    initialize = require('spacy.training.initialize', 'language')
    loop = require('spacy.training.loop', 'language')
    nlp = initialize.init_nlp(make_config(work, max_steps, seed, resume))
    loop.train(nlp, work, stdout=sys.stdout, stderr=sys.stderr)
    return work / 'model-best'


def write_pipeline(best: Path, out: Path, ewt: Path) -> None:
    """Copy the finished pipeline to `out` with notice, licence text and checksums.

    Written beside `out` first and renamed, so that `out` is never half a pipeline.
    """
    spacy = require('spacy', 'language')
    nlp = spacy.load(best)
    nlp.meta.update({
        'name': 'ris_commands', 'version': '1.0.0', 'license': 'CC BY-SA 4.0',
        'description': 'Tagger, parser and lemmatiser for commands to robots and for '
                       'referring expressions',
        'sources': [{'name': 'Universal Dependencies English Web Treebank',
                     'license': 'CC BY-SA 4.0'},
                    {'name': 'ris_ros generated commands', 'license': 'as ris_ros'}]})
    work = best.parent  # the corpora's place is of no use to anyone else
    with atomic_folder(out) as fresh:
        nlp.to_disk(fresh)
        config = (fresh / 'config.cfg').read_text(encoding='utf-8')
        write_text(fresh / 'config.cfg', config.replace(str(work) + '/', ''))
        shutil.copyfile(ewt / 'LICENSE.txt', fresh / 'LICENSE-CC-BY-SA-4.0.txt')
        write_text(fresh / 'README.md', NOTICE)
        write_sums(fresh)


NOTICE = """# The pipeline that ships with ris_ros

A spaCy pipeline for English commands and referring expressions: tagger, coarse tags, parser
(labels as spaCy's English noun chunks expect them), lemmatiser.  Made by
`ris train language`; `SHA256SUMS` lists its files and is checked at loading.

Licence: Creative Commons Attribution-ShareAlike 4.0 International, see
`LICENSE-CC-BY-SA-4.0.txt`; it differs from the licence of the code.

Trained on the Universal Dependencies English Web Treebank (UD_English-EWT),
https://universaldependencies.org/treebanks/en_ewt/index.html, by Natalia Silveira, Timothy
Dozat, Christopher Manning, Sebastian Schuster, Ethan Chi, John Bauer, Miriam Connor,
Marie-Catherine de Marneffe, Nathan Schneider, Sam Bowman, Hanzhi Zhu, Daniel Galbraith and
others (underlying texts: English Web Treebank, LDC2012T13), CC BY-SA 4.0.  Changes: heads and
labels
converted to ClearNLP-style dependencies, features dropped; generated sentences added.
"""
