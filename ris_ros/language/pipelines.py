"""Find, verify and load spaCy pipelines; each is loaded once per process.

`auto` takes the first installed of PREFERRED, else the pipeline shipped in the package.
The shipped files are checked against their SHA-256 list before anything reads them.
"""
from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ris_ros.files import verify_sums
from ris_ros.language.library import require_spacy
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from spacy.language import Language

SHIPPED = 'shipped'
PREFERRED = ('en_core_web_trf', 'en_core_web_lg', 'en_core_web_md', 'en_core_web_sm')
ADVICE = 'install ris_ros again, or make the pipeline with: ris train language'

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
    resolved = resolve_pipeline(name)
    with _lock:
        if resolved not in _loaded:
            nlp = _load(resolved)
            _known[id(nlp)] = frozenset(s.lower() for s in nlp.vocab.strings)
            _loaded[resolved] = nlp
        return _loaded[resolved]


@lru_cache(maxsize=8)
def resolve_pipeline(name: str = 'auto') -> str:
    """Return what `name` stands for: 'auto' differs from machine to machine, this does not.

    Raises as `load_pipeline` does, except for damaged files.
    """
    util = require_spacy().util
    if name == 'auto':
        return next((p for p in PREFERRED if util.is_package(p)), SHIPPED)
    if name == SHIPPED or util.is_package(name) or Path(name, 'config.cfg').is_file():
        return name
    raise BadInputError(f'the spaCy pipeline {name!r} is not installed; install it, or use '
                        "pipeline 'shipped'")


def pipeline_said(name: str = 'auto') -> str:
    """Return a pipeline as results show it: package or folder name and version, as
    'en_core_web_sm 3.8.0' or 'shipped 3.7.2'.  Raises as `load_pipeline` does.
    """
    resolved = resolve_pipeline(name)
    label = resolved if resolved == SHIPPED or not Path(resolved).is_dir() \
        else Path(resolved).resolve().name
    return f'{label} {load_pipeline(name).meta.get("version", "")}'.strip()


def _load(name: str) -> Language:
    spacy = require_spacy()
    if name != SHIPPED:
        return spacy.load(name, exclude=['ner'])
    folder = shipped_folder()
    verify_sums(folder, ADVICE)
    return spacy.load(folder)


def known_words(nlp: Language) -> frozenset[str]:
    """Return the lower-cased words a pipeline of this module knew before it read any text."""
    return _known.get(id(nlp)) or frozenset()
