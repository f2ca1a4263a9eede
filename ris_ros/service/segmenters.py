"""How the node comes by its segmenter and by the settings of the chosen method."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ris_ros.service.parameters import NodeParameters
from ris_ros.service.worker import SegmenterLike

# The node looks at the newest frame alone, so an older scene is never asked for again; a scene of
# a large method holds hundreds of megabytes.
KEPT_SCENES = 1

SegmenterFactory = Callable[[NodeParameters, Mapping[str, Any] | None], SegmenterLike]


def profile_segmenter(parameters: NodeParameters, settings: Mapping[str, Any] | None
                      ) -> SegmenterLike:
    """Build the Segmenter that the parameters ask for.

    Raises BadInputError for an unknown profile, method, device or setting, WeightsError for
    missing or corrupted weights, MissingDependencyError for an absent library.
    """
    from ris_ros.segmenter import Segmenter
    return Segmenter.from_profile(
        parameters.profile, method=parameters.method, device=parameters.device,
        precision=parameters.precision, model_dir=parameters.model_dir or None,
        settings=settings, pipeline=parameters.language.pipeline, scene_cache=KEPT_SCENES)


def method_defaults(method: str, profile: str) -> tuple[type, Any]:
    """Return a method's settings dataclass and its settings under a profile.

    Raises BadInputError for an unknown method or profile.
    """
    from ris_ros.methods.registry import settings_for
    from ris_ros.profiles import get_profile
    settings = settings_for(method, get_profile(profile))
    return type(settings), settings


def method_names() -> tuple[str, ...]:
    """Return the names of all methods there are."""
    from ris_ros.methods.registry import methods
    return tuple(methods())
