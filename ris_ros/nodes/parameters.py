"""Parameters of the node, generated from typed settings; the same table feeds the README.

Structural parameters are read-only; the others may change at run time and hold from the
next command on.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from ris_ros.geometry import ORIENTATIONS, TARGET_POINTS, GeometrySettings
from ris_ros.service.commands import BUSY_POLICIES
from ris_ros.settings import FieldInfo, Scalar, check, describe, from_mapping, option
from ris_ros.types import BadInputError


@dataclass(frozen=True)
class DepthParameters:
    """How depth is read."""

    min_m: float = option(0.1, 'nearest depth that counts as measured', unit='m',
                          minimum=0.0, maximum=100.0)
    max_m: float = option(10.0, 'farthest depth that counts as measured', unit='m',
                          minimum=0.0, maximum=1000.0)
    unit: str = option('auto', 'unit of the depth image; auto goes by its encoding (REP-118)',
                       choices=('auto', 'mm', 'm'))
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
    empty_mask: bool = option(True, 'publish an all-zero mask when nothing matches')


@dataclass(frozen=True)
class NodeParameters:
    """Everything about the node itself; the method's own settings stand under its name."""

    method: str = option('hybridgl', 'referring segmentation method, as `ris methods` lists them')
    profile: str = option('tabletop', 'which weights stand behind the method')
    device: str = option('auto', 'auto, cpu or cuda:N; a GPU that is not there is an error')
    precision: str = option('fp32', 'number type of the networks',
                            choices=('fp32', 'fp16', 'bf16'))
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
    use_depth: str = option('auto', 'auto uses depth when somebody publishes it',
                            choices=('auto', 'true', 'false'))
    sync_slop_s: float = option(0.02, 'largest difference of stamps between colour and depth',
                                unit='s', minimum=0.0, maximum=1.0)
    sync_timeout_s: float = option(0.5, 'time to wait for depth and intrinsics of a colour image',
                                   unit='s', minimum=0.0, maximum=60.0)
    ambiguity_policy: str = option('report', 'when several objects fit: report gives no target '
                                   'point, best gives that of the best candidate',
                                   choices=('report', 'best'))
    max_candidates: int = option(10, 'candidates in ~/labels and ~/result',
                                 minimum=1, maximum=254)
    pose_orientation: str = option('camera_ray', 'orientation of ~/target_pose',
                                   choices=ORIENTATIONS)
    status_period_s: float = option(1.0, 'heartbeat of ~/status', unit='s',
                                    minimum=0.1, maximum=60.0)
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


READ_ONLY = ('method', 'profile', 'device', 'precision', 'model_dir', 'warmup', 'autostart')
GROUPS: dict[str, type] = {
    'depth': DepthParameters, 'mask': MaskParameters, 'target': TargetParameters,
    'publish': PublishParameters,
}


@dataclass(frozen=True)
class ParameterSpec:
    """One ROS parameter: its full name, what `describe` says of it, and whether it is fixed."""

    name: str
    info: FieldInfo
    read_only: bool


def parameter_table() -> list[ParameterSpec]:
    """Return every parameter of the node itself."""
    table = [ParameterSpec(info.name, info, info.name in READ_ONLY) for info in _plain_fields()]
    for group, cls in GROUPS.items():
        table += [ParameterSpec(f'{group}.{info.name}', info, False) for info in describe(cls)]
    return table


def method_table(method: str, defaults: Any) -> list[ParameterSpec]:
    """Return the settings of a method as parameters `<method>.<setting>`.

    defaults: the settings as the profile has them.  They are fixed, for the models are built
    with them.
    """
    return [ParameterSpec(f'{method}.{info.name}',
                          replace(info, default=getattr(defaults, info.name)), True)
            for info in describe(type(defaults))]


def _plain_fields() -> list[FieldInfo]:
    kinds = {'bool': bool, 'int': int, 'float': float, 'str': str}
    found = []
    for item in fields(NodeParameters):
        if item.name not in GROUPS:
            default: Any = item.default
            found.append(FieldInfo(name=item.name, type=kinds[str(item.type)], default=default,
                                   **item.metadata))
    return found


def declare(node: Node, table: Sequence[ParameterSpec]) -> None:
    """Declare the parameters with descriptions, ranges and read-only flags.

    Raises BadInputError where a value given at start does not fit.
    """
    for spec in table:
        try:
            node.declare_parameter(spec.name, spec.info.default, descriptor(spec))
            check(spec.info, plain_value(node.get_parameter(spec.name).value, spec.info))
        except BadInputError:
            raise
        except Exception as error:  # rclpy raises several unrelated kinds
            raise BadInputError(f'parameter {spec.name}: {error}') from error


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Return the ParameterDescriptor of one parameter."""
    info = spec.info
    unit = f' [{info.unit}]' if info.unit else ''
    choices = f'; one of {", ".join(info.choices)}' if info.choices else ''
    result = ParameterDescriptor(name=spec.name, description=f'{info.help}{unit}{choices}',
                                 read_only=spec.read_only,
                                 dynamic_typing=_is_switch(info))
    if info.minimum is not None and info.maximum is not None:
        if info.type is float:
            result.floating_point_range = [FloatingPointRange(
                from_value=float(info.minimum), to_value=float(info.maximum), step=0.0)]
        elif info.type is int:
            result.integer_range = [IntegerRange(
                from_value=int(info.minimum), to_value=int(info.maximum), step=1)]
    return result


def _is_switch(info: FieldInfo) -> bool:
    """Say whether a text parameter has `true` and `false` among its choices."""
    return info.choices is not None and 'true' in info.choices


def plain_value(value: Any, info: FieldInfo) -> Any:
    """Return a parameter's value; `use_depth:=false` arrives as a bool and is meant as text."""
    return str(value).lower() if isinstance(value, bool) and _is_switch(info) else value


def validator(table: Sequence[ParameterSpec]) -> Any:
    """Return the on-set callback: it refuses what does not fit and changes nothing."""
    infos = {spec.name: spec.info for spec in table}

    def validate(parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name not in infos:
                continue
            try:
                info = infos[parameter.name]
                check(info, plain_value(parameter.value, info))
            except BadInputError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    return validate


def read(node: Node) -> NodeParameters:
    """Return the parameters as they are now."""
    values: dict[str, Any] = {
        info.name: plain_value(node.get_parameter(info.name).value, info)
        for info in _plain_fields()}
    for group, cls in GROUPS.items():
        values[group] = from_mapping(cls, {
            info.name: node.get_parameter(f'{group}.{info.name}').value
            for info in describe(cls)})
    return NodeParameters(**values)


def read_method_settings(node: Node, method: str, settings_cls: type) -> Mapping[str, Scalar]:
    """Return the declared settings of a method as a mapping of names to values."""
    return {info.name: node.get_parameter(f'{method}.{info.name}').value
            for info in describe(settings_cls)}


def markdown_table(table: Sequence[ParameterSpec]) -> str:
    """Return the table of the README."""
    lines = ['| parameter | type | default | allowed | changes at run time | meaning |',
             '|---|---|---|---|---|---|']
    for spec in table:
        info = spec.info
        default = str(info.default).lower() if info.type is bool else info.default
        shown = f'`{default}`' if default != '' else '(empty)'
        unit = f' [{info.unit}]' if info.unit else ''
        lines.append(f'| `{spec.name}` | {info.type.__name__} | {shown} | {_allowed(info)} | '
                     f'{"no" if spec.read_only else "yes"} | {info.help}{unit} |')
    return '\n'.join(lines)


def _allowed(info: FieldInfo) -> str:
    if info.choices:
        return ', '.join(info.choices)
    if info.minimum is not None and info.maximum is not None:
        return f'{info.minimum:g} to {info.maximum:g}'
    return ''
