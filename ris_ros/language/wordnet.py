"""WordNet through NLTK's reader: path similarity between the senses of two words.

Where the data files are looked for, in order: the folder given, the folder named by the
environment variable RIS_WORDNET_DIR, NLTK's own data folders, Debian's `wordnet-base`
(/usr/share/wordnet).  NLTK's reader needs two files that Debian leaves out and refuses
links, so Debian's files are copied once to the user's cache (28 MB) and completed there.
"""
from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ris_ros.files import atomic_folder, write_text
from ris_ros.lazy import require

DEBIAN = Path('/usr/share/wordnet')
_FILES = (*(f'{kind}.{pos}' for kind in ('index', 'data') for pos in (
    'noun', 'verb', 'adj', 'adv')), 'noun.exc', 'verb.exc', 'adj.exc', 'adv.exc')
# Lexicographer files of WordNet 3.0 (lexnames(5WN)): name and part-of-speech number.
_LEXNAMES = (
    'adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute '
    'noun.body noun.cognition noun.communication noun.event noun.feeling noun.food noun.group '
    'noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant '
    'noun.possession noun.process noun.quantity noun.relation noun.shape noun.state '
    'noun.substance noun.time verb.body verb.change verb.cognition verb.communication '
    'verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion '
    'verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl')
_POS_NUMBERS = {'noun': 1, 'verb': 2, 'adj': 3, 'adv': 4}

_lock = threading.Lock()


class WordNet:
    """Senses of English words; methods are thread-safe and remember pairs of words."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.similarities: Callable[[str, str], tuple[float, ...]] = lru_cache(maxsize=4096)(
            self._similarities)

    def _similarities(self, first: str, second: str) -> tuple[float, ...]:
        """Path similarities, 1 / (1 + distance), of all pairs of senses that have one.

        Words are brought to their base form by WordNet's own rules; all parts of speech.
        """
        with _lock:
            pairs = [(a, b) for a in self._reader.synsets(first)
                     for b in self._reader.synsets(second)]
            found = [a.path_similarity(b) for a, b in pairs]
        return tuple(value for value in found if value is not None)


@lru_cache(maxsize=4)
def open_wordnet(folder: str | None = None) -> WordNet | None:
    """Return WordNet, or None with one warning where its data files are not to be found.

    folder: where the data files (data.noun, index.noun, ...) are; None looks as the module
    says.  Raises MissingDependencyError without NLTK.
    """
    corpus = require('nltk.corpus.reader.wordnet', 'language')
    place = find_folder(folder)
    if place is None:
        warnings.warn('WordNet is not installed: near synonyms are told by equal base forms '
                      'only; install the Debian package wordnet-base, or set RIS_WORDNET_DIR',
                      stacklevel=2)
        return None
    complete = _complete(place)
    data = require('nltk.data', 'language')
    root = str(complete.parent.parent)
    if root not in data.path:  # the reader opens listed folders only
        data.path.append(root)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the multilingual part is not wanted
        reader = corpus.WordNetCorpusReader(data.find('corpora/wordnet', [root]), None)
    return WordNet(reader)


def find_folder(folder: str | None = None) -> Path | None:
    """Return the first folder that holds WordNet's data files, or None."""
    wanted = folder or os.environ.get('RIS_WORDNET_DIR')
    if wanted:
        candidates = [Path(wanted)]
    else:
        data = require('nltk.data', 'language')
        candidates = [Path(p) / 'corpora' / 'wordnet' for p in data.path] + [DEBIAN]
    return next((p for p in candidates if all((p / f).is_file() for f in _FILES)), None)


def _complete(place: Path) -> Path:
    """Return a folder .../corpora/wordnet that NLTK's reader accepts, made if need be."""
    if (place / 'lexnames').is_file() and (place / 'index.sense').is_file() and (
            place.parts[-2:] == ('corpora', 'wordnet')):
        return place
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'ris_ros'
    target = cache / 'corpora' / 'wordnet'
    if (target / 'lexnames').is_file():
        return target
    with atomic_folder(target, keep=True) as fresh:  # another process may be faster
        for name in _FILES:
            shutil.copyfile(place / name, fresh / name)
        (fresh / 'index.sense').touch()  # must exist; only sense keys would need its content
        write_text(fresh / 'lexnames', ''.join(
            f'{i:02d}\t{name}\t{_POS_NUMBERS[name.split(".")[0]]}\n'
            for i, name in enumerate(_LEXNAMES.split())))
    return target
