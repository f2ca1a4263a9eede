"""Which masks a method chooses among: SAM's, those of depth, or both."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('cv2')

from ris_ros.decision import decide
from ris_ros.methods.options import OutcomeSettings
from ris_ros.methods.proposers import DepthProposer, proposer_of
from ris_ros.methods.regions import scene_of
from ris_ros.methods.registry import methods
from ris_ros.models.options import ProposalSettings
from ris_ros.models.proposals import Proposals
from ris_ros.settings import describe
from ris_ros.types import Camera, Command, Grounding, Target, View

CAMERA = Camera(600, 600, 319.5, 239.5, 640, 480)
THING = np.zeros((480, 640), bool)
THING[200:260, 300:380] = True
FLAT = np.zeros((480, 640), bool)
FLAT[50:100, 50:150] = True


def view(thing=True, depth=True, camera=CAMERA):
    metres = np.full((480, 640), 0.8, np.float32)
    if thing:
        metres[THING] = 0.72
    rgb = np.zeros((480, 640, 3), np.uint8)
    rgb[THING] = 200
    return View(rgb, metres if depth else None, camera)


class Sam:
    """A proposer that knows its answer and counts how often it is asked."""

    def __init__(self, *masks):
        self.masks, self.asked, self.points = np.stack(masks), 0, None

    def propose(self, _):
        self.asked += 1
        return Proposals.of(torch.from_numpy(self.masks), source='sam')

    def propose_at(self, _, points):
        self.points = points
        return Proposals.of(torch.from_numpy(self.masks), source='sam')


class Networks:
    """Networks of a profile, of which only the proposer is asked for."""

    def __init__(self, sam):
        self.sam = sam

    def proposer(self, _):
        if self.sam is None:
            raise AssertionError('no network is wanted')
        return self.sam


def propose(choice, sam, seen):
    return proposer_of(Networks(sam), ProposalSettings(proposals=choice)).propose(seen)


def test_sam_proposes_as_it_did_where_it_is_asked_for():
    sam = Sam(FLAT)
    assert ProposalSettings().proposals == 'auto'
    assert proposer_of(Networks(sam), ProposalSettings(proposals='sam')) is sam


def test_depth_alone_loads_no_network():
    found = propose('depth', None, view())
    assert found.masks.tolist() == [THING.tolist()]
    assert found.boxes.tolist() == [[300, 200, 80, 60]] and found.note == ''
    assert found.scores.dtype == torch.float32


def test_auto_takes_depth_and_does_not_ask_sam():
    sam = Sam(FLAT)
    found = propose('auto', sam, view())
    assert found.masks.tolist() == [THING.tolist()] and found.source == 'depth'
    assert sam.asked == 0 and sam.points is None


def seen_with_paper():
    seen = view()
    seen.rgb[FLAT] = 250, 240, 60
    return seen


def test_auto_asks_sam_at_what_lies_flat_in_another_colour_and_only_there():
    elsewhere = np.roll(FLAT, 250, axis=1)
    sam = Sam(FLAT, elsewhere)
    found = propose('auto', sam, seen_with_paper())
    (x, y), = sam.points
    assert FLAT[int(y), int(x)] and sam.asked == 0
    assert found.masks.tolist() == [THING.tolist(), FLAT.tolist()]
    assert found.source == 'depth+sam'
    assert len(found.boxes) == len(found.scores) == len(found.stability) == 2


def test_what_sam_draws_outside_of_the_uncovered_is_not_taken():
    found = propose('auto', Sam(np.roll(FLAT, 250, axis=1)), seen_with_paper())
    assert found.masks.tolist() == [THING.tolist()] and found.source == 'depth'


def test_auto_asks_sam_at_what_was_not_measured():
    seen = view()
    seen.depth[FLAT] = np.nan
    seen.depth[30:50, 40:160] = 1.4   # so that no plane rings it, which depth would propose
    seen.depth[100:130, 40:160] = 1.4
    sam = Sam(FLAT)
    found = propose('auto', sam, seen)
    assert sam.points is not None and any(FLAT[int(y), int(x)] for x, y in sam.points)
    assert FLAT.tolist() in found.masks.tolist()


@pytest.mark.parametrize(('seen', 'note'), [
    (view(depth=False), ''), (view(camera=None), 'no camera for the depth'),
    (view(thing=False), 'nothing stands on the plane')])
def test_auto_falls_back_on_sam_and_says_why(seen, note):
    found = propose('auto', Sam(FLAT), seen)
    assert found.masks.tolist() == [FLAT.tolist()] and found.source == 'sam'
    assert note in found.note and bool(note) == bool(found.note)


def test_both_leaves_out_what_is_the_same():
    nearly = THING.copy()
    nearly[200:203] = False
    found = propose('both', Sam(nearly, FLAT), view())
    assert found.masks.tolist() == [THING.tolist(), FLAT.tolist()]
    assert len(found.boxes) == len(found.scores) == len(found.stability) == 2
    assert found.source == 'depth+sam'


def test_depth_without_any_depth_proposes_nothing_and_the_answer_says_so():
    found = DepthProposer('depth').propose(view(depth=False))
    assert len(found) == 0 and 'there is no depth image' in found.note
    assert found.source == 'depth'
    scene = scene_of('any', view(depth=False), found.to('cpu'), {}, {})
    none = Grounding(np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    answer = decide(scene, none, Command('the mug', target=Target('the mug')), OutcomeSettings())
    assert answer.notes == (found.note,)


def test_every_method_over_proposals_has_the_choice():
    for cls in {info.settings_class() for info in methods().values()}:
        if issubclass(cls, ProposalSettings):
            choice = next(info for info in describe(cls) if info.name == 'proposals')
            assert {'auto', 'sam', 'depth', 'both'} <= set(choice.choices) and choice.builds
