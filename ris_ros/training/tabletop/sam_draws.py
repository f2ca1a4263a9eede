"""What the small SAM is shown: pictures, point prompts, soft masks, a dense map of objects."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ris_ros.models.sam import SamConfig
from ris_ros.training.tabletop.shards import SceneStore

BACKGROUND_ODDS = 0.35     # pictures with one prompt on no object


@dataclass(frozen=True, eq=False)
class SamSample:
    """
    One picture with its prompts.

    image (S, S, 3) uint8, padded with zeros at the right and below; extent: its height and
    width without them; points (P, 2) float32 x, y in it; targets (P, 4G, 4G) float32, the
    covered part of each cell; dense (3, G, G) float32: foreground, x and y offset to the
    object's centre in image sides.
    """

    image: np.ndarray
    extent: tuple[int, int]
    points: np.ndarray
    targets: np.ndarray
    dense: np.ndarray


class SamSource:
    """Draws batches of pictures from rendered scenes."""

    def __init__(self, store: SceneStore, config: SamConfig, images: int, prompts: int) -> None:
        """images: pictures per batch.  prompts: points per picture."""
        self.store, self.images, self.prompts = store, images, prompts
        self.size = config.image_size
        self.grid = config.image_size // config.patch_size
        self.usable = [s for s, things in enumerate(store.by_scene) if things]

    def draw(self, rng: np.random.Generator, index: int, fraction: float
             ) -> dict[str, np.ndarray]:
        """
        Return a batch of B pictures.

        image (B, S, S, 3) uint8, extent (B, 2) int64, points (B, P, 2), targets
        (B, P, 4G, 4G), dense (B, 3, G, G); see SamSample.
        """
        samples = [self.sample(rng) for _ in range(self.images)]
        return {'image': np.stack([s.image for s in samples]),
                'extent': np.array([s.extent for s in samples]),
                'points': np.stack([s.points for s in samples]),
                'targets': np.stack([s.targets for s in samples]),
                'dense': np.stack([s.dense for s in samples])}

    def sample(self, rng: np.random.Generator) -> SamSample:
        """Return one picture with its prompts, one of them often on the background."""
        scene = int(rng.choice(self.usable))
        color, instances = self.store.color(scene), self.store.instances(scene)
        if rng.random() < 0.5:
            color, instances = color[:, ::-1], np.ascontiguousarray(instances[:, ::-1])
        visible = [t.instance for t in self.store.by_scene[scene]]
        chosen = [int(i) for i in rng.permutation(visible)[:self.prompts]]
        if rng.random() < BACKGROUND_ODDS:
            chosen[-1] = 0
        while len(chosen) < self.prompts:
            chosen.append(int(rng.choice(visible)))
        scale = self.size / max(instances.shape)
        points, targets = [], []
        for instance in chosen:
            mask = instances == instance
            flat = np.flatnonzero(mask)
            row, column = divmod(int(flat[rng.integers(len(flat))]), mask.shape[1])
            points.append(((column + 0.5) * scale, (row + 0.5) * scale))
            targets.append(self._cover(mask, 4 * self.grid))
        image, extent = self._image(color)
        return SamSample(image, extent, np.array(points, np.float32), np.stack(targets),
                         self._dense(instances, visible))

    def _cover(self, mask: np.ndarray, cells: int) -> np.ndarray:
        """Return the covered part of each cell of a cells x cells grid over the padded square."""
        height, width = mask.shape
        k = cells / max(height, width)
        small = cv2.resize(mask.view(np.uint8) * np.uint8(255),
                           (round(width * k), round(height * k)), interpolation=cv2.INTER_AREA)
        out = np.zeros((cells, cells), np.float32)
        out[:small.shape[0], :small.shape[1]] = small
        out /= 255
        return out

    def _image(self, color: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        height, width = color.shape[:2]
        k = self.size / max(height, width)
        extent = round(height * k), round(width * k)
        out = np.zeros((self.size, self.size, 3), np.uint8)
        out[:extent[0], :extent[1]] = cv2.resize(np.ascontiguousarray(color), extent[::-1],
                                                 interpolation=cv2.INTER_AREA)
        return out, extent

    def _dense(self, instances: np.ndarray, visible: list[int]) -> np.ndarray:
        g, side = self.grid, max(instances.shape)
        centres = ((np.arange(g) + 0.5) * side / g).astype(int)
        rows, columns = centres[centres < instances.shape[0]], centres
        coarse = np.zeros((g, g), np.int64)
        coarse[:len(rows)] = instances[rows][:, np.clip(columns, 0, instances.shape[1] - 1)]
        dense = np.zeros((3, g, g), np.float32)
        for instance in visible:
            at, mask = coarse == instance, instances == instance
            by_row, by_column = np.count_nonzero(mask, axis=1), np.count_nonzero(mask, axis=0)
            y, x = (float(n @ np.arange(len(n))) / n.sum() for n in (by_row, by_column))
            dense[0][at] = 1
            dense[1][at] = (x - centres[None, :].repeat(g, 0)[at]) / side
            dense[2][at] = (y - centres[:, None].repeat(g, 1)[at]) / side
        return dense
