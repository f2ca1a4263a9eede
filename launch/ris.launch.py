"""Start ris_node on a camera's topics.

ros2 launch ris_ros ris.launch.py --show-args
"""
import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterFile

from launch import LaunchDescription
from ris_ros.nodes.launching import PARAMETERS, dds_environment, given_parameters

SHARE = Path(get_package_share_directory('ris_ros'))
AS_IN_FILE = 'empty: as params_file says'

# name, default, description
ARGUMENTS = (
    ('namespace', '', 'namespace of the node, one per camera'),
    ('image', 'image', 'topic of the colour image, e.g. /camera/camera/color/image_raw'),
    ('camera_info', 'camera_info', 'its CameraInfo, e.g. /camera/camera/color/camera_info'),
    ('depth', 'depth/image', 'depth registered to the colour image, e.g. '
                             '/camera/camera/aligned_depth_to_color/image_raw'),
    ('params_file', str(SHARE / 'config' / 'ris.yaml'), 'YAML file with parameters'),
    ('method', '', f'segmentation method, as `ris methods` lists them ({AS_IN_FILE})'),
    ('profile', '', f'weights behind the method: tabletop, robot or paper ({AS_IN_FILE})'),
    ('device', '', f'auto, cpu or cuda:N ({AS_IN_FILE})'),
    ('target_frame', '', f'frame of targets, e.g. base_link; needs tf2 ({AS_IN_FILE})'),
    ('image_transport', '', 'raw, or compressed for <image>/compressed '
                            f'({AS_IN_FILE})'),
    ('autostart', '', f'configure and activate the node by itself ({AS_IN_FILE}, else true)'),
    ('use_sim_time', '', f'take the time from /clock ({AS_IN_FILE}, else false)'),
    ('log_level', 'info', 'debug, info, warn or error'),
    ('respawn', 'false', 'start the node again when it dies'),
    ('dds_profile', '', 'Fast DDS profile with shared memory large enough for images; empty: '
     "the package's, unless the environment names one; `none`: none. The camera driver must be "
     'started with the same one to profit'),
)


def start_node(context):
    """Return the node with the arguments that were given."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    parameters = given_parameters({name: value[name] for name in PARAMETERS})
    profile = dds_environment(value['dds_profile'], SHARE / 'config' / 'fastdds_local.xml',
                              os.environ)
    return [LifecycleNode(
        package='ris_ros', executable='ris_node', name='ris_node', namespace=value['namespace'],
        output='screen', respawn=value['respawn'].lower() == 'true', respawn_delay=2.0,
        arguments=['--ros-args', '--log-level', f'ris_node:={value["log_level"]}'],
        parameters=[ParameterFile(value['params_file'], allow_substs=True),
                    *([parameters] if parameters else [])],
        remappings=[('image', value['image']),
                    ('image/compressed', value['image'] + '/compressed'),
                    ('camera_info', value['camera_info']), ('depth/image', value['depth']),
                    ('/tf', 'tf'), ('/tf_static', 'tf_static')],
        # Of this node alone: what is started beside it keeps the user's environment.
        additional_env={'RCUTILS_LOGGING_BUFFERED_STREAM': '1', **profile})]


def generate_launch_description():
    """Return the description; every argument is declared at the top level."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, default, text in ARGUMENTS),
        OpaqueFunction(function=start_node)])
