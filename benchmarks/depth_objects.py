"""
How well the objects of RGB-D frames are proposed from depth, and what it costs.

    python benchmarks/depth_objects.py --root DIR              real frames, with refs.json
    python benchmarks/depth_objects.py --split val --scenes 20 [--sensor stereo]
    python benchmarks/depth_objects.py --split far_val --scenes 20

DIR has the layout of a `folder` data set whose entries name depth and camera; every mask that is
named there counts once, however many sentences it has.  Of rendered scenes every object with 500
pixels or more counts.  Prints the mean IoU of the best proposal per object, the shares above one
half and three quarters, masks and processor milliseconds per frame on one thread.  Nothing is
tuned here; rendered scenes are those of validation splits.

--enlarge 2 doubles the frames before they are looked at, --list names every object.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np

from ris_ros.datasets.folder import read_folder
from ris_ros.datasets.tabletop import EVALUATION_SEEDS
from ris_ros.geometry import depth_to_metres, objects_from_depth
from ris_ros.lazy import require
from ris_ros.simulation import TabletopWorld
from ris_ros.simulation.sensor import SENSORS
from ris_ros.simulation.truth import MIN_PIXELS
from ris_ros.types import Camera, View


@dataclass(frozen=True, eq=False)
class Labelled:
    """A frame and the true masks (K, H, W) of its objects."""

    name: str
    view: View
    masks: np.ndarray


def real(root: Path) -> Iterator[Labelled]:
    """Yield the frames of a folder, each mask once."""
    for group in read_folder(root).groups:
        opened = group.open()
        sources = {s.object_id: s.mask for s in opened.samples if s.mask is not None}
        if sources:
            yield Labelled(group.key, opened.view,
                           np.stack([source.load() for source in sources.values()]))


def rendered(split: str, scenes: int, sensor: str | None) -> Iterator[Labelled]:
    """Yield the first scenes of a validation split."""
    for seed in EVALUATION_SEEDS[split][:scenes]:
        with TabletopWorld(seed, sensor=sensor) as world:
            frame = world.frame
        masks = np.stack([frame.instances == i for i in range(1, len(world.spec.objects) + 1)])
        depth = depth_to_metres(frame.depth, '16UC1')
        yield Labelled(str(seed), View(frame.color, depth, frame.camera),
                       masks[masks.sum(axis=(1, 2)) >= MIN_PIXELS])


def enlarged(frame: Labelled, times: int) -> Labelled:
    """Return the frame with every pixel `times` pixels wide and high."""
    def wide(array: np.ndarray) -> np.ndarray:
        return array.repeat(times, axis=-2).repeat(times, axis=-1)
    view, c = frame.view, frame.view.camera
    assert view.depth is not None and c is not None
    camera = Camera(c.fx * times, c.fy * times, (c.cx + 0.5) * times - 0.5,
                    (c.cy + 0.5) * times - 0.5, c.width * times, c.height * times)
    rgb = np.ascontiguousarray(view.rgb.repeat(times, axis=0).repeat(times, axis=1))
    return Labelled(frame.name, View(rgb, wide(view.depth), camera), wide(frame.masks))


def best_overlaps(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the greatest IoU of each of (K, H, W) true masks with (N, H, W) found ones, (K,)."""
    if not len(found):
        return np.zeros(len(true))
    a, b = (m.reshape(len(m), -1).astype(np.float32) for m in (true, found))
    both = a @ b.T
    return (both / (a.sum(1)[:, None] + b.sum(1)[None] - both)).max(axis=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument('--root', type=Path)
    where.add_argument('--split', choices=[s for s in EVALUATION_SEEDS if s.endswith('val')])
    parser.add_argument('--scenes', type=int, default=20)
    parser.add_argument('--sensor', choices=SENSORS)
    parser.add_argument('--enlarge', type=int, default=1)
    parser.add_argument('--list', action='store_true')
    args = parser.parse_args()
    require('cv2', 'models').setNumThreads(1)
    frames = (real(args.root) if args.root else
              rendered(args.split, args.scenes, args.sensor))
    overlaps, counts, times = [], [], []
    for frame in frames:
        if args.enlarge > 1:
            frame = enlarged(frame, args.enlarge)
        if frame.view.depth is None:
            print(f'{frame.name}: no depth, left out')
            continue
        if not counts:
            objects_from_depth(frame.view)   # the first is slower than the rest
        start = process_time()
        found = objects_from_depth(frame.view)
        times.append(1e3 * (process_time() - start))
        best = best_overlaps(found.masks, frame.masks)
        overlaps.append(best)
        counts.append(len(found.masks))
        if args.list:
            said = ' '.join(f'{v:.2f}' for v in best)
            print(f'{frame.name}: {len(found.masks)} masks, {times[-1]:.0f} ms, best {said} '
                  f'{found.problem}')
    every = np.concatenate(overlaps)
    print(f'{len(every)} objects in {len(counts)} frames: best proposal {every.mean():.3f}, '
          f'above 0.5 {(every > 0.5).mean():.2f}, above 0.75 {(every > 0.75).mean():.2f}; masks '
          f'{np.mean(counts):.1f} (at most {max(counts)}), processor ms {np.median(times):.0f} '
          f'(at most {max(times):.0f})')


if __name__ == '__main__':
    main()
