"""COCO's 80 categories and their split into seen and unseen (zero-shot COCO, 48 and 17)."""
from __future__ import annotations

_LINES = """
person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant
stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe
backpack umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite
baseball_bat baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup fork
knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake
chair couch potted_plant bed dining_table toilet tv laptop mouse remote keyboard
cell_phone microwave oven toaster sink refrigerator book clock vase scissors teddy_bear
hair_drier toothbrush
"""
_NAMES = _LINES.split()
# COCO ids run from 1 to 90 with gaps.
_IDS = (*range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70,
        *range(72, 83), *range(84, 91))
COCO_NAMES = {i: name.replace('_', ' ') for i, name in zip(_IDS, _NAMES, strict=True)}

UNSEEN = frozenset({5, 6, 17, 18, 21, 22, 28, 32, 36, 41, 47, 49, 61, 63, 76, 81, 87})
UNASSIGNED = frozenset({10, 11, 13, 14, 37, 39, 40, 43, 46, 58, 64, 67, 77, 88, 89})
SEEN = frozenset(COCO_NAMES) - UNSEEN - UNASSIGNED


def seen_state(category_id: int | None) -> bool | None:
    """Return True for an unseen category id, False for a seen one, None for neither."""
    if category_id in UNSEEN:
        return True
    return False if category_id in SEEN else None
