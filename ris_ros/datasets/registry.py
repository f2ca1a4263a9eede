"""Data sets by the names that `ris eval` takes."""
from __future__ import annotations

from pathlib import Path

from ris_ros.datasets.base import Dataset
from ris_ros.datasets.derived import read_derived
from ris_ros.datasets.folder import read_folder
from ris_ros.datasets.phrasecut import read_phrasecut
from ris_ros.datasets.refer import COCO_DATASETS, ReferOptions, read_refer
from ris_ros.datasets.tabletop import read_tabletop
from ris_ros.types import BadInputError

# name -> the split that is evaluated when none is named
DATASETS = {'refcoco': 'val', 'refcoco+': 'val', 'refcocog': 'val', 'phrasecut': 'val',
            'tabletop': 'test', 'folder': 'all'}


def open_dataset(name: str, root: Path | str | None = None, split: str | None = None,
                 options: ReferOptions | None = None, scenes: int | None = None,
                 strict: bool = False, layout: str = 'refer') -> Dataset:
    """Return a split of a data set.

    name: one of DATASETS.  root: its folder; the tabletop renders scenes without one.
    scenes: the tabletop's first so many scenes.  layout: of the RefCOCO family, one of
    derived.LAYOUTS.  Raises BadInputError.
    """
    if name not in DATASETS:
        raise BadInputError(f'{name!r} is no data set; take one of {", ".join(DATASETS)}')
    split = split or DATASETS[name]
    if name == 'tabletop' and root is None:
        return read_tabletop(split, scenes)
    if root is None:
        raise BadInputError(f'{name} needs --root, the folder that holds it')
    root = Path(root)
    if not root.is_dir():
        raise BadInputError(f'{root} is no folder; check --root')
    if name == 'folder':
        return read_folder(root, split, strict)
    if name == 'phrasecut':
        return read_phrasecut(root, split, strict)
    if layout != 'refer':
        if name not in COCO_DATASETS:
            raise BadInputError(f'the layout {layout} is for {", ".join(COCO_DATASETS)} only')
        split_by = options.split_by if options else None
        dataset = read_derived(layout, root, name, split, split_by, strict)
    else:
        dataset = read_refer(root, name, split, options, strict)
    if scenes is not None:
        dataset.groups = dataset.groups[:scenes]
    return dataset
