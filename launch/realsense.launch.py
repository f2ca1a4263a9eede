"""Start ris_node on a RealSense, and the camera's driver where it is wanted.

ros2 launch ris_ros realsense.launch.py profile:=robot target_frame:=base_link
"""
import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from ris_ros.nodes.launching import dds_environment

SHARE = Path(get_package_share_directory('ris_ros'))
HANDED_ON = ('namespace', 'params_file', 'method', 'profile', 'device', 'target_frame')

# name, default, description
ARGUMENTS = (
    ('camera', '/camera/camera', 'namespace and name of the driver, whose topics stand under it'),
    ('driver', 'true', 'start realsense2_camera too; false where it runs already, with '
                       'align_depth.enable and enable_sync'),
    ('namespace', '', 'namespace of ris_node, one per camera'),
    ('params_file', str(SHARE / 'config' / 'ris.yaml'), 'YAML file with parameters of ris_node'),
    ('method', '', 'segmentation method (empty: as params_file says)'),
    ('profile', 'robot', 'weights behind the method, fetched by `ris models fetch robot`; the '
                         "tabletop's know the simulated tabletop and nothing else"),
    ('device', '', 'auto, cpu or cuda:N (empty: as params_file says)'),
    ('target_frame', '', 'frame of targets, e.g. base_link (empty: as params_file says)'),
)


def generate_launch_description():
    """Return the description; the node's own launch file does the rest."""
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    topics = {'image': 'color/image_raw', 'camera_info': 'color/camera_info',
              'depth': 'aligned_depth_to_color/image_raw'}
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, default, text in ARGUMENTS),
        Node(package='realsense2_camera', executable='realsense2_camera_node', name='camera',
             namespace='camera', output='screen', condition=IfCondition(value['driver']),
             parameters=[{'align_depth.enable': True, 'enable_sync': True}],
             additional_env=dds_environment(
                 '', SHARE / 'config' / 'fastdds_local.xml', os.environ)),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / 'launch' / 'ris.launch.py')),
            launch_arguments=[
                *((name, value[name]) for name in HANDED_ON),
                *((name, [value['camera'], f'/{topic}']) for name, topic in topics.items())]),
    ])
