"""What a scene is made of, as data; and which seeds belong to which split."""
from __future__ import annotations

from dataclasses import dataclass

from ris_ros.types import Camera

# Seeds of `train`, `val` and their clutter twins are for training and choosing settings; nothing
# is ever tuned on the others, nor on any seed from 900000 up.
SPLITS: dict[str, range] = {
    'train': range(0, 80000), 'val': range(80000, 90000), 'test': range(100000, 101000),
    'unseen': range(110000, 110200),
    'clutter_train': range(200000, 280000), 'clutter_val': range(280000, 290000),
    'far_train': range(300000, 380000), 'far_val': range(380000, 390000),
    'clutter_test': range(900000, 901000), 'clutter_unseen': range(910000, 910300),
    'far_test': range(920000, 921000),
}
# Evaluation reads the first validation seeds; what is chosen or fitted is so from here on.
VALIDATION_FROM = 500
CLUTTER, FAR = 'clutter_', 'far_'
WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class ObjectSpec:
    """One object as placed: names, scale, colour, pose of its foot, what it stands on."""

    kind: str
    colour: str
    size: str
    scale: float
    rgb: tuple[float, float, float]
    position: tuple[float, float, float]
    yaw: float
    support: int | None = None      # index of the object it was put on or into
    contained: bool = False         # put into a container rather than on top


@dataclass(frozen=True)
class Furnishing:
    """A thing of the room that is no object: MuJoCo's type, size, position, turn and colour."""

    type: str
    size: tuple[float, ...]
    position: tuple[float, float, float]
    euler: tuple[float, float, float]
    rgb: tuple[float, float, float]


@dataclass(frozen=True)
class SceneSpec:
    """Everything that makes a scene; built by `sample_scene`, nothing in it is random any more."""

    seed: int
    objects: tuple[ObjectSpec, ...]
    eye: tuple[float, float, float]
    look_at: tuple[float, float, float]
    roll: float
    camera: Camera
    table_texture: str
    table_rgb: tuple[tuple[float, float, float], tuple[float, float, float]]
    floor_rgb: tuple[float, float, float]
    lights: tuple[tuple[tuple[float, float, float], float], ...]   # position, brightness
    ambient: float
    shininess: float
    furnishings: tuple[Furnishing, ...] = ()
    sensor: str = 'structured'


def split_of(seed: int) -> str:
    """Return the split that a seed belongs to, or 'other'."""
    return next((name for name, seeds in SPLITS.items() if seed in seeds), 'other')


def is_clutter(seed: int) -> bool:
    """Tell whether a seed's scene is a cluttered one."""
    return split_of(seed).startswith(CLUTTER)


def is_far(seed: int) -> bool:
    """Tell whether a seed's scene is seen from far and low, by a stereo camera, in a room."""
    return split_of(seed).startswith(FAR)


def purpose_of(seed: int) -> str:
    """Return train, val, test, unseen or other: what a seed is for in any world."""
    return split_of(seed).removeprefix(CLUTTER).removeprefix(FAR)
