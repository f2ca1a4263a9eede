"""Whether a calibration can be that of a real camera.  Ours: rules of thumb, each with its why.

A target point is only as right as the intrinsics, and drivers publish zeros, placeholders,
matrices of another resolution and those of the picture before rectification.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ris_ros.types import Camera

FIELD_OF_VIEW = (10.0, 170.0)  # degrees; of the wider side at least, of each side at most
ASPECTS = (1.5, 3.0)           # fx against fy: beyond the first in doubt, beyond the second wrong
OFF_CENTRE = (0.2, 0.45)       # principal point from the centre, share of the size: likewise
SAME = 0.02                    # relative difference at which two focal lengths are equal
SCALES = (2.0, 3.0)            # P against K where rectification lies between: likewise
BENT_PX = 2.0                  # displacement by distortion at the edge that matters
BENT_RATIO = 0.05              # the same as a share of the size that is surely a raw image

# distortion model -> its number of coefficients at least
MODELS = {'plumb_bob': 4, 'rational_polynomial': 8, 'equidistant': 4}


@dataclass(frozen=True)
class Calibration:
    """What a CameraInfo says of the full image, before binning and region of interest.

    k: 9 and p: 12 numbers, row by row, in pixels; zeros where they are not known.  rotation: 9
    numbers of the rectification.  distortion: coefficients of `model`.  width, height: pixels.
    """

    k: tuple[float, ...]
    p: tuple[float, ...]
    width: int
    height: int
    rotation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    distortion: tuple[float, ...] = ()
    model: str = ''

    @classmethod
    def of(cls, camera: Camera) -> Calibration:
        """Return the calibration of an undistorted pinhole camera."""
        k = (camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0)
        p = (camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0)
        return cls(k, p, camera.width, camera.height)

    @property
    def matrix(self) -> np.ndarray:
        """The (3, 3) matrix that deprojects: of P where it is filled in, else K.

        P is that of the rectified image; depth_image_proc goes by it too.
        """
        p = np.array(self.p, dtype=np.float64).reshape(3, 4)
        return p[:, :3] if p[0, 0] != 0.0 else np.array(self.k, dtype=np.float64).reshape(3, 3)

    @property
    def distorted(self) -> bool:
        """Whether the camera's raw image is bent."""
        return any(value != 0.0 for value in self.distortion)

    @property
    def rotated(self) -> bool:
        """Whether rectification turns the image; a matrix of zeros says nothing."""
        rotation = np.array(self.rotation, dtype=np.float64).reshape(3, 3)
        return bool(rotation.any()) and not np.allclose(rotation, np.eye(3), atol=1e-6)


@dataclass(frozen=True)
class Judgement:
    """fault: why the calibration must be wrong, None where nothing is sure.  doubts: sentences."""

    fault: str | None = None
    doubts: tuple[str, ...] = ()


def judge_calibration(calibration: Calibration, raw: bool | None = None) -> Judgement:
    """Return what is wrong with a calibration, by how sure that is.

    raw: True where the topic says that the image is not rectified, False where it says that it
    is, None where it says nothing.  Matrices without focal lengths, which a driver sends that
    was never calibrated, are not judged: `check_camera` refuses them.

    >>> judge_calibration(Calibration.of(Camera(600, 600, 319.5, 239.5, 640, 480)))
    Judgement(fault=None, doubts=())
    >>> print(judge_calibration(Calibration.of(Camera(1, 1, 319.5, 239.5, 640, 480))).fault)
    focal lengths of 1 and 1 pixels mean a field of view of 180 by 180 degrees, which is not ...
    """
    matrix = calibration.matrix
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0 and np.isfinite(matrix).all()):
        return Judgement()
    doubts: list[str] = []
    for look in (_form, _field_of_view, _aspect, _principal_point, _projection):
        fault = look(calibration, matrix, doubts)
        if fault:
            return Judgement(f'{fault}; calibrate the camera, or set check_calibration to false '
                             'if it is right', tuple(doubts))
    fault = _distortion(calibration, raw, doubts)
    return Judgement(fault, tuple(doubts))


def _form(calibration: Calibration, matrix: np.ndarray, doubts: list[str]) -> str | None:
    if calibration.width <= 0 or calibration.height <= 0:
        return f'the calibration is for an image of {calibration.width}x{calibration.height}'
    if not np.allclose(matrix[2], (0.0, 0.0, 1.0)) or matrix[1, 0] != 0.0:
        return ('the camera matrix is not of the form fx 0 cx, 0 fy cy, 0 0 1 (is it transposed '
                'or of another unit?)')
    if abs(matrix[0, 1]) > 0.01 * matrix[0, 0]:
        return f'the camera matrix has a skew of {matrix[0, 1]:g}, which no image sensor has'
    shift = calibration.p[3] if calibration.p[0] != 0.0 else 0.0
    if shift != 0.0:
        doubts.append(f'P has a shift (Tx {shift:g}): this is the second camera of a stereo '
                      'pair, and the target is in its own frame')
    return None


def _field_of_view(calibration: Calibration, matrix: np.ndarray, doubts: list[str]) -> str | None:
    across = np.degrees(2 * np.arctan2(calibration.width, 2 * matrix[0, 0]))
    along = np.degrees(2 * np.arctan2(calibration.height, 2 * matrix[1, 1]))
    least, most = FIELD_OF_VIEW
    if max(across, along) < least or max(across, along) > most:
        return (f'focal lengths of {matrix[0, 0]:g} and {matrix[1, 1]:g} pixels mean a field of '
                f'view of {across:.3g} by {along:.3g} degrees, which is not plausible')
    return None


def _aspect(calibration: Calibration, matrix: np.ndarray, doubts: list[str]) -> str | None:
    ratio = matrix[0, 0] / matrix[1, 1]
    text = f'the focal lengths are {matrix[0, 0]:g} and {matrix[1, 1]:g} pixels'
    if max(ratio, 1 / ratio) > ASPECTS[1]:
        return f'{text}, too different for any camera'
    if max(ratio, 1 / ratio) > ASPECTS[0]:
        doubts.append(f'{text}; most cameras have square pixels')
    return None


def _principal_point(calibration: Calibration, matrix: np.ndarray, doubts: list[str]
                     ) -> str | None:
    point, size = matrix[:2, 2], np.array((calibration.width, calibration.height))
    off = np.abs(point - (size - 1) / 2) / size
    text = (f'the principal point ({point[0]:g}, {point[1]:g}) is far from the centre of the '
            f'{size[0]}x{size[1]} image')
    if off.max() > OFF_CENTRE[1]:
        return text
    if off.min() > OFF_CENTRE[0]:  # a single side may be cropped, both say another resolution
        return f'{text} on both sides, as in a calibration for another resolution'
    if off.max() > OFF_CENTRE[0]:
        doubts.append(text)
    return None


def _projection(calibration: Calibration, matrix: np.ndarray, doubts: list[str]) -> str | None:
    """Compare P and K where both are filled in."""
    k, p = calibration.k, calibration.p
    if k[0] <= 0 or k[4] <= 0 or p[0] <= 0 or p[5] <= 0:
        return None
    scale = max(p[0] / k[0], k[0] / p[0], p[5] / k[4], k[4] / p[5])
    shift = max(abs(p[2] - k[2]) / calibration.width, abs(p[6] - k[5]) / calibration.height)
    text = (f'K and P disagree (focal lengths {k[0]:g}, {k[4]:g} and {p[0]:g}, {p[5]:g}; '
            f'principal points ({k[2]:g}, {k[5]:g}) and ({p[2]:g}, {p[6]:g}))')
    if not calibration.distorted and not calibration.rotated:
        # Nothing lies between them, so that they must be the same.
        return f'{text} though there is no distortion' if (
            scale > 1 + SAME or shift > SAME) else None
    if scale > SCALES[1]:
        return text
    if scale > SCALES[0]:
        doubts.append(text)
    return None


def _distortion(calibration: Calibration, raw: bool | None, doubts: list[str]) -> str | None:
    if not np.isfinite(calibration.distortion).all():
        return 'the distortion D holds NaN or infinity; calibrate the camera'
    if not calibration.distorted or raw is False:
        return None
    bent = edge_displacement(calibration)
    if bent is None:
        doubts.append(f'D is not zero (model {calibration.model!r}); if the image is not '
                      'rectified, the target is off: feed the rectified one')
    elif raw and bent > BENT_RATIO * calibration.width:
        return (f'the image is raw and its distortion D moves points at the edge by {bent:.0f} '
                'pixels; feed the rectified image (image_proc), or set check_calibration to '
                'false')
    elif bent > BENT_PX:
        doubts.append(f'D is not zero: in a raw image points at the edge are off by {bent:.0f} '
                      'pixels; feed the rectified image (image_proc)')
    return None


def edge_displacement(calibration: Calibration) -> float | None:
    """Return how far the distortion moves the middles of the image's edges, in pixels at most.

    None for a model that is not known, or without K.

    >>> straight = Calibration.of(Camera(600, 600, 319.5, 239.5, 640, 480))
    >>> from dataclasses import replace
    >>> bent = replace(straight, model='plumb_bob', distortion=(-0.1, 0.0, 0.0, 0.0))
    >>> edge_displacement(straight), round(edge_displacement(bent), 1)
    (None, 9.1)
    """
    k, d = calibration.k, calibration.distortion
    if calibration.model not in MODELS or len(d) < MODELS[calibration.model] or k[0] <= 0:
        return None
    width, height = calibration.width, calibration.height
    u = np.array([0.0, width - 1.0, k[2], k[2]])
    v = np.array([k[5], k[5], 0.0, height - 1.0])
    x, y = (u - k[2]) / k[0], (v - k[5]) / k[4]
    if calibration.model == 'equidistant':
        factor = _equidistant(np.hypot(x, y), d)
        moved = np.stack([x * factor, y * factor])
    else:
        moved = _brown(x, y, d)
    moved -= np.stack([x, y])
    return float(np.hypot(moved[0] * k[0], moved[1] * k[4]).max())


def _brown(x: np.ndarray, y: np.ndarray, d: Sequence[float]) -> np.ndarray:
    """Apply k1 k2 p1 p2 k3 (k4 k5 k6) as OpenCV documents them; (2, N) of (N,) and (N,)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*d[:8], *([0.0] * (8 - len(d[:8]))))
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack([x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                     y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y])


def _equidistant(r: np.ndarray, d: Sequence[float]) -> np.ndarray:
    """Return the factor of the fisheye model of OpenCV for distances (N,) from the axis."""
    theta = np.arctan(r)
    bent = theta * (1 + sum(c * theta ** (2 * n) for n, c in enumerate(d[:4], 1)))
    return np.divide(bent, r, out=np.ones_like(r), where=r > 0)
