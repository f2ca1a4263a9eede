"""The node's parameters without ROS: one table, from which values are read and checked."""
from __future__ import annotations

from dataclasses import dataclass

import pytest

from ris_ros.service.parameters import (
    GROUPS,
    NodeParameters,
    method_table,
    node_parameters,
    parameter_table,
    plain_value,
)
from ris_ros.settings import check, option
from ris_ros.types import BadInputError

TABLE = {spec.name: spec for spec in parameter_table()}


def test_the_table_holds_every_field_with_a_default_that_fits():
    assert len(TABLE) == len(parameter_table())
    assert {'method', 'busy_policy', 'depth.unit', 'publish.overlay'} <= set(TABLE)
    for spec in TABLE.values():
        assert check(spec.info, spec.info.default) == spec.info.default and spec.info.help
    assert [name for name in ('device', 'method', 'depth.unit') if TABLE[name].read_only] == [
        'device']


def test_defaults_and_values():
    assert node_parameters({}) == NodeParameters()
    assert node_parameters({name: spec.info.default for name, spec in TABLE.items()}) \
        == NodeParameters()
    p = node_parameters({'busy_policy': 'queue', 'depth.max_m': 3, 'mask.erode_px': 0,
                         'publish.overlay': False})
    assert (p.busy_policy, p.depth.max_m, p.mask.erode_px) == ('queue', 3.0, 0)
    assert p.publish.overlay is False and p.publish.labels is True


def test_a_switch_may_arrive_as_a_bool():
    assert node_parameters({'use_depth': False}).use_depth == 'false'
    assert node_parameters({'use_depth': 'auto'}).use_depth == 'auto'
    assert plain_value(True, TABLE['publish.overlay'].info) is True


@pytest.mark.parametrize('values', [
    {'busy_policy': 'panic'}, {'queue_size': 0}, {'queue_size': 2.5}, {'depth.unit': 'inch'},
    {'depth.min': 1.0}, {'unheard_of': 1}, {'nothing.unit': 'mm'}, {'command_timeout_s': '5'},
    {'autostart': 'true'}, {'depth': 'mm'},
])
def test_what_is_refused(values):
    with pytest.raises(BadInputError):
        node_parameters(values)


def test_every_parameter_reaches_what_it_is_for():
    p = node_parameters({'depth.min_m': 0.2, 'depth.max_m': 3.0, 'depth.min_valid_ratio': 0.4,
                         'mask.erode_px': 5, 'target.point': 'centre',
                         'pose_orientation': 'identity'})
    g = p.geometry()
    assert (g.min_m, g.max_m, g.min_valid_ratio, g.erode_px) == (0.2, 3.0, 0.4, 5)
    assert (g.point, g.orientation) == ('centre', 'identity')


def test_method_settings_stand_under_the_name_of_the_method():
    @dataclass(frozen=True)
    class Settings:
        alpha: float = option(0.5, 'a weight', minimum=0.0, maximum=1.0)

    (spec,) = method_table('tas', Settings(alpha=0.7))
    assert (spec.name, spec.info.default, spec.read_only) == ('tas.alpha', 0.7, False)


def test_groups_are_fields():
    assert all(isinstance(getattr(NodeParameters(), name), cls) for name, cls in GROUPS.items())
