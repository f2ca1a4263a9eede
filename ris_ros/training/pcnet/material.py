"""What a run of `ris train pcnet` stands on: sentences, pictures, validation; made once and kept.

Three things that are kept apart: the pairs and the colours of the training pictures, which is all
that training gets; the annotator of the tabletop, which makes sentences of what is true; and the
validation, which alone has true masks, of other pictures.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.training.pcnet.cues import cues_of, sentences_of, with_cues
from ris_ros.training.pcnet.pairs import (
    Pairs,
    Pictures,
    known_rows,
    read_pairs,
    summary,
    write_pairs,
)
from ris_ros.training.pcnet.sources import (
    FilePictures,
    ShardPictures,
    check_rows,
    read_refer_pairs,
)
from ris_ros.training.pcnet.validation import Question, read_questions, write_questions
from ris_ros.types import BadInputError

Truth = Callable[[Question], np.ndarray]


@dataclass(frozen=True)
class Training:
    """Pairs and the pictures they are about."""

    pairs: Pairs
    pictures: Pictures


@dataclass(frozen=True)
class Held:
    """Validation: questions, the pictures' colours, and the (F, H, W) masks of what fits."""

    questions: Sequence[Question]
    pictures: Pictures
    fitting: Truth

    def truth(self, question: Question) -> np.ndarray:
        """Return the one mask of an answerable question, (H, W) bool."""
        found: np.ndarray = self.fitting(question)[0]
        return found


def files_of(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return where sentences and questions are kept."""
    folder = args.work / 'sentences'
    return (args.pairs or folder / f'{args.dataset}.pairs.json.gz',
            args.questions or folder / f'{args.dataset}.questions.json.gz')


# ---- sentences ----------------------------------------------------------------------------------

def make_sentences(args: argparse.Namespace) -> None:
    """Make the files of sentences and questions, with cues, where they are not there yet."""
    pairs_file, questions_file = files_of(args)
    if pairs_file.is_file() and questions_file.is_file():
        named = read_pairs(pairs_file).name
        if named != name_of(args):
            raise BadInputError(f'{pairs_file} holds the sentences of "{named}", not of '
                                f'"{name_of(args)}"; remove it or give another --work folder')
        return
    if is_rendered(args):
        pairs, asked = _tabletop_sentences(args)
    else:
        pairs = replace(read_refer_pairs(args.root, args.dataset, args.split,
                                         args.split_by)[0], name=name_of(args))
        asked = refer_questions(args)[0]
    texts = list(dict.fromkeys([*sentences_of([pairs]), *(q.text for q in asked)]))
    cues = cues_of(texts, args.work / 'sentences' / f'{args.dataset}.cues.json', args.cue_model,
                   args.device or 'auto')
    pairs = with_cues(pairs, cues)
    write_pairs(pairs_file, pairs)
    write_questions(questions_file, [replace(q, cues=cues[q.text]) for q in asked],
                    name_of(args))
    for line in (*pairs.notes, summary(pairs)):
        print(line)


def name_of(args: argparse.Namespace) -> str:
    """Return what names the sentences of a command: the data and how much is said."""
    if is_rendered(args):
        return (f'tabletop, {args.scenes} scenes from {args.first_seed}, {args.per_object} '
                f'sentences an object, seed {args.seed or 0}; {args.val_scenes} asked about from '
                f'{val_seed(args)}')
    return f'{args.dataset} {args.split_by or "default"} {args.split}'


def is_rendered(args: argparse.Namespace) -> bool:
    """Tell whether the pictures are scenes that are rendered here."""
    return args.dataset == 'tabletop' and args.root is None


def _tabletop_sentences(args: argparse.Namespace) -> tuple[Pairs, list[Question]]:
    from ris_ros.simulation.expressions import sample_expressions
    from ris_ros.training.pcnet.tabletop_pairs import tabletop_pairs
    from ris_ros.training.tabletop.shards import read_truths
    train, val = render(args)
    truths = [truth for folder in train for truth in read_truths(folder)][:args.scenes]
    pairs = tabletop_pairs(truths, name_of(args), args.seed or 0, args.per_object)
    asked = [Question(row, e.text.lower(), (), tuple(e.targets), e.kind, e.tag)
             for row, truth in enumerate(t for folder in val for t in read_truths(folder))
             for e in sample_expressions(truth)]
    return pairs, asked


def render(args: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """Return the shards of training and validation scenes, rendered where they are missing."""
    from ris_ros.training.tabletop.shards import render_shards
    base = args.scenes_dir or args.work
    return (render_shards(base / 'train', args.first_seed, args.scenes, args.render_workers),
            render_shards(base / 'val', val_seed(args), args.val_scenes,
                          args.render_workers))


def val_seed(args: argparse.Namespace) -> int:
    """Return the first validation scene."""
    from ris_ros.simulation.spec import SPLITS, VALIDATION_FROM
    if args.val_first_seed is not None:
        return int(args.val_first_seed)
    return SPLITS['val'].start + VALIDATION_FROM


def _shards(args: argparse.Namespace, part: str) -> list[Path]:
    base = (args.scenes_dir or args.work) / part
    found = sorted(base.glob('shard_*'))
    if not found:
        raise BadInputError(f'{base} holds no rendered scenes (shard_*); render them with: ris '
                            'train pcnet --stage sentences, or give --scenes-dir')
    return found


# ---- training and validation --------------------------------------------------------------------

def training(args: argparse.Namespace) -> Training:
    """Return the pairs and the colours of their pictures.  Raises BadInputError."""
    pairs = read_pairs(files_of(args)[0])
    pictures: ShardPictures | FilePictures
    if is_rendered(args):
        pictures = ShardPictures(_shards(args, 'train'), known_rows(pairs.pictures)[-1] + 1)
    else:
        pictures = read_refer_pairs(args.root, args.dataset, args.split, args.split_by)[1]
    check_rows(pairs, pictures)
    return Training(pairs, pictures)


def held(args: argparse.Namespace) -> Held:
    """Return the validation.  Raises BadInputError."""
    _, questions = read_questions(files_of(args)[1])
    if not is_rendered(args):
        _, pictures, masks = refer_questions(args)
        if len(masks) <= max((t for q in questions for t in q.targets), default=-1):
            raise BadInputError(f'{files_of(args)[1]} is of another validation split; remove it')
        return Held(questions, pictures, lambda q: np.stack(
            [masks[t].load() for t in q.targets]) if q.targets else np.zeros((0, 1, 1), bool))
    from ris_ros.training.tabletop.shards import SceneStore
    folders = _shards(args, 'val')
    store = SceneStore(folders)
    if any(q.row >= len(store) for q in questions):
        raise BadInputError(f'{files_of(args)[1]} asks about {max(q.row for q in questions) + 1} '
                            f'scenes, {len(store)} are there; render the others, or remove it')

    def fitting(question: Question) -> np.ndarray:
        instances = np.asarray(store.instances(question.row))
        targets = np.array(question.targets, instances.dtype).reshape(-1, 1, 1)
        found: np.ndarray = instances[None] == targets
        return found

    return Held(questions, ShardPictures(folders), fitting)


def refer_questions(args: argparse.Namespace
                    ) -> tuple[list[Question], FilePictures, list[Any]]:
    """Return questions without cues, pictures and mask sources of a validation split.

    Raises BadInputError where the data set has no such split.
    """
    from ris_ros.datasets.base import ImageGroup
    from ris_ros.datasets.refer import ReferOptions, read_refer
    data = read_refer(args.root, args.dataset, args.val_split,
                      ReferOptions(split_by=args.split_by))
    groups = [g for g in data.groups if isinstance(g, ImageGroup)][:args.val_scenes]
    masks: list[Any] = []
    asked: list[Question] = []
    for row, group in enumerate(groups):
        for sample in group.samples:
            if sample.mask is not None:
                tag = sample.tags[0] if sample.tags else ''
                asked.append(Question(row, sample.expression.lower(), (), (len(masks),),
                                      'answerable', tag))
                masks.append(sample.mask)
    return asked, FilePictures([g.key for g in groups], [g.path for g in groups]), masks
