"""Parameters of the node as typed settings; no ROS.  One table feeds ROS and the README.

Structural parameters are read-only; the others may change at run time and hold from the
next command on, `method`, `profile` and the method's settings once their models are built.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints

from ris_ros.geometry import ORIENTATIONS, TARGET_POINTS, UNITS, GeometrySettings
from ris_ros.service.commands import BUSY_POLICIES
from ris_ros.settings import FieldInfo, check, describe, from_mapping, option
from ris_ros.target import AMBIGUITY_POLICIES
from ris_ros.types import BadInputError


@dataclass(frozen=True)
class DepthParameters:
    """How depth is read."""

    min_m: float = option(0.1, 'nearest depth that counts as measured', unit='m',
                          minimum=0.0, maximum=100.0)
    max_m: float = option(10.0, 'farthest depth that counts as measured', unit='m',
                          minimum=0.0, maximum=1000.0)
    unit: str = option('auto', 'unit of the depth image; auto goes by its encoding (REP-118)',
                       choices=('auto', *UNITS))
    min_valid_ratio: float = option(0.1, 'least share of the mask with valid depth',
                                    minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class MaskParameters:
    """How the mask is treated before depth is read under it."""

    erode_px: int = option(3, "taken off the mask's edge before depth is read", unit='px',
                           minimum=0, maximum=50)


@dataclass(frozen=True)
class TargetParameters:
    """What the target point is."""

    point: str = option('surface', 'the measurement nearest to the robust centre, or that '
                        'centre itself (in mid-air for a mug)', choices=TARGET_POINTS)


@dataclass(frozen=True)
class PublishParameters:
    """Which outputs are published; all but masks and labels only while somebody subscribes."""

    labels: bool = option(True, 'publish ~/labels, the ranked candidates')
    overlay: bool = option(True, 'publish ~/overlay')
    heatmap: bool = option(True, 'publish ~/heatmap, for methods that have one')
    cloud: bool = option(True, 'publish ~/target_cloud')
    markers: bool = option(True, 'publish ~/markers, for RViz')
    detections: bool = option(True, 'publish ~/detections and ~/detections_3d, where vision_msgs '
                              'is installed')
    empty_mask: bool = option(True, 'publish an all-zero mask when nothing matches')


@dataclass(frozen=True)
class LanguageParameters:
    """How sentences are parsed."""

    pipeline: str = option('auto', 'spaCy pipeline that parses: auto, shipped, or an installed '
                           'one by its name or folder')


@dataclass(frozen=True)
class NodeParameters:
    """Everything about the node itself; the method's own settings stand under its name."""

    method: str = option('hybridgl', 'referring segmentation method, as `ris methods` lists them; '
                         'another is built while the old one works on')
    profile: str = option('tabletop', 'which weights stand behind the method: a name, or the '
                          'path of a profile')
    device: str = option('auto', 'auto, cpu or cuda:N; a GPU that is not there is an error; '
                         'single networks after commas: cpu,sam=cuda:0')
    precision: str = option('fp32', 'number type of the networks: fp32, fp16 or bf16; single '
                            'ones after commas: fp32,sam=bf16')
    model_dir: str = option('', "folder with the profile's weights; empty for the usual place")
    warmup: bool = option(True, 'run the models once while configuring, so that the first '
                          'command is not the slow one')
    autostart: bool = option(True, 'configure and activate at start, without a manager')
    busy_policy: str = option('replace', 'a command that comes while another is worked on '
                              'replaces it, is rejected or is queued', choices=BUSY_POLICIES)
    queue_size: int = option(8, 'commands that may wait under busy policy queue',
                             minimum=1, maximum=100)
    command_timeout_s: float = option(60.0, 'time from command to result, unless the command '
                                      'brings its own', unit='s', minimum=0.1, maximum=3600.0)
    image_timeout_s: float = option(5.0, 'time a command waits for a fresh image', unit='s',
                                    minimum=0.0, maximum=3600.0)
    max_image_age_s: float = option(0.5, 'an image this much older than the command still '
                                    'counts as fresh', unit='s', minimum=0.0, maximum=3600.0)
    max_image_lead_s: float = option(0.2, "an image stamped further ahead of the node's clock is "
                                     'not taken', unit='s', minimum=0.0, maximum=3600.0)
    image_transport: str = option('raw', 'compressed takes image/compressed (JPEG, PNG) in place '
                                  'of image', choices=('raw', 'compressed'))
    use_depth: str = option('auto', 'auto uses depth when somebody publishes it',
                            choices=('auto', 'true', 'false'))
    sync_slop_s: float = option(0.02, 'largest difference of stamps between colour and depth',
                                unit='s', minimum=0.0, maximum=1.0)
    sync_timeout_s: float = option(0.5, 'time to wait for depth and intrinsics of a colour image',
                                   unit='s', minimum=0.0, maximum=60.0)
    match_frame_ids: bool = option(True, 'depth and CameraInfo must name the frame of the colour '
                                   'image; false for drivers known to name another one though '
                                   'depth is registered')
    check_calibration: bool = option(True, 'refuse intrinsics that hardly any camera has; false '
                                     'where they are right')
    ambiguity_policy: str = option('report', 'when several objects fit: report gives no target '
                                   'point, best gives that of the best candidate',
                                   choices=AMBIGUITY_POLICIES)
    answer_window_s: float = option(20.0, 'time for which a command may answer what was asked '
                                    'back; 0: none does', unit='s', minimum=0.0, maximum=3600.0)
    max_candidates: int = option(10, 'candidates in ~/labels and ~/result',
                                 minimum=1, maximum=254)
    pose_orientation: str = option('camera_ray', 'orientation of ~/target_pose',
                                   choices=ORIENTATIONS)
    target_frame: str = option('', 'frame of points, poses, boxes and clouds, by tf2 at the time '
                               "of the image; empty for the camera's")
    tf_timeout_s: float = option(0.2, 'time an answer waits for the transform of its image',
                                 unit='s', minimum=0.0, maximum=60.0)
    default_command: str = option('', '~/segment answers this where no command has been given')
    status_period_s: float = option(1.0, 'heartbeat of ~/status', unit='s',
                                    minimum=0.1, maximum=60.0)
    diagnostics_period_s: float = option(1.0, 'time between messages on /diagnostics; 0 for none',
                                         unit='s', minimum=0.0, maximum=3600.0)
    language: LanguageParameters = field(default_factory=LanguageParameters)
    depth: DepthParameters = field(default_factory=DepthParameters)
    mask: MaskParameters = field(default_factory=MaskParameters)
    target: TargetParameters = field(default_factory=TargetParameters)
    publish: PublishParameters = field(default_factory=PublishParameters)

    def geometry(self) -> GeometrySettings:
        """Return the part that the geometry needs."""
        return GeometrySettings(
            erode_px=self.mask.erode_px, min_valid_ratio=self.depth.min_valid_ratio,
            min_m=self.depth.min_m, max_m=self.depth.max_m, point=self.target.point,
            orientation=self.pose_orientation)


READ_ONLY = ('device', 'precision', 'model_dir', 'warmup', 'autostart',
             'image_transport', 'language.pipeline')
GROUPS: dict[str, type] = {
    'language': LanguageParameters, 'depth': DepthParameters,
    'mask': MaskParameters, 'target': TargetParameters,
    'publish': PublishParameters,
}


@dataclass(frozen=True)
class ParameterSpec:
    """One ROS parameter: its full name, what `describe` says of it, and whether it is fixed."""

    name: str
    info: FieldInfo
    read_only: bool


def parameter_table() -> list[ParameterSpec]:
    """Return every parameter of the node itself; names as `depth.unit` stand in a group."""
    table = [ParameterSpec(info.name, info, info.name in READ_ONLY) for info in _plain_fields()]
    for group, cls in GROUPS.items():
        table += [ParameterSpec(f'{group}.{info.name}', info, f'{group}.{info.name}' in READ_ONLY)
                  for info in describe(cls)]
    return table


def method_table(method: str, defaults: Any) -> list[ParameterSpec]:
    """Return the settings of a method as parameters `<method>.<setting>`.

    defaults: the settings as the profile has them.  A change builds the models anew.
    """
    return [ParameterSpec(f'{method}.{info.name}',
                          replace(info, default=getattr(defaults, info.name)), False)
            for info in describe(type(defaults))]


def node_parameters(values: Mapping[str, Any]) -> NodeParameters:
    """Return the parameters of a mapping from full names (`depth.unit`) to values.

    What is not named has its default.  Raises BadInputError for an unknown name, a wrong type
    or a value outside its range.
    """
    plain: dict[str, Any] = {}
    grouped: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    infos = {info.name: info for info in _plain_fields()}
    for name, value in values.items():
        group, dot, inner = name.partition('.')
        if dot and group in GROUPS:
            grouped[group][inner] = value
        elif name in infos:
            plain[name] = check(infos[name], plain_value(value, infos[name]))
        else:
            raise BadInputError(f'the node has no parameter {name!r}; the README lists them')
    parts: dict[str, Any] = {
        name: from_mapping(cls, grouped[name]) for name, cls in GROUPS.items()}
    return NodeParameters(**plain, **parts)


def plain_value(value: Any, info: FieldInfo) -> Any:
    """Return a parameter's value; `use_depth:=false` arrives as a bool and is meant as text."""
    return str(value).lower() if isinstance(value, bool) and is_switch(info) else value


def is_switch(info: FieldInfo) -> bool:
    """Say whether a text parameter has `true` and `false` among its choices."""
    return info.choices is not None and 'true' in info.choices


def _plain_fields() -> list[FieldInfo]:
    """Return the parameters that stand in no group."""
    hints = get_type_hints(NodeParameters)
    found = []
    for item in fields(NodeParameters):
        if item.name not in GROUPS:
            default: Any = item.default
            found.append(FieldInfo(name=item.name, type=hints[item.name], default=default,
                                   **item.metadata))
    return found
