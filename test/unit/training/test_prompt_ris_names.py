"""Kinds and colours of every patch, a lesson before sentences; and how many go on to SAM."""
import dataclasses

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')
import numpy as np
from prompt_ris_networks import small_network
from prompt_ris_training import SquareSource, small_settings, table, task

from ris_ros.simulation.catalogue import COLOURS, KINDS
from ris_ros.training.engine.draws import draw
from ris_ros.training.engine.fit import fit
from ris_ros.training.prompt_ris.names import NameTable
from ris_ros.training.prompt_ris.settings import check_training
from ris_ros.training.prompt_ris.task import PromptRisTask
from ris_ros.types import BadInputError


class Store:
    """Two pictures: a red mug on the left half of the first, something unknown on the second."""

    def __init__(self, count=2):
        names = [(('mug',), ('red',)), (('vase',), ('red',))]
        self.truths = [type('Truth', (), {'kinds': k, 'colours': c})
                       for k, c in (names[i % 2] for i in range(count))]

    @staticmethod
    def instances(scene):
        picture = np.zeros((48, 64), np.uint8)
        picture[:24, :32] = 1
        return picture


def test_shares_of_every_patch():
    shares = NameTable(Store(), (2, 4), 'cpu').of(
        {'rows': torch.tensor([0, 0, 1]), 'mirror': torch.tensor([False, True, False])})
    kinds, colours = shares.split((len(KINDS) + 1, len(COLOURS) + 1), dim=1)
    assert torch.allclose(kinds.sum(1), torch.ones(3, 2, 4))
    assert torch.allclose(colours.sum(1), torch.ones(3, 2, 4))
    mug, red = list(KINDS).index('mug') + 1, list(COLOURS).index('red') + 1
    there = torch.tensor([[1., 1, 0, 0], [0, 0, 0, 0]])
    assert torch.equal(kinds[0, mug], there) and torch.equal(colours[0, red], there)
    assert torch.equal(kinds[1, mug], there.flip(1))
    # A kind that training does not know counts as none; its colour is known.
    assert torch.equal(kinds[2, 0], torch.ones(2, 4)) and torch.equal(colours[2, red], there)


def test_patches_at_an_edge_are_shared():
    class Edge(Store):
        @staticmethod
        def instances(scene):
            picture = np.zeros((48, 64), np.uint8)
            picture[:, :8] = 1
            return picture
    shares = NameTable(Edge(1), (3, 4), 'cpu').shares[0]
    assert shares[list(KINDS).index('mug') + 1, 0].tolist() == [0.5, 0, 0, 0]


def lesson(settings, count=6):
    """Return a task with names."""
    network = small_network(random_prompts=False)
    frames = table(count, settings.loss_scale, True, False, network)
    names = NameTable(Store(count), frames.layout.grid, 'cpu')
    return PromptRisTask(network, SquareSource(count, settings.images, settings.sentences),
                         frames, settings, (0.5,) * 3, (0.5,) * 3, names=names)


def test_the_lesson_comes_first_and_stays():
    settings = small_settings(freeze_clip=False, names_part=0.3, coarse_part=0.6,
                              names_weight=0.5)
    made = lesson(settings)
    batch = draw(made.source, 0, 0, 0.0)
    torch.manual_seed(0)
    loss, first = made.loss(batch, 0.29)
    assert set(first) == {'names'} and loss == first['names']
    loss.backward()
    learned = {n.split('.')[0] for n, p in made.network.named_parameters() if p.grad is not None}
    assert learned == {'clip'}
    assert set(made.loss(batch, 0.5)[1]) == {'names', 'coarse_cross', 'coarse_dice', 'coarse_icl'}
    without = task(settings)
    assert 'names' not in without.loss(batch, 0.5)[1]


def test_the_head_learns_and_is_not_kept(tmp_path):
    settings = small_settings(steps=30, rate=1e-2, freeze_clip=False, names_part=1.0,
                              optimiser='muon', clip_rate=0.5)
    made = lesson(settings)
    batch = draw(made.source, 0, 0, 0.0)
    before = float(made.loss(batch, 0.0)[0])
    fit(made, settings, tmp_path)
    assert float(made.loss(batch, 0.0)[0]) < 0.7 * before
    assert not any(name.startswith('names') for name in made.network.state_dict())
    assert made.scale_of('network.clip.visual.conv1.weight') == 0.5
    assert made.scale_of('names.out.weight') == 1


def test_a_part_of_the_sentences_goes_on_to_sam(monkeypatch):
    made = task(small_settings(coarse_part=0.0, refined=2))
    batch = draw(made.source, 0, 0, 0.0)
    seen = []
    plain = made.network.refine
    monkeypatch.setattr(made.network, 'refine',
                        lambda picture, coarse, *a: seen.append(coarse) or
                        plain(picture, coarse, *a))
    _, parts = made.loss(batch, 0.5)
    assert len(seen[0].logits) == 2 * made.settings.images
    assert parts['final_dice'] > 0
    coarse = made.network.coarse(made.network.look(
        made.frames.layout, made.pixels(made.frames.shown(batch).pixels)), batch['tokens'])
    rows = torch.arange(16).view(4, 4)[:, :2].flatten()
    torch.testing.assert_close(seen[0].logits, coarse.logits[rows])


@pytest.mark.parametrize(('changes', 'words'), [
    ({'names_part': 0.1, 'curves': 'each'}, 'set curves=one'),
    ({'refined': 1}, 'icl compares'), ({'refined': 9}, 'more than sentences')])
def test_settings_that_contradict(changes, words):
    with pytest.raises(BadInputError, match=words):
        check_training(dataclasses.replace(small_settings(), **changes))
