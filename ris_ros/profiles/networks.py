"""The networks of a profile: each looked up by its kind and loaded once, on its own device."""
from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_ros.models.device import check_precision, pick_device, split_choice
from ris_ros.models.kinds import Source, load_network
from ris_ros.models.weights import WeightStore
from ris_ros.profiles.profile import Profile
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from ris_ros.models.captioner import Captioner
    from ris_ros.models.clip import ClipModel
    from ris_ros.models.mask2former import Mask2FormerProposer
    from ris_ros.models.matcher import Matcher
    from ris_ros.models.options import Mask2FormerSettings, ProposalSettings
    from ris_ros.models.proposals import SamProposer
    from ris_ros.models.scorers import Scorer


class Networks:
    """The networks of a profile, each loaded at first use.

    What a method's `from_networks` gets; it takes what it needs and nothing else is read.

    device: 'auto', 'cpu', 'cuda' or 'cuda:N' for all, with 'NETWORK=DEVICE' after commas for
    single ones ('cpu,sam=cuda:0'); precision likewise, of 'fp32', 'bf16' and 'fp16'.
    devices, precisions: the same for single ones, by role or network; they go before the text,
    the text before the profile's own.  Afterwards `device` and `precision` are those for all.
    pipeline: of language, for a method that parses what a network says; see
    `ris_ros.language.pipelines.load_pipeline`.
    Raises BadInputError for a device that is not there, also for one of a network that is never
    used, a precision that a device does not do, and a name that is no network.
    """

    def __init__(self, profile: Profile, device: str = 'auto', precision: str = 'fp32',
                 model_dir: str | Path | None = None, *,
                 devices: Mapping[str, str] | None = None,
                 precisions: Mapping[str, str] | None = None, pipeline: str = 'auto') -> None:
        self.profile, self.pipeline = profile, pipeline
        self.store = WeightStore(model_dir)
        self.store.entries.update(profile.entries)
        every, single = split_choice(device, 'auto')
        precision, other = split_choice(precision, 'fp32')
        self.device = pick_device(every)
        self.precision = check_precision(precision, self.device)
        self._devices = (devices or {}, single, profile.devices)
        self._precisions = (precisions or {}, other, profile.precisions)
        self._loaded: dict[tuple[Any, ...], Any] = {}
        self._lock = threading.RLock()
        self._check_places()

    def _check_places(self) -> None:
        """Raise BadInputError for a choice that is for no network or cannot be."""
        for what, layers in (('device', self._devices), ('precision', self._precisions)):
            for name, value in ((n, v) for layer in layers for n, v in layer.items()):
                if name not in self.profile.networks and name not in self.store.entries:
                    raise BadInputError(
                        f'{what} {name}={value}: the profile {self.profile.name} has no such '
                        f'role or network; it has: {", ".join(self.profile.networks)}')
                try:
                    self.place_of(name)
                except BadInputError as error:
                    raise BadInputError(f'{name} of the profile {self.profile.name}: {error}'
                                        ) from error

    def place_of(self, role_or_name: str) -> tuple[str, str]:
        """Return the device and the precision of a network.

        What is set for the role goes before what is set for the network's name.  A network
        asked for by its name takes what is set for a role that it stands behind.
        """
        name = self.profile.networks.get(role_or_name, role_or_name)
        asked = (role_or_name, name,
                 *(role for role, n in self.profile.networks.items() if n == role_or_name))

        def first(layers: tuple[Mapping[str, str], ...], default: str) -> str:
            return next((layer[a] for layer in layers for a in asked if a in layer), default)

        device = pick_device(first(self._devices, self.device))
        return device, check_precision(first(self._precisions, self.precision), device)

    @property
    def devices(self) -> frozenset[str]:
        """Every device that a network of the profile may be on."""
        return frozenset(self.place_of(role)[0] for role in self.profile.networks) | {self.device}

    def has(self, role: str) -> bool:
        """Return whether the profile has a network for a role."""
        return role in self.profile.networks

    def name_of(self, role: str) -> str:
        """Return the network behind a role; raises BadInputError where the profile has none."""
        if role not in self.profile.networks:
            raise BadInputError(f'the profile {self.profile.name} has no network for {role}; it '
                                f'has: {", ".join(self.profile.networks) or "none"}')
        return self.profile.networks[role]

    def kind_of(self, role_or_name: str) -> str:
        """Return a network's kind; raises BadInputError for neither a role nor a name."""
        return self.store.entry(self._name(role_or_name)).kind

    def _name(self, role_or_name: str) -> str:
        if role_or_name in self.profile.networks:
            return self.profile.networks[role_or_name]
        if role_or_name not in self.store.entries:
            has = ', '.join(self.profile.networks) or 'none'
            raise BadInputError(
                f'the profile {self.profile.name} has no network for {role_or_name} (it has: '
                f'{has}), nor is there a network of this name; `ris models list` shows them')
        return role_or_name

    def load(self, role_or_name: str, **options: Any) -> Any:
        """Return the network behind a role, or of a name, loading it once.

        options: what the loader of its kind takes; another choice is another network.
        Raises BadInputError for neither a role nor a name, or a kind that nobody loads;
        WeightsError for missing or damaged weights, MissingDependencyError for a library.
        """
        name, (device, precision) = self._name(role_or_name), self.place_of(role_or_name)
        key = (name, device, precision, *sorted(options.items()))
        with self._lock:
            if key not in self._loaded:
                source = Source(self.store.entry(name), self.store, device, precision, self.load,
                                frozenset(self.profile.networks))
                self._loaded[key] = load_network(source, **options)
            return self._loaded[key]

    def release(self) -> None:
        """Let go of every loaded network; methods keep those that they have."""
        with self._lock:
            self._loaded.clear()

    def clip(self, role: str = 'clip') -> ClipModel:
        """Return the CLIP of a role."""
        return self._of_kind(role, 'clip', why='is no CLIP')

    def scorer(self, name: str = '') -> Scorer:
        """Return what compares pictures with texts; by default the role 'scorer', else 'clip'.

        name: a network of the manifest, a CLIP or one with a contrastive head.
        """
        return self._of_kind(name or ('scorer' if self.has('scorer') else 'clip'), 'clip', 'itc',
                             why='does not compare pictures with texts')

    def captioner(self, name: str = '', beams: int = 5, max_new_tokens: int = 30) -> Captioner:
        """Return what describes pictures; by default the role 'caption'.

        Raises BadInputError where the profile has none.
        """
        if not name and not self.has('caption'):
            raise BadInputError(
                f'the profile {self.profile.name} has no captioner; set captions and negatives '
                'to false, name a captioner, or use the profile tabletop, robot or paper')
        return self._of_kind(name or 'caption', 'caption', why='describes no pictures',
                             beams=beams, max_new_tokens=max_new_tokens)

    def matcher(self, name: str = '') -> Matcher:
        """Return an image-text matcher; by default the role 'matcher'.

        Raises BadInputError where the profile has none and none is named.
        """
        if not name and not self.has('matcher'):
            raise BadInputError(
                f'the profile {self.profile.name} has no image-text matcher; use the profile '
                'tabletop or paper, or name a network with matcher=...')
        return self._of_kind(name or 'matcher', 'matcher', why='is no image-text matcher')

    def proposer(self, settings: ProposalSettings, role: str = 'sam') -> SamProposer:
        """Return a mask proposer over the profile's SAM with the given settings."""
        from ris_ros.models.sam import proposer_for
        sam = self._of_kind(role, 'sam', why='is no SAM')
        return proposer_for(sam, settings, *self.place_of(role))

    def mask2former(self, settings: Mask2FormerSettings) -> Mask2FormerProposer:
        """Return a mask proposer over the profile's Mask2Former with the given settings."""
        model = self._of_kind('mask2former', 'mask2former', why='is no Mask2Former')
        from ris_ros.models.mask2former import Mask2FormerProposer
        return Mask2FormerProposer(model, settings, *self.place_of('mask2former'))

    def _of_kind(self, role_or_name: str, *kinds: str, why: str, **options: Any) -> Any:
        """Load a network; raises BadInputError, with `why`, where it is of another kind."""
        if self.kind_of(role_or_name) not in kinds:
            raise BadInputError(f'{self._name(role_or_name)} {why}; take one of kind '
                                f'{" or ".join(kinds)}, as `ris models list` shows them')
        return self.load(role_or_name, **options)
