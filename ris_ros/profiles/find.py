"""Profiles by name or path: shipped ones, a user's own, those that other packages bring.

Another package brings a profile by an entry point in the group `ris_ros.profiles` that names
the path of its file, or a mapping with the same keys.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path

from ris_ros.lazy import entry_points
from ris_ros.models.data_files import SUFFIXES, data_files, only_one, user_folders
from ris_ros.profiles.profile import Profile, parse_profile
from ris_ros.settings import read_mapping
from ris_ros.types import BadInputError

GROUP = 'ris_ros.profiles'
PROFILE_DIR_VARIABLE = 'RIS_PROFILE_DIR'

Reader = Callable[[tuple[str, ...]], Profile]


def get_profile(name: str | Path) -> Profile:
    """Return a profile by its name, or by the path of a file that ends in .yaml or .json.

    Raises BadInputError for an unknown name (it lists what there is), one that stands for two
    profiles, and a file that is wrong (with its path and the key).
    """
    return _get(str(name), (), None)


def all_profiles() -> dict[str, Profile]:
    """Return every profile that can be asked for by name, the shipped ones first.

    Raises BadInputError where one of them is wrong or two have the same name.
    """
    return {name: _only(name, places)(()) for name, places in _places().items()}


def _get(name: str, above: tuple[str, ...], folder: Path | None) -> Profile:
    """Return a profile; above: origins of those that extend it, folder: of the last of them."""
    places = _places()
    if Path(name).suffix in SUFFIXES:
        path = Path(name).expanduser()
        path = folder / path if folder is not None else path
        origins = [origin for origin, _ in places.get(path.stem, [])]
        if origins and not _same_file(origins[0], path):
            raise BadInputError(f'the profile {path} has the name of the profile in '
                                f'{origins[0]}; rename the file')
        return _from_file(path, above)
    if name not in places:
        here = ' or '.join(str(f) for f in user_folders('profiles', PROFILE_DIR_VARIABLE))
        raise BadInputError(f'unknown profile {name!r}; there are: {", ".join(places)}; one of '
                            f'your own is a file {name}.yaml in {here}, or named by its path')
    return _only(name, places[name])(above)


def _places() -> dict[str, list[tuple[str, Reader]]]:
    """Return where each name stands and what reads it."""
    found: dict[str, list[tuple[str, Reader]]] = {
        name: [(str(path), partial(_from_file, path)) for path in paths]
        for name, paths in data_files('profiles', PROFILE_DIR_VARIABLE).items()}
    for point in entry_points(GROUP):
        found.setdefault(point.name, []).append(
            (f'the entry point {point.value}', partial(_from_package, point)))
    return found


def _only(name: str, places: list[tuple[str, Reader]]) -> Reader:
    only_one('profile', name, [origin for origin, _ in places])
    return places[0][1]


def _same_file(origin: str, path: Path) -> bool:
    try:
        return path.samefile(origin)
    except OSError:
        return False


def _from_file(path: Path, above: tuple[str, ...], name: str = '') -> Profile:
    """Return the profile of a file; name: what it is called, by default as the file is."""
    return _from_data(name or path.stem, read_mapping(path, 'the profile'), str(path),
                      path.parent, above)


def _from_package(point: metadata.EntryPoint, above: tuple[str, ...]) -> Profile:
    """Return the profile that another package's entry point names."""
    origin = f'{point.name} ({point.value})'
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise BadInputError(f'the profile {origin} cannot be loaded: {error}') from error
    if isinstance(found, Mapping):
        return _from_data(point.name, found, origin, None, above)
    if not isinstance(found, str | Path):
        raise BadInputError(f'the profile {origin} must be a mapping or the path of a file, not '
                            f'{type(found).__name__}')
    return _from_file(Path(found), above, point.name)


def _from_data(name: str, data: Mapping[str, object], origin: str, folder: Path | None,
               above: tuple[str, ...]) -> Profile:
    base = None
    if 'extends' in data:
        extended = data['extends']
        here = Profile(name, '', {}, origin=origin)
        if not isinstance(extended, str):
            raise here.wrong('extends', 'must be the name or the path of a profile')
        # Of a file as it really lies: "../x/a.yaml" and "a.yaml" may be the same.
        me = str((folder / Path(origin).name).resolve()) if folder is not None else origin
        if me in above:
            raise here.wrong('extends', f'goes round in a circle: {" -> ".join([*above, me])}')
        try:
            base = _get(extended, (*above, me), folder)
        except BadInputError as error:
            raise here.wrong('extends', str(error)) from error
    return parse_profile(name, data, origin, folder, base)
