"""Where pictures come from: files, or shards of rendered scenes.  They give colours alone."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ris_ros.datasets.base import read_image
from ris_ros.datasets.files import load_json
from ris_ros.datasets.refer import image_folder, read_refs
from ris_ros.training.engine.arrays import Mapped
from ris_ros.training.pcnet.pairs import Pairs, Picture, Pictures, Said
from ris_ros.types import BadInputError


class FilePictures:
    """Pictures in files, read when they are asked for."""

    def __init__(self, keys: Sequence[str], paths: Sequence[Path]) -> None:
        self.keys, self.paths = tuple(keys), tuple(paths)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.paths)

    def read(self, row: int) -> np.ndarray:
        """Return one picture, (H, W, 3) uint8 RGB.  Raises BadInputError naming the file."""
        return read_image(self.paths[row])


class ShardPictures:
    """The colours of rendered scenes; of a shard's files nothing but color.npy is opened.

    Keys are the scenes' seeds, by the shards' names.
    """

    def __init__(self, folders: Iterable[Path], most: int | None = None) -> None:
        """most: pictures that are wanted, the first ones; None: all.

        Raises BadInputError for a shard without colours or of another name.
        """
        self.shards: list[Mapped] = []
        self.places: list[tuple[int, int]] = []
        keys: list[str] = []
        for folder in folders:
            first = folder.name.rpartition('_')[2]
            if not first.isdigit():
                raise BadInputError(f'{folder} is no shard of scenes (shard_SEED)')
            colours = Mapped(folder / 'color.npy')
            self.places += [(len(self.shards), i) for i in range(len(colours))]
            keys += [str(int(first) + i) for i in range(len(colours))]
            self.shards.append(colours)
        self.places, self.keys = self.places[:most], tuple(keys[:most])

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.places)

    def read(self, row: int) -> np.ndarray:
        """Return one picture, (H, W, 3) uint8 RGB."""
        shard, i = self.places[row]
        picture: np.ndarray = np.ascontiguousarray(self.shards[shard][i])
        return picture


def check_rows(pairs: Pairs, pictures: Pictures) -> None:
    """Raise BadInputError where sentences are about other pictures than those that are here."""
    keys = pictures.keys
    for p in pairs.pictures:
        if not 0 <= p.row < len(pictures) or (keys and keys[p.row] != p.key):
            there = keys[p.row] if keys and 0 <= p.row < len(keys) else 'nothing'
            raise BadInputError(
                f'{pairs.name}: the sentences of picture {p.key} are for row {p.row}, where '
                f'{there} is; make them again for these pictures with: ris train pcnet --stage '
                'sentences')


# ---- data sets in the REFER layout --------------------------------------------------------------

def _without_objects(record: dict[str, Any]) -> dict[str, Any] | None:
    """A JSON hook that drops annotations while the text is parsed: no mask, no box is kept."""
    return None if 'segmentation' in record or 'bbox' in record else record


def read_refer_pairs(root: Path, dataset: str, split: str = 'train',
                     split_by: str | None = None, sentence_field: str = 'sent'
                     ) -> tuple[Pairs, FilePictures]:
    """Return the pairs of one split, without cues, and the pictures.

    Of instances.json only the list of pictures is kept; references give sentences, and by their
    object's number who else is spoken of.  References whose picture is missing in the list or
    that have no sentence are left out and counted in the notes.  Raises BadInputError for
    missing or damaged parts of the data set, and where nothing is left.
    """
    path, refs = read_refs(root, dataset, split_by)
    folder = image_folder(root, path.parent)
    instances = load_json(path.with_name('instances.json'), object_hook=_without_objects)
    try:
        files = {image['id']: str(image['file_name']) for image in instances['images']}
    except (KeyError, TypeError) as error:
        raise BadInputError(f'{path.with_name("instances.json")} has no list of images; copy or '
                            'download it again') from error
    said: dict[Any, list[Said]] = {}
    left_out = {'of another split': 0, 'without a picture': 0, 'without a sentence': 0}
    for ref in refs:
        if not isinstance(ref, dict) or ref.get('split') != split:
            left_out['of another split'] += 1
            continue
        texts = _texts(ref, sentence_field)
        if ref.get('image_id') not in files:
            left_out['without a picture'] += 1
        elif not texts:
            left_out['without a sentence'] += 1
        else:
            name = str(ref.get('ann_id', ref.get('ref_id')))
            said.setdefault(ref['image_id'], []).extend(Said(name, t, ()) for t in texts)
    order = sorted(said, key=str)
    notes = [f'{count} references {why} left out' for why, count in left_out.items()
             if count and why != 'of another split']
    pictures = [Picture(str(key), row, tuple(said[key])) for row, key in enumerate(order)]
    if not pictures:
        raise BadInputError(f'{path} has no usable reference of split {split!r}'
                            + (f' ({"; ".join(notes)})' if notes else ''))
    found = FilePictures([str(k) for k in order], [folder / files[k] for k in order])
    missing = next((p for p in found.paths if not p.is_file()), None)
    if missing is not None:
        raise BadInputError(f'the image {missing} is missing; {dataset} needs its pictures in '
                            f'{folder}')
    return Pairs(f'{dataset}({path.name[5:-3]}) {split}', pictures, notes), found


def _texts(ref: dict[str, Any], field: str) -> list[str]:
    sentences = ref.get('sentences')
    found = [s.get(field) for s in sentences if isinstance(s, dict)] if isinstance(
        sentences, list) else []
    return [text.strip().lower() for text in found if isinstance(text, str) and text.strip()]
