"""What a repository of the Hugging Face hub holds at a pinned revision.

Listing, addresses and the user's access token come from huggingface_hub.  The bytes come by
`ris_ros.models.download`: the library (2.4) forgets what has arrived of a file when its process
ends, and a robot's network may need several starts for 15 GB.
"""
from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any

from ris_ros.lazy import require
from ris_ros.models.download import Remote
from ris_ros.models.weights import Entry
from ris_ros.types import WeightsError

ENDPOINT_VARIABLE = 'HF_ENDPOINT'
BESIDE = ('.json', '.txt', '.jinja', '.model')   # what a tokenizer or a processor is made of


def remotes_of(entry: Entry) -> list[Remote]:
    """Return the files to download of an entry on the hub.

    Of a folder: weights as safetensors where the revision has them, else as state dicts, and
    what lies beside them at the top.  Each comes with the checksum that the revision records.
    Raises WeightsError where the repository cannot be listed, with what to do.
    """
    hub = require('huggingface_hub', 'models')
    errors, utils = (require(f'huggingface_hub.{part}', 'models') for part in ('errors', 'utils'))
    endpoint = os.environ.get(ENDPOINT_VARIABLE) or None
    try:
        headers = utils.build_hf_headers(library_name='ris_ros')
        listed = [f for f in hub.HfApi(endpoint=endpoint).list_repo_tree(
            entry.repository, revision=entry.revision or None) if hasattr(f, 'size')]
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise WeightsError(_why(entry, error, errors)) from error
    wanted = [f for f in listed if f.path == entry.remote] if entry.remote else _folder(listed)
    if not wanted:
        raise WeightsError(f'{entry.source} has no '
                           f'{entry.remote or "weights"} at revision {entry.revision}; is the '
                           'record of the network right?')
    found = []
    for file in wanted:
        path = PurePosixPath(file.path)
        if path.is_absolute() or '..' in path.parts:
            raise WeightsError(f'{entry.source} names a file outside its folder: {file.path}')
        lfs = getattr(file, 'lfs', None)
        known = entry.sha256 if entry.remote else entry.files.get(file.path, '')
        recorded = lfs.sha256 if lfs else ''
        if known and recorded and known != recorded:
            raise WeightsError(f'{file.path} of {entry.source} is another file than the one '
                               'that ris_ros knows (its SHA-256 differs); take a newer ris_ros')
        found.append(Remote(
            hub.hf_hub_url(entry.repository, file.path, revision=entry.revision or None,
                           endpoint=endpoint),
            file.path, file.size, known or recorded,
            '' if lfs else getattr(file, 'blob_id', '') or '', headers,
            entry.format if entry.remote else ''))
    return found


def _folder(listed: list[Any]) -> list[Any]:
    top = [f for f in listed if '/' not in f.path]
    ending = next((e for e in ('.safetensors', '.bin') if any(
        f.path.endswith(e) for f in top)), '')
    if not ending:
        return []
    return [f for f in top if f.path.endswith((*BESIDE, ending))]


def _why(entry: Entry, error: Exception, errors: Any) -> str:
    """Return what to do where the repository cannot be listed."""
    if isinstance(error, errors.GatedRepoError) or (
            entry.gated and getattr(getattr(error, 'response', None), 'status_code', 0) in (
                401, 403)):
        return (f'{entry.name} is given out to people who accept its licence ({entry.licence}): '
                f'do so at {entry.source}, log in with `hf auth login`, and run the same command '
                'again')
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (f'{entry.source} cannot be asked for {entry.name} ({first[:200]}); check the network '
            'and run the same command again, or bring the files from another machine: ris models '
            f'export {entry.name} there, ris models fetch {entry.name} --from FOLDER here')
