"""The simulated tabletop as a data set: rendered by seed, or read from an export."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ris_ros.datasets.base import ArrayMask, Dataset, Group, OpenGroup, Sample, UnionMask
from ris_ros.geometry.depth import depth_to_metres
from ris_ros.simulation import SPLITS
from ris_ros.types import BadInputError

if TYPE_CHECKING:
    from ris_ros.simulation import TabletopWorld

# Seeds per split; of the validation seeds the first 500, for settings are chosen on later ones.
EVALUATION_SEEDS = {
    'val': SPLITS['val'][:500], 'test': SPLITS['test'], 'unseen': SPLITS['unseen'],
    'clutter_val': SPLITS['clutter_val'][:500], 'clutter_test': SPLITS['clutter_test'],
    'clutter_unseen': SPLITS['clutter_unseen'],
    'far_val': SPLITS['far_val'][:500], 'far_test': SPLITS['far_test']}


@dataclass(frozen=True)
class SceneGroup:
    """One scene, rendered when it is opened; limit cuts its samples."""

    seed: int
    limit: int | None = None

    @property
    def key(self) -> str:
        """The seed."""
        return str(self.seed)

    @property
    def keys(self) -> tuple[str, ...] | None:
        """None: the sentences are known once the scene is rendered."""
        return None

    def limited(self, limit: int) -> SceneGroup:
        """Return the group cut to its first `limit` samples."""
        return SceneGroup(self.seed, limit)

    def open(self) -> OpenGroup:
        """Render the scene.  Raises MissingDependencyError without MuJoCo."""
        from ris_ros.simulation import TabletopWorld
        with TabletopWorld(self.seed) as world:
            frame, samples = world.frame, scene_samples(world)
        return OpenGroup(frame.color, samples[:self.limit],
                         depth_to_metres(frame.depth, '16UC1'), frame.camera)


def scene_samples(world: TabletopWorld) -> list[Sample]:
    """
    Return the samples of a scene, in the order of its expressions.

    A sentence that means several objects has the union of their masks, and each in `masks`.
    """
    seed, instances = world.seed, world.instances
    samples = []
    for i, expression in enumerate(world.expressions):
        masks = [ArrayMask(instances == t) for t in expression.targets] \
            if expression.answerable else []
        several = len(masks) > 1
        named = expression.targets if several else expression.targets[:1] or (0,)
        samples.append(Sample(
            key=f'{seed}/{i}', expression=expression.text, image_id=str(seed),
            object_id=f'{seed}:{"+".join(map(str, named))}',
            mask=UnionMask(tuple(masks)) if several else masks[0] if masks else None,
            kind=expression.kind, tags=(expression.tag, *expression.tags),
            unseen=expression.unseen, place=(f'tabletop scene {seed}', f'expression {i}'),
            masks=tuple(masks) if several else ()))
    return samples


def read_tabletop(split: str, scenes: int | None = None) -> Dataset:
    """Return the split of rendered scenes; `scenes` takes the first so many only.

    Raises BadInputError for an unknown split.
    """
    if split not in EVALUATION_SEEDS:
        raise BadInputError(f'the tabletop has no split {split!r} to evaluate on; take one of '
                            f'{", ".join(EVALUATION_SEEDS)}')
    seeds = EVALUATION_SEEDS[split]
    groups: list[Group] = [SceneGroup(seed) for seed in seeds[:scenes]]
    return Dataset('tabletop', split, groups, facts={'images': len(groups)})
