"""
Which of several alike objects a rule picks: on boxes in the picture, and in the room.

No network takes part: the masks are the true ones and it is known which objects are alike and
which is the other one, so that the rules alone are judged.  Scenes of the validation split.

    python benchmarks/room_relations.py --scenes 40

Prints per kind how many questions have one clear answer, how often chance would be right, and how
often either rule is.
"""
from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from ris_ros.geometry import depth_to_metres
from ris_ros.methods.hybridgl.scores import FLAG_OF_TYPE
from ris_ros.methods.room import Room
from ris_ros.methods.spatial import relation_matrix
from ris_ros.simulation import SPLITS, TabletopWorld
from ris_ros.simulation.truth import CLEAR_M, SIZE_STEP, SceneTruth, holders
from ris_ros.types import Regions, View

RELATIONS = ('behind', 'front', 'on', 'next_to')
# Flags by which the picture answers what it has no rule for, as HybridGL's word tables do.
FLAGS = {**FLAG_OF_TYPE, 'nearest': 'big', 'taller': 'big', 'farthest': 'small',
         'shorter': 'small'}


def questions(truth: SceneTruth) -> Iterator[tuple[str, tuple[int, ...], int | None, int]]:
    """Yield kind, objects that are alike, the other object (None: themselves), and the answer."""
    alike = [fits for fits in truth.named.values()
             if len(fits) > 1 and truth.visible[list(fits)].all()]
    single = [fits[0] for fits in truth.named.values()
              if len(fits) == 1 and truth.visible[fits[0]]]
    for fits in alike:
        for anchor in dict.fromkeys(single):
            if truth.kinds[anchor] == truth.kinds[fits[0]]:
                continue
            for kind in RELATIONS:
                found = holders(truth.relations[kind][:, anchor], fits)
                if found and len(found) == 1:
                    yield kind, fits, anchor, found[0]
        ranges = np.hypot(truth.xyz[:, 0], truth.xyz[:, 2])
        values = {'bigger': (np.log(truth.scales), np.log(SIZE_STEP)),
                  'taller': (truth.extents[:, 1] + _base(truth), 0.015),
                  'farthest': (ranges, CLEAR_M)}
        opposite = {'bigger': 'smaller', 'taller': 'shorter', 'farthest': 'nearest'}
        for kind, (value, step) in values.items():
            if np.isnan(value[list(fits)]).any():
                continue
            order = sorted(fits, key=lambda i: value[i])
            if value[order[-1]] - value[order[-2]] > step:
                yield kind, fits, None, order[-1]
            if value[order[1]] - value[order[0]] > step:
                yield opposite[kind], fits, None, order[0]


def _base(truth: SceneTruth) -> np.ndarray:
    """Return (K,) 0 for what stands on the table, NaN for what is carried: not compared."""
    return np.where(truth.support >= 0, np.nan, 0.0)


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--scenes', type=int, default=40)
    parser.add_argument('--first', type=int, default=SPLITS['val'].start + 600)
    args = parser.parse_args()
    if args.first not in SPLITS['val'] or args.first + args.scenes > SPLITS['val'].stop:
        parser.error('only validation seeds are looked at')
    right: dict[str, list[tuple[float, bool, bool]]] = defaultdict(list)
    for seed in range(args.first, args.first + args.scenes):
        with TabletopWorld(seed) as world:
            frame, truth = world.frame, world.truth
        masks = np.stack([frame.instances == i + 1 for i in range(len(truth))])
        view = View(frame.color, depth_to_metres(frame.depth, '16UC1'), frame.camera)
        room, boxes = Room(view, masks), Regions.of(masks).boxes
        if room.places is None:
            print(f'scene {seed}: no plane')
            continue
        for kind, fits, anchor, answer in questions(truth):
            picture = relation_matrix(FLAGS[kind], boxes, boxes)
            columns = list(fits) if anchor is None else [anchor]
            picks = [fits[int(np.argmax(m[np.ix_(list(fits), columns)].sum(axis=1)))]
                     for m in (picture, room.holds(kind, picture))]
            right[kind].append((1 / len(fits), *(pick == answer for pick in picks)))
    print(f'{"kind":10} {"n":>4} {"chance":>7} {"picture":>8} {"room":>6}')
    for kind, rows in sorted(right.items()):
        chance, picture, in_room = np.mean(np.array(rows, float), axis=0)
        print(f'{kind:10} {len(rows):4} {chance:7.2f} {picture:8.2f} {in_room:6.2f}')


if __name__ == '__main__':
    main()
