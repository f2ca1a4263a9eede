"""Relations and sizes in the room, where depth is there.  Source: ours; no paper decides so.

On, in front, behind, next to, bigger, smaller, taller, shorter, closest and farthest are decided
by where things stand and how large they are in metres; left, right, between, inside, above and
below stay in the picture, as people use the words in front of one.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ris_ros.geometry.camera import check_camera
from ris_ros.geometry.places import Places, places_of
from ris_ros.geometry.planes import SupportPlane, support_planes
from ris_ros.types import BadInputError, Target, View

if TYPE_CHECKING:
    from ris_ros.models.proposals import Proposals

NEAR_M = 0.16       # between the middles of footprints at which nearness is one half
OVER = 0.5          # share of a thing's readings over what it stands on
LIFTED = 0.5        # its bottom over the top of what it stands on
# Relation types of a command that the room decides.
KINDS = frozenset({'on', 'front', 'behind', 'next_to', 'bigger', 'smaller', 'taller', 'shorter',
                   'nearest', 'farthest'})
VIEWS = ('nearest', 'farthest')   # of these, what compares by the distance from the viewer
# Words that compare a thing with its likes.
_COMPARED = (('taller', re.compile(r'\b(?:tallest|taller|highest|higher)\b')),
             ('shorter', re.compile(r'\b(?:shortest|shorter|lowest|lower)\b')),
             ('bigger', re.compile(r'\b(?:biggest|bigger|largest|larger|big|large|huge|giant)\b')),
             ('smaller', re.compile(
                 r'\b(?:smallest|smaller|tiniest|tinier|tiny|small|littlest|little)\b')))
_THAN = re.compile(r'\b(?P<word>taller|higher|shorter|less tall) than\b')


@dataclass(frozen=True, eq=False)
class Room:
    """The room of a view with N masks; worked out when first asked, then kept.

    plane: what things stand on, where the proposer found it.
    """

    view: View
    masks: np.ndarray
    plane: SupportPlane | None = None

    @classmethod
    def of(cls, view: View, host: Proposals) -> Room:
        """Return the room of a view's proposals, which are on the CPU."""
        return cls(view, host.masks.numpy(), host.support)

    @cached_property
    def places(self) -> Places | None:
        """Where the things are; None without depth, camera or a plane that they stand on."""
        view = self.view
        if view.depth is None or view.camera is None:
            return None
        try:
            check_camera(view.camera, view.size)
        except BadInputError:   # told by whoever measures with it
            return None
        plane = self.plane or next(iter(support_planes(view.depth, view.camera, limit=1)), None)
        return None if plane is None else places_of(self.masks, view.depth, view.camera, plane)

    def holds(self, kind: str, picture: np.ndarray) -> np.ndarray:
        """Return how far "a is <kind> b" holds for all pairs, (N, N) float64 in [0, 1].

        kind: from KINDS; any other is left as it is in the picture.  picture: (N, N), the same
        as the picture has it, which stays where the place of one of the two is not known.
        """
        places = self.places
        if places is None or kind not in KINDS:
            return picture
        both = places.known[:, None] & places.known[None]
        with np.errstate(invalid='ignore'):
            return np.where(both, _matrix(kind, places), picture)


def _matrix(kind: str, places: Places) -> np.ndarray:
    if kind == 'next_to':
        return 1 / (1 + (places.apart / NEAR_M) ** 4)
    if kind == 'on':
        lifted = places.bottom[:, None] > LIFTED * places.top[None]
        return ((places.over >= OVER) & lifted).astype(np.float64)
    value = {'front': -places.middle[:, 1], 'behind': places.middle[:, 1],
             'nearest': -places.range, 'farthest': places.range, 'bigger': places.size,
             'smaller': -places.size, 'taller': places.top, 'shorter': -places.top}[kind]
    return (value[:, None] > value[None]).astype(np.float64)


def supported(room: Room, target: Target | None, likes: np.ndarray,
              others: Sequence[np.ndarray], apart: np.ndarray) -> np.ndarray | None:
    """Return how far what the room decides of a target holds of each mask, (N,) in [0, 1].

    likes: (N,) how likely each mask is called as the target; sums to 1.  others: the same for the
    object of each of the target's relations.  apart: (N, N) bool, which masks are two things.
    Where a place is not known a relation is as likely as not.  None where the room decides
    nothing.
    """
    if target is None or not decides(target) or room.places is None:
        return None
    stated = [(relation_kind(r.type, target), q)
              for r, q in zip(target.relations, others, strict=True)]
    compared = compared_kind(target)
    stated += [(compared, likes)] if compared else []
    decided = [(kind, q) for kind, q in stated if kind in KINDS]
    out, unknown = np.ones(len(likes)), np.full(apart.shape, 0.5)
    for kind, q in decided:
        out *= (room.holds(kind, unknown) * apart) @ q
    return out


def decides(target: Target) -> bool:
    """Return whether the room decides anything of what is said of a target.

    >>> decides(Target('the tallest mug', 'mug', ('tallest',))), decides(Target('the red mug'))
    (True, False)
    """
    return compared_kind(target) is not None or any(
        relation_kind(r.type, target) in KINDS for r in target.relations)


def relation_kind(kind: str, target: Target) -> str:
    """Return a stated relation's kind: "taller than" says bigger, and means height.

    kind: the type of one of the target's relations.

    >>> relation_kind('bigger', Target('the can taller than the mug'))
    'taller'
    """
    said = _THAN.search(target.expression.lower())
    if said is None or kind not in ('bigger', 'smaller'):
        return kind
    return 'taller' if said['word'] in ('taller', 'higher') else 'shorter'


def compared_kind(target: Target | None) -> str | None:
    """Return the kind by which the target is compared with its likes, None where it is not.

    >>> compared_kind(Target('the tallest mug', 'mug', ('tallest',)))
    'taller'
    >>> compared_kind(Target('the mug closest to me', 'mug', view='nearest'))
    'nearest'
    """
    if target is None or target.relations:
        return None
    if target.view is not None:
        return target.view
    words = ' '.join(target.attributes).lower()
    return next((kind for kind, pattern in _COMPARED if pattern.search(words)), None)
