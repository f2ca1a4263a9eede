"""One table from a network's kind to what loads it, and what a loader gets.

A network is one entry of the weights manifest (name, kind, file); its kind says which function
makes a usable object of the file.  Another package brings a kind by an entry point in the group
`ris_ros.networks`, whose name is the kind and whose value is "module:function".
"""
from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import entry_points
from ris_ros.models.architectures import architecture
from ris_ros.models.weights import Entry, WeightStore
from ris_ros.types import BadInputError, MissingDependencyError, WeightsError

if TYPE_CHECKING:
    import torch

GROUP = 'ris_ros.networks'

# kind -> the function that makes a network of a `Source`, by name so that torch stays out.
KINDS = {
    'clip': 'ris_ros.models.clip:load_network',
    'sam': 'ris_ros.models.sam:load_network',
    'matcher': 'ris_ros.models.matcher:load_network',
    'caption': 'ris_ros.models.captioner:load_network',
    'itc': 'ris_ros.models.scorers:load_network',
    'clipseg': 'ris_ros.models.pretrained:load_network',
    'detector': 'ris_ros.models.pretrained:load_network',
    'sam3': 'ris_ros.models.pretrained:load_network',
    'florence2': 'ris_ros.models.pretrained:load_network',
    'vlm': 'ris_ros.models.pretrained:load_network',
    'mask2former': 'ris_ros.models.mask2former:load_network',
    'vocabulary': 'ris_ros.models.wordpiece:load_network',
    'prompt_ris': 'ris_ros.methods.prompt_ris.load:load_network',
    'pcnet': 'ris_ros.methods.pcnet.load:load_network',
}
# Roles that are no kind: what may stand behind them.
ROLES = {'scorer': ('clip', 'itc')}


@dataclass(frozen=True)
class Source:
    """What a loader makes a network of.

    device: 'cpu', 'cuda' or 'cuda:N', where the network is to be.  precision: 'fp32', 'bf16'
    or 'fp16', what it is to compute in.  network: another network, by role or name.
    """

    entry: Entry
    store: WeightStore
    device: str
    precision: str
    network: Callable[[str], Any]
    roles: frozenset[str] = frozenset()

    def path(self) -> Path:
        """Return the file or folder, checked; raises WeightsError where it is not whole."""
        return self.store.verify(self.entry.name)

    def weights(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return the state dict, on the CPU, and the configuration, a published one by name.

        Raises WeightsError for missing or damaged weights, BadInputError for an unknown
        architecture.
        """
        state, config = self.store.load(self.entry.name)
        if isinstance(config, str):
            config = architecture(config, self.entry.kind)
        return state, dict(config)

    def companion(self, role: str, default: str) -> Any:
        """Return the network behind a role of the same profile, by default the one named."""
        return self.network(role if role in self.roles else default)


def kinds() -> dict[str, str]:
    """Return where the loader of each kind is; built-in ones cannot be replaced from outside.

    Raises BadInputError where another package brings one of the same name.
    """
    found = dict(KINDS)
    for point in entry_points(GROUP):
        if found.get(point.name, point.value) != point.value:
            raise BadInputError(f'two packages bring networks of kind {point.name!r} '
                                f'({found[point.name]} and {point.value}); uninstall one')
        found[point.name] = point.value
    return found


def load_network(source: Source, **options: Any) -> Any:
    """Return the network of a source; options: what the loader of its kind takes besides.

    Raises BadInputError for a kind that nobody loads, WeightsError for missing or damaged
    weights, MissingDependencyError for an absent library.
    """
    kind, known = source.entry.kind, kinds()
    if kind not in known:
        raise BadInputError(f'{source.entry.name} is of the unknown kind {kind!r}; there are: '
                            f'{", ".join(sorted(known))}')
    module, _, name = known[kind].partition(':')
    try:
        loader = getattr(importlib.import_module(module), name)
    except MissingDependencyError:
        raise
    except (ImportError, AttributeError) as error:
        raise BadInputError(f'networks of kind {kind!r} cannot be loaded with {known[kind]}: '
                            f'{error}') from error
    try:
        return loader(source, **options)
    except WeightsError as error:
        raise _placed(source, error) from error


def _placed(source: Source, error: WeightsError) -> WeightsError:
    """Return an error about weights that names their file and what to do about it."""
    found, entry = source.store.find(source.entry.name), source.entry
    if found is None or str(found.parent) in str(error) or 'ris models fetch' in str(error):
        return error
    return WeightsError(f'{found} (network {entry.name}): {error}; is it of another '
                        f'architecture? If it should not be, {entry.remedy}')


def kinds_of_role(role: str, known: frozenset[str] | None = None) -> tuple[str, ...]:
    """Return the kinds of network that may stand behind a role of a profile.

    A role is a kind, 'scorer', or one of these with a word in front, such as 'pcnet_clip'.
    Raises BadInputError for any other.  known: the kinds, where they were asked for already.
    """
    every = known if known is not None else frozenset(kinds())
    names = [*ROLES, *every]
    fitting = [name for name in names if role == name or role.endswith(f'_{name}')]
    if not fitting:
        raise BadInputError(f'unknown role {role!r}; a role is one of '
                            f'{", ".join(sorted(names))}, or such a word after another, as in '
                            'other_clip')
    best = max(fitting, key=len)
    return ROLES.get(best, (best,))
