"""A depth camera's faults: millimetre steps, noise that grows with distance, holes."""
from __future__ import annotations

import numpy as np

from ris_ros.lazy import require

SENSORS = ('structured', 'stereo')   # `sense_depth`, `sense_stereo`
BASELINE_M = 0.055      # between the two cameras of the stereo sensor
STEREO_FAR_M = 4.0


def sense_depth(depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """
    Return what a structured-light camera would report for true depth.

    depth: (H, W) float, metres along the optical axis.  Returns (H, W) uint16, millimetres,
    0 where nothing is measured: beyond 0.2-4 m, at depth steps, at grazing surfaces and in a
    few random specks.  Axial noise: sigma = 1.2 mm + 1.9 mm/m^2 (z - 0.4 m)^2, the usual
    quadratic law of such cameras.
    """
    sigma = 0.0012 + 0.0019 * np.square(depth - 0.4)
    noisy = depth + rng.normal(size=depth.shape) * sigma
    dy, dx = np.gradient(depth)
    slope = np.hypot(dx, dy)
    # One pixel covers about z/600 m: a change of over six times that per pixel is a step or
    # a surface seen at less than ten degrees, where the matcher of a real camera gives up.
    blind = slope > 0.010
    near_step = blind & (rng.random(depth.shape) < 0.8)
    specks = rng.random((depth.shape[0] // 4 + 1, depth.shape[1] // 4 + 1)) < 0.002
    specks = np.kron(specks, np.ones((4, 4), bool))[:depth.shape[0], :depth.shape[1]]
    valid = (depth > 0.2) & (depth < 4.0) & ~near_step & ~specks
    return np.where(valid, np.rint(noisy * 1000), 0).astype(np.uint16)


def sense_stereo(depth: np.ndarray, rng: np.random.Generator, focal: float,
                 instances: np.ndarray | None = None) -> np.ndarray:
    """
    Return what a small stereo camera would report: harsher than `sense_depth` in every way.

    depth: (H, W) float, metres along the optical axis.  focal: pixels.  instances: (H, W), 0 for
    what is no object; some objects are dark or shiny and lose blotches.  Returns (H, W) uint16,
    millimetres, 0 where nothing is measured.

    Disparity carries the errors, so that they grow with the square of the range: noise that is
    correlated over the matching window, a slow bend, and steps.  Outlines are ragged and a pixel
    too wide; depth lies up to two pixels beside the colour; what the second camera does not see,
    left of near things, steep surfaces and blotches are lost.  The amounts are ours, chosen to
    look like those of a RealSense, and tuned on nothing.
    """
    cv2 = require('cv2', 'models')

    def field(scale: float, size: float) -> np.ndarray:
        """Return noise of a standard deviation of `size`, correlated over `scale` pixels."""
        noise = cv2.GaussianBlur(rng.normal(size=depth.shape).astype(np.float32), (0, 0), scale)
        return noise * np.float32(size / max(float(noise.std()), 1e-9))

    true = np.where((depth > 0) & (depth < STEREO_FAR_M), depth, STEREO_FAR_M).astype(np.float32)
    rows, columns = (np.asarray(a, np.float32) for a in np.indices(depth.shape))
    shift = rng.normal(size=2) * 0.8   # of the registration, pixels
    seen = cv2.remap(true, columns + field(3, 1.0) + np.float32(shift[0]),
                     rows + field(3, 1.0) + np.float32(shift[1]), cv2.INTER_NEAREST,
                     borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.erode(seen, np.ones((3, 3), np.uint8))
    disparity = focal * BASELINE_M / seen
    disparity += field(2.5, 0.07) + field(60, 0.05) + field(0.3, 0.03)
    disparity = np.round(disparity * 16) / 16
    found = focal * BASELINE_M / np.maximum(disparity, 0.5)
    lost = _hidden_from_the_other(true, focal, columns)
    slope = np.hypot(*(np.abs(np.gradient(true, axis=axis)) for axis in (0, 1)))
    lost |= (slope > 0.012) & (rng.random(depth.shape) < 0.7)
    lost |= field(3, 1.0) > 3.2
    for i in range(1, int(instances.max()) + 1 if instances is not None else 0):
        if rng.random() < 0.15:
            lost |= (instances == i) & (field(10, 1.0) > rng.uniform(-0.3, 0.7))
    found[lost | (found > 3.5)] = 0
    return np.rint(found * 1000).astype(np.uint16)


def _hidden_from_the_other(depth: np.ndarray, focal: float, columns: np.ndarray) -> np.ndarray:
    """Return which pixels a camera to the right does not see: nearer ones lie before them."""
    cv2 = require('cv2', 'models')
    there = columns - focal * BASELINE_M / depth      # the column at which the other sees it
    beyond = np.full_like(there, np.inf)
    beyond[:, :-1] = np.minimum.accumulate(there[:, :0:-1], axis=1)[:, ::-1]
    hidden = (there > beyond + 0.3).view(np.uint8)
    closed: np.ndarray = cv2.morphologyEx(hidden, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return closed > 0
