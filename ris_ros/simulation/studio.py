"""
Pictures of MuJoCo models: a renderer that keeps its graphics context from scene to scene.

`mujoco.Renderer` opens a context for every model; with OSMesa that, and compiling its shaders
anew, takes more than half of the time a scene needs.  Here a thread opens one context and
every model renders in it; depth and instances come from one pass.  The pictures are those of
`mujoco.Renderer`, bit for bit (tested).
"""
from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from ris_ros.lazy import require
from ris_ros.types import RisError

_local = threading.local()


def mujoco_module() -> Any:
    """Import MuJoCo for rendering without a display, unless the user chose a way already."""
    if 'MUJOCO_GL' not in os.environ and 'DISPLAY' not in os.environ:
        os.environ['MUJOCO_GL'] = 'egl' if os.path.exists('/dev/nvidia0') else 'osmesa'
    if os.environ.get('MUJOCO_GL') == 'osmesa':
        # OSMesa and triton (which torch brings) each carry an LLVM: triton loaded second
        # crashes the process, loaded first both work.
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module('triton._C.libtriton')
    return require('mujoco', 'simulation')


def _context(width: int, height: int) -> Any:
    """Return this thread's graphics context; opened at the first call, freed at exit."""
    if getattr(_local, 'context', None) is None:
        context = mujoco_module().GLContext(width, height)
        # An interpreter that ends with an open OSMesa context prints an exception.
        atexit.register(context.free)
        _local.context = context
    return _local.context


class Studio:
    """One model's geometry in the thread's context; close it when done."""

    def __init__(self, model: Any, width: int, height: int) -> None:
        """
        Upload a model; width, height: size of its pictures, pixels.

        Raises RisError where nothing can be rendered.
        """
        self._mj, self._model, self._size = mujoco_module(), model, (width, height)
        self._rectangle = self._mj.MjrRect(0, 0, width, height)
        try:
            self._gl = _context(model.vis.global_.offwidth, model.vis.global_.offheight)
            self._gl.make_current()
            self._uploaded: Any = self._mj.MjrContext(
                model, self._mj.mjtFontScale.mjFONTSCALE_50.value)
            self._mj.mjr_setBuffer(self._mj.mjtFramebuffer.mjFB_OFFSCREEN.value, self._uploaded)
            # Depth is read as the graphics card keeps it: 1 at the near plane, 0 at the far.
            self._uploaded.readDepthMap = self._mj.mjtDepthMap.mjDEPTH_ZEROFAR
            self._scene = self._mj.MjvScene(model=model, maxgeom=model.ngeom + 200)
        except Exception as error:   # which one depends on the OpenGL library that failed
            raise RisError(
                f'MuJoCo cannot render here ({error}); without a display install OSMesa '
                '(apt-get install libosmesa6) and set MUJOCO_GL=osmesa, or egl with a GPU, '
                'before mujoco is imported') from error

    def close(self) -> None:
        """Free what was uploaded; may be called twice."""
        if self._uploaded is not None:
            self._gl.make_current()
            self._uploaded.free()
            self._uploaded = None

    def place(self, data: Any, camera: str, groups: Mapping[int, bool]) -> None:
        """Take over where everything is; groups: geom groups that are drawn or not."""
        options, view = self._mj.MjvOption(), self._mj.MjvCamera()
        for group, drawn in groups.items():
            options.geomgroup[group] = drawn
        view.type = self._mj.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = self._model.camera(camera).id
        self._mj.mjv_updateScene(self._model, data, options, None, view,
                                 self._mj.mjtCatBit.mjCAT_ALL.value, self._scene)

    def color(self) -> np.ndarray:
        """Return (H, W, 3) uint8 RGB."""
        width, height = self._size
        picture = np.empty((height, width, 3), np.uint8)
        self._draw()
        self._mj.mjr_readPixels(picture, None, self._rectangle, self._uploaded)
        return np.ascontiguousarray(picture[::-1])

    def geometry(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (H, W) float32 metres along the optical axis and (H, W) int32 geoms, or -1."""
        width, height = self._size
        picture = np.empty((height, width, 3), np.uint8)
        near_to_far = np.empty((height, width), np.float32)
        flags = self._scene.flags.copy()
        try:
            self._scene.flags[self._mj.mjtRndFlag.mjRND_SEGMENT] = True
            self._scene.flags[self._mj.mjtRndFlag.mjRND_IDCOLOR] = True
            self._draw()
        finally:
            np.copyto(self._scene.flags, flags)
        self._mj.mjr_readPixels(picture, near_to_far, self._rectangle, self._uploaded)
        return self._metres(near_to_far[::-1]), self._geoms(picture[::-1])

    def _draw(self) -> None:
        if self._uploaded is None:
            raise RisError('this scene was closed; open the world again to render it')
        self._gl.make_current()
        self._mj.mjr_render(self._rectangle, self._scene, self._uploaded)

    def _metres(self, near_to_far: np.ndarray) -> np.ndarray:
        """Undo the projection, whose coefficients the graphics card holds in 32 bits."""
        extent, planes = self._model.stat.extent, self._model.vis.map
        near, far = np.float32(planes.znear * extent), np.float32(planes.zfar * extent)
        half = np.float32(0.5)
        scale, shift = far * near / (far - near), half * ((far + near) / (far - near)) - half
        return (float(scale) / (near_to_far.astype(np.float64) + float(shift))).astype(np.float32)

    def _geoms(self, picture: np.ndarray) -> np.ndarray:
        """Read the numbers that the colours stand for: 0 nothing, else one more than drawn."""
        drawn = self._scene.geoms[:self._scene.ngeom]
        table = np.full(len(drawn) + 1, -1, np.int32)
        for geom in drawn:
            if geom.segid != -1 and geom.objtype == int(self._mj.mjtObj.mjOBJ_GEOM):
                table[geom.segid + 1] = geom.objid
        parts = picture.astype(np.uint32)
        return table[parts[..., 0] + (parts[..., 1] << 8) + (parts[..., 2] << 16)]
