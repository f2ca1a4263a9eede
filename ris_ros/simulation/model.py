"""From a scene specification to a MuJoCo model (MJCF text)."""
from __future__ import annotations

from xml.sax.saxutils import quoteattr

import numpy as np

from ris_ros.simulation.catalogue import Part, shape_of
from ris_ros.simulation.scene import SceneSpec
from ris_ros.simulation.spec import Furnishing

VISUAL_GROUP, COLLISION_GROUP = 1, 3
GRIPPER_RADIUS = 0.004


def _numbers(values: object) -> str:
    return ' '.join(f'{v:.6g}' for v in np.asarray(values, dtype=float).ravel())


def look_at_rotation(spec: SceneSpec) -> np.ndarray:
    """
    Return the (3, 3) rotation from MuJoCo's camera frame to the world.

    MuJoCo cameras look along -z with y up; the optical frame of REP-103 (z forward, y down)
    is that frame turned by half a turn about x.
    """
    eye, target = np.array(spec.eye), np.array(spec.look_at)
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    c, s = np.cos(spec.roll), np.sin(spec.roll)
    return np.stack([c * right + s * up, -s * right + c * up, back], axis=1)


def _geom(part: Part, name: str, rgb: tuple[float, float, float], visual: bool) -> str:
    mesh = f'mesh={quoteattr(name)}' if part.type == 'mesh' else f'size="{_numbers(part.size)}"'
    role = (f'contype="0" conaffinity="0" group="{VISUAL_GROUP}" mass="0" material="surface"'
            if visual else
            f'contype="1" conaffinity="1" group="{COLLISION_GROUP}" density="300" condim="6" '
            f'friction="0.9 0.02 0.01" rgba="0 0 0 0"')
    colour = f'rgba="{_numbers(part.colour or rgb)} 1"' if visual else ''
    return (f'<geom type="{part.type}" {mesh} pos="{_numbers(part.pos)}" '
            f'euler="{_numbers(part.euler)}" {role} {colour}/>')


def _object_xml(spec: SceneSpec, index: int) -> tuple[str, str]:
    """Return (assets, body) of one object; bodies are named object1, object2, ..."""
    item = spec.objects[index]
    shape = shape_of(item.kind, item.scale)
    assets, geoms = [], []
    for role, parts in (('v', shape.visual), ('c', shape.collision)):
        for k, part in enumerate(parts):
            name = f'mesh{index + 1}{role}{k}'
            if part.mesh is not None:
                vertices, faces = part.mesh
                assets.append(f'<mesh name="{name}" vertex="{_numbers(vertices)}" '
                              f'face="{" ".join(map(str, faces.ravel()))}" inertia="shell"/>')
            geoms.append(_geom(part, name, item.rgb, role == 'v'))
    half = item.yaw / 2
    body = (f'<body name="object{index + 1}" pos="{_numbers(item.position)}" '
            f'quat="{_numbers((np.cos(half), 0, 0, np.sin(half)))}">'
            f'<freejoint/>{"".join(geoms)}</body>')
    return ''.join(assets), body


def _furnishing(thing: Furnishing) -> str:
    """Return a thing of the room, which nothing touches: pictures and depth show it alone."""
    return (f'<geom type="{thing.type}" size="{_numbers(thing.size)}" '
            f'pos="{_numbers(thing.position)}" euler="{_numbers(thing.euler)}" contype="0" '
            f'conaffinity="0" rgba="{_numbers(thing.rgb)} 1"/>')


def _table_texture(spec: SceneSpec) -> str:
    first, second = spec.table_rgb
    builtin = {'speckle': 'flat'}.get(spec.table_texture, spec.table_texture)
    mark = 'mark="random" random="0.04"' if spec.table_texture == 'speckle' else ''
    return (f'<texture name="table" type="2d" builtin="{builtin}" width="256" height="256" '
            f'rgb1="{_numbers(first)}" rgb2="{_numbers(second)}" {mark} '
            f'markrgb="{_numbers(second)}"/>')


def scene_xml(spec: SceneSpec) -> str:
    """Return the MJCF text of a scene: table, lights, camera, objects, suction gripper."""
    pairs = [_object_xml(spec, i) for i in range(len(spec.objects))]
    assets, bodies = (''.join(p[k] for p in pairs) for k in (0, 1))
    lights = ''.join(
        f'<light pos="{_numbers(p)}" dir="{_numbers(-np.array(p))}" directional="true" '
        f'diffuse="{_numbers([b] * 3)}" specular="{_numbers([0.3 * b] * 3)}" castshadow="true"/>'
        for p, b in spec.lights)
    welds = ''.join(f'<weld name="suction{i + 1}" body1="gripper" body2="object{i + 1}" '
                    f'active="false" solref="0.01 1"/>' for i in range(len(spec.objects)))
    rotation = look_at_rotation(spec)
    fovy = np.degrees(2 * np.arctan(spec.camera.height / 2 / spec.camera.fy))
    repeat = 2.5 if spec.table_texture == 'checker' else 1
    return f"""<mujoco>
<compiler angle="radian"/>
<option timestep="0.004" integrator="implicitfast" cone="elliptic" impratio="5"/>
<visual><global offwidth="{spec.camera.width}" offheight="{spec.camera.height}"/>
<quality shadowsize="1024" offsamples="4"/><map znear="0.02" zfar="10"/>
<headlight ambient="{_numbers([spec.ambient] * 3)}" diffuse="0.15 0.15 0.15"
 specular="0 0 0"/></visual>
<statistic extent="1" center="0 0 0"/>
<asset>{_table_texture(spec)}
<material name="table" texture="table" texrepeat="{repeat} {repeat}" specular="0.1"/>
<material name="surface" specular="{spec.shininess:.3f}" shininess="0.6"/>{assets}</asset>
<worldbody>{lights}
<camera name="rgbd" pos="{_numbers(spec.eye)}" fovy="{fovy:.6f}"
 xyaxes="{_numbers(rotation[:, 0])} {_numbers(rotation[:, 1])}"/>
<geom type="box" size="0.75 0.6 0.02" pos="0 0 -0.02" material="table" friction="0.9 0.02 0.01"
 condim="6"/>
<geom type="plane" size="5 5 0.1" pos="0 0 -0.7" rgba="{_numbers(spec.floor_rgb)} 1"/>
{''.join(_furnishing(f) for f in spec.furnishings)}
<body name="hand" mocap="true" pos="0 0 3"/>
<body name="gripper" pos="0 0 3" gravcomp="1"><freejoint/>
<geom name="cup" type="sphere" size="{GRIPPER_RADIUS}" mass="0.4" group="{COLLISION_GROUP}"
 contype="2" conaffinity="1" rgba="0 0 0 0"/></body>
{bodies}</worldbody>
<equality><weld name="hand" body1="hand" body2="gripper" solref="0.008 1"/>{welds}</equality>
</mujoco>"""
