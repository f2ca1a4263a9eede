"""Where depth cannot tell whether there is a thing."""
import numpy as np
import pytest

pytest.importorskip('cv2')

from ris_ros.geometry.objects import objects_from_depth
from ris_ros.geometry.uncovered import MOST_REGIONS, prompts, uncovered
from ris_ros.types import Camera, View

SIZE = (480, 640)
YES, NO = np.ones(SIZE, bool), np.zeros(SIZE, bool)
NONE = np.zeros((0, *SIZE), bool)
PLACE = (slice(200, 260), slice(300, 400))


def table(colour=(120, 110, 100)):
    return np.full((*SIZE, 3), colour, np.uint8)


def test_an_empty_table_of_any_pattern_has_nothing():
    assert not uncovered(table(), YES, YES, NO, NONE).any()
    checker = table()
    checker[(np.indices(SIZE) // 40).sum(0) % 2 > 0] = 200, 190, 30
    assert not uncovered(checker, YES, YES, NO, NONE).any()


def test_paper_is_found_and_its_shadow_is_not():
    seen = table()
    seen[PLACE] = 250, 250, 245
    seen[300:360, 300:400] = 60, 55, 50    # the table at half its brightness
    found = uncovered(seen, YES, YES, NO, NONE)
    assert found[PLACE].mean() > 0.9 and not found[280:].any()


def test_a_black_card_is_no_shadow():
    seen = table()
    seen[PLACE] = 12, 11, 12
    assert uncovered(seen, YES, YES, NO, NONE)[PLACE].mean() > 0.9


def test_what_a_mask_covers_is_not_asked_for_again():
    seen = table()
    seen[PLACE] = 250, 250, 245
    mask = np.zeros((1, *SIZE), bool)
    mask[0][PLACE] = True
    assert not uncovered(seen, YES, YES, NO, mask).any()


def test_unmeasured_blotches_on_the_table_count_and_thin_shadows_do_not():
    measured = YES.copy()
    measured[PLACE] = False
    measured[100:200, 100:108] = False
    found = uncovered(table(), measured, measured, NO, NONE)
    assert found[PLACE].mean() > 0.9 and not found[:, :150].any()


def test_the_room_behind_the_table_is_left_alone():
    flat, measured = NO.copy(), YES.copy()
    flat[240:] = True
    measured[20:120, 100:200] = False
    assert not uncovered(table(), measured, flat, NO, NONE).any()


def test_regions_are_bounded_and_the_largest_kept():
    seen, measured = table(), YES.copy()
    for i in range(MOST_REGIONS + 4):
        row, column = divmod(i, 4)
        measured[20 + 110 * row:50 + 110 * row + i, 30 + 150 * column:70 + 150 * column] = False
    found = uncovered(seen, measured, measured, NO, NONE)
    assert len(prompts(found)) == MOST_REGIONS and not found[30, 50]


def test_prompts_are_the_middle_of_each_region():
    regions = NO.copy()
    regions[PLACE] = True
    regions[20:61, 20:61] = True
    points = prompts(regions)
    assert points.shape == (2, 2) and all(regions[int(y), int(x)] for x, y in points)
    assert np.abs(points[0] - 40).max() <= 1
    assert prompts(NO).shape == (0, 2)


def test_objects_say_what_they_leave_uncovered_at_the_views_own_size():
    depth = np.full((960, 1280), 0.8, np.float32)
    depth[400:520, 600:760] = 0.72
    seen = np.full((960, 1280, 3), 90, np.uint8)
    seen[100:220, 200:400] = 250, 240, 60
    found = objects_from_depth(View(seen, depth, Camera(1200, 1200, 639.5, 479.5, 1280, 960)))
    assert found.uncovered.shape == (960, 1280) and len(found.masks) == 1
    assert found.uncovered[100:220, 200:400].mean() > 0.9
    assert not found.uncovered[400:520, 600:760].any()
    blind = objects_from_depth(View(seen, depth * np.nan,
                                    Camera(1200, 1200, 639.5, 479.5, 1280, 960)))
    assert blind.uncovered.all(), 'nobody looked'
