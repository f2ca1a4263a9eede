"""Start the simulated tabletop camera and ris_node on it.

Then show a scene and say something:
  ros2 topic pub --once /tabletop_camera/scene std_msgs/msg/String "{data: '100000'}"
  ros2 topic pub --once /ris_node/command std_msgs/msg/String "{data: 'the red mug'}"
"""
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = Path(get_package_share_directory('ris_ros'))

# name, default, description
ARGUMENTS = (
    ('namespace', '', 'namespace of both nodes'),
    ('rate_hz', '15.0', 'images per second of the simulated camera'),
    ('method', 'hybridgl', 'segmentation method'),
    ('profile', 'tabletop', 'weights behind the method'),
    ('device', 'auto', 'auto, cpu or cuda:N'),
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
                              ('namespace', 'method', 'profile', 'device')}.items()),
        Node(package='ris_ros', executable='tabletop_camera', name='tabletop_camera',
             namespace=value['namespace'], output='screen',
             parameters=[{'rate_hz': ParameterValue(value['rate_hz'], value_type=float)}]),
    ])
