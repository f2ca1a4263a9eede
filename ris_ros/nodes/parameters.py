"""The node's typed settings as ROS parameters: declared, validated, read again after a change."""
from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from ris_ros.nodes.transforms import require_tf2
from ris_ros.service.parameters import (
    NodeParameters,
    ParameterSpec,
    is_switch,
    method_table,
    node_parameters,
    parameter_table,
    plain_value,
)
from ris_ros.service.segmenters import method_defaults, method_names
from ris_ros.settings import Scalar, check, describe
from ris_ros.types import BadInputError, MissingDependencyError, RisError

OF_RCLPY = ('use_sim_time', 'start_type_description_service', 'qos_overrides')


class LiveParameters:
    """The parameters of a node as they are now.

    with_method: declare the settings of the chosen method too, as `<method>.<setting>`.
    Raises BadInputError where a value given at start does not fit.
    """

    def __init__(self, node: Node, with_method: bool) -> None:
        self._node = node
        self._now: NodeParameters | None = None
        self._problem: str | None = None
        self._settings_class: type | None = None
        table = parameter_table()
        declare(node, table)
        p = self.current
        try:
            if with_method:
                self._settings_class, defaults = method_defaults(p.method, p.profile)
                own = method_table(p.method, defaults)
                declare(node, own)
                table += own
        except RisError as error:  # told at configure, where its answer can be FAILURE
            self._problem = str(error)
        validate = validator(table)

        def on_set(changed: list[Parameter]) -> SetParametersResult:
            self._now = None
            result = validate(changed)
            if result.successful and any(parameter.name == 'target_frame' and parameter.value
                                         for parameter in changed):
                return without_tf2()
            return result

        for text in unknown_names(given(node), table):
            node.get_logger().warning(text)
        node.add_on_set_parameters_callback(on_set)
        if hasattr(node, 'add_pre_set_parameters_callback'):  # not in ROS 2 Humble
            node.add_pre_set_parameters_callback(widener(table))

    @property
    def current(self) -> NodeParameters:
        """The parameters as they are now; read again after every change."""
        if self._now is None:
            self._now = node_parameters({
                spec.name: self._node.get_parameter(spec.name).value
                for spec in parameter_table()})
        return self._now

    def method_settings(self) -> Mapping[str, Scalar] | None:
        """Return the method's settings by name, None where they were not declared.

        Raises BadInputError where the method or the profile is not known, or one of their
        values does not fit.
        """
        if self._problem:
            raise BadInputError(self._problem)
        if self._settings_class is None:
            return None
        method = self.current.method
        return {info.name: self._node.get_parameter(f'{method}.{info.name}').value
                for info in describe(self._settings_class)}


def without_tf2() -> SetParametersResult:
    """Return whether a target frame can be set: not without tf2_ros."""
    try:
        require_tf2()
    except MissingDependencyError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def declare(node: Node, table: Sequence[ParameterSpec]) -> None:
    """Declare the parameters with descriptions, ranges and read-only flags.

    A whole number will do for a floating point parameter, as `command_timeout_s: 30` in a file
    is one.  Raises BadInputError where a value given at start does not fit.
    """
    overrides = given(node)
    for spec in table:
        try:
            value = overrides.get(spec.name, spec.info.default)
            if spec.info.type is float and type(value) is int:
                node.declare_parameter(spec.name, float(value), descriptor(spec),
                                       ignore_override=True)
            else:
                node.declare_parameter(spec.name, spec.info.default, descriptor(spec))
            check(spec.info, plain_value(node.get_parameter(spec.name).value, spec.info))
        except BadInputError:
            raise
        except Exception as error:  # rclpy raises several unrelated kinds
            raise BadInputError(f'parameter {spec.name}: {error}') from error


def given(node: Node) -> dict[str, object]:
    """Return the values that files, launch and command line gave, by the parameters' names."""
    # rclpy has no public way to see what was given for names that are not declared.
    overrides = getattr(node, '_parameter_overrides', {})
    return {name: parameter.value for name, parameter in overrides.items()}


def unknown_names(names: Iterable[str], table: Sequence[ParameterSpec]) -> list[str]:
    """Return a warning for each name that is no parameter of the node, sorted."""
    known = [spec.name for spec in table]
    warnings = []
    for name in sorted(set(names) - set(known)):
        group = name.partition('.')[0]
        if name in OF_RCLPY or group in OF_RCLPY:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        if close:
            hint = f'; did you mean {close[0]}?'
        elif group in method_names():
            hint = f'; settings of {group} count only while it is the method'
        else:
            hint = ''
        warnings.append(f'there is no parameter {name!r}, its value is without effect{hint}')
    return warnings


def widener(table: Sequence[ParameterSpec]) -> Callable[[list[Parameter]], list[Parameter]]:
    """Return a callback that makes floating point numbers of whole ones where those are due."""
    numbers = {spec.name for spec in table if spec.info.type is float}

    def widen(parameters: list[Parameter]) -> list[Parameter]:
        return [Parameter(p.name, value=float(p.value))
                if p.name in numbers and p.type_ is Parameter.Type.INTEGER else p
                for p in parameters]

    return widen


def descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    """Return the ParameterDescriptor of one parameter."""
    info = spec.info
    unit = f' [{info.unit}]' if info.unit else ''
    choices = f'; one of {", ".join(info.choices)}' if info.choices else ''
    result = ParameterDescriptor(name=spec.name, description=f'{info.help}{unit}{choices}',
                                 read_only=spec.read_only,
                                 dynamic_typing=is_switch(info))
    if info.minimum is not None and info.maximum is not None:
        if info.type is float:
            result.floating_point_range = [FloatingPointRange(
                from_value=float(info.minimum), to_value=float(info.maximum), step=0.0)]
        elif info.type is int:
            result.integer_range = [IntegerRange(
                from_value=int(info.minimum), to_value=int(info.maximum), step=1)]
    return result


def validator(table: Sequence[ParameterSpec]
              ) -> Callable[[list[Parameter]], SetParametersResult]:
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
