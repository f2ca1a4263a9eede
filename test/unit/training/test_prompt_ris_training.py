"""Prompt-RIS in training: what learns, what stays, resuming, what a batch becomes."""
import dataclasses

import pytest

torch = pytest.importorskip('torch')
pytest.importorskip('open_clip')
pytest.importorskip('segment_anything')
import numpy as np
from prompt_ris_networks import CONFIG, small_network
from prompt_ris_training import pictures, small_settings, table, task, truth

from ris_ros.models.tokenizer import WordTokenizer
from ris_ros.training.engine.fit import fit
from ris_ros.training.prompt_ris.learning import FrozenProof, learning_prefixes
from ris_ros.training.prompt_ris.settings import (
    SAM_PARTS,
    PromptRisTraining,
    TabletopTraining,
    check_training,
)
from ris_ros.training.prompt_ris.tabletop import TabletopSource, say, tabletop_vocabulary
from ris_ros.training.tabletop.statements import Speaker
from ris_ros.types import BadInputError, RisError


def values(network):
    return {name: p.detach().clone() for name, p in network.named_parameters()}


# ---------------------------------------------------------------- frozen or not
@pytest.mark.parametrize('sam', SAM_PARTS)
@pytest.mark.parametrize('freeze_clip', [True, False])
def test_frozen_parts_stay_bit_for_bit(tmp_path, sam, freeze_clip):
    settings = small_settings(train_sam=sam, freeze_clip=freeze_clip, prompt_dropout=0.5,
                              embeddings='compute' if sam == 'all' else 'device', steps=3,
                              coarse_part=0.0)
    made = task(settings)
    proof, before = FrozenProof(made.network), values(made.network)
    fit(made, settings, tmp_path)
    proof.check(made.network)
    after = values(made.network)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    prefixes = learning_prefixes(settings)
    assert changed and all(name.startswith(prefixes) for name in changed)
    expected = {'prompting', 'coarse_decoder', 'sam_prompts'} | (set() if freeze_clip
                                                                 else {'clip'})
    assert expected <= {name.split('.')[0] for name in changed}
    parts = {'mask': 'sam.prompt_encoder.mask_downscaling.', 'decoder': 'sam.mask_decoder.',
             'all': 'sam.image_encoder.'}
    learned = {part for part, prefix in parts.items()
               if any(name.startswith(prefix) for name in changed)}
    assert learned == {p for p in parts if SAM_PARTS.index(p) <= SAM_PARTS.index(sam)}


def test_a_frozen_part_that_changed_is_told():
    made = task()
    proof = FrozenProof(made.network)
    with torch.no_grad():
        made.network.sam.mask_decoder.iou_token.weight.add_(1e-3)
    with pytest.raises(RisError, match='was to stay frozen'):
        proof.check(made.network)


def test_paper_defaults():
    settings = PromptRisTraining()
    assert (settings.images, settings.sentences) == (16, 4)
    assert (settings.rate, settings.schedule, settings.power) == (1e-4, 'poly', 0.9)
    assert settings.coarse_part == 20 / 50
    assert settings.freeze_clip and settings.train_sam == 'none'
    assert settings.cross_weight == settings.dice_weight == settings.icl_weight == 1


@pytest.mark.parametrize(('changes', 'words'), [
    ({'train_sam': 'all', 'embeddings': 'disk'}, 'set embeddings=compute'),
    ({'sentences': 1}, 'icl compares')])
def test_settings_that_contradict(changes, words):
    with pytest.raises(BadInputError, match=words):
        check_training(small_settings(**changes))
    check_training(TabletopTraining(minutes=1.0))


# ---------------------------------------------------------------- the run
def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    settings = small_settings(steps=6, optimiser='muon', checkpoint_seconds=1e6)
    whole = task(settings)
    fit(whole, settings, tmp_path / 'whole')
    broken = task(settings)
    stopped_at_3(broken, settings, tmp_path / 'broken')
    again = task(settings)
    fit(again, settings, tmp_path / 'broken')
    for name, value in values(whole.network).items():
        assert torch.equal(value, values(again.network)[name]), name


def stopped_at_3(made, settings, work):
    """Train three of the steps, past the change of phase, as a stop by the user does."""
    import os
    import signal
    plain = made.loss
    calls = []

    def loss(batch, fraction):
        calls.append(fraction)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(batch, fraction)

    made.loss = loss
    with pytest.raises(KeyboardInterrupt):
        fit(made, settings, work)
    assert made.ends(calls[-1])


def test_coarse_first_then_end_to_end():
    settings = small_settings(coarse_part=0.4)
    made = task(settings)
    batch = next_batch(made)
    torch.manual_seed(0)
    _, first = made.loss(batch, 0.39)
    _, second = made.loss(batch, 0.41)
    assert set(first) == {'coarse_cross', 'coarse_dice', 'coarse_icl'}
    assert set(second) == {*first, 'final_cross', 'final_dice', 'final_icl'}
    without = task(dataclasses.replace(settings, icl=False))
    assert not any('icl' in name for name in without.loss(batch, 0.9)[1])


def next_batch(made, index=0):
    from ris_ros.training.engine.draws import draw
    return draw(made.source, 0, index, 0.0)


def test_each_part_can_have_its_own_curve():
    assert not task(part='coarse').ends(0.99) and task(part='end').ends(0.0)
    assert {task(part=p).name for p in ('both', 'coarse', 'end')} == {
        'prompt_ris', 'prompt_ris_coarse', 'prompt_ris_end'}


def test_temperature_falls_by_equal_factors():
    made = task(small_settings(temperature=1.0, last_temperature=0.25))
    assert [made.temperature(f) for f in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0.25])


def test_it_learns(tmp_path):
    """Coarse masks of coloured squares, from nothing, in a hundred small steps."""
    config = dataclasses.replace(CONFIG, presence=True, coarse_bias=True, coarse_scale='learned')
    settings = small_settings(steps=100, rate=6e-3, freeze_clip=False, coarse_part=1.0,
                              log_steps=50, schedule='cosine', clip_norm=1.0, cross_weight=5.0)
    made = task(settings, count=24, network=small_network(config, random_prompts=False))
    before = made.validation.figures(made.network.eval(), made.pixels)
    outcome = fit(made, settings, tmp_path)
    assert outcome.figures['coarse_miou'] > before['coarse_miou'] + 0.25
    assert outcome.figures['presence'] > 0.9


def test_absent_and_ambiguous_sentences_have_no_final_loss():
    made = task(small_settings(coarse_part=0.0, prompt_dropout=0.0))
    batch = next_batch(made)
    batch['targets'][:] = -1
    made.network.zero_grad()
    loss, parts = made.loss(batch, 0.5)
    assert parts['final_dice'] == parts['final_cross'] == parts['final_icl'] == 0
    assert parts['coarse_dice'] == 0 and parts['coarse_cross'] > 0
    loss.backward()
    gradients = [p.grad for p in made.network.sam_prompts.parameters() if p.grad is not None]
    assert all((g == 0).all() for g in gradients)
    batch['targets'][:, 0], batch['targets'][:, 1] = 1, 2
    _, parts = made.loss(batch, 0.5)
    assert parts['final_dice'] == 0 and parts['coarse_dice'] > 0


# ---------------------------------------------------------------- what a batch becomes
def test_tables_give_the_true_masks():
    # Whole pixels per cell: else an area of an area is not quite the area.
    frames = table(3, scale=2, network=small_network(dataclasses.replace(CONFIG, fit='pad')))
    _, instances = pictures(3)
    batch = {'rows': torch.tensor([2, 0]), 'mirror': torch.tensor([False, True]),
             'targets': torch.tensor([[1, -1], [2, -1], [-1, -1], [1, 2], [7, 1], [1, -1]])}
    for scale in (1, 2):
        cover = frames.truth(batch, scale)
        rows, columns = (n * scale for n in frames.layout.cells)
        assert cover.shape == (6, rows, columns)
        for row, targets in enumerate(batch['targets'].tolist()):
            shown = instances[2 if row < 3 else 0]
            mask = np.isin(shown, [t for t in targets if 0 < t < 3]).astype(np.float32)
            expected = torch.nn.functional.interpolate(torch.from_numpy(mask)[None, None],
                                                       (rows, columns), mode='area')[0, 0]
            if row >= 3:
                expected = expected.flip(1)
            torch.testing.assert_close(cover[row], expected, rtol=0, atol=0.01)


@pytest.mark.parametrize('cached', [True, False])
def test_tables_give_the_embeddings(cached):
    network = small_network()
    frames = table(3, cached=cached, mirrored=True, network=network)
    batch = {'rows': torch.tensor([1, 1]), 'mirror': torch.tensor([False, True])}
    shown = frames.shown(batch)
    colour = torch.from_numpy(pictures(3)[0][1]).permute(2, 0, 1)[None]
    from ris_ros.methods.prompt_ris.layout import resized
    with torch.no_grad():
        for row, seen in enumerate((colour, colour.flip(3))):
            expected = network.embed(resized(seen, frames.layout.sam))
            torch.testing.assert_close(shown.embeddings()[row:row + 1], expected, rtol=0,
                                       atol=0.02)
            torch.testing.assert_close(shown.pixels[row:row + 1],
                                       resized(seen, frames.layout.clip), rtol=0, atol=1)


def test_tabletop_batches_are_pure_functions():
    import pickle
    tokenizer = WordTokenizer(tabletop_vocabulary(), 24)
    source = TabletopSource([truth(s) for s in range(5)], tokenizer, 3, 4, True)
    first = source.draw(np.random.default_rng((0, 7)), 7, 0.2)
    again = pickle.loads(pickle.dumps(source)).draw(np.random.default_rng((0, 7)), 7, 0.2)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert first['tokens'].shape == (12, 24) and first['targets'].shape[0] == 12
    assert not (first['tokens'] == tokenizer.unk_id).all(dim=1).any()


def test_mirrored_scenes_get_mirrored_sentences():
    """In the mirror the red mug is right of the blue one."""
    def of(scene):
        found = {}
        for k in range(300):
            said = say(Speaker(scene, np.random.default_rng(k)), np.random.default_rng(k))
            if said.text in ('the left mug', 'the mug on the left', 'the leftmost mug'):
                found[said.text] = said.targets
        return set(found.values())

    assert of(truth()) == {(1,)} and of(truth().mirrored()) == {(2,)}


def test_absent_things_are_spoken_of():
    rng = np.random.default_rng(0)
    made = [say(Speaker(truth(), rng), rng) for _ in range(400)]
    share = np.mean([not said.targets for said in made])
    assert 0.12 < share < 0.45
    assert all(max(said.targets) <= 3 for said in made if said.targets)
