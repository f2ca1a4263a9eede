"""Methods by name: built-in ones and those that other packages register.

Another package adds a method by an entry point in the group `ris_ros.methods` that names a
class derived from `ris_ros.methods.base.Method`.  This package's own are listed here alone.
"""
from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ris_ros.lazy import entry_points
from ris_ros.methods.base import Method
from ris_ros.methods.options import OutcomeSettings
from ris_ros.methods.profile_settings import check_settings
from ris_ros.settings import describe, from_mapping, put_over
from ris_ros.types import BadInputError, MissingDependencyError, RisError

if TYPE_CHECKING:
    from ris_ros.profiles import Profile

GROUP = 'ris_ros.methods'

# name -> (class, settings class, help).  The settings can be shown without torch.
BUILT_IN = {
    'hybridgl': ('ris_ros.methods.hybridgl.method:HybridGL',
                 'ris_ros.methods.hybridgl.settings:HybridGLSettings',
                 'hybrid global-local features and spatial guidance (CVPR 2025), training-free'),
    'tas': ('ris_ros.methods.tas.method:TAS', 'ris_ros.methods.tas.settings:TASSettings',
            'text-augmented scores and a spatial rectifier (Findings of EMNLP 2023), '
            'training-free'),
    'prompt_ris': ('ris_ros.methods.prompt_ris.method:PromptRisMethod',
                   'ris_ros.methods.prompt_ris.settings:PromptRisSettings',
                   'CLIP and SAM joined end to end by prompts (CVPR 2024), trained with masks; '
                   'draws its own masks'),
    'pcnet': ('ris_ros.methods.pcnet.method:PCNetMethod',
              'ris_ros.methods.pcnet.settings:PCNetSettings',
              'response maps learned from image-text pairs alone (NeurIPS 2024)'),
    'clip_only': ('ris_ros.methods.baselines.clip_only:ClipOnly',
                  'ris_ros.methods.baselines.settings:ClipOnlySettings',
                  'baseline: CLIP on region crops, nothing spatial'),
    'global_local': ('ris_ros.methods.baselines.region_features:GlobalLocal',
           'ris_ros.methods.baselines.settings:RegionBaselineSettings',
           'baseline: masked crop and token-masked frame (CVPR 2023)'),
    'region_token': ('ris_ros.methods.baselines.region_features:RegionToken',
           'ris_ros.methods.baselines.settings:RegionBaselineSettings',
           'baseline: the frame with the other tokens masked'),
    'score_map': ('ris_ros.methods.baselines.similarity_maps:ScoreMap',
           'ris_ros.methods.baselines.settings:DenseBaselineSettings',
           "baseline: MaskCLIP's dense score map"),
    'clip_surgery': ('ris_ros.methods.baselines.similarity_maps:ClipSurgery',
           'ris_ros.methods.baselines.settings:DenseBaselineSettings',
           "baseline: CLIP Surgery's similarity map"),
    'grad_cam': ('ris_ros.methods.baselines.similarity_maps:GradCam',
           'ris_ros.methods.baselines.settings:DenseBaselineSettings',
           'baseline: Grad-CAM on the last block'),
    'text_only': ('ris_ros.methods.baselines.text_only:TextOnly',
                  'ris_ros.methods.baselines.settings:TextOnlySettings',
                  'baseline: captions of the regions against the sentence'),
    'oracle': ('ris_ros.methods.baselines.oracle:Oracle',
               'ris_ros.methods.baselines.settings:OracleSettings',
               'best proposal by the true mask, for `ris eval` alone'),
    'iterprime': ('ris_ros.methods.iterprime.method:IteRPrimE',
                  'ris_ros.methods.iterprime.settings:IterPrimeSettings',
                  'Grad-CAM of an image-text matcher, refined while it looks (AAAI 2025)'),
    'clipseg': ('ris_ros.methods.zoo.clipseg:ClipSeg',
                'ris_ros.methods.zoo.settings:ClipSegSettings',
                'a map drawn for the text by a decoder over CLIP (CVPR 2022)'),
    'grounded_sam': ('ris_ros.methods.zoo.grounded_sam:GroundedSam',
                     'ris_ros.methods.zoo.settings:GroundedSamSettings',
                     'Grounding DINO or OWLv2 finds boxes for the text, a SAM draws in them'),
    'sam3': ('ris_ros.methods.zoo.sam3:Sam3', 'ris_ros.methods.zoo.settings:Sam3Settings',
             'SAM 3, prompted by the text itself (2025)'),
    'florence2': ('ris_ros.methods.zoo.florence2:Florence2',
                  'ris_ros.methods.zoo.settings:Florence2Settings',
                  'Florence-2 writes an outline for the text (CVPR 2024)'),
    'vlm_box': ('ris_ros.methods.zoo.vlm_box:VlmBox',
                'ris_ros.methods.zoo.settings:VlmBoxSettings',
                'a vision-language model writes boxes, a SAM draws in them'),
    'spatial_rerank': ('ris_ros.methods.spatial_rerank.method:SpatialRerank',
                       'ris_ros.methods.spatial_rerank.settings:SpatialRerankSettings',
                       'any method for bare names, with relations, places, sizes and depth on '
                       'top'),
}
# Modern models: their networks are in the profile modern, none is shipped.
MODERN = frozenset({'clipseg', 'florence2', 'grounded_sam', 'sam3', 'vlm_box'})
# What needs the true mask and so answers nobody but the evaluation.
EVALUATION_ONLY = frozenset({'oracle'})


@dataclass(frozen=True)
class MethodInfo:
    """A method that can be asked for: its name, and where its class and its settings are.

    about: a line of help; empty where it stands in the class.
    """

    name: str
    location: str
    settings_location: str = ''
    about: str = ''

    @property
    def help(self) -> str:
        """One line that says what it is: of another package's, the first of its docstring."""
        if self.about:
            return self.about
        try:
            lines = (self.load().__doc__ or '').strip().splitlines()
        except RisError as error:
            return f'from another package; {error}'
        return lines[0].rstrip('.') if lines else f'from another package ({self.location})'

    @property
    def evaluation_only(self) -> bool:
        """Whether it needs the true mask, so that only the evaluation can use it."""
        return self.name in EVALUATION_ONLY

    def load(self) -> type[Method]:
        """Return the method's class; raises BadInputError where it is none or not to be had."""
        found = _import(self.location)
        if not (isinstance(found, type) and issubclass(found, Method)):
            raise BadInputError(f'{self.location} is no method; it must be a class derived from '
                                'ris_ros.methods.base.Method')
        return found

    def settings_class(self) -> type[OutcomeSettings]:
        """Return the settings dataclass; raises BadInputError where it decides nothing."""
        found = (_import(self.settings_location) if self.settings_location
                 else self.load().settings_class)
        if not issubclass(found, OutcomeSettings):
            raise BadInputError(f'the settings of {self.name} must derive from '
                                'ris_ros.methods.options.OutcomeSettings, by which its answers '
                                'are decided')
        return found


def _import(location: str) -> Any:
    module, _, name = location.partition(':')
    try:
        return getattr(importlib.import_module(module), name)
    except MissingDependencyError:
        raise
    except Exception as error:  # another package's module may fail in any way
        raise BadInputError(f'the method at {location} cannot be loaded '
                            f'({type(error).__name__}: {error})') from error


def methods() -> dict[str, MethodInfo]:
    """Return all methods by name; built-in ones cannot be replaced from outside."""
    found = {name: MethodInfo(name, *rest) for name, rest in BUILT_IN.items()}
    for point in entry_points(GROUP):
        if point.name not in found:
            found[point.name] = MethodInfo(point.name, point.value)
    return found


def find_method(name: str) -> MethodInfo:
    """Return a method; raises BadInputError that lists what there is."""
    known = methods()
    if name not in known:
        raise BadInputError(f'unknown method {name!r}; there are: {", ".join(sorted(known))}')
    return known[name]


def settings_for(method: str, profile: Profile, changes: Mapping[str, Any] | None = None
                 ) -> Any:
    """Return a method's settings under a profile, with `changes` over those.

    A change of a setting counts wherever masks come from, see `ris_ros.settings.put_over`.
    Raises BadInputError for an unknown method, a setting that it does not have or whose value
    does not fit, and (with file and key) for any setting of the profile that no method takes.
    """
    settings_class = find_method(method).settings_class()
    check_settings(profile, methods(), method)
    known = {info.name for info in describe(settings_class)}
    base = from_mapping(settings_class, profile.overrides(method, known))
    from_mapping(settings_class, changes or {}, base)   # what does not fit is told by its name
    given = dict(changes or {})
    if known <= given.keys():   # all are given, as by ROS parameters: what differs was changed
        given = {name: value for name, value in given.items() if value != getattr(base, name)}
    return from_mapping(settings_class, put_over(profile.overrides(method, known), given))
