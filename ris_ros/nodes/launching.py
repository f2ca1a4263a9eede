"""What the launch files decide, apart from `launch` itself; no ROS here.

An argument of a launch file counts only when it was given: its default must not override the
parameter file, nor what the user's environment says.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# Arguments of ris.launch.py that are parameters of the node, with their type.
PARAMETERS: Mapping[str, type] = {
    'method': str, 'profile': str, 'device': str, 'target_frame': str, 'image_transport': str,
    'autostart': bool, 'use_sim_time': bool}
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def given_parameters(arguments: Mapping[str, str]) -> dict[str, str | bool]:
    """Return the node's parameters among the launch arguments that were given.

    arguments: from names to texts, empty where nothing was given.  Raises ValueError for a
    text that is neither true nor false where it should be.

    >>> given_parameters({'method': 'tas', 'profile': '', 'autostart': 'False'})
    {'method': 'tas', 'autostart': False}
    """
    found: dict[str, str | bool] = {}
    for name, kind in PARAMETERS.items():
        text = arguments.get(name, '').strip()
        if text and kind is bool and text.lower() not in ('true', 'false'):
            raise ValueError(f'{name} must be true or false, not {text!r}')
        if text:
            found[name] = text.lower() == 'true' if kind is bool else text
    return found


def dds_environment(wanted: str, packaged: str | Path, environment: Mapping[str, str]
                    ) -> dict[str, str]:
    """Return the variables that give a node its Fast DDS profile, and no other node.

    wanted: the launch argument `dds_profile`: a path, `none`, or empty for the package's own
    where the user's environment names none.

    >>> dds_environment('', '/share/fast.xml', {'FASTRTPS_DEFAULT_PROFILES_FILE': '/my.xml'})
    {}
    >>> sorted(dds_environment('/a.xml', '/share/fast.xml', {}).values())
    ['/a.xml', '/a.xml']
    """
    if wanted == 'none' or (not wanted and any(environment.get(v) for v in PROFILE_VARIABLES)):
        return {}
    return {variable: wanted or str(packaged) for variable in PROFILE_VARIABLES}
