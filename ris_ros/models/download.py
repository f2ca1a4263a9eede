"""One file from a server: continued where it was cut, never taken for what it is not.

What arrives stands in NAME.part until it is whole; a validator of the server beside it says
whether what comes next belongs to it.
"""
from __future__ import annotations

import errno
import hashlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ris_ros.files import sha256_of
from ris_ros.models.locking import check_space
from ris_ros.types import WeightsError

BLOCK = 1 << 18
Progress = Callable[[int, int], None]
# How files of each format begin: a zip archive or a pickle, a zip archive.
BEGINNINGS = {'torch': (b'PK\x03\x04', b'\x80'), 'torchscript': (b'PK\x03\x04',)}
MARKUP = (b'<!doctype', b'<html', b'<?xml', b'<head')


@dataclass(frozen=True)
class Remote:
    """A file to download: its address, and what is known of it beforehand.

    bytes: 0 where unknown.  sha256: empty where unknown.  blob: git's SHA-1 of a small file's
    content, where the server keeps it in git.  headers: sent with the request to this server.
    format: of the content, one of `weights.FORMATS` or empty.
    """

    url: str
    name: str
    bytes: int = 0
    sha256: str = ''
    blob: str = ''
    headers: Mapping[str, str] = field(default_factory=dict)
    format: str = ''


def download(remote: Remote, part: Path, progress: Progress | None = None,
             timeout_s: float = 30.0, retries: int = 0, reserve: int = 0) -> str:
    """Bring a file to `part`, continuing what is there; return its SHA-256.

    retries: how often a cut is answered by going on at once.  reserve: bytes that must be free
    besides, such as for rewriting it.  Raises OSError (also of urllib) where the connection
    fails, WeightsError for a file that is not the one described: it is removed then.
    """
    for attempt in range(retries + 1):
        try:
            _transfer(remote, part, progress, timeout_s, reserve)
            break
        except (OSError, http.client.HTTPException) as error:
            lasting = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if lasting or attempt == retries or _full(error):
                raise error if isinstance(error, OSError) else OSError(str(error)) from error
            time.sleep(min(2 ** attempt, 8))
    return check_content(remote, part)


def check_content(remote: Remote, path: Path) -> str:
    """Return the SHA-256 of a file that arrived.

    Raises WeightsError, and removes it, where it is not what is described.
    """
    found = sha256_of(path)
    wrong = whats_wrong(remote, path, found)
    _validator(path).unlink(missing_ok=True)
    if wrong:
        path.unlink()
        raise WeightsError(f'what came from {remote.url} for {remote.name} is {wrong}; try again, '
                           'or bring the file with: ris models fetch --from FOLDER')
    return found


def whats_wrong(remote: Remote, path: Path, digest: str) -> str:
    """Return what a file is in place of the one described, empty where it is that one.

    digest: its SHA-256.
    """
    if markup(path):
        return 'a web page in place of the file; is there a log-in page in front of the network?'
    if remote.bytes and path.stat().st_size != remote.bytes:
        return f'{path.stat().st_size} bytes in place of {remote.bytes}'
    if remote.sha256 and digest != remote.sha256:
        return 'something else (its SHA-256 differs)'
    if remote.blob and _blob(path) != remote.blob:
        return 'something else (its content is not that of the pinned revision)'
    if remote.format in BEGINNINGS and not _begins(path, BEGINNINGS[remote.format]):
        return f'no file of the format {remote.format}'
    return ''


def markup(path: Path) -> bool:
    """Return whether a file begins as a web page does."""
    with path.open('rb') as stream:
        return stream.read(256).lstrip().lower().startswith(MARKUP)


def _begins(path: Path, beginnings: tuple[bytes, ...]) -> bool:
    with path.open('rb') as stream:
        return stream.read(8).startswith(beginnings)


def _blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b'blob %d\0' % len(data) + data, usedforsecurity=False).hexdigest()


def _full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirects; what proves who asks stays with the server that it is meant for."""

    def redirect_request(self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any,
                         newurl: str) -> Any:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        same = urllib.parse.urlsplit(newurl)[:2] == urllib.parse.urlsplit(req.full_url)[:2]
        if request is not None and not same:
            request.remove_header('Authorization')
        return request


def _validator(part: Path) -> Path:
    return part.with_name(part.name + '.etag')


def _transfer(remote: Remote, part: Path, progress: Progress | None, timeout_s: float,
              reserve: int) -> None:
    """Append what is missing to `part`; start over where the server cannot continue."""
    note = _validator(part)
    have = part.stat().st_size if part.exists() else 0
    mark = note.read_text(encoding='utf-8') if note.exists() else ''
    if have and remote.bytes and have == remote.bytes:
        return
    if not (mark or remote.sha256) or (remote.bytes and have > remote.bytes):
        have = 0   # nothing says that the rest would be of the same file
    request = urllib.request.Request(remote.url, headers={'User-Agent': 'ris_ros',
                                                          **remote.headers})
    if have:
        request.add_header('Range', f'bytes={have}-')
        if mark:
            request.add_header('If-Range', mark)
    try:
        response = urllib.request.build_opener(_SameServer()).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        if sha256_of(part) != remote.sha256:   # else complete: nothing comes after what is here
            part.unlink()
            _transfer(remote, part, progress, timeout_s, reserve)
        return
    with response:
        if response.status != 206 or not _continues(response.headers, have):
            have = 0
        _receive(remote, response, part, have, progress, reserve)


def _continues(headers: Any, have: int) -> bool:
    """Return whether a partial answer begins where `have` bytes end."""
    said = headers.get('Content-Range', '')
    return not said or said.startswith(f'bytes {have}-')


def _receive(remote: Remote, response: Any, part: Path, have: int, progress: Progress | None,
             reserve: int) -> None:
    length = int(response.headers.get('Content-Length') or 0)
    total = have + length if length else remote.bytes
    if 'text/html' in response.headers.get('Content-Type', ''):
        raise WeightsError(
            f'{remote.url} sent a web page in place of {remote.name}; is there a log-in page in '
            'front of the network? Try again, or bring the file with: ris models fetch --from '
            'FOLDER')
    if remote.bytes and length and total != remote.bytes:
        raise WeightsError(f'{remote.url} offers {total} bytes, but {remote.name} has '
                           f'{remote.bytes}; fetch it from another place and bring it with: '
                           'ris models fetch --from FOLDER')
    check_space(part.parent, total - have + reserve, remote.name)
    if not have and (mark := response.headers.get('ETag', '')) and not mark.startswith('W/'):
        _validator(part).write_text(mark, encoding='utf-8')
    with part.open('ab' if have else 'wb') as stream:
        while block := response.read(BLOCK):
            stream.write(block)
            have += len(block)
            if progress is not None:
                progress(have, total)
    if total and have < total:
        raise OSError(f'the connection ended after {have} of {total} bytes')
