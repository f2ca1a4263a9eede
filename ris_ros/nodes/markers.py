"""Markers for RViz and Foxglove: the target, its box, and numbers on what may be meant."""
from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ris_ros.geometry import OrientedBox
from ris_ros.service.text import carriable, shortened
from ris_ros.service.worker import Reply
from ris_ros.types import Outcome

SPHERE_M, LETTERS_M = 0.02, 0.03
TARGET = (0.1, 0.9, 0.2, 1.0)     # red, green, blue, opacity
GUESS = (1.0, 0.7, 0.0, 1.0)      # what may be meant, or not
BOX_OPACITY = 0.3
WORDS = 60                        # characters of the command beside the target


def marker_array(reply: Reply, header: Header, text: str) -> MarkerArray:
    """Return the markers of an answered command, after one that takes all earlier ones out.

    header: the image's stamp with the frame of points.  text: the command.  A sphere on the
    target and its box where that is known; a numbered sphere on each candidate that has a
    place, unless it is the one target.  Nothing in space is shown of what has no depth.
    """
    measured = reply.measured
    assert measured is not None
    found = measured.outcome is Outcome.SUCCEEDED
    colour = TARGET if found else GUESS
    markers = [delete_all(header)]
    geometry = measured.geometry
    if geometry is not None:
        markers += [
            _marker(header, 'target', 0, Marker.SPHERE, geometry.point, (SPHERE_M,) * 3, colour),
            _words(header, 'command', 0, geometry.point, shortened(text, WORDS), colour)]
    if reply.detail.box is not None:
        markers.append(_box(header, reply.detail.box, colour))
    for rank, point in reply.detail.points.items():
        if not (found and rank == 1):
            markers += [
                _marker(header, 'candidates', rank, Marker.SPHERE, point, (SPHERE_M,) * 3, GUESS),
                _words(header, 'numbers', rank, point, str(rank), GUESS)]
    return MarkerArray(markers=markers)


def delete_all(header: Header) -> Marker:
    """Return the marker that takes all others of its topic out of the viewers."""
    return Marker(header=header, action=Marker.DELETEALL)


def _box(header: Header, box: OrientedBox, colour: tuple[float, ...]) -> Marker:
    marker = _marker(header, 'box', 0, Marker.CUBE, box.centre, tuple(box.size),
                     (*colour[:3], BOX_OPACITY))
    x, y, z, w = (float(value) for value in box.orientation)
    marker.pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
    return marker


def _words(header: Header, namespace: str, number: int, point: np.ndarray, text: str,
           colour: tuple[float, ...]) -> Marker:
    marker = _marker(header, namespace, number, Marker.TEXT_VIEW_FACING, point,
                     (0.0, 0.0, LETTERS_M), colour)
    marker.text = carriable(text)
    return marker


def _marker(header: Header, namespace: str, number: int, kind: int, point: np.ndarray,
            size: tuple[float, ...], colour: tuple[float, ...]) -> Marker:
    x, y, z = (float(value) for value in point)
    width, depth, height = (float(value) for value in size)
    red, green, blue, opacity = colour
    return Marker(
        header=header, ns=namespace, id=number, type=kind, action=Marker.ADD,
        pose=Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=1.0)),
        scale=Vector3(x=width, y=depth, z=height),
        color=ColorRGBA(r=red, g=green, b=blue, a=opacity), lifetime=Duration())
