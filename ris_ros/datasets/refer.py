"""RefCOCO, RefCOCO+ and RefCOCOg in the REFER layout (sheet "data layouts", section 1.1).

Below a root: refcoco/{instances.json, refs(unc).p, refs(google).p}, refcoco+/ and refcocog/
alike (refs(umd).p), and the pictures in images/mscoco/images/train2014.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.base import Dataset, Group, ImageGroup, Keys, Problems, Sample, UnionMask
from ris_ros.datasets.categories import seen_state
from ris_ros.datasets.expressions import POSITION_RULES, position_shares
from ris_ros.datasets.files import load_json, load_pickle
from ris_ros.datasets.masks import (
    CocoMask,
    has_overlap,
    polygon_faults,
    rle_fault,
    size_fault,
    usable_polygons,
)
from ris_ros.datasets.refer_counts import count_notes, position_note
from ris_ros.datasets.refer_write import IMAGE_FOLDER, UNANSWERABLE, write_refer
from ris_ros.types import BadInputError

__all__ = ['ReferOptions', 'match_split', 'read_refer', 'read_refs', 'write_refer']

DEFAULT_SPLIT_BY = {'refcoco': 'unc', 'refcoco+': 'unc', 'refcocog': 'umd', 'tabletop': 'unc'}
COCO_DATASETS = ('refcoco', 'refcoco+', 'refcocog')
# Where code bases keep COCO's train2014 below the root they are given.
IMAGE_FOLDERS = (IMAGE_FOLDER, 'train2014', 'images/train2014', 'images')
ABSENT = -1   # the ann_id of a sentence whose object is not in the picture (gRefCOCO)
DATA_FOLDERS = ('{}', 'refer/{}', 'refer/data/{}')


@dataclass(frozen=True)
class ReferOptions:
    """Switches between the code bases' ways of reading the same files.

    split_by: 'unc', 'umd' or 'google'; None takes unc, and umd for RefCOCOg.
    sentence_field: 'sent' (lower-cased, cleaned) or 'raw'.  sentences: 'all', or 'first' of
    each reference (PCNet).  overlap: mask convention, see masks.CONVENTIONS.
    """

    split_by: str | None = None
    sentence_field: str = 'sent'
    sentences: str = 'all'
    overlap: str = 'union'


def match_split(wanted: str, split: str) -> bool:
    """Whether a reference with the string `split` belongs to the split `wanted`.

    As the refer loader does: `testA` is any string with an A, `test` any with "test" (so it
    joins testA and testB of the unc split), everything else is exact.
    """
    if wanted in ('testA', 'testB', 'testC'):
        return wanted[-1] in split
    if wanted == 'test':
        return 'test' in split
    return wanted == split


def data_folder(root: Path, dataset: str) -> Path:
    """Return the folder of one data set below `root`.  Raises BadInputError."""
    for pattern in DATA_FOLDERS:
        folder = root / pattern.format(dataset)
        if folder.is_dir():
            return folder
    if (root / 'instances.json').is_file() and root.name == dataset:
        return root
    raise BadInputError(f'{root / dataset} is missing; --root must hold {dataset}/instances.json '
                        'and images/')


def read_refs(root: Path, dataset: str, split_by: str | None) -> tuple[Path, list[Any]]:
    """Return the path and the records of the refs file of one data set."""
    folder = data_folder(root, dataset)
    split_by = split_by or DEFAULT_SPLIT_BY.get(dataset, 'unc')
    path = folder / f'refs({split_by}).p'
    if not path.is_file():
        there = sorted(p.name[5:-3] for p in folder.glob('refs(*).p'))
        raise BadInputError(f'{path} is missing; ' + (
            f'--split-by may be: {", ".join(there)}' if there else 'check --root'))
    refs = load_pickle(path)
    if not isinstance(refs, list):
        raise BadInputError(f'{path} holds a {type(refs).__name__}, a list of references '
                            'is needed')
    return path, refs


def read_refer(root: Path | str, dataset: str, split: str,
               options: ReferOptions | None = None, strict: bool = False) -> Dataset:
    """Read one split.

    Annotations of objects that the split does not mean are dropped while parsing, which keeps
    50,000 references within 1 GB.  Raises BadInputError for a missing or damaged file
    or an empty split, and EntryError for an unusable entry when `strict`; otherwise such
    entries are left out and listed in the data set's `problems`.
    """
    root, options = Path(root), options or ReferOptions()
    problems = Problems(strict)
    path, refs = read_refs(root, dataset, options.split_by)
    extra_path = path.with_name(UNANSWERABLE.format(path.name[5:-3]))
    places = [((str(path), f'reference {i}'), ref) for i, ref in enumerate(refs)]
    if extra_path.is_file():
        places += [((str(extra_path), f'reference {i}'), ref)
                   for i, ref in enumerate(load_json(extra_path))]
    chosen = []
    for place, ref in places:
        with problems.guard(*place):
            if _usable_ref(place, ref, split, problems):
                chosen.append((place, ref))
    if not chosen:
        splits = sorted({str(r.get('split')) for _, r in places if isinstance(r, Mapping)})
        raise BadInputError(f'{path} has no reference of split {split!r}; it has: '
                            f'{", ".join(splits)}')
    wanted = {i for _, ref in chosen for i in _meant(ref)}
    builder = _Builder(dataset, options, problems, path.with_name('instances.json'), wanted)
    groups = builder.groups(chosen, image_folder(root, path.parent))
    result = Dataset(dataset, split, groups, problems)
    samples = list(result.samples())
    result.facts = {
        'references': len(chosen), 'sentences': len(samples), 'images': len(groups),
        'overlapping_masks': builder.overlapping, 'crowd_references': builder.crowds,
        'position_share': position_shares(s.expression for s in samples)}
    if dataset in COCO_DATASETS:
        states = [seen_state(ref.get('category_id')) for _, ref in chosen]
        result.facts |= {'seen_references': states.count(False),
                         'unseen_references': states.count(True)}
    if builder.overlapping:
        result.notes.append(
            f'{builder.overlapping} of {len(chosen)} references have overlapping polygons: the '
            'mask conventions differ there (--overlap)')
    which = (dataset, path.name[5:-3], split)
    if dataset in COCO_DATASETS:
        result.notes += position_note(*which, result.facts['position_share'])
    if options.sentences == 'all':
        result.notes += count_notes(*which, result.facts)
    return result


def _usable_ref(place: tuple[str, str], ref: Any, split: str, problems: Problems) -> bool:
    if not isinstance(ref, Mapping):
        problems.add(*place, f'is a {type(ref).__name__}, not a reference')
        return False
    if 'split' not in ref:
        problems.add(*place, 'has no "split"')
        return False
    if not match_split(split, str(ref['split'])):
        return False
    needed = ['ref_id', 'image_id', 'sentences']
    missing = [k for k in needed if ref.get(k) is None]
    if missing:
        problems.add(*place, f'has no {", ".join(missing)}')
        return False
    odd = [k for k in ('ref_id', 'image_id', 'ann_id', 'category_id')
           if not isinstance(ref.get(k), (int, float, str, np.integer, type(None)))]
    odd += [f'ann_ids ({i!r})' for i in ref.get('ann_ids') or ()
            if not isinstance(i, (int, str, np.integer))]
    if odd or not isinstance(ref['sentences'], (list, tuple)):
        problems.add(*place, 'must have a list of sentences' if not odd else
                     f'{", ".join(odd)} must be one number (several objects: "ann_ids")')
        return False
    if ref.get('answerable', True) and not _meant(ref) and ref.get('ann_id') != ABSENT:
        problems.add(place[0], f'{place[1]} (ref_id {ref["ref_id"]})',
                     'means no object (no ann_id)')
        return False
    return True


def _meant(ref: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the annotations that a reference means: one, or several in our own extra file."""
    if not ref.get('answerable', True) or ref.get('ann_id') == ABSENT:
        return ()
    return (ref['ann_id'],) if ref.get('ann_id') is not None else tuple(ref.get('ann_ids') or ())


def image_folder(root: Path, folder: Path) -> Path:
    """Return the folder of the pictures; raises BadInputError where it is missing."""
    for base in (root, folder.parent, folder.parent.parent):
        for name in IMAGE_FOLDERS:
            if (base / name).is_dir():
                return base / name
    raise BadInputError(f'{root / IMAGE_FOLDER} is missing; put the images of COCO train2014 '
                        'there (or in ROOT/train2014)')


class _Builder:
    """Joins references with the instances file."""

    def __init__(self, dataset: str, options: ReferOptions, problems: Problems,
                 instances_path: Path, wanted: set[Any]) -> None:
        self.dataset, self.options, self.problems = dataset, options, problems
        self.instances_path = instances_path
        self.overlapping = self.crowds = 0
        self.keys = Keys()
        data = load_json(instances_path, object_hook=_compacting_hook(wanted))
        if not isinstance(data, Mapping) or not all(
                isinstance(data.get(k), list) for k in ('annotations', 'images')):
            raise BadInputError(f'{instances_path} is no COCO instances file (a list of '
                                '"annotations" and one of "images" are needed)')
        self.annotations = self._by_id('annotation', data['annotations'])
        self.images = self._by_id('image', data['images'])
        self.categories = {i: c.get('name') for i, c in self._by_id(
            'category', data.get('categories') or ()).items()}

    def _by_id(self, what: str, records: Sequence[Any]) -> dict[Any, Mapping[str, Any]]:
        """Return records by their id; the first of one id counts, the others are noted."""
        found: dict[Any, Mapping[str, Any]] = {}
        for number, record in enumerate(records):
            if record is None:   # let go while parsing
                continue
            entry = f'{what} {number} from 0'
            with self.problems.guard(self.instances_path, entry):
                if record['id'] in found:
                    self.problems.add(self.instances_path, entry,
                                      f'its id {record["id"]} is taken by an earlier one')
                else:
                    found[record['id']] = record
        return found

    def groups(self, refs: Sequence[tuple[tuple[str, str], Mapping[str, Any]]],
               folder: Path) -> list[Group]:
        samples: dict[Any, list[Sample]] = {}
        for place, ref in refs:
            place = (place[0], f'{place[1]} (ref_id {ref["ref_id"]})')
            made: list[Sample] = []
            with self.problems.guard(*place):
                made += self._samples(place, ref)
            if made:
                samples.setdefault(ref['image_id'], []).extend(made)
        groups: list[Group] = []
        for image_id, members in samples.items():
            record = self.images[image_id]
            groups.append(ImageGroup(str(image_id), folder / record['file_name'], tuple(members),
                                     (int(record['height']), int(record['width']))))
        return groups

    def _samples(self, place: tuple[str, str], ref: Mapping[str, Any]) -> Iterator[Sample]:
        image = self.images.get(ref['image_id'])
        if image is None or not {'file_name', 'height', 'width'} <= set(image):
            self.problems.add(*place, f'image {ref["image_id"]} is not in {self.instances_path}, '
                              'or lacks file_name, height or width')
            return
        if fault := size_fault(image['height'], image['width']):
            self.problems.add(*place, f'image {ref["image_id"]}: {fault}')
            return
        annotations, masks = [], []
        for wanted in _meant(ref):
            annotation = self.annotations.get(wanted)
            if annotation is None:
                self.problems.add(*place, f'its object {wanted} is not in '
                                  f'{self.instances_path}')
                return
            if annotation['image_id'] != ref['image_id']:
                self.problems.add(*place, f'its object {wanted} lies in image '
                                  f'{annotation["image_id"]}, not in {ref["image_id"]}')
                return
            mask = self._mask(annotation, image)
            if mask is None:
                return
            annotations.append(annotation)
            masks.append(mask)
        kind = 'answerable' if masks else 'ambiguous' if ref.get('ann_ids') else 'absent'
        yield from self._sentences(place, ref, kind, masks,
                                   annotations[0] if len(annotations) == 1 else {})

    def _mask(self, annotation: Mapping[str, Any], image: Mapping[str, Any]) -> CocoMask | None:
        """Return the object's mask source, or None (and note it) if it has none."""
        entry = f'annotation {annotation["id"]}'
        height, width = int(image['height']), int(image['width'])
        segmentation = annotation.get('segmentation')
        if isinstance(segmentation, Mapping):
            fault = rle_fault(segmentation)
            if fault is None and [int(v) for v in segmentation['size']] != [height, width]:
                fault = (f'its mask has the size {segmentation["size"]}, its image '
                         f'[{height}, {width}] (height, width)')
            if fault is not None:
                self.problems.add(self.instances_path, entry, fault)
                return None
        elif isinstance(segmentation, (list, tuple)):
            for fault in polygon_faults(segmentation):
                self.problems.add(self.instances_path, entry, fault)
            segmentation = usable_polygons(segmentation)
        else:
            segmentation = None
        if not segmentation:
            self.problems.add(self.instances_path, entry, 'it has no usable mask')
            return None
        self.overlapping += has_overlap(segmentation, height, width)
        self.crowds += bool(annotation.get('iscrowd'))
        return CocoMask(segmentation, height, width, self.options.overlap)

    def _sentences(self, place: tuple[str, str], ref: Mapping[str, Any], kind: str,
                   masks: Sequence[CocoMask], annotation: Mapping[str, Any]
                   ) -> Iterator[Sample]:
        field = self.options.sentence_field
        sentences = ref['sentences'][:1] if self.options.sentences == 'first' \
            else ref['sentences']
        category = ref.get('category_id', annotation.get('category_id'))
        unseen = ref.get('unseen')
        if self.dataset in COCO_DATASETS:
            unseen = seen_state(category)
        box = annotation.get('bbox')
        several = len(masks) > 1
        mask = UnionMask(tuple(masks)) if several else masks[0] if masks else None
        object_id = '+'.join(map(str, ref['ann_ids'])) if several else str(ref.get('ann_id'))
        box = None if box is None else _box(box)
        named = {str(s['sent_id']) for s in sentences
                 if isinstance(s, Mapping) and s.get('sent_id') is not None}
        for number, sentence in enumerate(sentences):
            text = sentence.get(field) if isinstance(sentence, Mapping) else None
            if not isinstance(text, str) or not text.strip():
                self.problems.add(*place, f'sentence {number} has no text in "{field}"')
                continue
            sent_id = sentence.get('sent_id')
            if sent_id is None:
                key = self.keys.free(f'{ref["ref_id"]}/{number}' + '#' * (str(number) in named))
            elif not self.keys.take(key := f'{ref["ref_id"]}/{sent_id}'):
                self.problems.add(*place, f'sentence {number}: its ids {key} (ref_id/sent_id) are '
                                  'taken by an earlier one')
                continue
            yield Sample(
                key=key, expression=text.strip(),
                image_id=str(ref['image_id']), object_id=object_id, mask=mask, kind=kind,
                tags=self._tags(ref, sentence, kind, text, unseen),
                category=self.categories.get(category),
                box=box,
                unseen=unseen, place=place, masks=tuple(masks) if several else ())

    def _tags(self, ref: Mapping[str, Any], sentence: Mapping[str, Any], kind: str, text: str,
              unseen: bool | None) -> tuple[str, ...]:
        own = sentence.get('tags') or ref.get('tags') or ([ref['tag']] if ref.get('tag') else [])
        if self.dataset in COCO_DATASETS and kind == 'answerable':
            own = [*own, 'position' if POSITION_RULES['words'](text) else 'other']
            if unseen is not None:
                own.append('unseen' if unseen else 'seen')
        return tuple(str(t) for t in own)


def _box(values: Any) -> tuple[float, float, float, float]:
    """Return x, y, width, height.  Raises BadInputError."""
    box = tuple(float(v) for v in values)
    if len(box) != 4 or not np.isfinite(box).all():
        raise BadInputError(f'its bbox {values} is no x, y, width, height')
    return box   # type: ignore[return-value]


def _compacting_hook(wanted: set[Any]) -> Any:
    """Return a JSON hook that keeps the fields we use, and objects only if they are meant.

    Runs while the text is parsed, so the whole file is never held as Python lists.
    """
    def hook(record: dict[str, Any]) -> dict[str, Any] | None:
        if 'segmentation' not in record or 'image_id' not in record:
            return record
        if not isinstance(record.get('id'), (int, str)) or record['id'] not in wanted:
            return None
        segmentation = record['segmentation']
        if isinstance(segmentation, list):
            segmentation = [_compact(p) for p in segmentation]
        return {'id': record['id'], 'image_id': record['image_id'],
                'category_id': record.get('category_id'),
                'bbox': record.get('bbox'), 'iscrowd': record.get('iscrowd', 0),
                'segmentation': segmentation}
    return hook


def _compact(polygon: Any) -> Any:
    try:
        return np.asarray(polygon, np.float64)
    except (TypeError, ValueError):
        return polygon   # left as it is: polygon_faults says what is wrong with it
