"""RefCOCO, RefCOCO+ and RefCOCOg in one, without a picture that any of them is tested on.

Section 4.2 merges the three data sets "with all images in validation or test sets removed":
those of every split but training of every partition (unc, umd, google) that is there.  Objects
are joined by their COCO annotation, which is the same in all three; references are not.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ris_ros.datasets.base import ImageGroup, MaskSource, Sample
from ris_ros.datasets.refer import COCO_DATASETS, ReferOptions, data_folder, read_refer, read_refs
from ris_ros.training.prompt_ris.sentences import Said
from ris_ros.types import BadInputError

TRAIN = 'train'


@dataclass(frozen=True)
class Annotated:
    """One picture with all that is said about it.

    size: height and width that the masks are made for.  masks: by the numbers of `Said`.
    """

    key: str
    path: Path
    size: tuple[int, int]
    sentences: tuple[Said, ...]
    masks: dict[int, MaskSource]


@dataclass
class Corpus:
    """Pictures of a merged training set, and what was left out: counts by reason."""

    pictures: list[Annotated]
    facts: dict[str, int] = field(default_factory=dict)


def partitions(root: Path, dataset: str) -> list[str]:
    """Return the partitions (unc, umd, google) of a data set that are there, sorted."""
    return sorted(p.name[5:-3] for p in data_folder(root, dataset).glob('refs(*).p'))


def held_out_images(root: Path, datasets: Iterable[str]) -> set[str]:
    """Return the ids of all pictures in any split but training of any partition."""
    held: set[str] = set()
    for dataset in datasets:
        for partition in partitions(root, dataset):
            held |= {str(ref['image_id']) for ref in read_refs(root, dataset, partition)[1]
                     if ref.get('split') != TRAIN}
    return held


def present(root: Path, wanted: Sequence[str]) -> list[str]:
    """Return which data sets are below a root.

    Raises BadInputError where one that was asked for is missing, or none is there.
    """
    if wanted:
        for dataset in wanted:
            data_folder(root, dataset)
        return list(wanted)
    found = [d for d in COCO_DATASETS if _there(root, d)]
    if not found:
        raise BadInputError(f'{root} holds none of {", ".join(COCO_DATASETS)}; --root must hold '
                            'refcoco/instances.json and the like, and images/')
    return found


def _there(root: Path, dataset: str) -> bool:
    try:
        data_folder(root, dataset)
    except BadInputError:
        return False
    return True


def merged(root: Path, datasets: Sequence[str] = (), seen_only: bool = False,
           strict: bool = False) -> Corpus:
    """Return the merged training pictures of data sets in the REFER layout.

    datasets: those to merge, by default all of the RefCOCO family that are there.  seen_only:
    keep the sentences about the 48 seen categories of the open-vocabulary setting.  Pictures of
    any other split are left out, of all RefCOCO data sets below the root, merged or not.
    Raises BadInputError for a missing or damaged data set and where nothing is left.
    """
    names = present(root, datasets)
    held = held_out_images(root, {*names, *(d for d in COCO_DATASETS if _there(root, d))})
    facts = dict.fromkeys(('sentences', 'repeated_sentences', 'held_out_sentences',
                           'unseen_sentences', 'unusable'), 0)
    merger = _Merger(held, seen_only, facts)
    for dataset in names:
        for partition in partitions(root, dataset):
            if not any(ref.get('split') == TRAIN
                       for ref in read_refs(root, dataset, partition)[1]):
                continue
            data = read_refer(root, dataset, TRAIN, ReferOptions(split_by=partition), strict)
            facts['unusable'] += len(data.problems.entries)
            for group in data.groups:
                if isinstance(group, ImageGroup):
                    merger.add(dataset, group)
    pictures = merger.pictures()
    if not pictures:
        raise BadInputError(f'{root} has no picture left to train on: {facts}')
    facts['images'], facts['objects'] = len(pictures), sum(len(p.masks) for p in pictures)
    return Corpus(pictures, facts)


class _Merger:
    """Joins groups of one picture; a sentence that two partitions hold counts once."""

    def __init__(self, held: set[str], seen_only: bool, facts: dict[str, int]) -> None:
        self.held, self.seen_only, self.facts = held, seen_only, facts
        self.groups: dict[str, ImageGroup] = {}
        self.said: dict[str, dict[tuple[Any, ...], Said]] = {}
        self.masks: dict[str, dict[int, MaskSource]] = {}

    def add(self, dataset: str, group: ImageGroup) -> None:
        for sample in group.samples:
            if group.key in self.held:
                self.facts['held_out_sentences'] += 1
            elif self.seen_only and sample.unseen is not False:
                self.facts['unseen_sentences'] += 1
            else:
                self._take(dataset, group, sample)

    def _take(self, dataset: str, group: ImageGroup, sample: Sample) -> None:
        targets: tuple[int, ...] = ()
        if sample.kind == 'answerable' and sample.mask is not None:
            targets = (int(sample.object_id),)
            self.masks.setdefault(group.key, {}).setdefault(targets[0], sample.mask)
        elif sample.kind == 'ambiguous':
            self.facts['unusable'] += 1     # it fits several objects whose masks are not given
            return
        key = (dataset, targets, sample.expression)
        known = self.said.setdefault(group.key, {})
        self.facts['repeated_sentences' if key in known else 'sentences'] += 1
        known[key] = Said(sample.expression, targets)
        self.groups.setdefault(group.key, group)

    def pictures(self) -> list[Annotated]:
        made = []
        for key, group in sorted(self.groups.items()):
            assert group.size is not None, 'readers of the REFER layout know the sizes'
            made.append(Annotated(key, group.path, group.size,
                                  tuple(self.said[key].values()), self.masks.get(key, {})))
        return made


def open_vocabulary_counts(root: Path, dataset: str, partition: str) -> dict[str, int]:
    """Return how many training references are of seen, unseen and other categories.

    The acceptance test of the split: CGFormer's loader fixes the seen ones (sheet, section 6).
    """
    from ris_ros.datasets.categories import seen_state
    counts = {'seen': 0, 'unseen': 0, 'neither': 0}
    for ref in read_refs(root, dataset, partition)[1]:
        if ref.get('split') == TRAIN:
            state = seen_state(ref.get('category_id'))
            counts['neither' if state is None else 'unseen' if state else 'seen'] += 1
    return counts
