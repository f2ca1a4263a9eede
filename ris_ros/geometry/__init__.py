"""From mask, depth and camera to point, pose and cloud; numpy only.

Points are in metres in the camera's optical frame (x right, y down, z forward; REP-103).
"""
from __future__ import annotations

from ris_ros.geometry.camera import camera_from_matrix, check_camera, deproject, project
from ris_ros.geometry.depth import DEPTH_ENCODINGS, depth_to_metres
from ris_ros.geometry.masks import erode, erode_safely
from ris_ros.geometry.orientation import ORIENTATIONS, orientation_quaternion, rotate
from ris_ros.geometry.target import (
    TARGET_POINTS,
    GeometrySettings,
    NoDepthError,
    TargetGeometry,
    nearest_depth_mode,
    target_geometry,
)

__all__ = [
    'DEPTH_ENCODINGS', 'ORIENTATIONS', 'TARGET_POINTS', 'GeometrySettings', 'NoDepthError',
    'TargetGeometry', 'camera_from_matrix', 'check_camera', 'deproject', 'depth_to_metres',
    'erode', 'erode_safely', 'nearest_depth_mode', 'orientation_quaternion', 'project',
    'rotate', 'target_geometry',
]
