"""Weights on this machine: downloaded once, or brought by hand; checked before they get a name.

What is here already is checked and taken, without a look at the network.  One process works at
a network, others wait; what is not whole and right never has the network's name.
"""
from __future__ import annotations

import errno
import os
import shutil
import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path

from ris_ros.files import SUMS, sha256_of, verify_sums, write_json, write_sums
from ris_ros.models.download import (
    Progress,
    Remote,
    check_content,
    download,
    whats_wrong,
)
from ris_ros.models.hub import remotes_of
from ris_ros.models.locking import check_space, megabytes, only_one
from ris_ros.models.weights import (
    OFFLINE_VARIABLE,
    TRAINERS,
    Entry,
    WeightStore,
    rewrite,
)
from ris_ros.types import BadInputError, MissingDependencyError, RisError, WeightsError

HUB_OFFLINE_VARIABLE = 'HF_HUB_OFFLINE'
Tell = Callable[[str], None]


def fetch(store: WeightStore, name: str, progress: Progress | None = None,
          offline: bool = False, timeout_s: float = 30.0, *, source: Path | None = None,
          tell: Tell | None = None, retries: int = 0) -> Path:
    """Return the file or folder of a network, bringing it where it is not there.

    progress(done, total) is called with bytes; total is 0 where the server does not say.
    tell: gets a sentence before a download (size, origin, licence) and while another process
    is at it.  source: a folder with files brought by hand; the network is not asked then.
    retries: how often a cut connection is taken up again at once; a later call continues too.

    A legacy file is rewritten as safetensors once.  Where the publisher names no SHA-256, that
    of the first download (or of a file put there by hand) is recorded beside it and holds from
    then on.  Raises BadInputError for a network that is made here rather than downloaded,
    WeightsError where it cannot be had or is not whole: file and remedy stand in the message.
    """
    entry = store.entry(name)
    if store.find(name) is not None:
        return _known(store, name)
    if source is None:
        _check_fetchable(store, entry, offline)
    folder = store.download_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_one(folder / entry.file, lambda: _say(
                tell, f'{name}: another process is fetching it; waiting')):
            if store.find(name) is not None:   # meanwhile
                return _known(store, name)
            if source is not None:
                return _bring(store, entry, source)
            return _get(store, entry, progress, timeout_s, tell, retries)
    except OSError as error:
        if isinstance(error, RisError):
            raise
        raise WeightsError(_failed(entry, folder, error)) from error


def _check_fetchable(store: WeightStore, entry: Entry, offline: bool) -> None:
    folder = store.download_folder
    if not entry.url and not entry.repository:
        made = ('it ships with ris_ros, or is made by: ris train '
                f'{TRAINERS.get(entry.kind, "tabletop")}' if entry.shipped else
                f'put {entry.file} into {entry.folder or folder}')
        raise BadInputError(f'{entry.name} is not for download; {made}')
    variables = [OFFLINE_VARIABLE, HUB_OFFLINE_VARIABLE] if entry.repository else [
        OFFLINE_VARIABLE]
    switched = next(filter(_on, variables), '')
    if offline or switched:
        by = f' (by {switched})' if switched else ''
        raise WeightsError(
            f'{entry.name} is not on this machine and downloads are switched off{by}; put '
            f'{entry.file} ({entry.source}) into {folder}, or bring it with: ris models fetch '
            f'{entry.name} --from FOLDER')


def _on(variable: str) -> bool:
    return os.environ.get(variable, '').lower() not in ('', '0', 'false', 'no', 'off')


def _known(store: WeightStore, name: str) -> Path:
    """Return what is here, checked; record the checksums of what was put there by hand."""
    entry, found = store.entry(name), store.path(name)
    if entry.is_folder and not entry.shipped and not (found / SUMS).exists():
        _check_files(entry, found, 'copy it again')
        write_sums(found)
    elif _unrecorded(entry) and found.name == entry.file and \
            not found.with_suffix('.json').exists():
        digest = sha256_of(found)
        if wrong := whats_wrong(Remote(str(found), name, format=entry.format), found, digest):
            raise WeightsError(f'{found} is {wrong}; {entry.remedy}')
        _record(entry, found, digest)
    return store.verify(name)


def _unrecorded(entry: Entry) -> bool:
    """Return whether a single file is for download without a known checksum."""
    return bool(entry.url or entry.repository) and not entry.sha256 and not entry.is_folder


def _record(entry: Entry, path: Path, digest: str) -> None:
    """Write the layout and the checksum beside the weights at `path`."""
    write_json(path.with_suffix('.json'), {'config': entry.config, 'sha256': digest},
               indent=None, durable=True)


def _get(store: WeightStore, entry: Entry, progress: Progress | None, timeout_s: float,
         tell: Tell | None, retries: int) -> Path:
    """Download and place a network."""
    folder = store.download_folder
    remotes = remotes_of(entry) if entry.repository else [
        Remote(entry.url, entry.name, entry.bytes, entry.sha256, format=entry.format)]
    total = sum(r.bytes for r in remotes)
    size = megabytes(total or entry.size) if total or entry.size else 'of unknown size'
    _say(tell, f'{entry.name}: {size} from {entry.source}, licence: '
               f'{entry.licence or "not stated"}')
    part = folder / f'{entry.file}.part'
    if not entry.is_folder:
        reserve = (total or entry.size) if entry.converted else 0
        check_space(folder, (total or entry.size) + reserve - _arrived(part), entry.name)
        digest = download(remotes[0], part, progress, timeout_s, retries, reserve)
        return _place(entry, part, folder, digest)
    check_space(folder, total - _arrived(part), entry.name)
    return _get_folder(entry, remotes, part, progress, timeout_s, retries)


def _get_folder(entry: Entry, remotes: Sequence[Remote], part: Path, progress: Progress | None,
                timeout_s: float, retries: int) -> Path:
    """Download the files of a folder into `part`, those that are there already left out."""
    part.mkdir(exist_ok=True)
    done, total = 0, sum(r.bytes for r in remotes)
    for remote in remotes:
        path = part / remote.name
        if path.is_file() and path.stat().st_size == remote.bytes:
            check_content(remote, path)
        else:
            piece = part / f'{remote.name}.part'
            download(remote, piece, _shifted(progress, done, total), timeout_s, retries)
            piece.replace(path)
        done += remote.bytes
    for stray in part.iterdir():   # of an older listing
        if stray.name not in {r.name for r in remotes}:
            stray.unlink()
    write_sums(part)
    part.replace(part.with_name(entry.file))
    return part.with_name(entry.file)


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Return the progress of one file as part of all of them."""
    if progress is None:
        return None
    return lambda have, _: progress(done + have, total)


def _arrived(part: Path) -> int:
    if part.is_dir():
        return sum(f.stat().st_size for f in part.iterdir() if f.is_file())
    return part.stat().st_size if part.exists() else 0


def _place(entry: Entry, part: Path, folder: Path, digest: str) -> Path:
    """Give a checked file its name, as safetensors where it is of a legacy format."""
    path = folder / entry.file
    if entry.converted:
        try:
            made = rewrite(entry, part, folder)
        except MissingDependencyError:   # torch may be elsewhere: the file itself is whole
            pass
        except WeightsError as error:
            part.unlink()
            raise WeightsError(f'what came as {entry.file} from {entry.source} is no weights '
                               f'file ({error}); try again, or bring it with: ris models fetch '
                               f'{entry.name} --from FOLDER') from error
        else:
            part.unlink()
            return made
    if _unrecorded(entry):
        _record(entry, path, digest)
    part.replace(path)
    return path


def _bring(store: WeightStore, entry: Entry, source: Path) -> Path:
    """Take a network from a folder that somebody filled by hand or by `ris models export`."""
    if not source.is_dir():
        raise BadInputError(f'--from {source}: there is no such folder')
    folder = store.download_folder
    names = [*entry.names, entry.remote, entry.repository.rpartition('/')[2]]
    there = Path.is_dir if entry.is_folder else Path.is_file
    found = next((source / n for n in names if n and there(source / n)), None)
    if found is None:
        what = 'folder' if entry.is_folder else 'file'
        raise WeightsError(f'{entry.name}: {source} has no {what} {entry.file}; get it from '
                           f'{entry.source}' + (f' at revision {entry.revision}'
                                                if entry.revision else ''))
    if entry.is_folder:
        return _bring_folder(entry, found, folder)
    check_space(folder, 2 * found.stat().st_size, entry.name)
    if entry.converted and found.name == entry.converted:
        return _bring_converted(store, entry, found)
    part = folder / f'{entry.file}.part'
    shutil.copyfile(found, part)
    digest = check_content(Remote(str(found), entry.name, entry.bytes, entry.sha256,
                                  format=entry.format), part)
    return _place(entry, part, folder, digest)


def _bring_converted(store: WeightStore, entry: Entry, found: Path) -> Path:
    """Copy a rewritten file and its record; the record must speak of the published file."""
    carried = WeightStore(found.parent, {entry.name: entry})
    carried.verify(entry.name)
    target = store.download_folder / found.name
    part = target.with_name(f'{found.name}.part')
    shutil.copyfile(found, part)
    shutil.copyfile(found.with_suffix('.json'), target.with_suffix('.json'))
    if sha256_of(part) != carried.expected_sha256(entry.name):
        part.unlink()
        raise WeightsError(f'{found} changed while it was copied; try again')
    part.replace(target)
    return target


def _bring_folder(entry: Entry, found: Path, folder: Path) -> Path:
    part = folder / f'{entry.file}.part'
    size = sum(f.stat().st_size for f in found.rglob('*') if f.is_file())
    check_space(folder, size, entry.name)
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(found, part, ignore=shutil.ignore_patterns('.cache', '.git', '__pycache__'))
    try:
        _check_files(entry, part, f'copy {found} again')
        if (part / SUMS).is_file():
            verify_sums(part, f'copy {found} again')
        else:
            write_sums(part)
    except WeightsError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    part.replace(folder / entry.file)
    return folder / entry.file


def _check_files(entry: Entry, folder: Path, do: str) -> None:
    """Raise WeightsError unless a folder has the files whose SHA-256 is published."""
    for name, digest in entry.files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            raise WeightsError(f'{name} in {folder} is missing or not that of {entry.source} at '
                               f'revision {entry.revision}; {do}')


def _failed(entry: Entry, folder: Path, error: OSError) -> str:
    """Return why a network could not be fetched, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (f'the disk of {folder} is full; {entry.name} needs '
                f'{megabytes(entry.size) if entry.size else "more"}: free some space and run the '
                'same command again, it goes on where it stopped')
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (f'{folder} cannot be written to ({error.strerror}), so {entry.name} cannot be '
                'put there; name another folder with --model-dir or RIS_MODEL_DIR')
    if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403) and entry.gated:
        return (f'{entry.name} is given out to people who accept its licence; do so at '
                f'{entry.source}, log in with `hf auth login`, and run the same command again')
    why = error.reason if isinstance(error, urllib.error.URLError) and not isinstance(
        error, urllib.error.HTTPError) else error
    return (f'downloading {entry.name} from {entry.url or entry.source} failed ({why}); run the '
            'same command again to continue, or bring the file with: ris models fetch '
            f'{entry.name} --from FOLDER')


def _say(tell: Tell | None, text: str) -> None:
    if tell is not None:
        tell(text)
