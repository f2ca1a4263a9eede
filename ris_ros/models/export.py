"""Checked weights copied into a folder, to be carried to a machine without a network."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

from ris_ros.files import atomic_folder, atomic_path, sha256_of, write_json
from ris_ros.models.locking import check_space
from ris_ros.models.weights import WeightStore
from ris_ros.types import WeightsError

LIST = 'models.json'   # beside the files: where each is from, and under which licence


def export(store: WeightStore, name: str, folder: Path) -> Path:
    """Copy a network that is here, checked, with what describes it; return the copy.

    `ris models fetch --from FOLDER` takes it in elsewhere, and RIS_MODEL_DIR reads it as it is.
    Raises WeightsError where the network is not here or not whole, or the disk has no room;
    BadInputError where the folder cannot be written to.
    """
    entry, path = store.entry(name), store.verify(name)
    target = folder / path.name
    if target.exists() and target.samefile(path):
        return target
    files = [f for f in path.rglob('*') if f.is_file()] if path.is_dir() else [path]
    check_space(folder, sum(f.stat().st_size for f in files), name)
    if path.is_dir():
        with atomic_folder(target) as fresh:
            shutil.copytree(path, fresh, dirs_exist_ok=True)
    else:
        with atomic_path(target) as temporary:
            shutil.copyfile(path, temporary)
            if sha256_of(temporary) != store.expected_sha256(name):
                raise WeightsError(f'{path} changed while it was copied to {folder}; try again')
    record = path.with_suffix('.json')
    if record.is_file():
        with atomic_path(folder / record.name) as temporary:
            shutil.copyfile(record, temporary)
    _note(folder, name, {'file': path.name, 'source': entry.source, 'revision': entry.revision,
                         'licence': entry.licence})
    return target


def _note(folder: Path, name: str, said: dict[str, str]) -> None:
    path = folder / LIST
    known = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
    write_json(path, {**known, name: said})
