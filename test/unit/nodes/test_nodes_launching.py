"""What counts of launch arguments and the environment."""
from __future__ import annotations

import pytest

from ris_ros.nodes.launching import PROFILE_VARIABLES, dds_environment, given_parameters
from ris_ros.service.parameters import parameter_table


def test_only_arguments_that_were_given_count():
    assert given_parameters({}) == {}
    assert given_parameters({'method': '', 'device': ' ', 'autostart': '', 'image': '/x'}) == {}
    assert given_parameters({'method': 'tas', 'use_sim_time': 'True', 'autostart': 'false'}) == {
        'method': 'tas', 'use_sim_time': True, 'autostart': False}
    with pytest.raises(ValueError, match='use_sim_time must be true or false'):
        given_parameters({'use_sim_time': 'perhaps'})


def test_they_are_parameters_of_the_node():
    known = {spec.name: spec.info.type for spec in parameter_table()} | {'use_sim_time': bool}
    from ris_ros.nodes.launching import PARAMETERS
    assert all(known[name] is kind for name, kind in PARAMETERS.items())


@pytest.mark.parametrize(('wanted', 'environment', 'profile'), [
    ('', {}, '/own.xml'),
    ('', {'FASTRTPS_DEFAULT_PROFILES_FILE': '/my.xml'}, None),
    ('', {'FASTDDS_DEFAULT_PROFILES_FILE': '/my.xml'}, None),
    ('', {'FASTRTPS_DEFAULT_PROFILES_FILE': ''}, '/own.xml'),
    ('none', {}, None),
    ('/that.xml', {'FASTRTPS_DEFAULT_PROFILES_FILE': '/my.xml'}, '/that.xml'),
])
def test_the_dds_profile(wanted, environment, profile):
    found = dds_environment(wanted, '/own.xml', environment)
    assert found == ({} if profile is None else dict.fromkeys(PROFILE_VARIABLES, profile))
