"""Start ris_node on a camera's topics.

ros2 launch ris_ros ris.launch.py --show-args
"""
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue

from launch import LaunchDescription

SHARE = Path(get_package_share_directory('ris_ros'))

# name, default, description
ARGUMENTS = (
    ('namespace', '', 'namespace of the node, one per camera'),
    ('image', 'image', 'topic of the colour image, e.g. /camera/camera/color/image_raw'),
    ('camera_info', 'camera_info', 'its CameraInfo, e.g. /camera/camera/color/camera_info'),
    ('depth', 'depth/image', 'depth registered to the colour image, e.g. '
                             '/camera/camera/aligned_depth_to_color/image_raw'),
    ('params_file', str(SHARE / 'config' / 'ris.yaml'), 'YAML file with parameters'),
    ('method', 'hybridgl', 'segmentation method, as `ris methods` lists them'),
    ('profile', 'tabletop', 'weights behind the method: tabletop, robot or paper'),
    ('device', 'auto', 'auto, cpu or cuda:N'),
    ('autostart', 'true', 'configure and activate the node by itself'),
    ('use_sim_time', 'false', 'take the time from /clock'),
    ('log_level', 'info', 'debug, info, warn or error'),
    ('respawn', 'false', 'start the node again when it dies'),
    ('dds_profile', str(SHARE / 'config' / 'fastdds_local.xml'),
     'Fast DDS profile with shared memory large enough for images, or `none`. The camera '
     'driver must be started with the same one to profit'),
)


def generate_launch_description():
    """Return the description; every argument is declared at the top level."""
    value = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    # `ros2 launch` accepts no empty value, an including launch file may give one
    has_profile = IfCondition(
        PythonExpression(["'", value['dds_profile'], "' not in ('', 'none')"]))
    node = LifecycleNode(
        package='ris_ros', executable='ris_node', name='ris_node', namespace=value['namespace'],
        output='screen', respawn=value['respawn'], respawn_delay=2.0,
        arguments=['--ros-args', '--log-level', ['ris_node:=', value['log_level']]],
        parameters=[
            ParameterFile(value['params_file'], allow_substs=True),
            {name: ParameterValue(value[name], value_type=str)
             for name in ('method', 'profile', 'device')},
            {name: ParameterValue(value[name], value_type=bool)
             for name in ('autostart', 'use_sim_time')},
        ],
        remappings=[('image', value['image']), ('camera_info', value['camera_info']),
                    ('depth/image', value['depth']),
                    ('/tf', 'tf'), ('/tf_static', 'tf_static')])
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, default, text in ARGUMENTS),
        SetEnvironmentVariable('RCUTILS_LOGGING_BUFFERED_STREAM', '1'),
        SetEnvironmentVariable('FASTRTPS_DEFAULT_PROFILES_FILE', value['dds_profile'],
                               condition=has_profile),
        SetEnvironmentVariable('FASTDDS_DEFAULT_PROFILES_FILE', value['dds_profile'],
                               condition=has_profile),
        node,
    ])
