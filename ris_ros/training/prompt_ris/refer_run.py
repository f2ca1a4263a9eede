"""Data sets in the REFER layout as training material: merged, embedded once, held-out judged."""
from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_ros.datasets.base import read_image
from ris_ros.datasets.refer import COCO_DATASETS
from ris_ros.methods.prompt_ris.layout import Layout, resized
from ris_ros.methods.prompt_ris.network import PromptRis
from ris_ros.models.clip import tokenizer_for
from ris_ros.training.engine.arrays import Mapped
from ris_ros.training.engine.runtime import Runtime
from ris_ros.training.prompt_ris.calibrate import Question
from ris_ros.training.prompt_ris.embeddings import cached_embeddings, stamp_of
from ris_ros.training.prompt_ris.frames import DrawnFrames
from ris_ros.training.prompt_ris.material import Material
from ris_ros.training.prompt_ris.refer_corpus import Annotated, Corpus, merged
from ris_ros.training.prompt_ris.sentences import targets_array
from ris_ros.training.prompt_ris.settings import PromptRisTraining
from ris_ros.training.prompt_ris.sources import ReferSource, read_pixels
from ris_ros.training.prompt_ris.start import Base
from ris_ros.training.prompt_ris.validation import Asked, Validation
from ris_ros.types import BadInputError


def read_corpus(args: argparse.Namespace) -> Corpus:
    """Return the merged training pictures that a command asks for, and say what they are."""
    names: Sequence[str] = () if args.dataset == 'all' else args.dataset.split(',')
    if args.seen_only and any(n not in COCO_DATASETS for n in names):
        raise BadInputError(f'--seen-only needs COCO categories: {", ".join(COCO_DATASETS)}')
    corpus = merged(args.root, names, args.seen_only)
    if len(corpus.pictures) <= args.val_scenes:
        raise BadInputError(f'{args.root} has {len(corpus.pictures)} training pictures, of which '
                            f'--val-scenes {args.val_scenes} are kept for validation: none is '
                            'left')
    print('training data: ' + ', '.join(f'{n} {k.replace("_", " ")}'
                                        for k, n in corpus.facts.items()))
    return corpus


def split_off(corpus: Corpus, number: int) -> tuple[list[Annotated], list[Annotated]]:
    """Return training and validation pictures: these by the hash of their names.

    The published validation pictures stay unseen until `ris eval` looks at them.
    """
    def place(picture: Annotated) -> str:
        return hashlib.sha256(picture.key.encode()).hexdigest()

    held = {p.key for p in sorted(corpus.pictures, key=place)[:number]}
    return ([p for p in corpus.pictures if p.key not in held],
            [p for p in corpus.pictures if p.key in held])


def material(args: argparse.Namespace, settings: PromptRisTraining, network: PromptRis,
             base: Base, runtime: Runtime, corpus: Corpus) -> Material:
    """Return what a run on these data sets needs.

    Raises BadInputError where pictures of different shapes would not fit into a batch.
    """
    if settings.mirror:
        raise BadInputError('mirror would make the sentences false: they were written for the '
                            'pictures as they are; set mirror=false')
    if settings.names_part:
        raise BadInputError('names_part is for the tabletop, where it is known what every patch '
                            'shows; set names_part=0')
    train, held = split_off(corpus, args.val_scenes)
    layout = one_layout(network, [*train, *held])
    embeddings = None
    if settings.embeddings == 'device':
        raise BadInputError('embeddings=device is for the tabletop; set embeddings=disk or '
                            'compute')
    if settings.embeddings == 'disk':
        with runtime.main_first():
            embeddings = embedded(args.work / 'embeddings', network, layout, train, runtime)
    tokenizer = tokenizer_for(base.clip_config)
    source = ReferSource(train, tokenizer, network.config.text_length, layout, settings.images,
                         settings.sentences, settings.word_deletion, settings.seed,
                         settings.loss_scale, embeddings)
    frames = DrawnFrames(layout, network.embed, settings.loss_scale)
    asked = HeldOut(held, tokenizer, network.config.text_length, layout)
    digest = hashlib.sha256('\n'.join(p.key for p in train).encode()).hexdigest()
    return Material(source, frames, Validation(frames, asked, runtime.device),
                    {'pictures': len(train), 'digest': digest, 'seen_only': args.seen_only},
                    HeldOutQuestions(held))


def one_layout(network: PromptRis, pictures: Sequence[Annotated]) -> Layout:
    """Return the layout that all pictures share; raises BadInputError where they do not."""
    layouts = {network.layout(size) for size in {p.size for p in pictures}}
    if len(layouts) > 1:
        raise BadInputError('pictures of different shapes do not fit into one batch with '
                            'fit=pad; train with --network fit=stretch, as the paper does')
    return layouts.pop()


def embedded(folder: Path, network: PromptRis, layout: Layout, pictures: Sequence[Annotated],
             runtime: Runtime) -> Mapped:
    """Return SAM's embeddings of pictures on disk, computing what is missing."""
    grid, width = network.sam_grid, int(network.sam.prompt_encoder.embed_dim)

    @torch.no_grad()
    def embed(rows: range) -> Tensor:
        pixels = torch.cat([resized(read_pixels(pictures[r]), layout.sam) for r in rows])
        with runtime.autocast():
            return network.embed(pixels.to(runtime.device)).float()

    stamp = stamp_of(network.sam.image_encoder, [p.key for p in pictures], repr(layout))
    return cached_embeddings(folder, stamp, (width, grid, grid), embed)


class HeldOut(Sequence[Asked]):
    """The sentences of validation pictures, one batch a picture, read when they are asked."""

    def __init__(self, pictures: Sequence[Annotated], tokenizer: Any, length: int,
                 layout: Layout) -> None:
        self.pictures, self.tokenizer, self.length = pictures, tokenizer, length
        self.layout = layout

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.pictures)

    def __getitem__(self, index: Any) -> Any:
        """Return the batch of a picture."""
        picture = self.pictures[index]
        seen = read_pixels(picture)
        batch = {'pixels': resized(seen, self.layout.clip).to(torch.uint8),
                 'sam': resized(seen, self.layout.sam).to(torch.uint8),
                 'tokens': self.tokenizer([s.text for s in picture.sentences], self.length),
                 'targets': torch.from_numpy(targets_array(picture.sentences))}
        truths = [picture.masks[s.targets[0]].load() if s.targets else None
                  for s in picture.sentences]
        return Asked(batch, truths, [bool(s.targets) for s in picture.sentences],
                     [''] * len(truths))


class HeldOutQuestions:
    """The same for the calibration."""

    def __init__(self, pictures: Sequence[Annotated]) -> None:
        self.pictures = pictures

    def __iter__(self) -> Iterator[Question]:
        """Go through the pictures, read one at a time."""
        for picture in self.pictures:
            none = np.zeros((0, *picture.size), bool)
            yield Question(read_image(picture.path), [s.text for s in picture.sentences],
                           [np.stack([picture.masks[t].load() for t in s.targets])
                            if s.targets else none for s in picture.sentences])
