"""The node's typed settings as ROS parameters: declared, validated, read again after a change."""
from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

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
from ris_ros.service.switching import Choice
from ris_ros.settings import check
from ris_ros.types import BadInputError, MissingDependencyError, RisError

OF_RCLPY = ('use_sim_time', 'start_type_description_service', 'qos_overrides')


class LiveParameters:
    """The parameters of a node as they are now.

    with_method: declare the settings of the chosen method too, as `<method>.<setting>`, and
    take only methods and profiles that there are.
    Raises BadInputError where a value given at start does not fit.
    """

    def __init__(self, node: Node, with_method: bool) -> None:
        self._node, self._with_method = node, with_method
        self._now: NodeParameters | None = None
        self.changes = 0   # grows with every change
        self._own: list[ParameterSpec] = []     # the settings of the method
        self._owner: tuple[str, str] | None = None   # the method and profile that they are of
        self._table = parameter_table()
        declare(node, self._table)
        # Told at configure too, where its answer can be FAILURE.
        with suppress(RisError):
            self._declare_own()
        for text in unknown_names(given(node), [*self._table, *self._own]):
            node.get_logger().warning(text)
        node.add_on_set_parameters_callback(self._on_set)
        if hasattr(node, 'add_pre_set_parameters_callback'):  # not in ROS 2 Humble
            node.add_pre_set_parameters_callback(self._widen)

    @property
    def current(self) -> NodeParameters:
        """The parameters as they are now; read again after every change."""
        if self._now is None:
            self._now = node_parameters({
                spec.name: self._node.get_parameter(spec.name).value
                for spec in self._table})
        return self._now

    def choice(self) -> Choice:
        """Return which models the parameters ask for.

        Raises BadInputError where the method or the profile is not known, or one of the
        settings does not fit.
        """
        p = self.current
        if not self._with_method:
            return Choice(p.method, p.profile)
        self._declare_own()
        return Choice(p.method, p.profile, {
            spec.name.partition('.')[2]: self._node.get_parameter(spec.name).value
            for spec in self._own})

    def restore(self, choice: Choice) -> None:
        """Set method, profile and settings back to those that work."""
        self._node.set_parameters_atomically([
            Parameter('method', value=choice.method), Parameter('profile', value=choice.profile)])
        if self._with_method:
            self._declare_own()
            self._node.set_parameters_atomically([
                Parameter(f'{choice.method}.{name}', value=value)
                for name, value in (choice.settings or {}).items()])

    def _declare_own(self) -> None:
        """Declare the settings of the method, at the profile's values, in place of another's."""
        p = self.current
        if not self._with_method or self._owner == (p.method, p.profile):
            return
        _, defaults = method_defaults(p.method, p.profile)
        for spec in self._own:
            self._node.undeclare_parameter(spec.name)
        self._own, self._owner = [], None
        own = method_table(p.method, defaults)
        declare(self._node, own)
        self._own, self._owner = own, (p.method, p.profile)

    def _on_set(self, changed: list[Parameter]) -> SetParametersResult:
        self._now = None
        self.changes += 1
        result = validator([*self._table, *self._own])(changed)
        if not result.successful:
            return result
        values = {parameter.name: parameter.value for parameter in changed}
        if values.get('target_frame'):
            return without_tf2()
        if self._with_method and values.keys() & {'method', 'profile'} and (
                self._owner is not None):   # else what is set at start is told at configure
            now = {name: self._node.get_parameter(name).value for name in ('method', 'profile')}
            try:
                method_defaults(str(values.get('method', now['method'])),
                                str(values.get('profile', now['profile'])))
            except RisError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return result

    def _widen(self, parameters: list[Parameter]) -> list[Parameter]:
        return widener([*self._table, *self._own])(parameters)


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
