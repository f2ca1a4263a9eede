"""Download weights once: progress, resume, checked before they get their name."""
from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ris_ros.files import sha256_of, write_json, write_sums
from ris_ros.lazy import require
from ris_ros.models.weights import (
    OFFLINE_VARIABLE,
    Entry,
    WeightStore,
)
from ris_ros.types import BadInputError, WeightsError

BLOCK = 1 << 18
Progress = Callable[[int, int], None]


def fetch(store: WeightStore, name: str, progress: Progress | None = None,
          offline: bool = False, timeout_s: float = 30.0) -> Path:
    """Return the file of a network, downloading it where it is not there.

    progress(done, total) is called with bytes; total is 0 where the server does not say.
    An interrupted download is continued.  Where the publisher names no SHA-256, that of the
    first download (or of a file put there by hand) is recorded beside it and holds from then
    on.  Raises BadInputError for a network that is made here rather than downloaded,
    WeightsError where the download fails or is not whole.
    """
    entry = store.entry(name)
    found = store.find(name)
    if found is not None:
        if _unrecorded(entry) and not found.with_suffix('.json').exists():
            _record(entry, found, sha256_of(found))
        return store.verify(name)
    if entry.repository and not (offline or os.environ.get(OFFLINE_VARIABLE)):
        return fetch_folder(store, name)
    if not entry.url and not entry.repository:
        made = 'it ships with ris_ros, or is made by: ris train tabletop' if entry.shipped else \
            f'put {entry.file} into {entry.folder or store.download_folder}'
        raise BadInputError(f'{name} is not for download; {made}')
    if offline or os.environ.get(OFFLINE_VARIABLE):
        raise WeightsError(f'{name} is not on this machine and downloads are switched off; '
                           f'put {entry.file} into {store.download_folder}')
    folder = store.download_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f'{entry.file}.part'
        _download(entry, part, progress, timeout_s)
    except (OSError, urllib.error.URLError) as error:
        raise WeightsError(f'downloading {name} from {entry.url} failed ({error}); run the same '
                           'command again to continue') from error
    path, digest = folder / entry.file, sha256_of(part)
    if _unrecorded(entry):
        _record(entry, path, digest)
    elif digest != entry.sha256:
        part.unlink()
        raise WeightsError(f'what {entry.url} sent is not {name} (its SHA-256 differs); '
                           'try again, or fetch the file from another place')
    part.replace(path)
    return path


def _unrecorded(entry: Entry) -> bool:
    """Return whether a network is for download without a known checksum."""
    return bool(entry.url) and not entry.sha256


def _record(entry: Entry, path: Path, digest: str) -> None:
    """Write the layout and the checksum beside the weights at `path`."""
    write_json(path.with_suffix('.json'), {'config': entry.config, 'sha256': digest},
               indent=None, durable=True)


def fetch_folder(store: WeightStore, name: str) -> Path:
    """Return the folder of a transformers network, downloading it at its pinned revision.

    Weights come as safetensors where the revision has them, else as state dicts.  The large
    files are checked against the SHA-256 that the revision records, all of them are listed
    in SHA256SUMS.  Raises WeightsError where the download fails or is not whole.
    """
    hub, entry = require('huggingface_hub', 'models'), store.entry(name)
    part = store.download_folder / f'{entry.file}.part'
    try:
        listed = [f for f in hub.HfApi().list_repo_tree(
            entry.repository, revision=entry.revision, recursive=True) if hasattr(f, 'size')]
        weights = next((ending for ending in ('.safetensors', '.bin') if any(
            f.path.endswith(ending) for f in listed)), '')
        wanted = [f for f in listed if f.path.endswith(('.json', '.txt')) or (
            weights and f.path.endswith(weights))]
        hub.snapshot_download(entry.repository, revision=entry.revision, local_dir=str(part),
                              allow_patterns=[f.path for f in wanted])
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise WeightsError(f'downloading {name} from {entry.repository} failed ({error}); run '
                           'the same command again to continue') from error
    shutil.rmtree(part / '.cache', ignore_errors=True)  # the hub library's own notes
    for file in wanted:
        recorded = getattr(getattr(file, 'lfs', None), 'sha256', None)
        if recorded and sha256_of(part / file.path) != recorded:
            (part / file.path).unlink()
            raise WeightsError(f'{file.path} of {name} did not arrive whole; run the same '
                               'command again')
    write_sums(part)
    part.replace(store.download_folder / entry.file)
    return store.download_folder / entry.file


def _download(entry: Entry, part: Path, progress: Progress | None, timeout_s: float) -> None:
    """Append what is missing to `part`; starts over where the server cannot continue."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(entry.url, headers={'User-Agent': 'ris_ros'})
    if have:
        request.add_header('Range', f'bytes={have}-')
    try:
        response = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after what is here: complete, or stale
            if sha256_of(part) != entry.sha256:
                part.unlink()
                _download(entry, part, progress, timeout_s)
            return
        raise
    with response:
        if response.status != 206:
            have = 0
        length = int(response.headers.get('Content-Length') or 0)
        total = have + length if length else entry.bytes
        with part.open('ab' if have else 'wb') as stream:
            while block := response.read(BLOCK):
                stream.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total)
    if length and have < total:
        raise OSError(f'the connection ended after {have} of {total} bytes')
