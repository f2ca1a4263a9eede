"""Start the simulated tabletop camera and ris_node on it.

Then listen, and in another terminal say something about the scene that is shown:
  ros2 topic echo /ris_node/result
  ros2 topic pub --once /ris_node/command std_msgs/msg/String "{data: 'the blue bowl'}"
"""
import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from ris_ros.nodes.launching import dds_environment

SHARE = Path(get_package_share_directory('ris_ros'))

# name, default, description
ARGUMENTS = (
    ('namespace', '', 'namespace of both nodes'),
    ('scene', '100001', 'seed of the scene to show; /tabletop_camera/scene takes another later'),
    ('rate_hz', '15.0', 'images per second of the simulated camera'),
    ('params_file', str(SHARE / 'config' / 'ris.yaml'), 'YAML file with parameters of ris_node'),
    ('method', '', 'segmentation method (empty: as params_file says)'),
    ('profile', '', 'weights behind the method (empty: as params_file says)'),
    ('device', '', 'auto, cpu or cuda:N (empty: as params_file says)'),
    ('target_frame', '', 'frame of targets, such as tabletop (empty: as params_file says)'),
    ('rviz', 'false', 'open RViz with what the node shows'),
)


def generate_launch_description():
    """Return the description; the node's own launch file brings the DDS profile."""
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, default, text in ARGUMENTS),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'ris.launch.py')),
            launch_arguments={name: value[name] for name in
                              ('namespace', 'params_file', 'method', 'profile',
                               'device', 'target_frame')}.items()),
        Node(package='rviz2', executable='rviz2', name='rviz', output='log',
             arguments=['-d', str(SHARE / 'config' / 'ris.rviz')],
             condition=IfCondition(value['rviz'])),
        Node(package='ris_ros', executable='tabletop_camera', name='tabletop_camera',
             namespace=value['namespace'], output='screen',
             remappings=[('/tf_static', 'tf_static')],
             parameters=[{'rate_hz': ParameterValue(value['rate_hz'], value_type=float),
                          'scene': ParameterValue(value['scene'], value_type=int)}],
             additional_env=dds_environment(
                 '', SHARE / 'config' / 'fastdds_local.xml', os.environ)),
    ])
