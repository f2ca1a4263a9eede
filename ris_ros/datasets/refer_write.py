"""Writer of the REFER layout, so that any REFER reader can use scenes that we render."""
from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.files import write_bytes, write_json
from ris_ros.lazy import require
from ris_ros.types import BadInputError

IMAGE_FOLDER = 'images/mscoco/images/train2014'
UNANSWERABLE = 'unanswerable({}).json'


def write_refer(root: Path | str, dataset: str,
                images: Iterable[tuple[Mapping[str, Any], np.ndarray]],
                annotations: Iterable[Mapping[str, Any]],
                categories: Iterable[Mapping[str, Any]],
                refs: Iterable[Mapping[str, Any]], split_by: str = 'unc') -> Path:
    """Write images, `instances.json` and `refs(SPLIT_BY).p` under `root`.

    images: pairs of an image record with `id` (`file_name` defaults to DATASET_ID.png) and
    its (H, W, 3) uint8 RGB array; consumed one by one, so a generator keeps memory flat.
    annotations: COCO records `id`, `image_id`, `category_id`, `bbox` (xywh pixels),
    `segmentation` (polygons, or run lengths as `masks.encode_rle` makes them); `area` and
    `iscrowd` are filled in.  categories: records `id`, `name`.
    refs: records `ref_id`, `image_id`, `ann_id`, `category_id`, `split`, `sentences` (plain
    strings, or REFER's dicts); may carry `tag`, `tags`, `unseen`, and `answerable`, `ann_ids`
    for expressions that fit no object or several, or that mean several (answerable without an
    `ann_id`).  REFER cannot express these, so they go to `unanswerable(SPLIT_BY).json` beside
    it, where REFER readers do not look.
    The three iterables are consumed in the order images, annotations, refs.
    Returns the folder of the data set.  Raises BadInputError for a record that lacks a field.
    """
    root = Path(root)
    folder = root / dataset
    records = {}
    for record, array in images:
        full = _image_record(record, array, dataset)
        write_bytes(root / IMAGE_FOLDER / full['file_name'], _encode(array, full))
        records[full['id']] = full
    full_annotations = [_annotation(a) for a in annotations]
    plain, unanswerable = _split_refs(refs, records)
    instances = {'info': {'description': dataset}, 'licenses': [],
                 'images': list(records.values()), 'annotations': full_annotations,
                 'categories': [_plain(c) for c in categories]}
    write_json(folder / 'instances.json', instances, indent=None)
    write_json(folder / UNANSWERABLE.format(split_by), unanswerable, indent=None)
    write_bytes(folder / f'refs({split_by}).p', pickle.dumps(plain, protocol=2))
    return folder


def _image_record(record: Mapping[str, Any], array: np.ndarray, dataset: str) -> dict[str, Any]:
    if 'id' not in record:
        raise BadInputError('an image record needs an "id"')
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise BadInputError(f'image {record["id"]} must be (H, W, 3) uint8, '
                            f'not {array.shape} {array.dtype}')
    name = f'{dataset}_{int(record["id"]):012d}.png'
    return {'file_name': name, **_plain(record),
            'height': int(array.shape[0]), 'width': int(array.shape[1])}


def _encode(array: np.ndarray, record: Mapping[str, Any]) -> bytes:
    picture = require('PIL.Image', 'evaluation').fromarray(array)
    buffer = io.BytesIO()
    if str(record['file_name']).lower().endswith(('.jpg', '.jpeg')):
        picture.save(buffer, 'JPEG', quality=95)
    else:
        picture.save(buffer, 'PNG', compress_level=1)
    return buffer.getvalue()


def _annotation(record: Mapping[str, Any]) -> dict[str, Any]:
    missing = [k for k in ('id', 'image_id', 'category_id', 'bbox', 'segmentation')
               if k not in record]
    if missing:
        raise BadInputError(f'annotation {record.get("id")} lacks {", ".join(missing)}')
    full = {'iscrowd': 0, **_plain(record)}
    if 'area' not in full:
        segmentation = full['segmentation']
        if not isinstance(segmentation, dict) or isinstance(segmentation['counts'], str):
            raise BadInputError(f'annotation {record["id"]} lacks area')
        full['area'] = sum(segmentation['counts'][1::2])
    return full


def _split_refs(refs: Iterable[Mapping[str, Any]], images: Mapping[Any, Mapping[str, Any]],
                ) -> tuple[list[dict], list[dict]]:
    answerable, others = [], []
    next_sentence = 0
    for record in refs:
        missing = [k for k in ('ref_id', 'image_id', 'split', 'sentences') if k not in record]
        if missing:
            raise BadInputError(f'reference {record.get("ref_id")} lacks {", ".join(missing)}')
        ref = _plain(record)
        if ref['image_id'] not in images:
            raise BadInputError(f'reference {ref["ref_id"]} names image {ref["image_id"]}, '
                                'which was not written')
        ref['sentences'] = [_sentence(s, next_sentence + i)
                            for i, s in enumerate(ref['sentences'])]
        next_sentence += len(ref['sentences'])
        ref['sent_ids'] = [s['sent_id'] for s in ref['sentences']]
        ref.setdefault('file_name', images[ref['image_id']]['file_name'])
        several = ref.get('ann_id') is None and len(ref.get('ann_ids') or ()) > 1
        if ref.get('answerable', True) and not several:
            if ref.get('ann_id') is None:
                raise BadInputError(f'reference {ref["ref_id"]} is answerable but has no ann_id')
            answerable.append(ref)
        else:
            others.append(ref)
    return answerable, others


def _sentence(sentence: Any, sent_id: int) -> dict[str, Any]:
    if isinstance(sentence, str):
        clean = ' '.join(sentence.lower().split())
        return {'sent_id': sent_id, 'raw': sentence, 'sent': clean, 'tokens': clean.split()}
    return {'sent_id': sent_id, **sentence}


def _plain(value: Any) -> Any:
    """Turn numpy scalars and tuples into what a refs file may hold; refuse all else."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (bytes, bytearray)):
        return [_plain(v) for v in value]
    raise BadInputError(f'{type(value).__name__} cannot be written to a REFER file')
