"""The whole contract of a method; segmenter, evaluation and studies know methods by this alone.

A method is one folder under `ris_ros/methods` (or a class of another package, named by an entry
point in the group `ris_ros.methods`).  It derives from `Method`, or from `ProposalMethod` where
it chooses among masks that a proposer made.
"""
from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from ris_ros.settings import describe, to_mapping
from ris_ros.types import BadInputError, Grounding, Scene, View

if TYPE_CHECKING:
    from ris_ros.language import Analysis
    from ris_ros.methods.options import OutcomeSettings
    from ris_ros.models.proposals import Proposals
    from ris_ros.profiles import Networks

M = TypeVar('M', bound='Method')
P = TypeVar('P', bound='ProposalMethod')


class Method(ABC):
    """A referring image segmentation system.

    name: what users call it.  settings_class: a frozen dataclass of `ris_ros.settings.option`
    fields, each with a default, derived from `OutcomeSettings`, by which every answer is
    decided.  needs_truth: whether `ground` reads the true mask that `Scene.with_truth` puts
    into a scene, so that only the evaluation can use the method.
    settings: an instance of settings_class.  device: where its networks are, as torch says.
    """

    name: ClassVar[str]
    settings_class: ClassVar[type[OutcomeSettings]]
    needs_truth: ClassVar[bool] = False
    settings: Any
    device: str

    @classmethod
    @abstractmethod
    def from_networks(cls: type[M], networks: Networks, settings: Any) -> M:
        """Build the method over a profile's networks.

        Raises BadInputError where the profile has no network of a kind that is needed,
        WeightsError for missing or damaged weights, MissingDependencyError for a library.
        """

    @abstractmethod
    def prepare(self, view: View) -> Scene:
        """Do all that depends on the view alone; never raises for lack of proposals."""

    @abstractmethod
    def ground(self, scene: Scene, analysis: Analysis) -> Grounding:
        """Answer one analysed sentence about a prepared scene.

        The Grounding ranks the scene's proposals, or brings masks of its own.  Raises
        BadInputError for a sentence that this method cannot take, with the reason.
        """

    def ground_many(self, scene: Scene, analyses: Sequence[Analysis]) -> list[Grounding | None]:
        """Answer several sentences about one scene, None for each that `ground` refuses.

        One by one here; a method that can work them side by side does so.
        """
        return [self._or_none(scene, analysis) for analysis in analyses]

    def _or_none(self, scene: Scene, analysis: Analysis) -> Grounding | None:
        try:
            return self.ground(scene, analysis)
        except BadInputError:
            return None

    def check_settings(self) -> None:  # noqa: B027 - a hook, empty where all settings fit
        """Raise BadInputError where `settings` do not go together or not with the networks."""

    def with_settings(self: M, settings: Any) -> M:
        """Return the method under other settings over the same networks; this one stays.

        A scene serves both where what `prepare` reads is equal; else see `prepare` or
        `look_again`.  Raises BadInputError for settings of another class, for such as do not fit,
        and where one differs that is built into networks or proposer (`FieldInfo.builds`):
        that wants `from_networks`.
        """
        if not isinstance(settings, self.settings_class):
            raise BadInputError(f'{self.name} takes {self.settings_class.__name__}, '
                                f'not {type(settings).__name__}')
        before, after = to_mapping(self.settings), to_mapping(settings)
        for info in describe(self.settings_class):
            if info.builds and before[info.name] != after[info.name]:
                raise BadInputError(f'{info.name} is built into the method '
                                    f'({before[info.name]!r}); build it again for '
                                    f'{after[info.name]!r}')
        other = copy.copy(self)
        other.settings = settings
        other.check_settings()
        return other


class Proposer(Protocol):
    """What proposes masks: SAM, Mask2Former, objects from depth, or known masks."""

    def propose(self, view: View) -> Proposals:
        """Return the mask proposals of a view."""
        ...


class ProposalMethod(Method):
    """A method that chooses among the masks of a proposer.

    proposer: None where masks are handed to `prepare_with` alone.
    """

    proposer: Proposer | None

    def prepare(self, view: View) -> Scene:
        """Propose masks, then look at them; the scene may have none.

        Raises BadInputError where the method was made without a proposer.
        """
        if self.proposer is None:
            raise BadInputError('there is no mask proposer; hand masks to prepare_with')
        from ris_ros.models.device import seconds_now
        start = seconds_now(self.device)
        # The proposer's network may be on another device than the method's.
        found = self.proposer.propose(view).to(self.device)
        return self.prepare_with(view, found,
                                 {'proposals': seconds_now(self.device) - start})

    @abstractmethod
    def prepare_with(self, view: View, proposals: Proposals,
                     timings: Mapping[str, float] | None = None) -> Scene:
        """Prepare a scene with given proposals; timings: seconds spent on them so far.

        The scene keeps the proposals, see `proposals_of`; `ris_ros.methods.regions.scene_of`
        makes such a scene.
        """

    def look_again(self, scene: Scene) -> Scene:
        """Return the scene under this instance's settings, its proposals kept.

        What other settings leave equal need not be computed again; by default all is.
        """
        return self.prepare_with(scene.view, self.proposals_of(scene))

    def proposals_of(self, scene: Scene) -> Proposals:
        """Return a prepared scene's proposals as its proposer gave them, on this device."""
        kept: Proposals = scene.cache['proposals']
        return kept.to(self.device)

    def with_proposer(self: P, proposer: Proposer | None) -> P:
        """Return the method over another proposer."""
        other = copy.copy(self)
        other.proposer = proposer
        return other
