"""Relations in the room: what depth decides, and what stays in the picture."""
import numpy as np
import pytest

pytest.importorskip('cv2')

from test_methods_hybridgl import PAPER, inputs, plan

from ris_ros.decision import unheeded
from ris_ros.geometry.planes import SupportPlane
from ris_ros.language import analyse, analyse_expression
from ris_ros.methods.hybridgl.scores import paper_scores
from ris_ros.methods.room import KINDS, Room, compared_kind, relation_kind, supported
from ris_ros.types import Camera, Command, Relation, Target, View

CAMERA = Camera(600, 600, 319.5, 239.5, 640, 480)
# A low view: a plane 0.4 m below the camera, which looks 30 degrees down.
UP = np.array([0, -np.cos(np.pi / 6), -np.sin(np.pi / 6)])
PLANE = SupportPlane(UP, 0.4, np.zeros(6, np.float32), np.zeros((0, 3)), 1.0, 1.0)


def ray(u, v):
    return np.array([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, 1.0])


def depth_at(u, v, height):
    """z of the point of that height above the plane on a pixel's ray."""
    return (height - 0.4) / (UP @ ray(u, v))


def standing(*things):
    """Masks, depth of upright boards: (left, top, width, rows) pixels, heights low, high."""
    v = np.mgrid[:480, :640][0]
    depth = ((0 - 0.4) / (UP[1] * (v - CAMERA.cy) / CAMERA.fy + UP[2])).astype(np.float32)
    masks = np.zeros((len(things), 480, 640), bool)
    for mask, (x, y, w, h, low, high) in zip(masks, things, strict=True):
        mask[y:y + h, x:x + w] = True
        rows = np.linspace(high, low, h)
        for k in range(h):
            depth[y + k, x:x + w] = [depth_at(x + i, y + k, rows[k]) for i in range(w)]
    return masks, View(np.zeros((480, 640, 3), np.uint8), depth, CAMERA)


# 0 near and small, 1 far and tall but no larger in the picture, 2 beside 1
NEAR, FAR, BESIDE = (250, 300, 60, 60, 0, 0.05), (300, 120, 60, 60, 0, 0.12), (
    380, 130, 50, 50, 0, 0.05)


@pytest.fixture(scope='module')
def room():
    masks, view = standing(NEAR, FAR, BESIDE)
    return Room(view, masks, PLANE)


NO = np.zeros((3, 3))


def test_the_room_decides_what_boxes_cannot(room):
    assert room.places.known.all()
    assert room.holds('behind', NO)[1, 0] == 1 and room.holds('front', NO)[0, 1] == 1
    assert room.holds('nearest', NO)[0, 1:].tolist() == [1, 1]
    assert room.holds('farthest', NO)[1, 0] == 1
    assert room.holds('taller', NO)[1].tolist() == [1, 0, 1]
    assert room.holds('shorter', NO)[0, 1] == 1
    # 60 pixels a side each, and the far one is the larger thing
    assert room.holds('bigger', NO)[1, 0] == 1 and room.holds('smaller', NO)[0, 1] == 1
    near = room.holds('next_to', NO)
    assert near[1, 2] > 0.5 > near[0, 1]


def test_on_needs_both_the_place_and_the_height():
    masks, view = standing((250, 250, 120, 100, 0.0, 0.02), (290, 220, 40, 50, 0.02, 0.09),
                           (400, 250, 40, 60, 0.0, 0.07))
    masks[0] &= ~masks[1]
    on = Room(view, masks, PLANE).holds('on', NO)
    assert on[1, 0] == 1 and on.sum() == 1


def test_left_right_between_and_inside_stay_in_the_picture(room):
    picture = np.arange(9.0).reshape(3, 3)
    for kind in ('left', 'right', 'above', 'below', 'inside', 'between', ''):
        assert kind not in KINDS and (room.holds(kind, picture) == picture).all()


def test_where_a_place_is_not_known_the_picture_answers():
    masks, view = standing(NEAR, FAR, BESIDE)
    view.depth[masks[0]] = np.nan
    picture = np.full((3, 3), 0.25)
    found = Room(view, masks, PLANE).holds('behind', picture)
    assert (found[0] == 0.25).all() and (found[:, 0] == 0.25).all() and found[1, 2] in (0, 1)
    for blind in (View(view.rgb), View(view.rgb, view.depth), View(view.rgb, None, CAMERA)):
        unseen = Room(blind, masks, PLANE)
        assert unseen.places is None and (unseen.holds('behind', picture) == picture).all()


def test_a_plane_is_found_where_the_proposer_had_none():
    masks, view = standing(NEAR, FAR, BESIDE)
    found = Room(view, masks)
    assert found.places is not None and found.holds('behind', NO)[1, 0] == 1


@pytest.mark.parametrize('text, kind', [
    ('the tallest mug', 'taller'), ('the shorter bottle', 'shorter'),
    ('the biggest box', 'bigger'), ('the small bowl', 'smaller'),
    ('the closest mug', 'nearest'), ('the mug nearest to the camera', 'nearest'),
    ('the farthest cup', 'farthest'), ('the mug furthest away', 'farthest'),
    ('the red mug', None), ('the mug nearest to the bowl', None),
    ('the mug nearest the bowl', None), ('the closest mug to the bowl', None)])
def test_what_compares_a_thing_with_its_likes(text, kind):
    assert compared_kind(analyse_expression(text).command.target) == kind


def test_nearness_to_a_thing_is_a_relation_and_no_view():
    for text in ('the mug nearest to the bowl', 'the mug nearest the bowl',
                 'the mug closest to the bowl'):
        target = analyse_expression(text).command.target
        assert target.view is None
        assert [(r.type, r.object) for r in target.relations] == [('next_to', 'bowl')], text


def test_taller_than_means_height():
    target = Target('the can taller than the mug', relations=(Relation('bigger', 'mug'),))
    assert relation_kind('bigger', target) == 'taller'
    assert relation_kind('behind', target) == 'behind'
    assert relation_kind('bigger', Target('the can bigger than the mug')) == 'bigger'


class Known:
    """A room that knows one relation."""

    def __init__(self, kind, matrix):
        self.kind, self.matrix, self.places = kind, np.array(matrix, float), object()

    def holds(self, kind, picture):
        return self.matrix if kind == self.kind else picture


def test_hybridgl_asks_the_room_and_says_what_it_heeds():
    nearest = np.zeros((4, 4))
    nearest[0, 1:] = 1   # the left mug is the nearest of all
    x = inputs()
    target = Target('the mug closest to me', 'mug', view='nearest')
    plain = paper_scores(x, plan('big'), PAPER, target)
    assert plain.heeded == () and int(plain.final.argmax()) == 1
    x = type(x)(**{**vars(x), 'room': Known('nearest', nearest)})
    found = paper_scores(x, plan('big'), PAPER, target)
    assert found.heeded == ('view',) and int(found.final.argmax()) == 0
    command = Command('the mug closest to me', target=target)
    assert unheeded(command) and not unheeded(command, fields=found.heeded)


def test_without_a_plane_nearness_stays_unheeded():
    masks, _ = standing(NEAR)
    x = inputs()
    blind = Room(View(np.zeros((480, 640, 3), np.uint8)), np.repeat(masks, 4, axis=0))
    x = type(x)(**{**vars(x), 'room': blind})
    assert paper_scores(x, plan('big'), PAPER, Target('e', view='nearest')).heeded == ()


def test_support_weighs_likes_and_other_things():
    apart = ~np.eye(3, dtype=bool)
    behind = np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]])
    target = Target('the mug behind the can', relations=(Relation('behind', 'can'),))
    can = np.array([0.0, 0.1, 0.9])
    found = supported(Known('behind', behind), target, np.ones(3) / 3, [can], apart)
    assert found == pytest.approx([0.9, 0, 0])
    left = Target('the mug left of the can', relations=(Relation('left', 'can'),))
    assert supported(Known('behind', behind), left, np.ones(3) / 3, [can], apart) is None
    tall = Target('the tallest mug', attributes=('tallest',))
    taller = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    found = supported(Known('taller', taller), tall, np.ones(3) / 3, [], apart)
    assert found == pytest.approx([2 / 3, 1 / 3, 0])


def test_a_command_with_a_nearest_thing_is_read():
    target = analyse('pick up the mug closest to the camera').command.target
    assert target is not None and target.view == 'nearest'
