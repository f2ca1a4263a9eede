"""From mask, depth and camera to point, pose and cloud; numpy only.

Points are in metres in the camera's optical frame (x right, y down, z forward; REP-103).
"""
from __future__ import annotations

from ris_ros.geometry.calibration import Calibration, Judgement, judge_calibration
from ris_ros.geometry.camera import camera_from_matrix, check_camera, deproject, project
from ris_ros.geometry.depth import DEPTH_ENCODINGS, UNITS, depth_to_metres, unit_hint
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
    'DEPTH_ENCODINGS', 'ORIENTATIONS', 'TARGET_POINTS', 'UNITS', 'Calibration',
    'GeometrySettings', 'Judgement', 'NoDepthError', 'TargetGeometry', 'camera_from_matrix',
    'check_camera', 'deproject', 'depth_to_metres', 'erode', 'erode_safely',
    'judge_calibration', 'nearest_depth_mode', 'orientation_quaternion', 'project', 'rotate',
    'target_geometry', 'unit_hint',
]
