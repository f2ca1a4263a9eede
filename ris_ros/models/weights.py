"""Weights by name: where they lie, whether they are whole, and how to read them.

Shipped networks are NAME.safetensors with NAME.json beside it (configuration, SHA-256);
networks of others are listed in the manifest with address, SHA-256 and published layout.
Every file is checked against its SHA-256 before it is read, and none is read by a pickle
that can run code.  A network of the transformers library is a folder, with the SHA-256 of
every file in SHA256SUMS (the format of sha256sum); of a shipped folder NAME.json holds the
SHA-256 of that list.
"""
from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.files import SUMS, sha256_of, verify_sums
from ris_ros.models.convert import write_converted
from ris_ros.models.states import read_state
from ris_ros.types import BadInputError, RisError, WeightsError

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

SHIPPED = Path(__file__).resolve().parent.parent / 'data' / 'weights'
MODEL_DIR_VARIABLE = 'RIS_MODEL_DIR'
OFFLINE_VARIABLE = 'RIS_OFFLINE'
FOLDER_FORMAT = 'transformers'
# What `ris train` calls the trainer of a shipped network, by kind; 'tabletop' for all others.
TRAINERS = {'prompt_ris': 'prompt_ris', 'pcnet': 'pcnet'}
FORMATS = ('safetensors', 'torch', 'torchscript', FOLDER_FORMAT, 'text')
# Formats of old that are rewritten as safetensors once, see `ris_ros.models.convert`.
LEGACY = ('torch', 'torchscript')
BYTES_PER_VALUE = {'fp32': 4, 'bf16': 2, 'fp16': 2}


@dataclass(frozen=True)
class Entry:
    """One network of the manifest.

    kind: 'clip', 'sam' or another.  format: 'safetensors', 'torch' (a state dict),
    'torchscript' (an archive as OpenAI published them) or 'transformers' (a folder, `file`
    being its name, of a `repository` at a `revision`).  config: name of a published layout,
    empty where NAME.json beside the weights has it.  bytes: 0 where not known beforehand.
    about: bytes, where only a rounded size is published.  remote: a single file's name in its
    repository.  files: SHA-256 of single files of a folder.  parameters: of the network, 0
    where not known.  gated: whether the publisher asks for a log-in.
    folder: one more place where the file may be, that of the profile which names it.
    """

    name: str
    kind: str
    file: str
    format: str
    config: str = ''
    url: str = ''
    sha256: str = ''
    bytes: int = 0
    licence: str = ''
    shipped: bool = False
    repository: str = ''
    revision: str = ''
    folder: str = ''
    about: int = 0
    remote: str = ''
    files: dict = field(default_factory=dict)  # type: ignore[type-arg]  # a profile checks it
    parameters: int = 0
    gated: bool = False

    @property
    def size(self) -> int:
        """Bytes to fetch, exact or rounded; 0 where nobody says."""
        return self.bytes or self.about

    @property
    def converted(self) -> str:
        """Name of the file that a legacy format is rewritten to, empty for other formats."""
        return str(Path(self.file).with_suffix('.safetensors')) if self.format in LEGACY else ''

    @property
    def names(self) -> tuple[str, ...]:
        """What the network may be called on disk, the quickest to read first."""
        return (self.converted, self.file) if self.converted else (self.file,)

    @property
    def source(self) -> str:
        """Where it comes from, for people: an address, or what makes it."""
        if self.repository:
            return f'https://huggingface.co/{self.repository}'
        return self.url or ('shipped with ris_ros' if self.shipped else 'brought by hand')

    @property
    def checksum(self) -> str:
        """What its bytes are held against, for people."""
        if self.sha256 or self.files:
            return 'published'
        if self.shipped:
            return 'shipped'
        return ('of the pinned revision' if self.repository and self.revision else
                'recorded at first fetch')

    def gpu_bytes(self, precision: str = 'fp32') -> int:
        """Memory of the weights alone; what is computed between them comes on top."""
        return self.parameters * BYTES_PER_VALUE[precision]

    @property
    def is_folder(self) -> bool:
        """Whether the network is a folder of the transformers library."""
        return self.format == FOLDER_FORMAT

    @property
    def remedy(self) -> str:
        """What to do where the weights are damaged."""
        if self.shipped:
            return 'reinstall ris_ros or train it again'
        if self.url or self.repository:
            return f'delete it and run: ris models fetch {self.name}'
        return f'put the right {self.file} there, or the right SHA-256 into its record'


def read_manifest(path: Path | None = None) -> dict[str, Entry]:
    """Return the networks by name; raises WeightsError where the manifest is unusable."""
    path = path or SHIPPED / 'manifest.json'
    try:
        rows = json.loads(path.read_text(encoding='utf-8'))['networks']
        return {row['name']: Entry(**row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f'the weights manifest {path} cannot be read ({error}); '
                           'reinstall ris_ros') from error


def cache_folder() -> Path:
    """Return the folder for fetched weights, per user."""
    base = os.environ.get('XDG_CACHE_HOME') or str(Path.home() / '.cache')
    return Path(base) / 'ris_ros' / 'weights'


class WeightStore:
    """Finds and reads weights.

    model_dir: a folder that stands in for the shipped one and for the cache (default: the
    environment variable RIS_MODEL_DIR, else none).
    """

    def __init__(self, model_dir: str | Path | None = None,
                 manifest: Mapping[str, Entry] | None = None) -> None:
        folder = model_dir or os.environ.get(MODEL_DIR_VARIABLE) or None
        self.model_dir = Path(folder) if folder else None
        if self.model_dir is not None and not self.model_dir.is_dir():
            raise BadInputError(f'model_dir {self.model_dir} is not a folder')
        self.entries = dict(manifest if manifest is not None else read_manifest())

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are searched, in order."""
        return (self.model_dir,) if self.model_dir else (SHIPPED, cache_folder())

    @property
    def download_folder(self) -> Path:
        """Where fetched weights go."""
        return self.model_dir or cache_folder()

    def entry(self, name: str) -> Entry:
        """Return a manifest entry; raises BadInputError for an unknown name."""
        if name not in self.entries:
            raise BadInputError(f'unknown network {name!r}; there are: '
                                f'{", ".join(sorted(self.entries))}')
        return self.entries[name]

    def find(self, name: str) -> Path | None:
        """Return the file (or folder) of a network, or None where it is not here."""
        entry = self.entry(name)
        there = Path.is_dir if entry.is_folder else Path.is_file
        folders = (*self.folders, Path(entry.folder)) if entry.folder else self.folders
        return next((f / file for f in folders for file in entry.names if there(f / file)), None)

    def path(self, name: str) -> Path:
        """Return the file of a network; raises WeightsError that says how to get it."""
        found = self.find(name)
        if found is None:
            entry = self.entry(name)
            places = ' or '.join(str(folder) for folder in self.folders)
            if entry.folder:
                places += f' or {entry.folder}'
            trainer = TRAINERS.get(entry.kind, 'tabletop')
            do = (f'train them with: ris train {trainer}' if entry.shipped else
                  f'get them with: ris models fetch {name}' if entry.url or entry.repository
                  else f'put {entry.file} there')
            raise WeightsError(f'the weights of {name} are not in {places}; {do}')
        return found

    def verify(self, name: str) -> Path:
        """Return the file after checking its SHA-256; raises WeightsError if it is not whole."""
        if self.entry(name).is_folder:
            return self._verify_folder(name)
        path, expected = self.path(name), self.expected_sha256(name)
        entry = self.entry(name)
        if sha256_of(path) != expected:
            raise WeightsError(f'the weights file {path} is damaged (its SHA-256 is not the '
                               f'recorded one); {entry.remedy}')
        if path.name == entry.converted and entry.sha256 and \
                self._converted_from(name) != entry.sha256:
            raise WeightsError(f'the weights file {path} was made from another file than '
                               f'{entry.file} of {entry.source}; {entry.remedy}')
        return path

    def _converted_from(self, name: str) -> str:
        """Return the SHA-256 of what a converted file was made of, empty where none is noted."""
        source = self.record(name).get('source')
        return str(source.get('sha256', '')) if isinstance(source, dict) else ''

    def _verify_folder(self, name: str) -> Path:
        """Check a folder against its SHA256SUMS, and where it is shipped that list itself."""
        shipped, do = self.entry(name).shipped, self.entry(name).remedy
        folder = verify_sums(self.path(name), do)
        if shipped and sha256_of(folder / SUMS) != self.expected_sha256(name):
            raise WeightsError(f'{folder} is damaged (its {SUMS} is not the recorded one); {do}')
        return folder

    def expected_sha256(self, name: str) -> str:
        """Return the recorded SHA-256 of the file that `find` names.

        Of a published file: the manifest's, else what was noted beside it at the first fetch;
        of one that was rewritten or is shipped: what NAME.json beside it says.
        """
        entry = self.entry(name)
        if entry.converted and self.path(name).name == entry.converted:
            return str(self.record(name).get('sha256', ''))
        return entry.sha256 or self._noted(name)

    def _noted(self, name: str) -> str:
        return self._converted_from(name) or str(self.record(name).get('sha256', ''))

    def record(self, name: str) -> dict[str, Any]:
        """Return NAME.json beside the weights; raises WeightsError where it is unusable."""
        path = self.path(name).with_suffix('.json')
        try:
            record = json.loads(path.read_text(encoding='utf-8'))
            if not isinstance(record, dict) or 'config' not in record:
                raise ValueError('it has no "config"')
            return record
        except (OSError, ValueError) as error:
            raise WeightsError(f'{path}, which describes the weights beside it, cannot be read '
                               f'({error}); train or fetch them again') from error

    def load(self, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any] | str]:
        """Return the state dict, on the CPU, and the configuration (or the layout's name).

        A file of a legacy format is rewritten as safetensors beside it at the first time, where
        its folder can be written to.  Raises WeightsError for a file that is missing, damaged
        or unreadable, BadInputError for a network that is a folder.
        """
        entry = self.entry(name)
        if entry.is_folder:
            raise BadInputError(f'{name} is a folder of the transformers library and no single '
                                'file; where one is asked for, take another network of kind '
                                f'{entry.kind}')
        path = self.verify(name)
        config = entry.config or self.record(name)['config']
        if path.name != entry.file:
            return read_state(path, 'safetensors'), config
        state = read_state(path, entry.format)
        if entry.converted:
            self._keep_converted(entry, path, state)
        return state, config

    @staticmethod
    def _keep_converted(entry: Entry, path: Path, state: dict[str, torch.Tensor]) -> None:
        """Rewrite a legacy file where that can be done; the original stays."""
        mine = entry.url or entry.repository   # a user's own file and its record are left alone
        if not mine or not os.access(path.parent, os.W_OK):
            return
        try:
            rewrite(entry, path, path.parent, state)
        except RisError as error:   # a full disk must not keep a robot from its weights
            _log.warning('%s is read from its old format each time: %s', path, error)


def rewrite(entry: Entry, path: Path, folder: Path, state: dict[str, torch.Tensor] | None = None
            ) -> Path:
    """Rewrite a legacy file as safetensors, with its record, in a folder; return the new file.

    path: the published file, checked.  state: what is in it, where it was read already.
    Raises WeightsError for a file that cannot be read, BadInputError or RisError where the
    folder cannot be written to or is full, MissingDependencyError without torch.
    """
    return write_converted(
        path, read_state(path, entry.format) if state is None else state,
        folder / entry.converted, entry.config,
        {'file': entry.file, 'url': entry.url or entry.source, 'revision': entry.revision})


def missing(store: WeightStore, names: Iterable[str]) -> list[str]:
    """Return those of `names` whose files are not on this machine."""
    return [name for name in names if store.find(name) is None]
