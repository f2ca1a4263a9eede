"""The package installs as ROS 2 expects it, and its files say the same thing."""
from __future__ import annotations

import ast
import configparser
import os
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from test_import_direction import imported

ROOT = Path(__file__).resolve().parents[2]


# A sourced workspace puts another copy of the package in front.
CLEAN = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}


def run(*command, env=CLEAN, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=120, env=env, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """Install into a fresh environment as pip does, without the libraries."""
    for module in ('setuptools', 'wheel'):
        pytest.importorskip(module, reason='needed to build the package without a network')
    source, prefix = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('prefix')
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'package.xml', 'README.md',
                 'MANIFEST.in', 'ris_ros', 'resource', 'launch', 'config', 'scripts'):
        # Links, for the weights are large; pip copies what it needs.
        (source / name).symlink_to(ROOT / name)
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet')
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', source / 'dist', source)
    (wheel,) = (source / 'dist').glob('*.whl')
    run(sys.executable, '-m', 'venv', '--without-pip', prefix)
    run(*pip, '--python', prefix / 'bin' / 'python', 'install', '--no-deps', wheel)
    return prefix


@pytest.fixture
def setup_arguments(monkeypatch):
    """Return what setup.py tells setuptools, run through a link from elsewhere."""
    setuptools = pytest.importorskip('setuptools', reason='needed to read setup.py')
    told = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **arguments: told.update(arguments))

    def read(path):
        monkeypatch.chdir(path.parent)
        runpy.run_path(str(path))
        return told
    return read


def test_setup_through_a_link(setup_arguments, tmp_path):
    """As `colcon build --symlink-install` runs it, in a folder without the README."""
    (tmp_path / 'setup.py').symlink_to(ROOT / 'setup.py')
    told = setup_arguments(tmp_path / 'setup.py')
    assert told['version'] == '0.1.0' and told['long_description'].startswith('# ris_ros')
    assert 'data/profiles/tabletop.json' in told['package_data']['ris_ros']


def test_scripts_of_a_linked_installation_take_the_interpreter_in_front(setup_arguments):
    """Not colcon's own, the system's, which has no networks' libraries."""
    develop = setup_arguments(ROOT / 'setup.py')['cmdclass']['develop']
    written = []

    class Base:
        def write_script(self, name, contents, *mode):
            written.append((name, contents))

    class Linked(Base):
        write_script = develop.write_script
    # The zero-argument super() of the original finds its base by the class it was written in.
    Linked.write_script.__closure__[0].cell_contents = Linked
    Linked().write_script('ris_node', '#!/usr/bin/python3\nimport sys\n', 't')
    Linked().write_script('data', 'no script\n')
    assert written == [('ris_node', '#!/usr/bin/env python3\nimport sys\n'),
                       ('data', 'no script\n')]


def test_building_warns_of_nothing(tmp_path):
    pytest.importorskip('setuptools', reason='needed to build the package')
    done = subprocess.run(
        [sys.executable, ROOT / 'setup.py', '--quiet', 'build_py', '--build-lib',
         tmp_path / 'lib'], cwd=ROOT, env=CLEAN, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if 'byte-compiling' not in line]
    assert not [line for line in said if line.strip()], done.stderr
    assert (tmp_path / 'lib' / 'ris_ros' / 'data').is_dir()


def test_layout_of_an_installation(installed):
    marker = installed / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'ris_ros'
    assert marker.is_file()
    share = installed / 'share' / 'ris_ros'
    for name in ('package.xml', 'launch/ris.launch.py', 'launch/demo.launch.py',
                 'config/ris.yaml', 'config/ris.rviz', 'config/fastdds_local.xml'):
        assert (share / name).is_file(), name
    for name in ('ris_node', 'tabletop_camera', 'commander'):
        assert os.access(installed / 'lib' / 'ris_ros' / name, os.X_OK), name
    for name in ('ris', 'ris_node'):
        assert os.access(installed / 'bin' / name, os.X_OK), name


def test_every_file_of_the_package_is_installed(installed):
    (package,) = installed.glob('lib/python*/site-packages/ris_ros')
    wanted = {path.relative_to(ROOT / 'ris_ros') for path in (ROOT / 'ris_ros').rglob('*')
              if path.is_file() and '__pycache__' not in path.parts}
    assert not {str(path) for path in wanted if not (package / path).is_file()}


def test_entry_points_name_what_exists(installed):
    (info,) = installed.glob('lib/python*/site-packages/ris_ros-*.dist-info/entry_points.txt')
    parser = configparser.ConfigParser()
    parser.read(info)
    assert 'ris_ros.methods' not in parser, "the registry lists this package's own methods"
    for section in parser.sections():
        for location in parser[section].values():
            module, _, name = location.partition(':')
            path = ROOT / (module.replace('.', '/') + '.py')
            tree = ast.parse(path.read_text())
            names = {node.name for node in tree.body
                     if isinstance(node, ast.ClassDef | ast.FunctionDef)}
            assert name in names, location


def test_installed_command_runs(installed):
    # The libraries of this environment alone.
    environment = {**CLEAN, 'PYTHONPATH': os.pathsep.join(
        entry for entry in sys.path if 'site-packages' in entry
        and entry not in os.environ.get('PYTHONPATH', '').split(os.pathsep))}
    assert 'ris_ros' in run(installed / 'bin' / 'ris', '--version', env=environment,
                            cwd=installed)


def test_package_xml():
    package = ET.parse(ROOT / 'package.xml').getroot()
    assert package.get('format') == '3' and package.findtext('name') == 'ris_ros'
    assert package.findtext('license') == 'Apache-2.0'
    assert package.findtext('export/build_type') == 'ament_python'
    from ris_ros import __version__
    assert package.findtext('version') == __version__


def test_package_xml_names_every_ros_import():
    declared = {element.text for element in ET.parse(ROOT / 'package.xml').getroot()
                if element.tag.endswith('depend')}
    used = set()
    for path in (*(ROOT / 'ris_ros' / 'nodes').glob('*.py'), *(ROOT / 'launch').glob('*.py'),
                 *(ROOT / 'ris_ros' / 'demo').glob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module.split('.')[0])
            elif isinstance(node, ast.Import):
                used |= {alias.name.split('.')[0] for alias in node.names}
    ros = {name for name in used if name in ('rclpy', 'launch', 'launch_ros', 'ament_index_python')
           or name.endswith(('_msgs', '_srvs', '_interfaces'))}
    assert 'ament_index_python' in ros and ros <= declared
    # A linter that is named is one that passes; none of ament's is held to.
    assert not {name for name in declared if name.startswith('ament_')} - {'ament_index_python'}


@pytest.mark.parametrize('path', sorted((ROOT / 'launch').glob('*.launch.py')),
                         ids=lambda path: path.name)
def test_launch_files(path):
    tree = ast.parse(path.read_text())
    compile(tree, str(path), 'exec')
    (arguments,) = [ast.literal_eval(_plain(node.value)) for node in tree.body
                    if isinstance(node, ast.Assign) and node.targets[0].id == 'ARGUMENTS']
    assert all(len(entry) == 3 and entry[2] for entry in arguments)
    names = [entry[0] for entry in arguments]
    assert len(names) == len(set(names))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions[-1] == 'generate_launch_description'
    # What is declared within a function that runs later, `--show-args` does not show.
    declared = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
                and getattr(node.func, 'id', '') == 'DeclareLaunchArgument']
    (description,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)
                      and node.name == 'generate_launch_description']
    assert declared and all(node in ast.walk(description) for node in declared)


def launch_arguments(name):
    """Return the arguments of a launch file: name -> default."""
    tree = ast.parse((ROOT / 'launch' / name).read_text())
    (table,) = [node.value for node in tree.body if isinstance(node, ast.Assign)
                and node.targets[0].id == 'ARGUMENTS']
    return {entry[0]: entry[1] for entry in ast.literal_eval(_plain(table))}


def test_launch_arguments_do_not_override_the_parameter_file():
    from ris_ros.nodes.launching import PARAMETERS
    arguments = launch_arguments('ris.launch.py')
    assert {name: arguments[name] for name in PARAMETERS} == dict.fromkeys(PARAMETERS, '')
    handed_on = set(PARAMETERS) & set(launch_arguments('demo.launch.py'))
    assert handed_on and all(launch_arguments('demo.launch.py')[name] == '' for name in handed_on)


def _plain(value):
    """Replace computed defaults by a text, so that the table can be read as a literal."""
    class Replace(ast.NodeTransformer):
        def visit_Call(self, node):
            return ast.Constant('computed')

        def visit_JoinedStr(self, node):
            return ast.Constant('computed')
    return Replace().visit(value)


def test_rviz_shows_topics_that_there_are():
    yaml = pytest.importorskip('yaml')
    displays = yaml.safe_load((ROOT / 'config' / 'ris.rviz').read_text())[
        'Visualization Manager']['Displays']
    topics = {display['Topic']['Value'] for display in displays if 'Topic' in display}
    readme = (ROOT / 'README.md').read_text()
    assert {'/image', '/ris_node/markers', '/ris_node/overlay'} <= topics
    for topic in topics:
        name = topic.replace('/ris_node/', '~/') if topic.startswith('/ris_node/') else topic[1:]
        assert f'| `{name}` |' in readme, topic


def test_launch_arguments_fit_the_parameters():
    yaml = pytest.importorskip('yaml')
    from ris_ros.service.parameters import parameter_table
    known = {spec.name: spec.info for spec in parameter_table()}
    given = yaml.safe_load((ROOT / 'config' / 'ris.yaml').read_text())['/**']['ros__parameters']
    flat = {}
    for name, value in given.items():
        flat.update({f'{name}.{inner}': deep for inner, deep in value.items()}
                    if isinstance(value, dict) else {name: value})
    from ris_ros.settings import check
    for name, value in flat.items():
        assert check(known[name], value) == value
        assert known[name].default == value, f'{name}: the file shows another default'


def test_launch_description_with_the_real_launch():
    pytest.importorskip('launch_ros', reason='launch is not on the package index')
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    import launch
    description = get_launch_description_from_python_launch_file(
        str(ROOT / 'launch' / 'ris.launch.py'))
    assert isinstance(description, launch.LaunchDescription)


def test_scripts_are_valid_and_executable():
    for name in ('scripts/demo', 'scripts/test', '.ci/run'):
        assert os.access(ROOT / name, os.X_OK)
        run('bash', '-n', ROOT / name)
    run('bash', '-n', ROOT / 'scripts' / 'setup_env.sh')


def test_requirements_of_the_scripts():
    lines = run(sys.executable, ROOT / 'scripts' / 'requirements.py', '--without', 'torch',
                'models,ros').splitlines()
    assert not any(line.startswith('torch=') for line in lines)
    assert any(line.startswith('torchvision=') for line in lines)
    assert any(line.startswith('ros-rclpy[fastrtps]') for line in lines)


def test_readme_lists_every_parameter_and_outcome():
    from ris_ros.service.parameters import parameter_table
    from ris_ros.studies.pages import filled
    from ris_ros.studies.parameter_docs import MARKS, markdown_table
    from ris_ros.types import Outcome
    assert filled(ROOT / 'README.md', MARKS) == markdown_table(parameter_table()), \
        'run python -m ris_ros.studies.parameter_docs README.md'
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    for outcome in Outcome:
        assert f'| {outcome.code} | {outcome.name} |' in text
    # The two commands a newcomer needs come before everything else.
    assert text.index('scripts/demo') < text.index('scripts/test') < text.index('## ')


# import name -> distribution, where they differ
DISTRIBUTIONS = {'PIL': 'pillow', 'cv2': 'opencv-python-headless', 'yaml': 'PyYAML',
                 'open_clip': 'open_clip_torch', 'segment_anything': 'segment-anything'}


def brought_by(*extras):
    return run(sys.executable, ROOT / 'scripts' / 'requirements.py', ','.join(extras)).lower()


def test_models_bring_what_transformers_asks_for_by_itself():
    lines = brought_by('models').splitlines()
    for marker in ('< "3.11"', '>= "3.11"'):   # Mask2FormerLoss refuses to be built without
        assert any(line.startswith('scipy==') and marker in line for line in lines)


@pytest.mark.parametrize(('part', 'extra'), [
    ('training', 'training'), ('simulation', 'simulation'), ('evaluation', 'evaluation'),
    ('datasets', 'evaluation')])
def test_plain_imports_come_with_the_extra_of_their_part(part, extra):
    lines, checked = brought_by(extra), set()
    for path in (ROOT / 'ris_ros' / part).rglob('*.py'):
        for name in imported(ast.parse(path.read_text()), runtime_only=True):
            top = name.split('.')[0]
            if top not in sys.stdlib_module_names | {'ris_ros'}:
                checked.add(top)
                assert DISTRIBUTIONS.get(top, top).lower() in lines, (
                    f'{path.name}: the extra {extra} does not bring {top}')
    assert 'numpy' in checked


def test_extras_bring_what_the_code_asks_them_for():
    lines = {}
    for path in (ROOT / 'ris_ros').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                    and node.func.id in ('require', 'require_part') and len(node.args) == 2
                    and all(isinstance(arg, ast.Constant) for arg in node.args)):
                module, extra = (arg.value for arg in node.args)
                if extra not in lines:
                    lines[extra] = brought_by(extra)
                name = module.split('.')[0]
                assert DISTRIBUTIONS.get(name, name).lower() in lines[extra], (
                    f'{path.name}: the extra {extra} does not bring {module}')
    assert lines


@pytest.mark.parametrize(('given', 'wanted'), [(None, 'PASSIVE'), ('ACTIVE', 'ACTIVE')])
def test_threads_wait_without_spinning_unless_the_user_says_so(given, wanted):
    environment = {k: v for k, v in os.environ.items() if k != 'OMP_WAIT_POLICY'}
    if given:
        environment['OMP_WAIT_POLICY'] = given
    shown = subprocess.run(
        [sys.executable, '-c', 'import os, ris_ros; print(os.environ["OMP_WAIT_POLICY"])'],
        env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert shown.strip() == wanted
