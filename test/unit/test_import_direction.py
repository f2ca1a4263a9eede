"""Imports point one way: nodes, cli -> segmenter -> methods -> models, language, geometry."""
import ast
from pathlib import Path

import pytest

import ris_ros

ROOT = Path(ris_ros.__file__).parent

# part -> parts of the package it may import besides itself and the shared base.
BASE = {'types', 'lazy', 'settings'}
ALLOWED = {
    'types': set(), 'lazy': set(), 'settings': set(),
    'geometry': set(), 'language': set(), 'models': set(),
    'methods': {'models', 'language', 'geometry'},
    'profiles': {'models'},
    'segmenter': {'methods', 'models', 'language', 'profiles'},
    'overlay': {'geometry'},
    'target': {'geometry'},
    'simulation': {'geometry', 'datasets'}, 'datasets': {'simulation'},
    'evaluation': {'segmenter', 'datasets', 'geometry', 'overlay', 'methods', 'language'},
    'training': {'models', 'methods', 'language', 'simulation', 'datasets', 'evaluation',
                 'geometry', 'profiles', 'segmenter'},
    'studies': {'evaluation', 'segmenter', 'datasets', 'methods', 'language', 'profiles'},
    'service': {'segmenter', 'profiles', 'geometry', 'nodes'},
    '': {'segmenter'},
}
EVERYTHING = {'nodes', 'demo', 'cli'}
ROS_ROOMS = {'nodes', 'demo'}
ROS_MODULES = {'rclpy', 'rcl_interfaces', 'sensor_msgs', 'std_msgs', 'std_srvs', 'geometry_msgs',
               'visualization_msgs', 'diagnostic_msgs', 'lifecycle_msgs', 'builtin_interfaces',
               'action_msgs', 'ament_index_python', 'launch', 'launch_ros', 'tf2_ros'}
HEAVY = {'torch', 'torchvision', 'spacy', 'open_clip', 'segment_anything', 'cv2', 'mujoco',
         'transformers', 'nltk', 'ray', 'matplotlib'}


def part_of(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '' if parts == ('__init__',) else parts[0]


def imported(tree, runtime_only=False):
    """Yield the absolute names that a module imports; without those only type checkers see."""
    skipped = set()
    if runtime_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
                skipped |= {id(n) for part in node.body for n in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'imports are absolute in this package'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def modules():
    return sorted(p for p in ROOT.rglob('*.py') if 'data' not in p.relative_to(ROOT).parts)


def parse(path):
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


@pytest.mark.parametrize('path', modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    part = part_of(path)
    if part in EVERYTHING:
        allowed = set(ALLOWED) | EVERYTHING
    else:
        assert part in ALLOWED, f'{part} has no place in the import order yet'
        allowed = ALLOWED[part] | BASE | {part}
    # What only a type checker reads makes no dependency, but must not point at the top.
    for name in imported(parse(path), runtime_only=True):
        top, _, rest = name.partition('.')
        if top == 'ris_ros' and rest and rest != '__version__':
            assert rest.split('.')[0] in allowed, f'{path} imports {name}'
    for name in imported(parse(path)):
        if part not in EVERYTHING:
            assert part == 'service' or not name.startswith(
                ('ris_ros.nodes', 'ris_ros.demo', 'ris_ros.cli')), f'{path}: {name}'


@pytest.mark.parametrize('path', modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_nodes_import_ros(path):
    if part_of(path) not in ROS_ROOMS:
        found = {n.split('.')[0] for n in imported(parse(path))} & ROS_MODULES
        assert not found, f'{path} imports {found}'


@pytest.mark.parametrize('name', ['types', 'settings', 'lazy', 'segmenter', 'profiles', 'overlay',
                                  'methods.registry', 'methods.options', 'methods.base',
                                  'methods.spatial', 'methods.hybridgl.method',
                                  'methods.baselines.clip_only',
                                  'models.options', 'models.weights', 'models.fetch',
                                  'models.sam', 'models.clip', 'models.tokenizer', 'cli.main',
                                  'cli.methods', 'cli.models', 'cli.segment'])
def test_light_modules_do_not_pull_in_heavy_libraries(name):
    """Checked on the source: following runtime imports at module level only."""
    seen, waiting = set(), [f'ris_ros.{name}']
    while waiting:
        module = waiting.pop()
        path = ROOT.joinpath(*module.split('.')[1:]).with_suffix('.py')
        if not path.exists():
            path = path.with_suffix('') / '__init__.py'
        if module in seen or not path.exists():
            continue
        seen.add(module)
        tree = parse(path)
        top_level = ast.Module(
            [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        assert not (heavy := {n.split('.')[0] for n in imported(top_level)} & HEAVY), \
            f'{module} imports {heavy} at its top, reached from {name}'
        requires = [n for n in tree.body if isinstance(n, ast.If)
                    and 'TYPE_CHECKING' in ast.unparse(n.test) and n.orelse]
        assert not requires, f'{module} needs its library at import, reached from {name}'
        for imported_name in imported(top_level):
            if imported_name.startswith('ris_ros.'):
                waiting += [imported_name, imported_name.rpartition('.')[0]]
