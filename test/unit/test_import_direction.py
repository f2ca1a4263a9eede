"""Imports point one way, in no circle, and only the rooms of ROS know ROS."""
import ast
import functools

import pytest

from ris_ros.studies.import_map import (
    BASE,
    ROOT,
    circles,
    imported,
    module_graph,
    modules,
    needed_arrows,
    room_graph,
    room_of,
)

# room -> rooms it may import besides itself and the base; what stands here is the design.
METHODS = {'methods', 'profiles', 'models', 'language', 'geometry'}
USE = METHODS | {'segmenter', 'decision', 'dialogue', 'target', 'overlay'}
DATA = {'datasets', 'simulation'}
ALLOWED = {
    'types': set(), 'lazy': set(), 'settings': set(), 'files': set(),
    'pictures': set(), 'geometry': set(), 'language': set(), 'models': set(),
    'overlay': {'geometry'},
    'profiles': {'models'},
    'methods': METHODS,
    'decision': {'geometry', 'methods', 'language'}, 'dialogue': {'decision', 'language'},
    'target': {'geometry'},
    'segmenter': METHODS | {'decision'},
    'simulation': {'geometry'}, 'datasets': {'simulation', 'geometry'},
    'arguments': METHODS | {'segmenter'},
    'service': USE,
    'evaluation': USE | DATA,
    'training': USE | DATA | {'evaluation'},
    'studies': USE | DATA | {'evaluation', 'training', 'service', 'arguments'},
    'nodes': USE | {'service', 'client'},
    'demo': USE | DATA | {'service', 'nodes', 'arguments'},
    'client': set(),
    'cli': USE | DATA | {'evaluation', 'training', 'studies', 'service', 'arguments', 'client'},
    '': {'segmenter', 'dialogue', 'types'},
}
ROS_ROOMS = {'nodes', 'demo', 'client'}
# Pairs of rooms that still import each other; the list only gets shorter.
PENDING: list[list[str]] = []
ROS_MODULES = {'rclpy', 'rcl_interfaces', 'sensor_msgs', 'std_msgs', 'std_srvs', 'geometry_msgs',
               'visualization_msgs', 'diagnostic_msgs', 'lifecycle_msgs', 'builtin_interfaces',
               'action_msgs', 'ament_index_python', 'launch', 'launch_ros', 'tf2_ros'}
HEAVY = {'torch', 'torchvision', 'spacy', 'open_clip', 'segment_anything', 'cv2', 'mujoco',
         'transformers', 'nltk', 'ray', 'matplotlib'}
MODULES = modules()
GRAPH = module_graph()


@functools.cache
def parse(path):
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


@pytest.mark.parametrize('module', MODULES)
def test_imports_point_one_way(module):
    room = room_of(module)
    assert room in ALLOWED, f'{room} has no place in the import order yet'
    allowed = ALLOWED[room] | set(BASE) | {room, ''}
    allowed |= {other for pair in PENDING if room in pair for other in pair}
    for name in GRAPH[module]:
        assert room_of(name) in allowed, f'{module} imports {name}'


@pytest.mark.parametrize('module', MODULES)
def test_type_checkers_see_no_import_from_below_to_the_top(module):
    room = room_of(module)
    for name in imported(parse(MODULES[module]), runtime_only=False):
        if name.startswith('ris_ros.') and room_of(name) in ROS_ROOMS | {'cli'}:
            known = any({room, room_of(name)} == set(pair) for pair in PENDING)
            assert known or room in ROS_ROOMS | {'cli'}, f'{module} names {name}'


@pytest.mark.parametrize('module', MODULES)
def test_imports_are_absolute(module):
    for node in ast.walk(parse(MODULES[module])):
        assert not isinstance(node, ast.ImportFrom) or node.level == 0, module


@pytest.mark.parametrize('module', MODULES)
def test_only_the_rooms_of_ros_import_ros(module):
    if room_of(module) not in ROS_ROOMS:
        tree = parse(MODULES[module])
        found = {n.split('.')[0] for n in imported(tree, runtime_only=False)} & ROS_MODULES
        assert not found, f'{module} imports {found}'


def test_no_files_import_each_other_in_a_circle():
    # The package's own __init__ hands the facade on by name and is imported for its version.
    graph = {m: wanted - {'ris_ros'} for m, wanted in GRAPH.items()}
    assert circles(graph) == []


def test_no_rooms_import_each_other():
    rooms = {room: wanted - {''} for room, wanted in room_graph(GRAPH).items()}
    assert circles(rooms) == PENDING


def test_every_room_of_the_order_exists():
    assert set(room_graph(GRAPH)) <= set(ALLOWED)


def test_circles_are_found_and_arrows_reduced():
    graph = {'a': {'b', 'c'}, 'b': {'c'}, 'c': {'d'}, 'd': {'b'}, 'e': set()}
    assert circles(graph) == [['b', 'c', 'd']]
    assert circles({'a': {'b'}, 'b': {'a'}, 'c': {'c'}}) == [['a', 'b'], ['c']]
    assert needed_arrows({'a': {'b', 'c'}, 'b': {'c'}, 'c': set()}) == {
        'a': {'b'}, 'b': {'c'}, 'c': set()}


@pytest.mark.parametrize('name', ['types', 'settings', 'lazy', 'files', 'pictures', 'segmenter',
                                  'decision', 'profiles', 'overlay', 'methods.registry',
                                  'methods.options', 'methods.base',
                                  'methods.spatial', 'methods.hybridgl.method',
                                  'methods.baselines.clip_only', 'models.options',
                                  'models.weights', 'models.fetch', 'models.sam', 'models.clip',
                                  'models.tokenizer', 'cli.main', 'cli.methods', 'cli.models',
                                  'cli.segment', 'cli.train', 'training.tabletop.command',
                                  'training.tabletop.settings', 'training.engine.options'])
def test_light_modules_do_not_pull_in_heavy_libraries(name):
    """Checked on the source: following runtime imports at module level only."""
    seen, waiting = set(), [f'ris_ros.{name}']
    while waiting:
        module = waiting.pop()
        if module in seen or module not in MODULES:
            continue
        seen.add(module)
        tree = parse(MODULES[module])
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


def test_the_root_is_this_checkout():
    assert (ROOT / 'types.py').is_file()
