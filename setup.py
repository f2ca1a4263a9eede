"""Package ris_ros; works with pip and with colcon (ament_python)."""
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.develop import develop

NAME = 'ris_ros'
HERE = Path(__file__).resolve().parent  # colcon's --symlink-install runs a link to this file
VERSION = next(line.split("'")[1] for line in (HERE / NAME / '__init__.py').read_text().split('\n')
               if line.startswith('__version__'))

# Tested together.  Python 3.10 has no newer wheels of some of them, hence the markers.
OLD, NEW = 'python_version < "3.11"', 'python_version >= "3.11"'
OPENCV = 'opencv-python-headless==5.0.0.93'
PILLOW = [f'pillow==12.3.0; {OLD}', f'pillow==13.0.0; {NEW}']
MODELS = ['torch==2.14.1', 'torchvision==0.29.1', 'open_clip_torch==3.3.0',
          'segment-anything==1.0', 'timm==1.0.31', 'safetensors==0.8.0', 'ftfy==6.3.1',
          'PyYAML>=6.0', 'tqdm>=4.60', 'huggingface_hub>=0.30', OPENCV, *PILLOW,
          f'transformers==5.20.2; {OLD}', f'transformers==5.23.0; {NEW}',
          # transformers asks for it when it builds Mask2Former
          f'scipy==1.15.3; {OLD}', f'scipy==1.17.1; {NEW}']
EXTRAS = {
    'models': MODELS,
    'language': ['spacy==3.8.18', 'nltk==3.10.4'],
    # A second parser, for the trees that one method's paper used.
    'constituency': ['stanza>=1.8'],
    'simulation': [f'mujoco==3.17.0; {OLD}', f'mujoco==4.0.0; {NEW}', 'tqdm>=4.60',
                   *PILLOW],
    'evaluation': [f'matplotlib==3.10.9; {OLD}', f'matplotlib==3.11.2; {NEW}',
                   'pycocotools==2.0.11', 'tqdm>=4.60', *PILLOW],
    # What computes the networks trains them; several GPUs together by accelerate.
    'training': [*MODELS, 'accelerate==1.15.0'],
    # ROS 2 Jazzy from the package index, for machines without a ROS installation.
    'ros': ['ros-rclpy[fastrtps]==7.1.6', 'ros-common-interfaces==5.3.6'],
    'ray': ['ray==2.60.0'],
    'test': ['pytest>=7.4', 'coverage>=7.10', 'pytest-xdist>=3.5', 'pytest-timeout>=2.1',
             f'hypothesis==6.168.5; {OLD}',
             f'hypothesis==6.170.15; {NEW}', 'ruff==0.17.5', 'mypy==2.4.1'],
}
EXTRAS['all'] = sorted({requirement for group in EXTRAS.values() for requirement in group})


def executables():
    """Return the scripts that `ros2 run` and launch files find.

    pip puts entry points into bin/ only, so the same names go to lib/<package>/ as well;
    under colcon the scripts that setuptools generates there take their place.
    """
    return sorted(glob('scripts/nodes/*'))


class Develop(develop):
    """What colcon's --symlink-install runs."""

    def write_script(self, script_name, contents, *mode):
        """Write a script for the interpreter in front, as the one of a virtual environment.

        By default it is that of colcon, which is the system's and has no networks' libraries.
        """
        line, rest = contents.split('\n', 1)
        if line.startswith('#!'):
            contents = f'#!/usr/bin/env python3\n{rest}'
        super().write_script(script_name, contents, *mode)


def data_of_the_package():
    """Return the files beside the code; one by one, for older setuptools know no `**`."""
    package = HERE / NAME
    found = [package / 'py.typed', *(package / 'data').rglob('*'),
             *package.glob('methods/*/README.md')]
    return sorted(path.relative_to(package).as_posix() for path in found if path.is_file())


setup(
    cmdclass={'develop': Develop},
    name=NAME,
    version=VERSION,
    description='Referring image segmentation for ROS 2: from a sentence to a 3D target',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    maintainer='The ris_ros maintainers',
    maintainer_email='maintainer@ris-ros.invalid',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: data_of_the_package()},
    # Not by the manifest: setuptools then warns of every folder of data that is no package.
    include_package_data=False,
    python_requires='>=3.10,<3.13',
    install_requires=['numpy>=1.23'],
    extras_require=EXTRAS,
    zip_safe=False,
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', sorted(glob('launch/*.launch.py'))),
        (f'share/{NAME}/config', sorted(
            glob('config/*.yaml') + glob('config/*.xml') + glob('config/*.rviz'))),
        (f'share/{NAME}/config/methods', sorted(glob('config/methods/*.yaml'))),
        (f'share/{NAME}/config/sros2', sorted(glob('config/sros2/*.xml'))),
        (f'lib/{NAME}', executables()),
    ],
    entry_points={
        'console_scripts': [
            'ris = ris_ros.cli.main:main',
            'ris_node = ris_ros.nodes.ris_node:main',
            'ris_voice = ris_ros.nodes.ris_voice:main',
            'tabletop_camera = ris_ros.demo.tabletop_camera:main',
            'commander = ris_ros.demo.commander:main',
        ],
    },
)
