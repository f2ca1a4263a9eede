"""A tabletop that can be looked at and touched: MuJoCo physics and pictures."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ris_ros.simulation.describe import clutter_expressions
from ris_ros.simulation.expressions import Expression, sample_expressions
from ris_ros.simulation.model import COLLISION_GROUP, VISUAL_GROUP, look_at_rotation, scene_xml
from ris_ros.simulation.rest import settled_support
from ris_ros.simulation.scene import SceneSpec, is_clutter, sample_scene
from ris_ros.simulation.sensor import SENSORS, sense_depth, sense_stereo
from ris_ros.simulation.studio import Studio, mujoco_module
from ris_ros.simulation.truth import SceneTruth
from ris_ros.types import BadInputError, Camera

SETTLE_SECONDS = 0.6
APPROACH, OVERSHOOT, LIFT = 0.12, 0.020, 0.15   # metres along the viewing ray; upwards


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """
    One picture of the scene.

    color (H, W, 3) uint8 RGB.  depth (H, W) uint16 millimetres as the camera reports it,
    0 = no measurement.  true_depth (H, W) float32 metres.  instances (H, W) uint8: 0 nothing,
    i = object i (from 1).  poses (K, 7) float64: position and quaternion (w, x, y, z) of
    every object in the camera's optical frame.
    """

    color: np.ndarray
    depth: np.ndarray
    true_depth: np.ndarray
    instances: np.ndarray
    camera: Camera
    poses: np.ndarray


class TabletopWorld:
    """
    The settled scene of one seed.

    Close it when done (or use it in a `with` block): what was uploaded to draw it is freed
    then.  All worlds of a thread draw in one graphics context.
    """

    def __init__(self, seed: int, render_size: tuple[int, int] | None = None,
                 sensor: str | None = None) -> None:
        """
        Build and settle the scene; render_size (width, height) only for tests and previews.

        sensor: the depth camera, one of `sensor.SENSORS`; by default the one of the seed's split.
        Raises BadInputError for another.
        """
        if sensor is not None and sensor not in SENSORS:
            raise BadInputError(f'there is no sensor {sensor!r}; take one of {", ".join(SENSORS)}')
        self._mj = mujoco_module()
        self.spec: SceneSpec = sample_scene(seed)
        self.model = self._mj.MjModel.from_xml_string(scene_xml(self.spec))
        self.data = self._mj.MjData(self.model)
        self._size = render_size or (self.spec.camera.width, self.spec.camera.height)
        self.sensor = sensor or self.spec.sensor
        self._studio: Studio | None = None
        self._bodies = [self.model.body(f'object{i + 1}').id
                        for i in range(len(self.spec.objects))]
        self._settle()

    def __enter__(self) -> TabletopWorld:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free what draws it."""
        self.close()

    def close(self) -> None:
        """Free what draws it; may be called twice, and the world can be drawn again after."""
        if self._studio is not None:
            self._studio.close()
            self._studio = None

    def _settle(self) -> None:
        for _ in range(int(SETTLE_SECONDS / self.model.opt.timestep)):
            self._mj.mj_step(self.model, self.data)
        # What still rolls is stopped, so that picture and truth are of a scene at rest.
        self.data.qvel[:] = 0
        self._mj.mj_forward(self.model, self.data)
        self._rest = (self.data.qpos.copy(), self.data.mocap_pos.copy())

    @property
    def seed(self) -> int:
        """The scene's seed."""
        return self.spec.seed

    @cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3) rotation from the optical frame (x right, y down, z forward) to the world."""
        return look_at_rotation(self.spec) @ np.diag([1.0, -1.0, -1.0])

    def to_world(self, point_cam: np.ndarray) -> np.ndarray:
        """Turn points (..., 3) of the optical frame into the world's, metres."""
        return np.asarray(point_cam) @ self.rotation.T + np.array(self.spec.eye)

    def to_camera(self, point_world: np.ndarray) -> np.ndarray:
        """Turn points (..., 3) of the world into the optical frame, metres."""
        return (np.asarray(point_world) - np.array(self.spec.eye)) @ self.rotation

    @cached_property
    def frame(self) -> RenderedFrame:
        """The picture of the scene at rest, rendered once."""
        return self._frame(self.color, *self._geometry)

    def render(self) -> RenderedFrame:
        """Render colour, depth and instances as they are now."""
        return self._frame(self._placed().color(), *self._look())

    @cached_property
    def color(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB of the scene at rest: `frame` without the camera's depth."""
        return self._placed().color()

    @property
    def instances(self) -> np.ndarray:
        """(H, W) uint8 of the scene at rest, as in `RenderedFrame`; nothing else is rendered."""
        return self._geometry[1]

    @cached_property
    def truth(self) -> SceneTruth:
        """What is true of the scene at rest."""
        rests = settled_support(self.model, self.data, self._bodies, self.spec)
        return SceneTruth.observe(self.spec, self.instances, self._poses(), *rests,
                                  depth=self._geometry[0])

    @cached_property
    def _geometry(self) -> tuple[np.ndarray, np.ndarray]:
        return self._look()

    def _placed(self) -> Studio:
        if self._studio is None:
            self._studio = Studio(self.model, *self._size)
        self._studio.place(self.data, 'rgbd', {VISUAL_GROUP: True, COLLISION_GROUP: False})
        return self._studio

    def _look(self) -> tuple[np.ndarray, np.ndarray]:
        depth, geoms = self._placed().geometry()
        table = np.zeros(self.model.ngeom + 1, np.uint8)   # the last entry is for "no geom"
        for i, body in enumerate(self._bodies):
            table[:-1][self.model.geom_bodyid == body] = i + 1
        return depth, table[geoms]

    def _frame(self, color: np.ndarray, depth: np.ndarray, instances: np.ndarray) -> RenderedFrame:
        rng = np.random.Generator(np.random.PCG64([self.seed, 20260102]))
        camera = self._camera()
        sensed = (sense_stereo(depth, rng, camera.fx, instances) if self.sensor == 'stereo'
                  else sense_depth(depth, rng))
        return RenderedFrame(color, sensed, depth, instances, camera, self._poses())

    def _camera(self) -> Camera:
        full, (width, height) = self.spec.camera, self._size
        k = width / full.width
        return Camera(full.fx * k, full.fy * k, (full.cx + 0.5) * k - 0.5,
                      (full.cy + 0.5) * k - 0.5, width, height)

    def _poses(self) -> np.ndarray:
        poses = np.zeros((len(self._bodies), 7))
        inverse = np.zeros(4)
        self._mj.mju_mat2Quat(inverse, np.ascontiguousarray(self.rotation.T).ravel())
        for i, body in enumerate(self._bodies):
            poses[i, :3] = self.to_camera(self.data.xpos[body])
            self._mj.mju_mulQuat(poses[i, 3:], inverse, self.data.xquat[body])
        return poses

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:
        """Referring expressions of this scene with their true targets."""
        return (clutter_expressions if is_clutter(self.seed) else sample_expressions)(self.truth)

    def surface_distance(self, point_cam: np.ndarray, instance: int) -> float:
        """Return metres from a point in the optical frame to the object's visible surface."""
        frame, camera = self.frame, self._camera()
        rows, columns = np.nonzero(frame.instances == instance)
        if len(rows) == 0:
            return float('inf')
        z = frame.true_depth[rows, columns]
        surface = np.stack([(columns - camera.cx) / camera.fx * z,
                            (rows - camera.cy) / camera.fy * z, z], axis=1)
        return float(np.linalg.norm(surface - np.asarray(point_cam), axis=1).min())

    def suck(self, point_cam: np.ndarray) -> int | None:
        """
        Move a suction cup along the viewing ray to a point, and lift what it touches.

        point_cam: (3,) metres in the optical frame.  The cup starts 0.12 m before the point
        and goes on to 0.02 m behind it; what it touches first is held and raised by 0.15 m.
        Returns the instance that really rose by over 0.05 m, or None.  The scene is put back.
        """
        try:
            return self._suck(self.to_world(np.asarray(point_cam, dtype=float)))
        finally:
            self.data.qpos[:], self.data.mocap_pos[:] = self._rest[0], self._rest[1]
            self.data.qvel[:] = 0
            self.data.eq_active[:] = self.model.eq_active0
            self._mj.mj_forward(self.model, self.data)

    def _suck(self, target: np.ndarray) -> int | None:
        direction = target - np.array(self.spec.eye)
        direction /= np.linalg.norm(direction)
        start = target - APPROACH * direction
        address = self.model.jnt_qposadr[self.model.body('gripper').jntadr[0]]
        self.data.qpos[address:address + 7] = [*start, 1, 0, 0, 0]
        self.data.mocap_pos[0] = start
        self._mj.mj_forward(self.model, self.data)
        steps = 200
        for i in range(steps + 1):
            self.data.mocap_pos[0] = start + (APPROACH + OVERSHOOT) * i / steps * direction
            self._mj.mj_step(self.model, self.data)
            touched = self._touched()
            if touched is not None:
                return self._lift(touched)
        return None

    def _touched(self) -> int | None:
        cup = self.model.geom('cup').id
        for contact in self.data.contact[:self.data.ncon]:
            if cup in (contact.geom1, contact.geom2):
                other = contact.geom2 if contact.geom1 == cup else contact.geom1
                body = self.model.geom_bodyid[other]
                return self._bodies.index(body) if body in self._bodies else -1
        return None

    def _lift(self, index: int) -> int | None:
        if index < 0:   # the table, which no suction cup lifts
            return None
        mj, body = self._mj, self._bodies[index]
        weld = self.model.equality(f'suction{index + 1}').id
        gripper = self.model.body('gripper').id
        # The weld holds the two as they are at the moment of contact.
        inverse, turn, shift = np.zeros(4), np.zeros(4), np.zeros(3)
        mj.mju_negQuat(inverse, self.data.xquat[gripper])
        mj.mju_mulQuat(turn, inverse, self.data.xquat[body])
        mj.mju_rotVecQuat(shift, self.data.xpos[body] - self.data.xpos[gripper], inverse)
        self.model.eq_data[weld][:3] = 0
        self.model.eq_data[weld][3:6] = shift
        self.model.eq_data[weld][6:10] = turn
        self.data.eq_active[weld] = 1
        before = float(self.data.xpos[body][2])
        hand = self.data.mocap_pos[0].copy()
        steps = 200
        for i in range(steps):
            self.data.mocap_pos[0] = hand + np.array([0, 0, LIFT * (i + 1) / steps])
            mj.mj_step(self.model, self.data)
        return index + 1 if float(self.data.xpos[body][2]) - before > 0.05 else None
