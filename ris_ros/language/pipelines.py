"""Find, verify and load spaCy pipelines; each is loaded once per process.

`auto` takes the first installed of PREFERRED, else the pipeline shipped in the package.
The shipped files are checked against their SHA-256 list before anything reads them.
"""
from __future__ import annotations

import hashlib
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ris_ros.lazy import require
from ris_ros.types import BadInputError, WeightsError

if TYPE_CHECKING:
    from spacy.language import Language

SHIPPED = 'shipped'
PREFERRED = ('en_core_web_trf', 'en_core_web_lg', 'en_core_web_md', 'en_core_web_sm')
MANIFEST = 'SHA256SUMS'

_lock = threading.Lock()
_loaded: dict[str, Language] = {}
_known: dict[int, frozenset[str]] = {}  # by id; loaded pipelines are never let go


def shipped_folder() -> Path:
    """Return the folder of the shipped pipeline inside the package."""
    return Path(__file__).resolve().parent.parent / 'data' / 'language' / 'pipeline'


def load_pipeline(name: str = 'auto') -> Language:
    """Return a loaded pipeline; the second call with the same name costs nothing.

    name: 'auto', 'shipped', the name of an installed spaCy package, or a pipeline's folder.
    Raises MissingDependencyError without spaCy, BadInputError for an unknown name,
    WeightsError when the shipped files are missing or changed.  Safe from several threads.
    """
    resolved = _resolve(name)
    with _lock:
        if resolved not in _loaded:
            nlp = _load(resolved)
            _known[id(nlp)] = frozenset(s.lower() for s in nlp.vocab.strings)
            _loaded[resolved] = nlp
        return _loaded[resolved]


@lru_cache(maxsize=8)
def _resolve(name: str) -> str:
    util = require('spacy.util', 'language')
    if name == 'auto':
        return next((p for p in PREFERRED if util.is_package(p)), SHIPPED)
    if name == SHIPPED or util.is_package(name) or Path(name, 'config.cfg').is_file():
        return name
    raise BadInputError(f'the spaCy pipeline {name!r} is not installed; install it, or use '
                        "pipeline 'shipped'")


def _load(name: str) -> Language:
    spacy = require('spacy', 'language')
    if name != SHIPPED:
        return spacy.load(name, exclude=['ner'])
    folder = shipped_folder()
    verify_manifest(folder)
    return spacy.load(folder)


def known_words(nlp: Language) -> frozenset[str]:
    """Return the lower-cased words a pipeline of this module knew before it read any text."""
    return _known.get(id(nlp)) or frozenset()


def write_manifest(folder: Path) -> None:
    """List the SHA-256 of every file below `folder` in its SHA256SUMS, in `sha256sum` form."""
    lines = [f'{_sha256(path)}  {path.relative_to(folder).as_posix()}\n'
             for path in _files(folder)]
    (folder / MANIFEST).write_text(''.join(lines), encoding='utf-8')


def verify_manifest(folder: Path) -> None:
    """Raise WeightsError unless the files below `folder` are exactly those of its SHA256SUMS."""
    manifest = folder / MANIFEST
    advice = 'install ris_ros again, or make the pipeline with: ris train language'
    if not manifest.is_file():
        raise WeightsError(f'the shipped language pipeline is missing from {folder}; {advice}')
    lines = manifest.read_text(encoding='utf-8').splitlines()
    expected = {name: digest for digest, name in (line.split('  ', 1) for line in lines)}
    found = {p.relative_to(folder).as_posix(): p for p in _files(folder)}
    if set(found) != set(expected):
        odd = sorted(set(found) ^ set(expected))[0]
        raise WeightsError(f'{folder / odd} is missing or does not belong to the shipped '
                           f'language pipeline; {advice}')
    for name, path in found.items():
        if _sha256(path) != expected[name]:
            raise WeightsError(f'{path} does not match its SHA-256; {advice}')


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob('*') if p.is_file() and p.name != MANIFEST
                  and '__pycache__' not in p.parts)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
