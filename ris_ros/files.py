"""Files, written whole or not at all, and checked by their SHA-256.

Every writer of the package goes through `atomic_path` (or `write_bytes`, `write_text`,
`write_json` over it) or `atomic_folder`; picture files are read by `ris_ros.pictures`.
"""
from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ris_ros.types import BadInputError, RisError, WeightsError

SUMS = 'SHA256SUMS'
BLOCK = 1 << 20
MOST_TEXT_BYTES = 1 << 24     # of a text file that a person writes, such as a calibration

# What the caller can only mend by naming another path; all else (a full disk) is a failure.
_PATH_ERRORS = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EACCES, errno.EPERM,
                errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENXIO,
                errno.ENODEV, errno.ETXTBSY}


# --- writing -------------------------------------------------------------------------------------

@contextlib.contextmanager
def atomic_path(path: Path | str, *, durable: bool = False,
                parents: bool = True) -> Iterator[Path]:
    """Give a temporary file in the folder of `path`; it takes that name when the block ends.

    For writers of every kind (np.save, PIL, torch.save): the temporary name has the same
    suffix.  Readers see the old file or the whole new one, and where the block raises, the old
    one stays and the temporary is removed.  A new file gets the mode of any new file, an old
    one keeps its own; a link stays a link, its target is written; a device or pipe, such as
    /dev/stdout, is written to, not replaced.
    durable: wait until the bytes are on the disk, where losing them would hurt.
    parents: make the folder where it is missing.  Raises BadInputError for a path that cannot
    be written, RisError where writing fails (no space left).
    """
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        special, mode = _what_is(target)
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.gettempdir()) if special else target.parent
        temporary, new_mode = _new_file(folder, target)
        yield temporary
        if special:
            _pour(temporary, target)
        else:
            os.chmod(temporary, new_mode if mode is None else mode)
            if durable:
                _to_disk(temporary)
            os.replace(temporary, target)
            if durable:
                _to_disk(target.parent)
    except OSError as error:
        if isinstance(error, (RisError, BrokenPipeError)):
            raise
        raise writing_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes, *, durable: bool = False,
                parents: bool = True) -> None:
    """Write a file whole or not at all; see `atomic_path`."""
    with atomic_path(path, durable=durable, parents=parents) as temporary, \
            temporary.open('wb') as stream:
        stream.write(data)


def write_text(path: Path | str, text: str, *, durable: bool = False,
               parents: bool = True) -> None:
    """Write UTF-8 text whole or not at all, line ends as they are; see `atomic_path`."""
    write_bytes(path, text.encode('utf-8'), durable=durable, parents=parents)


def write_json(path: Path | str, value: Any, *, indent: int | None = 1,
               durable: bool = False) -> None:
    """Write a value as JSON with a line end, whole or not at all; see `atomic_path`."""
    write_text(path, json.dumps(value, indent=indent) + '\n', durable=durable)


@contextlib.contextmanager
def atomic_folder(path: Path | str, keep: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it takes that name when the block ends.

    What is there already is replaced, and stays where the block raises.
    keep: where another process made the folder meanwhile, that one stays.  Raises as
    `atomic_path` does.
    """
    target = Path(os.path.realpath(path))
    fresh, old = _beside(target), _beside(target)
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if target.exists() and not keep:
            os.rename(target, old)
        try:
            os.rename(fresh, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            if not (keep and target.is_dir()):
                raise
    except OSError as error:
        if isinstance(error, RisError):
            raise
        raise writing_error(path, error) from error
    finally:
        for folder in (fresh, old):
            shutil.rmtree(folder, ignore_errors=True)


def check_writable(path: Path | str, parents: bool = True) -> None:
    """Raise what `atomic_path` would, before long work whose result would be lost.

    Raises BadInputError for a folder in place of a file, or a folder that is missing (unless
    `parents` makes it) or not to be written to.
    """
    target = Path(os.path.realpath(path))
    try:
        if _what_is(target)[0]:
            return
        folder = target.parent
        while parents and not folder.exists():
            folder = folder.parent
        code = (errno.ENOENT if not folder.exists() else errno.ENOTDIR if not folder.is_dir()
                else 0 if os.access(folder, os.W_OK | os.X_OK) else errno.EACCES)
        if code:
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise writing_error(path, error) from error


def remove_stale(folder: Path) -> None:
    """Remove temporary files and folders here that processes of this machine left when killed."""
    for path in folder.glob('.*.tmp*'):
        parts = path.name.split('.')
        owner = next((p for p in parts if p.startswith('pid')), '')[3:]
        if owner.isdigit() and not _alive(int(owner)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def writing_error(path: Path | str, error: OSError) -> RisError:
    """Return what to raise where `path` could not be written: the reason, and whose fault."""
    folder = Path(path).parent
    reason = error.strerror or str(error)
    if error.errno == errno.ENOENT and not folder.exists():
        reason = f'there is no folder {folder}'
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        reason = f'{folder} is no folder'
    elif error.errno == errno.EISDIR:
        reason = 'it is a folder'
    elif error.filename and Path(error.filename).parent != Path(os.path.realpath(path)).parent:
        reason += f' ({error.filename})'
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RisError(f'{path} cannot be written: {reason}; free some space and try again')
    if error.errno in _PATH_ERRORS:
        return BadInputError(f'{path} cannot be written: {reason}; name another place')
    return RisError(f'{path} cannot be written: {reason}')


def _what_is(target: Path) -> tuple[bool, int | None]:
    """Return whether `target` is a device or pipe, and the mode of an ordinary file there."""
    try:
        there = os.stat(target)
    except FileNotFoundError:
        return False, None
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(there.st_mode):
        return True, None
    if not os.access(target, os.W_OK):   # a rename would overwrite what is write-protected
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    return False, stat.S_IMODE(there.st_mode)


def _beside(target: Path) -> Path:
    """Return a free hidden name in the folder of `target`, short, with the same suffix."""
    suffix = target.suffix if len(os.fsencode(target.suffix)) < 32 else ''
    stem = target.name[:24].strip('.') or 'file'
    return target.with_name(f'.{stem}.pid{os.getpid()}.{secrets.token_hex(4)}.tmp{suffix}')


def _new_file(folder: Path, target: Path) -> tuple[Path, int]:
    """Create an empty file with the mode of any new file; return it and that mode."""
    path = folder / _beside(target).name
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return path, stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _pour(source: Path, target: Path) -> None:
    with source.open('rb') as data, target.open('wb') as stream:
        shutil.copyfileobj(data, stream)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:   # some file systems cannot do it for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# --- checksums -----------------------------------------------------------------------------------

def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_sums(folder: Path) -> None:
    """List the SHA-256 of every file below `folder` in its SHA256SUMS, as sha256sum does."""
    lines = [f'{sha256_of(path)}  {name}\n' for name, path in sorted(_listed(folder).items())]
    write_text(folder / SUMS, ''.join(lines), durable=True)


def read_sums(folder: Path) -> dict[str, str]:
    """Return the digests by name of a folder's SHA256SUMS.

    Raises OSError where it cannot be read, ValueError for a line of another form.
    """
    sums = {}
    for line in (folder / SUMS).read_text(encoding='utf-8').splitlines():
        if not line.strip():
            continue
        digest, name = line[:64].lower(), line[66:]
        if len(line) < 67 or line[64] != ' ' or line[65] not in ' *' or \
                set(digest) - set('0123456789abcdef'):
            raise ValueError(f'{SUMS} has a line that is none of sha256sum: {line[:80]!r}')
        sums[name] = digest
    return sums


def verify_sums(folder: Path, advice: str) -> Path:
    """Return the folder after checking its files against its SHA256SUMS.

    Every file must be listed, and be what it was; compiled Python beside it does not count.
    Raises WeightsError otherwise, which ends with `advice`.
    """
    try:
        sums, found = read_sums(folder), _listed(folder)
        if odd := sorted(set(sums) ^ set(found)):
            raise WeightsError(f'{folder} is damaged: {odd[0]} is missing or not among what '
                               f'{SUMS} lists; {advice}')
        for name, path in found.items():
            if sha256_of(path) != sums[name]:
                raise WeightsError(f'{folder} is damaged: {name} does not match its SHA-256; '
                                   f'{advice}')
    except FileNotFoundError as error:
        raise WeightsError(f'{folder} cannot be checked ({error.filename} is missing); '
                           f'{advice}') from error
    except (OSError, ValueError) as error:
        raise WeightsError(f'{folder} cannot be checked ({error}); {advice}') from error
    return folder


def _listed(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts
            and path != folder / SUMS}


# --- reading -------------------------------------------------------------------------------------

def read_text(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Return a text file in UTF-8, with or without a byte order mark.

    Raises BadInputError for a file that is missing, cannot be read, is larger than `most_bytes`
    or no UTF-8.
    """
    try:
        with path.open('rb') as stream:
            data = stream.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise BadInputError(f'{path} is larger than {most_bytes >> 20} MiB')
        return data.decode('utf-8-sig')
    except FileNotFoundError:
        raise BadInputError(f'{path} is missing') from None
    except UnicodeDecodeError as error:
        raise BadInputError(f'{path} is no text in UTF-8 ({error.reason} at byte '
                            f'{error.start})') from error
    except OSError as error:
        raise BadInputError(f'{path} cannot be read ({error.strerror})') from error
