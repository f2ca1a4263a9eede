"""Data files that users may add to: those shipped in ris_ros/data and a user's own beside them.

Profiles and architectures are looked for in the same way: the shipped folder, a folder that an
environment variable names, and the user's configuration folder.
"""
from __future__ import annotations

import os
from pathlib import Path

from ris_ros.types import BadInputError

SHIPPED_DATA = Path(__file__).resolve().parent.parent / 'data'
SUFFIXES = ('.json', '.yaml', '.yml')


def config_folder(what: str) -> Path:
    """Return the user's folder for data files of a sort; it need not be there."""
    base = os.environ.get('XDG_CONFIG_HOME') or str(Path.home() / '.config')
    return Path(base) / 'ris_ros' / what


def data_files(what: str, variable: str) -> dict[str, list[Path]]:
    """Return the files of a sort by name, the shipped one first.

    what: 'profiles' or 'architectures', the folder's name.  variable: of the environment, names
    one more folder.  A name with several files is the caller's to refuse (`only_one`).  Raises
    BadInputError where the variable names no folder, or a folder cannot be read.
    """
    found: dict[str, list[Path]] = {}
    for folder in (SHIPPED_DATA / what, *user_folders(what, variable)):
        try:
            paths = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise BadInputError(f'the folder {folder} of {what} cannot be read: {error}'
                                ) from error
        for path in paths:
            found.setdefault(path.stem, []).append(path)
    return found


def user_folders(what: str, variable: str) -> list[Path]:
    """Return where a user's own files of a sort are looked for.

    Raises BadInputError where the environment variable names no folder.
    """
    folders = [config_folder(what)]
    named = os.environ.get(variable)
    if named:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise BadInputError(f'{variable} names {folder}, which is no folder; correct it or '
                                'unset it')
        if folder.resolve() != folders[0].resolve():
            folders.insert(0, folder)
    return folders


def only_one(what: str, name: str, origins: list[str]) -> None:
    """Raise BadInputError where a name stands for more than one thing.

    what: such as 'profile', for the message.  origins: where each stands, the shipped first.
    """
    if len(origins) > 1:
        raise BadInputError(f'the {what} {name!r} stands in {origins[0]} and in {origins[1]}; '
                            'rename the second, for no name may hide another')
