"""From mask, depth and camera to point, pose and cloud, and from depth to planes.

numpy; OpenCV, imported at first use, only where depth is smoothed or parted into objects.

Points are in metres in the camera's optical frame (x right, y down, z forward; REP-103).
"""
from __future__ import annotations

from ris_ros.geometry.boxes import OrientedBox, oriented_box
from ris_ros.geometry.calibration import Calibration, Judgement, judge_calibration
from ris_ros.geometry.camera import camera_from_matrix, check_camera, deproject, project
from ris_ros.geometry.depth import DEPTH_ENCODINGS, UNITS, depth_to_metres, unit_hint
from ris_ros.geometry.masks import erode, erode_safely
from ris_ros.geometry.noise import DepthNoise, depth_noise
from ris_ros.geometry.objects import DepthObjects, objects_from_depth
from ris_ros.geometry.orientation import (
    ORIENTATIONS,
    orientation_quaternion,
    quaternion_of,
    rotate,
)
from ris_ros.geometry.planes import (
    SupportPlane,
    along,
    ground_axes,
    heights,
    rays,
    support_planes,
)
from ris_ros.geometry.surroundings import Surroundings, surroundings
from ris_ros.geometry.target import (
    TARGET_POINTS,
    GeometrySettings,
    NoDepthError,
    TargetGeometry,
    nearest_depth_mode,
    target_geometry,
)
from ris_ros.geometry.transforms import RigidTransform

__all__ = [
    'DEPTH_ENCODINGS', 'ORIENTATIONS', 'TARGET_POINTS', 'UNITS', 'Calibration', 'DepthNoise',
    'DepthObjects', 'GeometrySettings', 'Judgement', 'NoDepthError', 'OrientedBox',
    'RigidTransform', 'SupportPlane', 'Surroundings',
    'TargetGeometry', 'along', 'camera_from_matrix', 'check_camera', 'deproject', 'depth_noise',
    'depth_to_metres', 'erode', 'erode_safely', 'ground_axes', 'heights', 'judge_calibration',
    'nearest_depth_mode', 'objects_from_depth', 'orientation_quaternion', 'oriented_box',
    'project', 'quaternion_of', 'rays', 'rotate', 'support_planes', 'surroundings',
    'target_geometry', 'unit_hint',
]
