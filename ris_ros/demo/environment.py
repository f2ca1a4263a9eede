"""The environment of processes that speak ROS among themselves on one machine."""
from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def share_file(name: str) -> Path | None:
    """Return config/launch file `name` of the package, e.g. 'config/ris.yaml'.

    Looks in the checkout that this module runs from, then in every install prefix.
    """
    prefixes = [entry for entry in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
                if entry]
    candidates = [Path(__file__).resolve().parents[2] / name]
    candidates += [Path(prefix) / 'share' / 'ris_ros' / name
                   for prefix in (*prefixes, sys.prefix)]
    return next((path for path in candidates if path.is_file()), None)


def private_environment(domain_id: int, log_dir: str | Path,
                        base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment whose ROS nodes see each other and nobody else.

    domain_id: ROS_DOMAIN_ID, 0 to 101.  log_dir: where nodes write their logs.  The DDS
    profile of the package is used unless the caller's environment names another.
    """
    environment = dict(os.environ if base is None else base)
    environment.update(ROS_DOMAIN_ID=str(domain_id), ROS_LOG_DIR=str(log_dir),
                       ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST', PYTHONUNBUFFERED='1')
    # The ROS wheels of the package index do not set it, a sourced ROS 2 does.
    environment.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    profile = share_file('config/fastdds_local.xml')
    if profile is not None:
        for variable in PROFILE_VARIABLES:
            environment.setdefault(variable, str(profile))
    # Child processes run the same code as this one, installed or not.
    root = str(Path(__file__).resolve().parents[2])
    path = environment.get('PYTHONPATH', '')
    if root not in path.split(os.pathsep):
        environment['PYTHONPATH'] = os.pathsep.join(filter(None, (root, path)))
    return environment


def spare_domain_id() -> int:
    """Return a domain id that other runs on this machine are unlikely to use, 1 to 100."""
    return 1 + (os.getpid() * 7919) % 100
