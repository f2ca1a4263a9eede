"""Messages to numpy and back, with every malformed message refused by BadInputError.

Only fast ways are used: a message's `data` is an array.array filled from a buffer (an
ndarray assigned to it costs a thousand times as much), and is read without a copy.
"""
from __future__ import annotations

import array
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, PointStamped, Pose, PoseStamped, Quaternion
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header

from ris_ros.geometry import (
    DEPTH_ENCODINGS,
    Calibration,
    camera_from_matrix,
    depth_to_metres,
)
from ris_ros.nodes.encodings import COLOUR_ENCODINGS, DEPTH, ENCODINGS, PLAIN, Encoding
from ris_ros.pictures import decoded
from ris_ros.service.text import carriable, shortened
from ris_ros.types import BadInputError, Camera


def image_to_array(message: Image) -> np.ndarray:
    """Return the picture as (H, W) or (H, W, C) in the machine's byte order.

    Of an encoding with further planes below the picture (nv12) these too, as further rows.
    Handles padded rows (step larger than needed) and big-endian data.  The result may be a
    view of the message.  Raises BadInputError for a size of zero, an unknown encoding, a
    step that is too small or data of another length.
    """
    encoding = _encoding(message.encoding, tuple(ENCODINGS))
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height <= 0 or width <= 0:
        raise BadInputError(f'the image has no pixels ({width}x{height}); check the camera')
    if ('w' in encoding.even and width % 2) or ('h' in encoding.even and height % 2):
        raise BadInputError(f'a {message.encoding} image of {width}x{height} cannot be: its '
                            'pixels come in pairs; correct the publisher')
    kind, channels = np.dtype(encoding.kind), encoding.channels
    rows_in_all = height + int(height * encoding.planes_below)
    row_bytes = width * channels * kind.itemsize
    if step < row_bytes:
        raise BadInputError(f'step is {step} bytes but a row of {width} {message.encoding} '
                            f'pixels needs {row_bytes}; correct the publisher')
    data = np.frombuffer(message.data, dtype=np.uint8)
    # The last row may come without its padding.
    if not step * (rows_in_all - 1) + row_bytes <= data.size <= step * rows_in_all:
        raise BadInputError(f'the image has {data.size} bytes of data but {rows_in_all} rows of '
                            f'{step} bytes need {step * rows_in_all}; correct the publisher')
    if data.size < step * rows_in_all:
        data = np.concatenate([data, np.zeros(step * rows_in_all - data.size, np.uint8)])
    rows = data.reshape(rows_in_all, step)[:, :row_bytes]
    stored = kind.newbyteorder('>' if message.is_bigendian else '<')
    picture = np.ascontiguousarray(rows).view(stored).astype(encoding.kind, copy=False)
    return picture.reshape((rows_in_all, width) if channels == 1
                           else (rows_in_all, width, channels))


def image_to_rgb(message: Image) -> np.ndarray:
    """Return a colour or grey picture as contiguous (H, W, 3) uint8 RGB.

    Bayer patterns and YUV are converted by OpenCV.  Raises BadInputError as `image_to_array`
    does, for an encoding that holds no picture, and where OpenCV is needed and absent.
    """
    if message.encoding in ENCODINGS and message.encoding not in COLOUR_ENCODINGS:
        raise BadInputError(f'image encoding {message.encoding!r} holds no picture; '
                            f'publish one of {", ".join(COLOUR_ENCODINGS)} on the image topic')
    to_rgb = _encoding(message.encoding, COLOUR_ENCODINGS).to_rgb
    assert to_rgb is not None
    return np.ascontiguousarray(to_rgb(image_to_array(message)))


def compressed_to_rgb(message: CompressedImage) -> np.ndarray:
    """Return a compressed picture (JPEG, PNG, WebP) as contiguous (H, W, 3) uint8 RGB.

    Raises BadInputError for what is no such picture or too large, for depth, and for a Bayer
    pattern that was compressed before its colours were made.
    """
    stored, _, how = message.format.partition(';')
    if 'compressedDepth' in how:
        raise BadInputError('the compressed image holds depth; remap image/compressed to the '
                            'colour camera')
    if stored.startswith('bayer') and 'bgr' not in how and 'rgb' not in how:
        raise BadInputError(f'the compressed image is a raw Bayer pattern ({stored}); publish '
                            'the debayered one')
    return np.ascontiguousarray(decoded(bytes(message.data), 'the compressed image'))


def image_to_depth(message: Image, unit: str = 'auto') -> np.ndarray:
    """Return a depth image as (H, W) float32 metres, NaN where nothing was measured.

    unit: as of `ris_ros.geometry.depth_to_metres`.  Raises BadInputError as `image_to_array`
    does, and for an encoding that is no depth.
    """
    _encoding(message.encoding, tuple(DEPTH_ENCODINGS), 'depth')
    return depth_to_metres(image_to_array(message), message.encoding, unit)


def _encoding(name: str, allowed: tuple[str, ...], what: str = 'image') -> Encoding:
    if name not in allowed:
        hint = '' if not name.startswith('8UC') else (
            f' ({name} does not say which channel is which)')
        raise BadInputError(f'{what} encoding {shortened(name, 40)!r} is not supported{hint}; '
                            f'publish one of {", ".join(allowed)}')
    return ENCODINGS[name]


def array_to_image(picture: np.ndarray, encoding: str, header: Header) -> Image:
    """Return an Image of an (H, W) or (H, W, C) array whose type fits `encoding` exactly."""
    if encoding not in {**PLAIN, **DEPTH}:
        raise BadInputError(f'image encoding {encoding!r} is not supported')
    kind, channels = ENCODINGS[encoding].kind, ENCODINGS[encoding].channels
    picture = np.asarray(picture)
    shape_fits = picture.ndim == 2 if channels == 1 else (
        picture.ndim == 3 and picture.shape[2] == channels)
    if not shape_fits or picture.dtype != kind or picture.size == 0:
        raise BadInputError(f'{picture.dtype} of shape {picture.shape} is no {encoding} image')
    message = Image(header=header, height=picture.shape[0], width=picture.shape[1],
                    encoding=encoding, is_bigendian=0,
                    step=picture.shape[1] * channels * np.dtype(kind).itemsize)
    message.data = _bytes_of(picture)
    return message


def calibration_from_info(message: CameraInfo) -> Calibration:
    """Return what a CameraInfo says of the full image, before binning and region of interest."""
    return Calibration(
        k=tuple(map(float, message.k)), p=tuple(map(float, message.p)),
        width=int(message.width), height=int(message.height),
        rotation=tuple(map(float, message.r)), distortion=tuple(map(float, message.d)),
        model=message.distortion_model)


def camera_from_info(message: CameraInfo) -> Camera:
    """Return the camera of the picture that comes with this CameraInfo.

    The rectified projection P is used where it is filled in, as depth_image_proc does, else
    K.  Binning and region of interest are honoured.  Raises BadInputError for an
    uncalibrated camera (focal length zero) or unusable numbers.
    """
    calibration = calibration_from_info(message)
    matrix, roi = calibration.matrix.copy(), message.roi
    width, height = calibration.width, calibration.height
    if roi.width and roi.height:
        if roi.x_offset + roi.width > width or roi.y_offset + roi.height > height:
            raise BadInputError(f'the region of interest ({roi.width}x{roi.height} at '
                                f'{roi.x_offset}, {roi.y_offset}) does not lie in the '
                                f'{width}x{height} image of the calibration; correct the driver')
        matrix[0, 2] -= roi.x_offset
        matrix[1, 2] -= roi.y_offset
        width, height = int(roi.width), int(roi.height)
    binning_x, binning_y = max(int(message.binning_x), 1), max(int(message.binning_y), 1)
    matrix[0] /= binning_x
    matrix[1] /= binning_y
    return camera_from_matrix(matrix, width // binning_x, height // binning_y)


def camera_to_info(camera: Camera, header: Header) -> CameraInfo:
    """Return the CameraInfo of an undistorted pinhole camera."""
    message = CameraInfo(header=header, width=camera.width, height=camera.height,
                         distortion_model='plumb_bob', d=[0.0] * 5)
    message.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0,
                 0.0, 0.0, 1.0, 0.0]
    return message


def point_message(point: np.ndarray, header: Header) -> PointStamped:
    """Return a PointStamped of a (3,) point in metres."""
    return PointStamped(header=header, point=_point(point))


def pose_message(point: np.ndarray, quaternion: np.ndarray, header: Header) -> PoseStamped:
    """Return a PoseStamped of a (3,) point in metres and a (4,) quaternion x, y, z, w."""
    x, y, z, w = (float(value) for value in quaternion)
    return PoseStamped(header=header, pose=Pose(
        position=_point(point), orientation=Quaternion(x=x, y=y, z=z, w=w)))


def cloud_message(points: np.ndarray, header: Header) -> PointCloud2:
    """Return an unordered PointCloud2 (float32 x, y, z) of (M, 3) points in metres."""
    points = np.ascontiguousarray(points, dtype='<f4')
    if points.ndim != 2 or points.shape[1] != 3:
        raise BadInputError(f'a cloud is (M, 3), this one is {points.shape}')
    fields = [PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
              for index, name in enumerate('xyz')]
    message = PointCloud2(header=header, height=1, width=points.shape[0], fields=fields,
                          is_bigendian=False, point_step=12, row_step=12 * points.shape[0],
                          is_dense=bool(np.isfinite(points).all()))
    message.data = _bytes_of(points)
    return message


def cloud_to_array(message: PointCloud2) -> np.ndarray:
    """Return the (M, 3) float32 points of a PointCloud2 with float32 x, y and z fields."""
    offsets = {field.name: field.offset for field in message.fields
               if field.datatype == PointField.FLOAT32}
    if not {'x', 'y', 'z'} <= offsets.keys():
        raise BadInputError('the cloud has no float32 x, y and z fields')
    kind = '>f4' if message.is_bigendian else '<f4'
    layout = np.dtype({'names': ['x', 'y', 'z'], 'formats': [kind] * 3,
                       'offsets': [offsets[name] for name in 'xyz'],
                       'itemsize': int(message.point_step)})
    count = int(message.width) * int(message.height)
    if len(message.data) < count * layout.itemsize or message.row_step != (
            message.point_step * message.width):
        raise BadInputError('the cloud has fewer bytes than its size says, or padded rows')
    points = np.frombuffer(message.data, dtype=layout, count=count)
    return np.stack([points[name].astype(np.float32) for name in 'xyz'], axis=-1)


def diagnostic_status(level: int, name: str, message: str, values: Mapping[str, object],
                      hardware_id: str = '') -> DiagnosticStatus:
    """Return a DiagnosticStatus; values become text, numbers with six digits at most.

    What ROS cannot carry is replaced, whoever wrote it: a method, a file or an error.
    """
    status = DiagnosticStatus(level=bytes([level]), name=carriable(name),
                              message=carriable(message), hardware_id=carriable(hardware_id))
    status.values = [KeyValue(key=carriable(key), value=carriable(value_text(value)))
                     for key, value in values.items()]
    return status


def diagnostic_array(header: Header, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Return a DiagnosticArray, the one standard type with header, severity and open keys."""
    return DiagnosticArray(header=header, status=list(statuses))


def status_values(status: DiagnosticStatus) -> dict[str, str]:
    """Return the key-value pairs of a DiagnosticStatus as a dict."""
    return {pair.key: pair.value for pair in status.values}


def value_text(value: object) -> str:
    """Return the text that stands for a value in a KeyValue: '' for None, numbers short."""
    if value is None:
        return ''
    if isinstance(value, bool | np.bool_):
        return 'true' if value else 'false'
    if isinstance(value, float | np.floating):
        return f'{value:.6g}'
    if isinstance(value, np.ndarray | list | tuple):
        return ' '.join(value_text(item) for item in value)
    return str(value)


def stamp_to_seconds(stamp: Time) -> float:
    """Return a stamp in seconds; good to a fraction of a microsecond in this century."""
    return stamp.sec + 1e-9 * stamp.nanosec


def _point(point: np.ndarray) -> Point:
    x, y, z = (float(value) for value in point)
    return Point(x=x, y=y, z=z)


def _bytes_of(values: np.ndarray) -> array.array:
    data = array.array('B')
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return data
