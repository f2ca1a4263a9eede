"""Settings of the spatial guidance, importable without torch."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.methods.options import OutcomeSettings
from ris_ros.settings import option


@dataclass(frozen=True)
class SpatialRerankSettings(OutcomeSettings):
    """Which method is asked for the bare names, and what guides the choice among its answers."""

    base: str = option('clip_only', 'the method that is asked for each bare name ("red mug"), as '
                       '`ris methods` lists them', source='ours', builds=True)
    base_settings: str = option('', 'its settings over those of the profile: name=value, several '
                                'after commas', source='ours', builds=True)
    relation: bool = option(True, 'objects it stands in a stated relation to count', source='ours')
    position: bool = option(True, 'its place among its likes counts', source='ours')
    size: bool = option(True, 'its size among its likes counts', source='ours')
    depth: bool = option(True, 'where there is depth, front, behind and size go by metres',
                         source='ours')
    doubt: float = option(0.25, 'weight of a like that was not seen, beside those that were: what '
                          'keeps the only mug from failing at "the left mug"', source='ours',
                          minimum=0.01, maximum=10.0)
