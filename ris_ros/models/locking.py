"""One process at a time at a file, and room for it on the disk."""
from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ris_ros.types import WeightsError

WAIT_S = 0.2


@contextlib.contextmanager
def only_one(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock beside `path` while the block runs; another process waits for its turn.

    waiting: called once where another process holds it.  The lock ends with the process that
    holds it, however that ends.  Raises OSError where its folder cannot be written to.
    """
    lock = path.with_name(f'.{path.name}.lock')
    handle = _acquire(lock, waiting)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)   # before it is let go: see `_acquire`
        os.close(handle)


def _acquire(lock: Path, waiting: Callable[[], None] | None) -> int:
    told = False
    while True:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who held it removed the file: then this lock is one of a file that is gone.
            if lock.exists() and os.fstat(handle).st_ino == lock.stat().st_ino:
                return handle
        except BlockingIOError:
            if waiting is not None and not told:
                waiting()
                told = True
            time.sleep(WAIT_S)   # polled, so that Ctrl-C ends the waiting
        except FileNotFoundError:   # between `exists` and `stat`
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise WeightsError where `folder` (or the first of its parents that exists) has no room.

    needed: bytes; 0, where nobody knows, passes.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise WeightsError(f'{what} needs {megabytes(needed)} in {folder}, where '
                           f'{megabytes(free)} are free; free some space, or name another folder '
                           'with --model-dir or RIS_MODEL_DIR')


def megabytes(count: int) -> str:
    """Return a number of bytes for people, such as '375.0 MB'."""
    return f'{count / 1e9:.2f} GB' if count >= 10**9 else f'{count / 1e6:.1f} MB'
