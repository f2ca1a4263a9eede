"""Processes of the demo and of tests hear each other and nobody else."""
from __future__ import annotations

import os
from pathlib import Path

import ris_ros
from ris_ros.demo.environment import (
    PROFILE_VARIABLES,
    private_environment,
    share_file,
    spare_domain_id,
)

ROOT = Path(ris_ros.__file__).resolve().parents[1]


def test_the_environment_is_private(tmp_path):
    got = private_environment(42, tmp_path, base={'HOME': '/home/me'})
    assert got['ROS_DOMAIN_ID'] == '42' and got['ROS_LOG_DIR'] == str(tmp_path)
    assert got['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST' and got['HOME'] == '/home/me'
    assert got['PYTHONPATH'].split(os.pathsep)[0] == str(ROOT)
    assert all(Path(got[name]).name == 'fastdds_local.xml' for name in PROFILE_VARIABLES)


def test_what_the_caller_chose_is_kept(tmp_path):
    base = {'PYTHONPATH': f'/mine{os.pathsep}{ROOT}', 'AMENT_PREFIX_PATH': '/opt/ros',
            PROFILE_VARIABLES[0]: '/mine.xml'}
    got = private_environment(1, tmp_path, base=base)
    assert {name: got[name] for name in base} == base


def test_files_of_the_checkout_are_found():
    assert share_file('config/ris.yaml') == ROOT / 'config' / 'ris.yaml'
    assert share_file('config/nothing.yaml') is None


def test_domain_ids_are_ones_that_dds_takes_and_shells_do_not_use():
    assert 1 <= spare_domain_id() <= 100
