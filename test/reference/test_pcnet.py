"""PCNet's stages and losses equal the authors' code, and the paper's equations, step by step."""
import numpy as np
import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')

import reference

from ris_ros.methods.pcnet.referring import RELEASED, ReferringModule, run_stages
from ris_ros.training.pcnet import losses

CONFIG, ARRAYS = reference.load('pcnet')
STAGES = range(CONFIG['stages'])
SCALE = 1 / 0.07
TOLERANCE = 1e-4


def array(name):
    return torch.from_numpy(ARRAYS[name])


def modules():
    made = []
    for stage in STAGES:
        module = ReferringModule(CONFIG['channels'])
        prefix = f'weights/{stage}.'
        module.load_state_dict({name[len(prefix):]: array(name) for name in ARRAYS.files
                                if name.startswith(prefix)})
        made.append(module)
    return made


@pytest.fixture(scope='module', params=[3, 1], ids=['batch of 3', 'batch of 1'])
def stages(request):
    batch = request.param
    with torch.no_grad():
        made = run_stages(modules(), RELEASED, array('visual')[:batch], array('text')[:batch],
                          array('cues')[:batch], SCALE)
    return batch, made


def test_the_form_is_the_one_of_the_vectors():
    assert CONFIG['logit_scale'] == 'ln(1/0.07)'
    assert RELEASED.text_weight == CONFIG['attn_multi_text']
    assert RELEASED.visual_weight == CONFIG['attn_multi_vis']


@pytest.mark.parametrize('stage', STAGES)
@pytest.mark.parametrize('part', ['text', 'visual', 'text_on_image'])
def test_stages(stages, stage, part):
    batch, made = stages
    np.testing.assert_allclose(getattr(made[stage], part), array(f'b{batch}/stage{stage}/{part}'),
                               rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('stage', STAGES)
def test_scores(stages, stage):
    # As cosines: the stored float32 scores are 14.3 times these and themselves up to 5e-4 away
    # from what double precision gives, for a nearly constant map is normalised in between.
    batch, made = stages
    np.testing.assert_allclose(made[stage].scores / SCALE,
                               array(f'b{batch}/stage{stage}/scores') / SCALE,
                               rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize('stage', STAGES)
def test_classification_loss(stage):
    found = losses.classification(array(f'b3/stage{stage}/scores'))
    assert float(found) == pytest.approx(CONFIG['cls_loss'][stage], abs=TOLERANCE)


@pytest.fixture(scope='module')
def given():
    """Soft maps of both texts, proposals, and which texts belong to the picture."""
    maps = {name: losses.soft_maps(array(f'loss/response_{name}_20x20')[:, 0],
                                   CONFIG['image_size']) for name in ('own', 'other')}
    proposals = torch.from_numpy(reference.unpack_masks(ARRAYS['loss/proposals'], 32)).float()
    return maps['own'], maps['other'], proposals, array('loss/same_image') > 0


def test_region_losses_as_released(given):
    own, _, proposals, _ = given
    chosen = array('loss/proposal_clip_scores').argmax(dim=1)
    found = losses.ras_released([own], proposals, chosen, 0)
    expected = CONFIG['losses']
    assert float(found.foreground[0]) == pytest.approx(
        expected['foreground_overlap_as_coded'], abs=TOLERANCE)
    assert float(found.background[0]) == pytest.approx(
        expected['background_overlap_as_coded'], abs=TOLERANCE)
    assert float(found.anchor) == pytest.approx(
        1 - expected['foreground_overlap_as_coded'], abs=TOLERANCE)


def test_instance_loss_as_released(given):
    own, other, proposals, known = given
    found = losses.iad_released(losses.alignment(own, proposals),
                                losses.alignment(other, proposals)[None], known[None])
    assert float(found) == pytest.approx(CONFIG['losses']['iad_as_coded'], abs=TOLERANCE)


def test_ambiguity_of_the_paper(given):
    own, _, proposals, _ = given
    expected = CONFIG['paper_forms']
    assert losses.alignment(own, proposals).argmax(dim=1).tolist() == \
        expected['foreground_index_eq5']
    np.testing.assert_allclose(losses.ambiguity(own, proposals),
                               expected['ambiguity_eq6_soft_iou'], rtol=0, atol=TOLERANCE)


def test_instance_loss_of_the_paper(given):
    own, other, proposals, _ = given
    a, d = losses.alignment(own, proposals), losses.alignment(other, proposals)
    one_by_one = [float(losses.iad(a[[b]], d[None, [b]], torch.ones(1, 1, dtype=torch.bool)))
                  for b in range(len(a))]
    np.testing.assert_allclose(one_by_one, CONFIG['paper_forms']['iad_eq9_onehot'], rtol=0,
                               atol=TOLERANCE)
